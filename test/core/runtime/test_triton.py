"""Test the Triton runner against a server that speaks the protocol of its client, in this process."""

from __future__ import annotations

import gc
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tritonclient.grpc", reason="needs tritonclient[grpc]")

from crop_network import write_crop_network
from kserve_server import KServeServer

from pose_ros.config import EstimatorConfig, RuntimeConfig
from pose_ros.estimator import PoseEstimator
from pose_ros.export.triton_repository import TritonOptions, write_repository
from pose_ros.models.model_file import DEFAULT_MODEL
from pose_ros.runtime import load_runner
from pose_ros.runtime.back_off import FIRST_S, LONGEST_S, BackOff
from pose_ros.runtime.onnx import OnnxRunner
from pose_ros.runtime.runner import Unavailable
from pose_ros.runtime.triton import TritonRunner, Unreachable
from pose_ros.runtime.triton_address import TritonAddress, find_address

FAST = RuntimeConfig(threads=1, connect_timeout_s=0, warm_up=False)


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    folder = tmp_path_factory.mktemp("triton")
    write_repository(DEFAULT_MODEL, folder, "pose")
    return folder


@pytest.fixture
def server(repository):
    with KServeServer(repository) as server:
        yield server


def address(server: KServeServer, model: str = "pose") -> str:
    return f"triton://127.0.0.1:{server.port}/{model}"


def make_image(seed: int = 0, side: int = 96) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (1, side, side, 3), np.uint8)


@pytest.mark.parametrize("shared", [True, False])
def test_results_equal_those_of_onnx_runtime(server, shared):
    config = RuntimeConfig(connect_timeout_s=0, shared_memory=shared)
    with TritonRunner(address(server), config) as runner, OnnxRunner(DEFAULT_MODEL, FAST) as reference:
        assert runner.inputs == reference.inputs
        assert runner.outputs == reference.outputs
        for side in (96, 128, 64):  # the shared region grows once
            feeds = {"image": make_image(side, side)}
            got, wanted = runner.run(feeds, ["pafs", "heatmaps"]), reference.run(feeds, ["pafs", "heatmaps"])
            assert list(got) == list(wanted) == ["heatmaps", "pafs"]
            for name, array in got.items():
                np.testing.assert_array_equal(array, wanted[name])
                assert array.flags.writeable
    assert (server.image_count, server.shared_count) == (3, 3 * shared)


def test_shared_memory_is_removed(server):
    with TritonRunner(address(server), FAST) as runner:
        runner.run({"image": make_image()})
        (key,) = server._regions.values()
        assert Path(f"/dev/shm{key}").exists()
    assert not Path(f"/dev/shm{key}").exists()
    assert not server._regions


def test_shared_memory_of_a_runner_that_is_not_closed_is_removed(server):
    runner = TritonRunner(address(server), FAST)
    runner.run({"image": make_image()})
    (key,) = server._regions.values()
    del runner
    gc.collect()
    assert not Path(f"/dev/shm{key}").exists()
    assert not server._regions


def test_an_answer_that_cannot_be_decoded_is_an_error(repository, monkeypatch):
    infer = KServeServer.ModelInfer

    def damage(self, request, context):
        answer = infer(self, request, context)
        answer.outputs[0].datatype = "BYTES"
        return answer

    monkeypatch.setattr(KServeServer, "ModelInfer", damage)
    expected = pytest.raises(ValueError, match=r"output '.*': expected float32")
    with KServeServer(repository) as server, TritonRunner(address(server), FAST) as runner, expected:
        runner.run({"image": make_image()})


def test_a_server_without_access_to_shared_memory_gets_messages(server):
    server.refuses_memory, texts = True, []
    with TritonRunner(address(server), FAST, notify=texts.append) as runner:
        for _ in range(2):
            runner.run({"image": make_image()})
    assert (server.image_count, server.shared_count) == (2, 0)
    assert len(texts) == 1
    assert "shared memory fails: triton://" in texts[0]
    assert "unable to open shared memory region" in texts[0]


def test_estimator_takes_description_and_name_from_the_server(server):
    image = make_image()[0]
    remote = PoseEstimator.load(address(server), config=EstimatorConfig(runtime=FAST))
    local = PoseEstimator.load(config=EstimatorConfig(runtime=FAST), runtime="onnx")
    try:
        assert remote.model_name == local.model_name
        assert remote.spec == local.spec
        np.testing.assert_array_equal(remote.estimate(image).keypoints, local.estimate(image).keypoints)
        batch = RuntimeConfig(max_batch=3, connect_timeout_s=0)
        with TritonRunner(address(server), batch) as runner:
            assert runner.run({"image": np.concatenate([make_image()] * 3)}, ["pafs"])["pafs"].shape[0] == 3
    finally:
        remote.close()
        local.close()


