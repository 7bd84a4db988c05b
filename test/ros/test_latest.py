"""Tests of the queue between receiving and processing."""

import threading

import pytest

from pose_ros.ros.node.latest import LatestItems


def take(slots: LatestItems[str, object], limit: int = 1) -> list[tuple[str, object, int]] | None:
    """Take items as plain tuples."""
    items = slots.take(limit)
    return items if items is None else [(entry.source, entry.item, entry.dropped) for entry in items]


def test_the_newest_item_is_kept_and_the_others_are_counted() -> None:
    slots: LatestItems[str, object] = LatestItems(["lens"])
    slots.put("lens", "first")
    assert take(slots) == [("lens", "first", 0)]
    for item in ("old", "older", "newest"):
        slots.put("lens", item)
    assert slots.peek("lens") == "newest"
    assert take(slots) == [("lens", "newest", 2)]
    slots.put("lens", "next")
    assert take(slots) == [("lens", "next", 0)]
    assert slots.peek("lens") is None


@pytest.mark.parametrize(
    ("limit", "turns"),
    [
        pytest.param(1, [["a"], ["b"], ["c"], ["a"], ["b"]], id="one by one"),
        pytest.param(2, [["a", "b"], ["c", "a"], ["b", "c"]], id="two at a time"),
        pytest.param(9, [["a", "b", "c"], ["a", "b", "c"]], id="all"),
    ],
)
def test_busy_sources_take_turns(limit: int, turns: list[list[str]]) -> None:
    slots: LatestItems[str, object] = LatestItems(["a", "b", "c"])
    for expected in turns:
        for source in "cba":
            slots.put(source, source)
        assert [source for source, _, _ in take(slots, limit) or []] == expected


def test_a_silent_source_is_skipped_and_drops_are_counted_per_source() -> None:
    slots: LatestItems[str, object] = LatestItems(["dead", "slow", "fast"])
    slots.put("fast", 1)
    slots.put("fast", 2)
    slots.put("slow", 1)
    assert take(slots, 3) == [("slow", 1, 0), ("fast", 2, 1)]


def test_close_wakes_waiting_threads_and_drops_waiting_items() -> None:
    slots: LatestItems[str, object] = LatestItems(["lens"])
    results: list[object] = []
    waiting = threading.Thread(target=lambda: results.append(slots.take()))
    waiting.start()
    slots.close()
    waiting.join(timeout=120)
    assert results == [None]
    slots.put("lens", "late")
    assert slots.take() is None


def test_nothing_is_lost_or_duplicated_between_threads() -> None:
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
        thread.join(timeout=120)
    assert seen == {0: count, 1: count}
    assert all(n == sorted(set(n)) for n in numbers.values())


def test_after_close_nothing_waits_and_nothing_is_added() -> None:
    slots: LatestItems[str, object] = LatestItems(["lens"])
    slots.put("lens", "waiting")
    slots.close()
    assert slots.peek("lens") is None
    slots.put("lens", "late")
    assert slots.peek("lens") is None and slots.take() is None


def test_a_producer_never_waits_for_the_consumer() -> None:
    """The consumer stops in the middle of ``take``. The producer adds an image meanwhile."""
    stopped, resume = threading.Event(), threading.Event()

    class Lens:
        def __hash__(self) -> int:
            if threading.current_thread() is consumer:
                stopped.set()
                assert resume.wait(timeout=120)
            return 1

    lens = Lens()
    consumer = threading.current_thread()
    resume.set()
    slots: LatestItems[Lens, int] = LatestItems([lens])
    resume.clear()
    stopped.clear()
    taken: list[object] = []
    consumer = threading.Thread(target=lambda: taken.extend(slots.take() or []))
    consumer.start()
    assert stopped.wait(timeout=120)
    producer = threading.Thread(target=slots.put, args=(lens, 1))
    producer.start()
    producer.join(timeout=120)
    is_blocked = producer.is_alive()
    resume.set()
    consumer.join(timeout=120)
    assert not is_blocked and [each.item for each in taken] == [1]
