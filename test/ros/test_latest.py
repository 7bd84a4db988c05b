"""The slot between receiving and processing."""

import threading

from pose_ros.ros.latest import LatestSlot


def test_the_newest_wins_and_the_others_are_counted() -> None:
    slot: LatestSlot[str] = LatestSlot()
    slot.put("first")
    assert slot.take() == ("first", 0)
    for item in ("old", "older", "newest"):
        slot.put(item)
    assert slot.take() == ("newest", 2)
    slot.put("next")
    assert slot.take() == ("next", 0)


def test_close_wakes_who_waits_and_drops_what_waits() -> None:
    slot: LatestSlot[str] = LatestSlot()
    taken: list[object] = []
    waiting = threading.Thread(target=lambda: taken.append(slot.take()))
    waiting.start()
    slot.close()
    waiting.join(timeout=10)
    assert taken == [None]
    slot.put("late")
    assert slot.take() is None


def test_nothing_is_lost_or_doubled_between_threads() -> None:
    slot: LatestSlot[int] = LatestSlot()
    taken: list[tuple[int, int]] = []

    def consume() -> None:
        while (item := slot.take()) is not None:
            taken.append(item)
            if item[0] == 9999:
                return

    consumer = threading.Thread(target=consume)
    consumer.start()
    for number in range(10_000):
        slot.put(number)
    consumer.join(timeout=30)
    numbers = [number for number, _ in taken]
    assert numbers == sorted(set(numbers))
    assert len(taken) + sum(dropped for _, dropped in taken) == 10_000