def test_a_server_without_model_config_needs_a_description(server):
    server.is_triton = False
    with pytest.raises(ValueError, match="expected a description on the server, got none"):
        PoseEstimator.load(address(server), config=EstimatorConfig(runtime=FAST))
    with load_runner(address(server), FAST) as runner:
        assert runner.metadata == {}


def test_run_fails_while_the_server_is_away_and_then_works_again(repository):
    server, texts = KServeServer(repository), []
    port = server.port
    with TritonRunner(address(server), FAST, notify=texts.append) as runner:
        wanted = runner.run({"image": make_image()}, ["heatmaps"])["heatmaps"]
        server.stop()
        with pytest.raises(Unreachable, match="does not answer"):
            runner.run({"image": make_image()})
        assert "does not answer" in runner.problem
        with pytest.raises(Unreachable, match=r"the next attempt is in \d"):
            runner.run({"image": make_image()})
        with KServeServer(repository, port) as server:
            again = run_until_answer(runner)
        assert runner.problem == ""
        np.testing.assert_array_equal(again["heatmaps"], wanted)
        assert server.shared_count == 1
    assert texts == [f"triton://127.0.0.1:{port}/pose answers again"]


def run_until_answer(runner: TritonRunner) -> dict[str, np.ndarray]:
    while True:
        with suppress(Unreachable):
            return runner.run({"image": make_image()}, ["heatmaps"])
        time.sleep(0.01)


def test_another_model_after_a_restart_is_refused(repository, tmp_path):
    write_repository(write_crop_network(tmp_path / "other.onnx"), tmp_path / "others", "pose")
    server = KServeServer(repository)
    port = server.port
    with TritonRunner(address(server), FAST) as runner:
        server.stop()
        with pytest.raises(Unreachable):
            runner.run({"image": make_image()})
        with (
            KServeServer(tmp_path / "others", port),
            pytest.raises(ValueError, match="expected the inputs and outputs of before"),
        ):
            run_until_answer(runner)


def test_a_slow_answer_is_not_waited_for(server):
    released = threading.Event()
    config = RuntimeConfig(connect_timeout_s=0, request_timeout_ms=50)
    with TritonRunner(address(server), config) as runner:
        server.hold = released.wait
        try:
            with pytest.raises(Unreachable, match="Deadline Exceeded"):
                runner.run({"image": make_image()})
        finally:
            released.set()


def test_an_unknown_model_and_a_missing_server_end_the_start(server):
    with pytest.raises(ValueError, match="unknown model: 'nobody'"):
        TritonRunner(address(server, "nobody"), FAST)
    server.stop()
    with pytest.raises(Unavailable, match=r"does not answer.*start the server"):
        TritonRunner(address(server), FAST)


def test_the_start_waits_for_the_server(repository):
    with KServeServer(repository) as first:
        port = first.port
    texts, servers = [], []

    def start_server(text: str, share: float) -> None:
        texts.append(text)
        if not servers:
            servers.append(KServeServer(repository, port))

    config = RuntimeConfig(connect_timeout_s=60)
    with TritonRunner(f"triton://127.0.0.1:{port}/pose", config, start_server) as runner:
        assert runner.problem == ""
    servers[0].stop()
    assert texts[0] == f"waiting for triton://127.0.0.1:{port}/pose"


def test_the_wait_for_the_server_can_be_cancelled(repository):
    with KServeServer(repository) as first:
        port = first.port

    def cancel(text: str, share: float) -> None:
        raise InterruptedError("cancelled")

    with pytest.raises(InterruptedError):
        TritonRunner(f"triton://127.0.0.1:{port}/pose", RuntimeConfig(connect_timeout_s=600), cancel)


def test_several_threads_get_their_own_results(server):
    images = [make_image(seed) for seed in range(4)]
    with TritonRunner(address(server), FAST) as runner, OnnxRunner(DEFAULT_MODEL, FAST) as reference:
        results: dict[int, np.ndarray] = {}

        def run(index: int) -> None:
            results[index] = runner.run({"image": images[index]}, ["heatmaps"])["heatmaps"]

        threads = [threading.Thread(target=run, args=(index,)) for index in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for index, image in enumerate(images):
            np.testing.assert_array_equal(results[index], reference.run({"image": image}, ["heatmaps"])["heatmaps"])


def test_a_closed_runner_says_so(server):
    runner = TritonRunner(address(server), FAST)
    runner.close()
    runner.close()
    with pytest.raises(ValueError, match="closed"):
        runner.run({"image": make_image()})


def test_a_batch_above_the_limit_of_the_server_is_refused(server):
    with pytest.raises(ValueError, match=r"max_batch: expected at most 8.*got 16"):
        TritonRunner(address(server), RuntimeConfig(max_batch=16, connect_timeout_s=0))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (RuntimeConfig(backend="onnx"), "runtime onnx: expected a file, got triton://127.0.0.1/pose"),
        (RuntimeConfig(device="cpu"), "runtime triton: expected device auto, got cpu"),
        (RuntimeConfig(precision="fp16"), "runtime triton: expected precision auto, got fp16"),
    ],
)
def test_settings_that_conflict_with_a_server_are_refused(config, message):
    with pytest.raises(ValueError, match=message):
        load_runner("triton://127.0.0.1/pose", config)


