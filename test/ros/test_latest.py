"""What waits between receiving and processing."""

import threading

import pytest

from pose_ros.ros.node.latest import LatestItems


def taken(slots: LatestItems[str, object], most: int = 1) -> list[tuple[str, object, int]] | None:
    """What ``take`` gives, as plain tuples."""
    items = slots.take(most)
    return items if items is None else [(entry.source, entry.item, entry.dropped) for entry in items]


def test_the_newest_wins_and_the_others_are_counted() -> None:
    slots: LatestItems[str, object] = LatestItems(["lens"])
    slots.put("lens", "first")
    assert taken(slots) == [("lens", "first", 0)]
    for item in ("old", "older", "newest"):
        slots.put("lens", item)
    assert slots.waiting("lens") == "newest"
    assert taken(slots) == [("lens", "newest", 2)]
    slots.put("lens", "next")
    assert taken(slots) == [("lens", "next", 0)]
    assert slots.waiting("lens") is None


@pytest.mark.parametrize(
    ("most", "turns"),
    [
        pytest.param(1, [["a"], ["b"], ["c"], ["a"], ["b"]], id="one by one"),
        pytest.param(2, [["a", "b"], ["c", "a"], ["b", "c"]], id="two at a time"),
        pytest.param(9, [["a", "b", "c"], ["a", "b", "c"]], id="all"),
    ],
)
def test_sources_take_turns_however_busy_they_are(most: int, turns: list[list[str]]) -> None:
    slots: LatestItems[str, object] = LatestItems(["a", "b", "c"])
    for expected in turns:
        for source in "cba":
            slots.put(source, source)
        assert [source for source, _, _ in taken(slots, most) or []] == expected


def test_a_silent_source_has_no_turn_and_its_drops_are_its_own() -> None:
    slots: LatestItems[str, object] = LatestItems(["dead", "slow", "fast"])
    slots.put("fast", 1)
    slots.put("fast", 2)
    slots.put("slow", 1)
    assert taken(slots, 3) == [("slow", 1, 0), ("fast", 2, 1)]


def test_close_wakes_who_waits_and_drops_what_waits() -> None:
    slots: LatestItems[str, object] = LatestItems(["lens"])
    results: list[object] = []
    waiting = threading.Thread(target=lambda: results.append(slots.take()))
    waiting.start()
    slots.close()
    waiting.join(timeout=10)
    assert results == [None]
    slots.put("lens", "late")
    assert slots.take() is None


def test_nothing_is_lost_or_doubled_between_threads() -> None:
    slots: LatestItems[int, int] = LatestItems([0, 1])
    count, seen = 10_000, {0: 0, 1: 0}
    numbers: dict[int, list[int]] = {0: [], 1: []}

    def consume() -> None:
        while any(not n or n[-1] < count - 1 for n in numbers.values()):
            for entry in slots.take(2) or []:
                numbers[entry.source].append(entry.item)
                seen[entry.source] += 1 + entry.dropped

    def produce(source: int) -> None:
        for number in range(count):
            slots.put(source, number)

    threads = [threading.Thread(target=consume), *(threading.Thread(target=produce, args=(s,)) for s in (0, 1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert seen == {0: count, 1: count}
    assert all(n == sorted(set(n)) for n in numbers.values())
