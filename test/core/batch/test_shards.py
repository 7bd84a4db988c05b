"""Test how the inputs of a batch are split among machines."""

from __future__ import annotations

import pytest

from pose_ros.batch.shards import Shard, find_shard


def slurm(number: int, low: int, high: int, count: int) -> dict[str, str]:
    values = {"ID": number, "MIN": low, "MAX": high, "COUNT": count}
    return {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in values.items()}


@pytest.mark.parametrize(
    ("text", "environment", "expected"),
    [
        (None, {}, Shard(1, 1)),
        ("3/10", slurm(0, 0, 4, 5), Shard(3, 10)),
        (None, slurm(0, 0, 4, 5), Shard(1, 5)),
        (None, slurm(4, 0, 4, 5), Shard(5, 5)),
        (None, slurm(1, 1, 5, 5), Shard(1, 5)),
        (None, slurm(5, 1, 5, 5), Shard(5, 5)),
        (None, slurm(20, 10, 30, 3), Shard(2, 3)),
        (None, slurm(7, 7, 7, 1), Shard(1, 1)),
        (None, {"JOB_COMPLETION_INDEX": "0", "JOB_COMPLETIONS": "4"}, Shard(1, 4)),
        (None, {"JOB_COMPLETION_INDEX": "3", "JOB_COMPLETIONS": "4"}, Shard(4, 4)),
    ],
)
def test_the_shard_of_a_process(text: str | None, environment: dict[str, str], expected: Shard) -> None:
    assert find_shard(text, environment) == expected


@pytest.mark.parametrize(
    ("text", "environment", "message"),
    [
        ("0/10", {}, "shard: expected 1/10 to 10/10, got 0/10"),
        ("11/10", {}, "got 11/10"),
        ("3", {}, "--shard: expected i/n, such as 3/10, got '3'"),
        (None, slurm(5, 1, 9, 3) | {"SLURM_ARRAY_TASK_ID": "4"}, "submit the array as a range"),
        (None, slurm(5, 1, 7, 3), "submit the array as a range"),
        (None, {"SLURM_ARRAY_TASK_ID": "4"}, "SLURM_ARRAY_TASK_MIN: expected this variable"),
        (None, {"JOB_COMPLETION_INDEX": "3"}, "JOB_COMPLETIONS: expected the number of completions"),
        (None, {"JOB_COMPLETION_INDEX": "4", "JOB_COMPLETIONS": "4"}, "got 5/4"),
        (None, {"JOB_COMPLETION_INDEX": "x", "JOB_COMPLETIONS": "4"}, "expected a whole number, got 'x'"),
    ],
)
def test_a_shard_that_is_not_clear_is_refused(text: str | None, environment: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        find_shard(text, environment)


@pytest.mark.parametrize("count", [1, 3, 10, 30])
def test_each_item_is_in_one_shard(count: int) -> None:
    items = list(range(20))
    parts = [Shard(index, count).select(items) for index in range(1, count + 1)]
    assert sorted(item for part in parts for item in part) == items
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
