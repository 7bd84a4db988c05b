"""Test the program pose_ros: its files, its output and its exit codes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import recordings
import typer
from cli_runner import run

from pose_ros.cli import FIRST_STEPS, app, doctor
from pose_ros.cli.commands import COMMANDS
from pose_ros.estimator import PoseEstimator
from pose_ros.media.sources import open_source
from pose_ros.models.model_file import DEFAULT_MODEL
from pose_ros.skeleton import OPENPOSE_18

PROGRAM = [sys.executable, "-c", "from pose_ros.cli import main; main()"]
LOADS = [
    sys.executable,
    "-c",
    "import sys; from pose_ros.cli import app\ntry: app()\nfinally: print(*sys.modules, file=sys.stderr)",
]
"""The program, which then prints the names of all modules that it has loaded."""
FAST = ["--short-side", "64", "--threads", "1"]
TIMEOUT_S = 180


def succeed(*arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.output


def fail(*arguments: object) -> str:
    """Run a command that must fail. Return its error line without the program name."""
    result = run(*arguments)
    lines = result.stderr.strip().splitlines()
    assert result.exit_code == 1 and lines[-1].startswith("pose_ros: "), result.output
    return lines[-1].removeprefix("pose_ros: ")


def process(*arguments: object, cwd: Path) -> subprocess.Popen[str]:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([*PROGRAM, *map(str, arguments)], cwd=cwd, text=True, **pipes)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """Image with the id 785 and without people."""
    path = tmp_path / "000785.png"
    assert cv2.imwrite(str(path), recordings.frame_image(4, (96, 64)))
    return path


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return recordings.write_video(tmp_path / "walk.avi", 6)


def test_one_image_to_all_outputs(photo: Path, tmp_path: Path) -> None:
    outputs = tmp_path / "drawn.jpg", tmp_path / "people.jsonl", tmp_path / "people.json"
    printed = succeed("image", photo, "-o", outputs[0], "--json", outputs[1], "--coco", outputs[2], *FAST)
    assert printed.strip() == f"{photo}: 0 people"
    assert cv2.imread(str(outputs[0])).shape == (64, 96, 3)
    line = json.loads(outputs[1].read_text())
    assert (line["name"], line["width"], line["height"], line["people"]) == ("000785.png", 96, 64, [])
    assert tuple(line["keypoint_names"]) == OPENPOSE_18.keypoint_names and line["model"].startswith("default-")
    assert json.loads(outputs[2].read_text()) == []


def test_real_people(shared: Path, tmp_path: Path) -> None:
    photo, output = shared / "images/coco_val/images/000000000785.jpg", tmp_path / "people.json"
    assert succeed("image", photo, "--coco", output, "--boxes", "--ids", "-o", tmp_path / "a.jpg").endswith(
        "1 person\n"
    )
    (entry,) = json.loads(output.read_text())
    assert (entry["image_id"], len(entry["keypoints"])) == (785, 51)
    assert not np.array_equal(cv2.imread(str(tmp_path / "a.jpg")), cv2.imread(str(photo)))


def test_a_folder_of_images(tmp_path: Path) -> None:
    folder = recordings.write_images(tmp_path / "in", ["1.png", "2.jpg", "10.png"])
    succeed("image", folder, "-o", tmp_path / "out", "--json", tmp_path / "people.jsonl", *FAST)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["1.png", "10.png", "2.jpg"]
    lines = [json.loads(line) for line in (tmp_path / "people.jsonl").read_text().splitlines()]
    assert [line["name"] for line in lines] == ["1.png", "2.jpg", "10.png"]


def test_inputs_and_outputs_are_not_overwritten(photo: Path, tmp_path: Path) -> None:
    assert "expected a file other than the inputs" in fail("image", photo, "-o", photo)
    assert "expected a file other than the inputs" in fail("image", photo, "-o", tmp_path)
    assert "got" in fail("image", photo, photo, "-o", tmp_path / "out")
    assert recordings.frame_number(cv2.imread(str(photo))) == 4


def test_a_broken_image_is_reported_by_name_and_the_outputs_stay_valid(tmp_path: Path) -> None:
    folder = recordings.write_images(tmp_path / "in", ["1.png", "2.png", "3.png"])
    (folder / "2.png").write_bytes((folder / "2.png").read_bytes()[:50])
    output = tmp_path / "people.json"
    message = fail("image", folder, "--coco", output, *FAST)
    assert "2.png: expected a complete image, got 50 bytes" in message
    assert json.loads(output.read_text()) == []


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_a_video_to_all_outputs(video: Path, tmp_path: Path, suffix: str) -> None:
    output, table = tmp_path / f"drawn{suffix}", tmp_path / "people.jsonl"
    printed = succeed("video", video, "-o", output, "--json", table, "--coco", tmp_path / "people.json", *FAST)
    assert f"{video}: 6 frames in" in printed
    drawn = open_source(output)
    assert [recordings.frame_number(frame.image_bgr) for frame in drawn] == list(range(6))
    assert drawn.rate_hz == pytest.approx(10)
    lines = [json.loads(line) for line in table.read_text().splitlines()]
    assert [line["stamp_ns"] for line in lines] == [index * 100_000_000 for index in range(6)]


def test_the_first_frames_of_a_video(video: Path, tmp_path: Path) -> None:
    output = tmp_path / "drawn.mp4"
    assert ": 2 frames in" in succeed("video", video, "--max-frames", 2, "-o", output, *FAST)
    assert len(list(open_source(output))) == 2


@pytest.mark.parametrize(("options", "wanted"), [([], 12), (["--max-frames", 10], 10)])
def test_a_truncated_video_is_an_error(tmp_path: Path, options: list[object], wanted: int) -> None:
    path = recordings.write_video(tmp_path / "walk.avi", 12)
    data = path.read_bytes()
    eighth = [i for i in range(len(data)) if data[i : i + 4] == b"00dc"][8]
    path.write_bytes(data[: eighth + 20])
    result = run("video", path, "--json", tmp_path / "people.jsonl", *options, *FAST)
    lines = (tmp_path / "people.jsonl").read_text().splitlines()
    assert result.exit_code == 1 and f"{len(lines)} of {wanted} frames could be read" in result.stderr
    assert f"expected {wanted} frames, got {len(lines)} that can be decoded" in result.stderr
    counted = run("video", path, "--max-frames", len(lines), *FAST)
    assert counted.exit_code == 0 and "no results are kept" in counted.stderr


@pytest.mark.parametrize("storage", recordings.STORAGES)
@pytest.mark.parametrize("kind", ["bgr8", "rgb8", "mono8", "compressed"])
@pytest.mark.parametrize("command", ["bag", "video"])
def test_a_bag(tmp_path: Path, storage: str, kind: str, command: str) -> None:
    messages = [
        recordings.compressed_message(index) if kind == "compressed" else recordings.image_message(index, kind)
        for index in range(3)
    ]
    bag = recordings.write_bag(tmp_path / "bag", {"/left": messages, "/right": messages}, storage)
    output, table = tmp_path / "drawn.mp4", tmp_path / "people.jsonl"
    succeed(command, bag, "--topic", "/left", "-o", output, "--json", table, *FAST)
    assert [recordings.frame_number(frame.image_bgr) for frame in open_source(output)] == [0, 1, 2]
    stamps = [json.loads(line)["stamp_ns"] for line in table.read_text().splitlines()]
    assert stamps == [recordings.stamp_ns(index) for index in range(3)]
    assert "choose one with --topic" in fail(command, bag, *FAST)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"encoding": "16UC1"}, "image 0 of /left: encoding: expected one of", id="depth"),
        pytest.param({"height": 4000}, "image 0 of /left: data: expected 768000 bytes", id="too short"),
    ],
)
def test_a_broken_image_in_a_bag(tmp_path: Path, change: dict[str, object], message: str) -> None:
    image = recordings.image_message(0)
    for name, value in change.items():
        object.__setattr__(image, name, value)
    bag = recordings.write_bag(tmp_path / "bag", {"/left": [image]})
    assert message in fail("bag", bag, *FAST)


def test_settings(photo: Path) -> None:
    succeed("image", photo, *FAST, "--set", "decoder.score_threshold=0.3", "--set", "overlay.thickness=2")
    succeed("image", photo, *FAST, "--set", "decoder.subpixel=none", "--grouping", "paf", "--runtime", "onnx")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["--set", "decoder.nonsense=1"], "decoder.nonsense: expected a setting such as ", id="unknown"),
        pytest.param(["--set", "nonsense=1"], "got 'nonsense'", id="no stage"),
        pytest.param(["--set", "decoder=1"], "decoder: expected names and values, got int 1", id="a stage"),
        pytest.param(["--set", "decoder.score_threshold"], "--set: expected NAME=VALUE", id="no value"),
        pytest.param(["--set", "decoder.subpixel=["], "--set decoder.subpixel: expected YAML, got: ", id="no YAML"),
        pytest.param(["--set", "decoder.score_threshold=2"], "score_threshold: expected 0.0 to 1.0, got 2", id="range"),
        pytest.param(
            ["--set", "decoder.score_threshold=high"],
            "decoder.score_threshold: expected a number, got str 'high'",
            id="type",
        ),
        pytest.param(["--threads", "-3"], "runtime.threads: expected 0 to 256, got -3", id="threads"),
        pytest.param(["--runtime", "abacus"], "openvino, torch, triton, got 'abacus'", id="runtime"),
        pytest.param(["--grouping", "magic"], "got 'magic'", id="grouping"),
        pytest.param(["--model", "missing.onnx"], "missing.onnx, which does not exist", id="model"),
        pytest.param(["--spec", "missing.yaml"], "missing.yaml, which does not exist", id="spec"),
    ],
)
def test_invalid_options_are_reported_in_one_line(photo: Path, arguments: list[str], message: str) -> None:
    assert message in fail("image", photo, *arguments)


def test_invalid_files_are_reported_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    assert "missing.png, which does not exist" in fail("image", tmp_path / "missing.png")
    assert "missing.mp4, which does not exist" in fail("video", tmp_path / "missing.mp4")
    assert "text.mp4: expected a video" in fail("video", tmp_path / "text.mp4")
    assert "got an unreadable one" not in fail("image", tmp_path / "text.mp4")


def test_a_traceback_on_request(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"missing\.png, which does not exist"):
        run("--traceback", "image", tmp_path / "missing.png")


def test_models_show() -> None:
    printed = succeed("models", "show", DEFAULT_MODEL)
    for part in (
        "openpose_18",
        "uint8 (any, any, any, 3)",
        "4 px per field cell",
        "Apache-2.0",
        "rgb uint8 NHWC",
        "sha256",
    ):
        assert part in printed


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("default", ("pose_ros_movenet", "measured    AP 36.1, 143 images", "measured    43 ms", "default.onnx")),
        (
            "higherhrnet_w32",
            ("arXiv:1908.10357", "published   AP 67.1, COCO val2017, one scale, flip", "commercial use: yes"),
        ),
        ("openpose_body25", ("commercial use: no", "md5:78287b57cf85fa89c03f1393d368e5b7", "body_25")),
    ],
)
def test_models_show_by_name(name: str, parts: tuple[str, ...]) -> None:
    printed = succeed("models", "show", name)
    for part in parts:
        assert part in printed


def test_models_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    here = tmp_path / "pose_ros/models/trt_pose_resnet18_att/resnet18_baseline_att_224x224_A_epoch_249.pth"
    here.parent.mkdir(parents=True)
    here.write_bytes(b"weights")
    head, first, second, third, *_ = succeed("models", "list").splitlines()
    assert head.split() == ["name", "grouping", "AP", "our", "AP", "licence", "of", "the", "weights", "commercial"]
    assert first.split() == ["default", "paf", "-", "36.1", "Apache-2.0", "yes", "installed", "(default)"]
    assert second.split() == ["trt_pose_resnet18_att", "paf", "-", "-", "MIT", "yes", "downloaded"]
    assert third.split() == ["trt_pose_densenet121_att", "paf", "-", "-", "MIT", "yes"]
    listed = json.loads(succeed("models", "list", "--json"))
    assert [entry["name"] for entry in listed][:2] == ["default", "trt_pose_resnet18_att"]
    assert [entry["path"] for entry in listed][1:3] == [str(here), None]


def test_unknown_models_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "higherhrnet").mkdir()  # a folder with this name is not a model
    assert "a name such as higherhrnet_w" in fail("models", "show", "higherhrnet")
    assert "a.onnx, which does not exist" in fail("models", "show", "a.onnx")


def test_models_describe(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="writing ONNX files needs onnx")
    spec, bare, described = tmp_path / "spec.yaml", tmp_path / "bare.onnx", tmp_path / "described.onnx"
    bare.write_bytes(DEFAULT_MODEL.read_bytes())
    spec.write_text("{name: mine, skeleton: openpose_18, stride: 8, heads: [{field: heatmaps, tensor: heatmaps}]}")
    assert "described as mine" in succeed("models", "describe", bare, "--spec", spec, "-o", described)
    assert "mine" in succeed("models", "show", described)
    assert "which does not exist" in fail("models", "describe", tmp_path / "a.onnx", "--spec", spec, "-o", described)


def test_models_describe_without_onnx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    (tmp_path / "spec.yaml").write_text("{name: mine, skeleton: openpose_18, stride: 8}")
    message = fail("models", "describe", DEFAULT_MODEL, "--spec", tmp_path / "spec.yaml", "-o", tmp_path / "a.onnx")
    assert "pip install onnx" in message


def test_replay_without_ros_reports_the_fix(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "pose_ros.ros.replay.player", raising=False)
    monkeypatch.setitem(sys.modules, "rclpy", None)
    assert "expected a ROS 2 environment, got none" in fail("replay", video)


# typer before 0.22 loads rich itself.
RICH = {"rich"} if tuple(map(int, typer.__version__.split(".")[:2])) >= (0, 22) else set()


def test_help_runs_as_a_process_and_loads_nothing_heavy(tmp_path: Path) -> None:
    result = subprocess.run([*PROGRAM, "--help"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "replay" in result.stdout and "doctor" in result.stdout
    loaded = set(subprocess.run([*LOADS, "--help"], capture_output=True, text=True, check=True).stderr.split())
    assert not {"numpy", "cv2", "rosbags", "rclpy", "pose_ros.config", *RICH} & loaded
    assert {name for name in loaded if name.startswith("pose_ros.cli.")} == {
        f"pose_ros.cli.{name}" for name in ("commands", "delay_signals", "signal_guard")
    }


def test_a_command_loads_no_other_command() -> None:
    loaded = set(subprocess.run([*LOADS, "image", "--help"], capture_output=True, text=True, check=True).stderr.split())
    assert {"pose_ros.cli.image", "pose_ros.cli.options"} <= loaded
    modules = {entry.place.partition(":")[0] for entry in COMMANDS.values()} - {"image"}
    assert not {f"pose_ros.cli.{name}" for name in modules} & loaded
    assert not {"numpy", *RICH} & loaded


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_has_the_first_line_of_each_help(name: str) -> None:
    command = typer.main.get_command(app).commands[name]
    assert command.help.partition("\n")[0] == COMMANDS[name].summary
    assert re.search(rf"^  {name} +{re.escape(COMMANDS[name].summary)}$", succeed("--help"), re.MULTILINE)


def test_an_unknown_command_is_answered_with_the_nearest() -> None:
    result = run("imge")
    assert result.exit_code == 2 and "'imge'. Did you mean 'image'?" in result.output


def test_version() -> None:
    assert succeed("--version") == f"pose_ros {doctor.version()}\n"


def test_without_a_command_the_first_steps_are_shown() -> None:
    printed = succeed()
    commands = re.findall(r"^  pose_ros (\S+)", printed, re.MULTILINE)
    assert commands == ["demo", "image", "video", "bag", "doctor"]
    assert "pose_ros --help" in printed


@pytest.mark.parametrize("line", [line for line in FIRST_STEPS.splitlines() if line.startswith("  pose_ros ")])
def test_every_first_step_is_a_valid_command(line: str) -> None:
    words = re.split(r"\s{2,}", line.strip())[0].split()[1:]
    result = run(words[0], "--help")
    assert result.exit_code == 0
    assert {word for word in words if word.startswith("--")} <= set(re.findall(r"--[\w-]+", result.output))


@pytest.mark.parametrize(
    ("error", "ending"),
    [
        pytest.param(ValueError("x: expected 1, got 2"), "got 2; see pose_ros image --help", id="no advice"),
        pytest.param(ValueError("x: expected 1, got 2; use 1"), "got 2; use 1", id="advice"),
        pytest.param(ImportError("no cv2"), "no cv2; see pose_ros doctor", id="import"),
    ],
)
def test_an_error_ends_with_what_helps(
    photo: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, ending: str
) -> None:
    def raise_error(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(PoseEstimator, "load", raise_error)
    assert fail("image", photo).endswith(ending)


def test_the_shell_completes_commands_and_options(tmp_path: Path) -> None:
    (tmp_path / "pose_ros").write_text(f"#!{sys.executable}\nfrom pose_ros.__main__ import main\nmain()\n")
    (tmp_path / "pose_ros").chmod(0o755)
    script = """
    eval "$(pose_ros --show-completion bash)"
    COMP_WORDS=(pose_ros doctor --js) COMP_CWORD=2
    _pose_ros_completion pose_ros
    echo "${COMPREPLY[@]}"
    """
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["--json"]


@pytest.mark.parametrize("command", ["demo", "image", "video", "bag", "replay", "doctor", "models"])
def test_every_command_has_help(command: str) -> None:
    assert "Usage" in succeed(command, "--help")


def test_an_error_of_the_process_is_reported_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "x.mp4").write_bytes(b"no video\0")
    child = process("video", "x.mp4", cwd=tmp_path)
    output, error = child.communicate(timeout=TIMEOUT_S)
    assert (child.returncode, output) == (1, "")
    library = "expected a video that (OpenCV|FFmpeg) can read, got an unreadable one( \\(.*\\))?"
    assert re.fullmatch(f"pose_ros: video x.mp4: {library}; see pose_ros video --help\n", error), error


EMPTY_MP4_BYTES = 100


def write_noise(path: Path, count: int = 500) -> int:
    """Write a video of noise, so that the annotated video reaches the disk frame by frame. Returns ``count``."""
    frames = np.random.default_rng(0).integers(0, 255, (10, 120, 160, 3), np.uint8)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (160, 120))
    for index in range(count):
        writer.write(frames[index % 10])
    writer.release()
    return count


def is_written(folder: Path) -> bool:
    """Return whether some frames of an annotated video are on the disk, in the unfinished file."""
    return any(file.stat().st_size > EMPTY_MP4_BYTES for file in folder.glob(".unfinished-*/file.mp4"))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_leaves_valid_files(tmp_path: Path, number: signal.Signals, code: int) -> None:
    count = write_noise(tmp_path / "walk.avi")
    child = process("video", "walk.avi", "-o", "drawn.mp4", "--coco", "people.json", *FAST, cwd=tmp_path)
    deadline = time.monotonic() + TIMEOUT_S
    drawn = tmp_path / "drawn.mp4"
    while not is_written(tmp_path):
        assert time.monotonic() < deadline and child.poll() is None
        time.sleep(0.01)
    assert not drawn.exists()
    os.kill(child.pid, number)
    _, error = child.communicate(timeout=TIMEOUT_S)
    assert child.returncode == code, error
    assert "Traceback" not in error
    assert json.loads((tmp_path / "people.json").read_text()) == []
    assert 0 < len(list(open_source(drawn))) < count
    assert sorted(path.name for path in tmp_path.iterdir()) == ["drawn.mp4", "people.json", "walk.avi"]
