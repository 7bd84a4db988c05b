"""A recording published as a camera."""