def test_runtime_triton_needs_an_address():
    with pytest.raises(ValueError, match=r"expected a model of the form triton://HOST\[:PORT\]/MODEL"):
        load_runner(DEFAULT_MODEL, RuntimeConfig(backend="triton"))


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("triton://box/pose", ("box", 8001, "pose", "")),
        ("triton://box:9000/pose/2", ("box", 9000, "pose", "2")),
        ("triton://[::1]:9000/my%20pose", ("::1", 9000, "my pose", "")),
    ],
)
def test_an_address_is_parsed(text, parts):
    parsed = TritonAddress.parse(text)
    assert (parsed.host, parsed.port, parsed.model, parsed.version) == parts


@pytest.mark.parametrize(
    "text",
    [
        "triton://",
        "triton://box",
        "triton://box/",
        "triton:///pose",
        "triton://box:99999/pose",
        "triton://box/pose/1/2",
        "triton://box/pose/latest",
        "triton://me:secret@box/pose",
        "triton://box/pose?x=1",
        "http://box/pose",
    ],
)
def test_another_form_is_refused(text):
    with pytest.raises(ValueError, match="model: expected"):
        TritonAddress.parse(text)


@pytest.mark.parametrize(
    "text", ["me:secret@box/pose/1/2", "me:secret@box:99999/pose", "me:se/cret@", "me:secret@[x/pose"]
)
def test_a_password_is_not_shown(text):
    with pytest.raises(ValueError, match="without a user name") as caught:
        TritonAddress.parse(f"triton://{text}")
    assert "cret" not in str(caught.value)


def test_an_address_survives_a_path():
    text = "triton://box:8001/pose"
    assert find_address(text) == find_address(Path(text)) == text
    assert find_address("model.onnx") is find_address(None) is find_address(Path("triton/x.onnx")) is None


def test_the_pauses_between_attempts_grow_to_their_limit():
    now_s = [0.0]
    pauses = []
    back_off = BackOff(lambda: now_s[0])
    for _ in range(8):
        back_off.fail("away")
        pauses.append(back_off.wait_s())
        now_s[0] += pauses[-1]
        assert back_off.wait_s() == 0
    np.testing.assert_allclose(pauses, [min(LONGEST_S, FIRST_S * 2**n) for n in range(8)])
    back_off.succeed()
    back_off.fail("away")
    assert back_off.wait_s() == pytest.approx(FIRST_S)


def test_options_of_the_repository(tmp_path):
    plan = tmp_path / "engine.plan"
    plan.write_bytes(b"engine")
    folder = write_repository(DEFAULT_MODEL, tmp_path / "repo", "fast", options=TritonOptions(4, 500, "tensorrt", plan))
    text = (folder / "config.pbtxt").read_text()
    assert (folder / "1/model.plan").read_bytes() == b"engine"
    for part in (
        'platform: "tensorrt_plan"',
        "max_batch_size: 4",
        "dynamic_batching { max_queue_delay_microseconds: 500 }",
        'gpu_execution_accelerator { name: "tensorrt" parameters { key: "precision_mode" value: "FP16" } }',
        'model_warmup { name: "an empty image" batch_size: 1 inputs { key: "image" value { data_type: TYPE_UINT8',
    ):
        assert part in text


def test_a_repository_is_never_overwritten(tmp_path):
    folder = write_repository(DEFAULT_MODEL, tmp_path)
    before = (folder / "config.pbtxt").read_bytes()
    with pytest.raises(FileExistsError, match="expected a new folder"):
        write_repository(DEFAULT_MODEL, tmp_path)
    assert (folder / "config.pbtxt").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["default"]


@pytest.mark.parametrize("name", ["a/b", "..", "", "-x", "ä"])
def test_a_name_that_no_model_can_have_is_refused(tmp_path, name):
    if name:
        with pytest.raises(ValueError, match="name: expected"):
            write_repository(DEFAULT_MODEL, tmp_path, name)
    assert not list(tmp_path.iterdir())
