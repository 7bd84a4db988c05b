"""Measure what smoothing does to a keypoint: jitter at rest and lag in motion.

python benchmarks/smoothing.py
python benchmarks/smoothing.py --plot docs/smoothing.png
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from measure import print_table

from pose_ros.arrays import AnyArray, DoubleArray
from pose_ros.config import SmoothingConfig
from pose_ros.skeleton import COCO_17
from pose_ros.tracking.smoothing import Smoother

HEIGHT_PX, SIGMA_PX = 200.0, 3.0
WRIST = COCO_17.index("right_wrist")
WALK, WAVE = 0.8, 0.25
"""Speed of a walk, and amplitude of a wave, in heights of the person."""
WAVE_HZ = 1.0
SETTINGS = {
    "weaker: cutoff_hz 3": SmoothingConfig(cutoff_hz=3.0),
    "default": SmoothingConfig(),
    "stronger: cutoff_hz 0.3": SmoothingConfig(cutoff_hz=0.3),
    "more lag: speed_gain 1": SmoothingConfig(speed_gain=1.0),
}


def smooth(wrist: DoubleArray, rate_hz: float, config: SmoothingConfig, sigma_px: float) -> tuple[AnyArray, AnyArray]:
    """Return the detected and the smoothed x of a wrist (T,), px.

    Args:
        wrist: (T,) true x of the wrist, relative to the body, px.
        rate_hz: Images per second.
        config: Settings.
        sigma_px: Standard deviation of each coordinate.
    """
    rng, smoother = np.random.default_rng(0), Smoother(len(COCO_17), config)
    body, scores = np.float64(COCO_17.standing) * HEIGHT_PX, np.full((1, len(COCO_17)), 0.8)
    seen, result = [], []
    for i, x in enumerate(wrist):
        points = body + rng.normal(0, sigma_px, body.shape)
        points[WRIST, 0] += x
        seen.append(points[WRIST, 0] - body[WRIST, 0])
        smoothed = smoother.smooth(np.array([0]), points[None], scores, 5 + i / rate_hz)
        result.append(smoothed[0, WRIST, 0] - body[WRIST, 0])
    return np.array(seen), np.array(result)


def wave(seconds: float, rate_hz: float) -> DoubleArray:
    """Return the x of a waving wrist, px."""
    return WAVE * HEIGHT_PX * np.sin(2 * np.pi * WAVE_HZ * np.arange(int(seconds * rate_hz)) / rate_hz)


def wave_lag_ms(config: SmoothingConfig, rate_hz: float) -> float:
    """Return the delay of a waving wrist without noise, ms: the shift that fits best."""
    true, (_, smoothed) = wave(6, rate_hz), smooth(wave(6, rate_hz), rate_hz, config, 0.0)
    times = np.arange(len(true)) / rate_hz
    shifts = np.arange(0, 0.3, 0.001)
    kept = times > 1
    fits = [np.square(np.interp(times[kept] - shift, times, true) - smoothed[kept]).sum() for shift in shifts]
    return 1e3 * float(shifts[int(np.argmin(fits))])


def measure() -> list[list[str]]:
    """Return a row per setting and rate."""
    rows = []
    for name, config in SETTINGS.items():
        for rate_hz in (30.0, 10.0):
            seen, rest = smooth(np.zeros(int(20 * rate_hz)), rate_hz, config, SIGMA_PX)
            walk = WALK * HEIGHT_PX * np.arange(int(4 * rate_hz)) / rate_hz
            _, walked = smooth(walk, rate_hz, config, 0.0)
            lag_px = float(walk[-1] - walked[-1])
            jitter, before = np.diff(rest).std(), np.diff(seen).std()
            walk_ms = 1e3 * lag_px / (WALK * HEIGHT_PX)
            times = f"{walk_ms:.0f}", f"{wave_lag_ms(config, rate_hz):.0f}"
            rows.append([name, f"{rate_hz:.0f}", f"{jitter:.2f}", f"{jitter / before:.2f}", *times])
    return rows


def plot(path: Path) -> None:
    """Draw a wrist that rests and then waves, as detected and as smoothed."""
    from matplotlib.figure import Figure

    rate_hz = 30.0
    true = np.concatenate([np.zeros(60), wave(2, rate_hz), np.zeros(30)])
    times = np.arange(len(true)) / rate_hz
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    axes = figure.subplots()
    axes.plot(times, true, color="black", linewidth=1, label="true")
    seen, smoothed = smooth(true, rate_hz, SmoothingConfig(), SIGMA_PX)
    axes.plot(times, seen, ".", color="#999999", markersize=4, label="detected")
    axes.plot(times, smoothed, color="#0072B2", linewidth=1.6, label="smoothed, default")
    _, strong = smooth(true, rate_hz, replace(SmoothingConfig(), speed_gain=1.0), SIGMA_PX)
    axes.plot(times, strong, color="#D55E00", linewidth=1.6, linestyle="--", label="smoothed, speed_gain 1")
    axes.set(xlabel="time, s", ylabel="wrist, px", xlim=(0.5, times[-1]))
    axes.legend(loc="upper left", frameon=False, fontsize=8)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Print the table, and draw the plot on request."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--plot", type=Path, help="PNG to write")
    options = parser.parse_args()
    columns = ("setting", "Hz", "jitter, px", "of the detected", "lag of a walk, ms", "lag of a wave, ms")
    print_table(f"Wrist of a person of {HEIGHT_PX:.0f} px, noise {SIGMA_PX:.0f} px", columns, measure())
    if options.plot:
        plot(options.plot)


if __name__ == "__main__":
    main()
