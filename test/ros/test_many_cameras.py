"""Tests of several cameras with one network: turns, batches, and a camera without images."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from diagnostic_msgs.msg import DiagnosticArray

from pose_ros.config import RuntimeConfig
from pose_ros.estimator import PoseEstimator
from pose_ros.ros.node.latest import LatestItems
from pose_ros.ros.node.outputs import CameraPublishers
from pose_ros.ros.node.worker import Worker
from pose_ros.runtime.runner import CPU

NAMES = ["front", "rear", "left", "right"]


@pytest.fixture
def cameras(graph: Any, make_camera: Any) -> Callable[..., dict[str, Any]]:
    """Return a function that makes cameras with these names, and connects them."""

    def cameras(*names: str) -> dict[str, Any]:
        connected = {name: make_camera(name=name) for name in names}
        for camera in connected.values():
            camera.connect()
        return connected

    return cameras


def test_each_camera_has_its_topics_and_its_poses(make_node: Any, cameras: Any, paint: Any, image_message: Any) -> None:
    node = make_node(cameras=NAMES)
    people = dict(zip(NAMES, [(), (20,), (12, 40), (4, 28, 52)], strict=True))
    for name, camera in cameras(*NAMES).items():
        answer = camera.ask(image_message(paint(*people[name]), frame_id=name))
        assert (answer.header.frame_id, len(answer.people)) == (name, len(people[name]))
    assert len([name for name in thread_names() if name == "pose_worker"]) == 1
    assert node._worker.estimator.max_batch == 4


def thread_names() -> list[str]:
    return [thread.name for thread in threading.enumerate()]


def wait_for_all(graph: Any, node: Any) -> None:
    """Wait until every camera has an image waiting."""
    graph.until(lambda: all(map(node._worker.waiting.peek, node.cameras)), "an image of each camera waits")


@pytest.fixture
def process_together(
    graph: Any, make_node: Any, cameras: Any, slow: PoseEstimator, paint: Any, image_message: Any
) -> Callable[..., list[Any]]:
    """Return ``process_together(runs, images)``, which processes an image of each camera in this number of runs.

    The images wait for the end of an earlier run.
    """

    def process_together(runs: int, images: list[Any]) -> list[Any]:
        node, connected = make_node(lambda *_: slow, cameras=NAMES), cameras(*NAMES)
        connected["front"].send(image_message(paint()))
        graph.until(lambda: slow.runner.started == 1, "the network runs")
        for camera, image in zip(connected.values(), images, strict=True):
            camera.send(image_message(image, stamp_s=2))
        wait_for_all(graph, node)
        slow.runner.release.release(1 + runs)
        answers = [camera.answers for camera in connected.values()]
        graph.until(lambda: all(each and each[-1].header.stamp.sec == 2 for each in answers), "all are processed")
        return [each[-1] for each in answers]

    return process_together


def test_waiting_images_share_one_run(process_together: Any, slow: PoseEstimator, paint: Any) -> None:
    answers = process_together(1, [paint(*range(4, 4 + 24 * count, 24)) for count in range(4)])
    assert slow.runner.batches == [1, 4]
    assert [len(answer.people) for answer in answers] == [0, 1, 2, 3]


def test_the_poses_of_all_cameras_come_before_the_first_drawing(
    process_together: Any, paint: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    for name in ("publish_poses", "publish_drawings"):
        step = getattr(CameraPublishers, name)
        monkeypatch.setattr(CameraPublishers, name, lambda *a, s=step, n=name: steps.append(n) or s(*a))
    process_together(1, [paint(20)] * 4)
    assert steps[2:6] == ["publish_poses"] * 4


@pytest.mark.parametrize(
    ("device", "max_batch", "expected"),
    [("cpu", 1, 1), ("a GPU", 1, 4), ("cpu", 4, 4)],
    ids=["CPU", "GPU", "requested"],
)
def test_on_a_cpu_images_share_a_run_only_on_request(device: str, max_batch: int, expected: int) -> None:
    worker = SimpleNamespace(
        _settings=SimpleNamespace(config=SimpleNamespace(runtime=RuntimeConfig(max_batch=max_batch)))
    )
    estimator = SimpleNamespace(max_batch=4, runner=SimpleNamespace(device=CPU if device == "cpu" else device))
    assert Worker._batch_size(worker, estimator) == expected


def test_a_build_is_cancelled_when_the_worker_is_closed() -> None:
    worker = SimpleNamespace(waiting=LatestItems(["lens"]), progress=None)
    Worker._set_progress(worker, "building", 0.5)
    assert worker.progress == ("building", 0.5)
    worker.waiting.close()
    with pytest.raises(InterruptedError, match="loading was cancelled"):
        Worker._set_progress(worker, "building", 0.6)


def test_images_of_different_sizes_have_separate_runs(process_together: Any, slow: PoseEstimator, paint: Any) -> None:
    sizes_wh = [(80, 64), (64, 64), (80, 64), (96, 64)]
    answers = process_together(3, [paint(20, size_wh=size_wh) for size_wh in sizes_wh])
    assert sorted(slow.runner.batches[1:]) == [1, 1, 2]
    assert [(answer.image_width, answer.image_height) for answer in answers] == sizes_wh
    assert all(len(answer.people) == 1 for answer in answers)


def test_a_failed_batch_is_retried_image_by_image(
    graph: Any, make_node: Any, cameras: Any, slow: PoseEstimator, paint: Any, image_message: Any
) -> None:
    """An image that the network rejects must not affect the images of the other cameras."""
    node, connected = make_node(lambda *_: slow, cameras=["front", "rear"]), cameras("front", "rear")
    process, widths = slow.process_batch, []

    def reject_wide(images: Any, colours: Any, **options: Any) -> Any:
        widths.append([image.shape[1] for image in images])
        if 96 in widths[-1]:
            raise RuntimeError("too wide")
        return process(images, colours, **options)

    slow.process_batch = reject_wide
    connected["rear"].send(image_message(paint()))
    graph.until(lambda: slow.runner.started == 1, "the network runs")
    connected["front"].send(image_message(paint(20, size_wh=(96, 64)), stamp_s=2))
    connected["rear"].send(image_message(paint(20), stamp_s=2))
    wait_for_all(graph, node)
    slow.runner.release.release(3)
    answers = connected["rear"].answers
    graph.until(lambda: answers and answers[-1].header.stamp.sec == 2, "the valid image is processed")
    assert (widths[0], sorted(widths[1]), sorted(widths[2:])) == ([80], [80, 96], [[80], [96]])
    assert not connected["front"].answers
    assert connected["front"].ask(image_message(paint(20), stamp_s=3)).header.stamp.sec == 3


class Metronome:
    """Sends images at a rate, in the thread of the test. It waits until each image is received, so none is lost."""

    def __init__(self, camera: Any, statistics: Any, image: Any, rate_hz: float) -> None:
        self.camera, self.statistics, self.image, self.period_s = camera, statistics, image, 1 / rate_hz
        self.due_s, self.sent = 0.0, 0

    def tick(self) -> None:
        now_s = time.monotonic()
        if now_s >= self.due_s and self.statistics.snapshot(now_s).received == self.sent:
            self.due_s, self.sent = now_s + self.period_s, self.sent + 1
            self.camera.send(self.image)

    @property
    def counted(self) -> int:
        """Images that were processed or counted as dropped."""
        return len(self.camera.answers) + sum(answer.dropped for answer in self.camera.answers)


def test_four_cameras_at_different_rates_and_one_dead(
    graph: Any, make_node: Any, cameras: Any, paint: Any, image_message: Any
) -> None:
    node = make_node(cameras=NAMES, diagnostics__period_s=0.2, diagnostics__warn_age_s=1.0, watchdog_s=1.0)
    connected = cameras(*NAMES)  # the right camera sends no image
    reports = graph.collect(DiagnosticArray, "/diagnostics")
    image, rates_hz = image_message(paint(20), stamp_s=0), [50.0, 20.0, 2.0]
    senders = [
        Metronome(camera, entry.statistics, image, rate)
        for camera, entry, rate in zip(connected.values(), node.cameras, rates_hz, strict=False)
    ]

    def levels() -> dict[str, int]:
        for sender in senders:
            sender.tick()
        return {s.name.rpartition(" ")[2]: s.level[0] for r in reports[-1:] for s in r.status}

    graph.until(lambda: levels().get("right", 0) > 0 and senders[-1].sent >= 8, "the dead camera is reported", 60)
    graph.until(lambda: levels()["left"] == levels()["runtime"] == 0, "the slow camera is OK")
    (dead,) = [s for s in reports[-1].status if s.name.endswith("right")]
    assert "no image" in dead.message
    for sender in senders:
        graph.until(lambda each=sender: each.counted == each.sent, "every image is processed or dropped")
    assert not connected["right"].answers


def test_a_fast_camera_does_not_block_the_others(
    graph: Any, make_node: Any, cameras: Any, slow: PoseEstimator, paint: Any, image_message: Any
) -> None:
    slow.config = type(slow.config)(runtime=type(slow.config.runtime)(warm_up=False, max_batch=1))
    node = make_node(lambda *_: slow, cameras=["fast", "rare"])
    connected = cameras("fast", "rare")
    connected["fast"].send(image_message(paint(), stamp_s=1))
    graph.until(lambda: slow.runner.started == 1, "the network runs")
    connected["rare"].send(image_message(paint(), stamp_s=2))
    waiting = node._worker.waiting.peek
    for number in range(3, 8):
        connected["fast"].send(image_message(paint(), stamp_s=number))
        graph.until(lambda n=number: (w := waiting(node.cameras[0])) and w.header.stamp.sec == n, "the image waits")
    wait_for_all(graph, node)
    slow.runner.release.release(2)
    graph.until(lambda: connected["rare"].answers, "the rare camera has the next turn")
    assert [a.header.stamp.sec for a in connected["fast"].answers] == [1]


@pytest.mark.parametrize("names", [[""], ["a"], ["a", "b/c"]], ids=str)
def test_names_become_topics(graph: Any, make_node: Any, names: list[str]) -> None:
    node = make_node(cameras=names, autostart=False)
    wanted = [f"/pose_estimator/{name}/poses".replace("//", "/") for name in names]
    assert [camera.outputs._poses.topic_name for camera in node.cameras] == wanted
    assert [camera.topic for camera in node.cameras] == [f"/{name}/image".replace("//", "/") for name in names]
