"""Measure medians, describe the machine and print tables. All benchmarks use this module."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table


def median_ms(function: Callable[[], Any], repeats: int = 200) -> float:
    """Measure the median wall time of a call, ms, after two warm-up calls."""
    function(), function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


def measure_in_turns(functions: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Return the 10th percentile of the CPU time of each function, ms. All are called in turns."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(repeats + 3):
        for name, function in functions.items():
            start = time.thread_time()
            function()
            times[name].append(1e3 * (time.thread_time() - start))
    return {name: float(np.percentile(values[3:], 10)) for name, values in times.items()}


def describe_machine() -> str:
    """Return processor, number of cores and Python version in one line."""
    model = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8") as info:
            model = next((line.split(":")[1].strip() for line in info if line.startswith("model name")), model)
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}"


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table with a description of the machine below."""
    table = Table(*columns, title=title, caption=describe_machine())
    for row in rows:
        table.add_row(*row)
    Console().print(table)
