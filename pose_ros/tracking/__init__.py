"""Follow people over time: ids, velocities, smoothing, gestures."""
