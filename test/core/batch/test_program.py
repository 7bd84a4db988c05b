"""Test ``pose_ros batch``: outputs, resume, bad inputs and merged results."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import cv2
import pytest
import recordings
from batch_pool import InlinePool
from cli_runner import run as run_program

from pose_ros.batch.manifest import read_rows
from pose_ros.batch.shards import Shard
from pose_ros.media.sources import open_source


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a folder with two videos of equal name, an image and a bag."""
    folder = tmp_path / "data"
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
        recordings.write_video(folder / name / "walk.avi", 4)
    cv2.imwrite(str(folder / "000012.png"), recordings.frame_image(3))
    recordings.write_bag(folder / "bag", {"/image": [recordings.image_message(index) for index in range(3)]})
    return folder


def rows(out: Path) -> dict[str, str]:
    return {row.input: row.state for row in read_rows(out / "manifest.jsonl")}


def test_each_input_has_the_outputs_of_its_own_command(data: Path, batch: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = batch(data, "--json", "--csv", "--coco", "--draw")
    assert result.exit_code == 0, result.output
    assert rows(out) == dict.fromkeys(["000012.png", "a/walk.avi", "b/walk.avi", "bag"], "done")
    for name in ("a/walk.avi", "bag"):
        one = tmp_path / "one"
        tables = ["--json", one / "j", "--csv", one / "c", "--coco", one / "o", "-o", one / "v.mp4"]
        assert run_program("video", data / name, *tables, "--runtime", "onnx", "--threads", 1).exit_code == 0
        for file, suffix in {"j": "people.jsonl", "c": "people.csv", "o": "coco.json"}.items():
            assert (out / f"{name}.{suffix}").read_bytes() == (one / file).read_bytes()
        assert len(list(open_source(out / f"{name}.drawn.mp4"))) == len(list(open_source(one / "v.mp4")))
    run_program("image", data / "000012.png", "--json", tmp_path / "i", "--runtime", "onnx", "--threads", 1)
    assert (out / "000012.png.people.jsonl").read_bytes() == (tmp_path / "i").read_bytes()
    assert cv2.imread(str(out / "000012.png.drawn.png")).shape == (48, 64, 3)
    assert sorted(path.name for path in (out / "a").iterdir()) == [
        *("walk.avi.coco.json", "walk.avi.drawn.mp4", "walk.avi.people.csv", "walk.avi.people.jsonl")
    ]


def test_an_error_of_the_file_system_is_described(
    data: Path, batch: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, **_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr("pose_ros.batch.open_input.open_source", fail)
    assert batch(data / "a").exit_code == 1
    (row,) = read_rows(tmp_path / "out/manifest.jsonl")
    assert row.error == f"{data}/a/walk.avi: expected to read or write it, got: Permission denied"


def test_a_second_run_does_what_is_left(data: Path, batch: Any, pools: list[InlinePool], tmp_path: Path) -> None:
    out = tmp_path / "out"
    (data / "broken.avi").write_bytes(b"x" * 100)
    first = batch(data)
    assert first.exit_code == 1
    assert (
        "pose_ros: 1 input is not complete:" in first.stderr and "broken.avi: expected a video, image" in first.stderr
    )
    assert rows(out)["broken.avi"] == "failed" and rows(out)["a/walk.avi"] == "done"
    (data / "broken.avi").unlink()
    recordings.write_video(data / "broken.avi", 2)
    recordings.write_video(data / "a/walk.avi", 7)
    (out / "bag.people.jsonl").unlink()
    recordings.write_video(data / "new.avi", 2)
    second = batch(data)
    assert second.exit_code == 0, second.output
    assert sorted(task.input.name for task in pools[1].done) == ["a/walk.avi", "bag", "broken.avi", "new.avi"]
    assert "4 inputs to process, 1 failed before, 1 changed, 2 complete" in second.stderr
    assert len((out / "a/walk.avi.people.jsonl").read_text().splitlines()) == 7
    third = batch(data)
    assert third.exit_code == 0 and len(pools) == 2 and "0 inputs to process, 6 complete" in third.stderr
    assert len(rows(out)) == len((out / "manifest.jsonl").read_text().splitlines()) == 6


def test_results_of_other_settings_are_not_mixed(
    data: Path, batch: Any, pools: list[InlinePool], tmp_path: Path
) -> None:
    assert batch(data / "a").exit_code == 0
    other = ("--set", "tracking.hits=1")
    refused = batch(data / "a", *other)
    assert refused.exit_code == 1
    assert "expected the settings of its results (tracking.hits = 3), got 1; use another folder" in refused.stderr
    assert batch(data / "a", *other, "--stale", "keep").exit_code == 0 and len(pools) == 1
    redone = batch(data / "a", *other, "--stale", "redo")
    assert redone.exit_code == 0 and "1 of other settings" in redone.stderr and len(pools) == 2
    assert batch(data / "a", *other).exit_code == 0 and len(pools) == 2
    assert batch(data / "a", *other, "--threads", 2).exit_code == 0 and len(pools) == 2


def test_another_input_of_the_same_name_is_refused(data: Path, batch: Any, tmp_path: Path) -> None:
    assert batch(data / "a").exit_code == 0
    recordings.write_video(data / "b/walk.avi", 5)
    refused = batch(data / "b")
    assert refused.exit_code == 1 and "use another folder, or the same --root for both runs" in refused.stderr
    assert rows(tmp_path / "out") == {"walk.avi": "done"}


def test_bad_inputs_fail_alone(data: Path, batch: Any, tmp_path: Path) -> None:
    whole = (data / "a/walk.avi").read_bytes()
    (data / "empty.mp4").touch()
    (data / "half.png").write_bytes((data / "000012.png").read_bytes()[:60])
    (data / "text.mp4").write_text("hello\nworld\n")
    (data / "line\nbreak.avi").write_bytes(whole)
    with open(os.fsencode(data) + b"/\xff.avi", "wb") as file:
        file.write(whole)
    (data / "none.avi").symlink_to("nowhere")
    (data / ("x" * 245 + ".avi")).write_bytes(whole)
    result = batch(data, "--csv")
    assert result.exit_code == 1
    states = rows(tmp_path / "out")
    failed = {name for name, state in states.items() if state == "failed"}
    assert failed == {"empty.mp4", "half.png", "text.mp4", "\udcff.avi", "none.avi", "x" * 245 + ".avi"}
    assert states["line\nbreak.avi"] == "done"
    assert "pose_ros: '\\udcff.avi': input: expected a name in UTF-8" in result.stderr
    assert "empty.mp4: source" in result.stderr or "empty.mp4: video" in result.stderr
    assert not list((tmp_path / "out").rglob(".unfinished*"))


def test_images_that_cannot_be_read_are_left_out(data: Path, batch: Any, tmp_path: Path) -> None:
    messages = [recordings.compressed_message(index) for index in range(5)]
    recordings.write_bag(data / "cut", {"/image": messages}, damage={2: lambda content: content[:50]})
    result = batch(data / "cut")
    (row,) = read_rows(tmp_path / "out/manifest.jsonl")
    assert result.exit_code == 1 and (row.state, row.frames) == ("partial", 4) and "image 2 of /image" in row.error
    assert "1 complete" in batch(data / "cut").stderr
    strict = batch(data / "cut", "--strict", "--stale", "redo")
    assert strict.exit_code == 1 and rows(tmp_path / "out") == {"cut": "failed"}
    assert len((tmp_path / "out/cut.people.jsonl").read_text().splitlines()) == 4  # the earlier file stays


def test_a_full_disk_ends_the_batch(data: Path, batch: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "out: expected a complete file, got: No space left on device")

    monkeypatch.setattr("pose_ros.media.results.JsonLines.write", fail)
    result = batch(data, "--jobs", 1)
    assert result.exit_code == 1 and "No space left on device; each other input would fail" in result.stderr
    assert len(rows(tmp_path / "out")) == 1 and not list((tmp_path / "out").glob("*.people.*"))


@pytest.mark.parametrize(("deaths", "state"), [(1, "done"), (2, "failed")])
def test_an_input_whose_worker_dies_is_tried_again(
    deaths: int,
    state: str,
    data: Path,
    batch: Any,
    pools: list[InlinePool],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pose_ros.cli.batch._open_pool", lambda recipe, *_: InlinePool(recipe, size=1, deaths=deaths))
    result = batch(data / "a")
    assert result.exit_code == (state == "failed") and rows(tmp_path / "out") == {"walk.avi": state}


def test_inputs_that_kill_their_workers_do_not_end_the_batch(
    data: Path, batch: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pose_ros.cli.batch._open_pool", lambda recipe, *_: InlinePool(recipe, size=1, deaths=7))
    assert batch(data).exit_code == 1
    assert sorted(rows(tmp_path / "out").values()) == ["done", "failed", "failed", "failed"]


def test_workers_that_never_start_end_the_batch(
    data: Path, batch: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "pose_ros.cli.batch._open_pool", lambda recipe, *_: InlinePool(recipe, size=1, deaths=9, is_innocent=True)
    )
    result = batch(data)
    assert result.exit_code == 1 and rows(tmp_path / "out") == {}
    assert "workers: expected them to load the model, but 3 ended; its worker was killed" in result.stderr


def test_shards_share_a_folder_and_are_merged(
    data: Path, batch: Any, pools: list[InlinePool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    tables = ("--json", "--csv", "--coco")
    assert batch(data, *tables, "--shard", "1/2").exit_code == 0
    gap = run_program("batch", "--merge", "--out", out)
    assert gap.exit_code == 1 and "expected 2 shards, got 1; run the batch for shard 2/2" in gap.stderr
    monkeypatch.setenv("JOB_COMPLETION_INDEX", "1")
    monkeypatch.setenv("JOB_COMPLETIONS", "2")
    assert batch(data, *tables).exit_code == 0
    done = sorted(task.input.name for pool in pools for task in pool.done)
    assert done == ["000012.png", "a/walk.avi", "b/walk.avi", "bag"]
    merged = run_program("batch", "--merge", out, "--out", tmp_path / "all")
    assert merged.exit_code == 0, merged.output
    assert rows(tmp_path / "all") == dict.fromkeys(done, "done")
    lines = [json.loads(line) for line in (tmp_path / "all/merged.people.jsonl").read_text().splitlines()]
    assert [line["input"] for line in lines] == sorted(line["input"] for line in lines) and len(lines) == 12
    table = (tmp_path / "all/merged.people.csv").read_text().splitlines()
    assert table[0].startswith("input,name,index") and table[-1].startswith("bag,bag_000002,2,")
    assert "COCO results are not merged: a/walk.avi and b/walk.avi both have image id 0" in merged.stderr
    assert batch(data, *tables, "--shard", "1/1").exit_code == 0 and len(pools) == 2  # other shards did it all


def test_a_merge_refuses_inputs_that_are_missing_or_failed(data: Path, batch: Any, tmp_path: Path) -> None:
    (data / "broken.avi").write_bytes(b"x" * 100)
    batch(data, "--shard", "1/1")
    result = run_program("batch", "--merge", "--out", tmp_path / "out")
    assert result.exit_code == 1 and "expected results of 5 inputs, got 4; run the batch again for broken.avi" in (
        result.stderr
    )
    empty = run_program("batch", "--merge", data, "--out", tmp_path / "all")
    assert empty.exit_code == 1 and "which has no manifest" in empty.stderr


def test_a_merge_refuses_to_leave_out_inputs_of_other_runs(batch: Any, tmp_path: Path) -> None:
    folder = recordings.write_images(tmp_path / "images", ["1.png", "2.png"])
    assert batch(folder, "--shard", "1/1").exit_code == 0
    cv2.imwrite(str(folder / "3.png"), recordings.frame_image(2))
    assert batch(folder, "--shard", "1/2").exit_code == 0
    newer = run_program("batch", "--merge", "--out", tmp_path / "out")
    assert newer.exit_code == 1 and "got 3.png only in shard 1/2 of" in newer.stderr
    assert batch(folder, "--shard", "2/2").exit_code == 0
    assert run_program("batch", "--merge", "--out", tmp_path / "out").exit_code == 0
    others = recordings.write_images(tmp_path / "others", ["4.png"])
    assert run_program("batch", others, "--out", tmp_path / "out2", "--threads", 1).exit_code == 0
    two = run_program("batch", "--merge", tmp_path / "out", tmp_path / "out2", "--out", tmp_path / "all")
    assert two.exit_code == 1 and "got 4.png only in shard 1/1 of" in two.stderr
    listing = tmp_path / "out/.batch/inputs.1-of-2.json"
    listing.write_text("[]")
    damaged = run_program("batch", "--merge", "--out", tmp_path / "out")
    assert damaged.exit_code == 1 and f"{listing}: expected the inputs of a shard" in damaged.stderr


def test_a_merge_refuses_two_inputs_of_one_name(batch: Any, tmp_path: Path) -> None:
    first = recordings.write_images(tmp_path / "first", ["x.png"])
    second = tmp_path / "second"
    second.mkdir()
    cv2.imwrite(str(second / "x.png"), recordings.frame_image(5))
    assert batch(first).exit_code == 0
    assert run_program("batch", second, "--out", tmp_path / "out2", "--threads", 1).exit_code == 0
    merged = run_program("batch", "--merge", tmp_path / "out", tmp_path / "out2", "--out", tmp_path / "all")
    assert merged.exit_code == 1 and "expected one input of the name x.png, got " in merged.stderr
    assert not (tmp_path / "all").exists()


def test_inputs_may_be_named_like_the_manifest(batch: Any, pools: list[InlinePool], tmp_path: Path) -> None:
    folder = recordings.write_images(tmp_path / "images", ["manifest.png", "manifest.a.png"])
    assert batch(folder).exit_code == 0 and batch(folder).exit_code == 0
    assert len(pools) == 1 and run_program("batch", "--merge", "--out", tmp_path / "out").exit_code == 0


def test_a_merge_never_replaces_the_results_of_an_input(batch: Any, tmp_path: Path) -> None:
    bag = tmp_path / "data/merged"
    bag.parent.mkdir()
    recordings.write_bag(bag, {"/image": [recordings.image_message(index) for index in range(3)]})
    assert batch(bag).exit_code == 0
    result = (tmp_path / "out/merged.people.jsonl").read_bytes()
    refused = run_program("batch", "--merge", "--out", tmp_path / "out")
    assert refused.exit_code == 1 and "expected a folder without results of an input named merged" in refused.stderr
    assert (tmp_path / "out/merged.people.jsonl").read_bytes() == result
    assert run_program("batch", "--merge", tmp_path / "out", "--out", tmp_path / "all").exit_code == 0
    assert (tmp_path / "all/merged.people.jsonl").is_file()


def test_coco_results_of_images_are_merged(batch: Any, tmp_path: Path) -> None:
    folder = recordings.write_images(tmp_path / "images", ["1.png", "2.png", "3.png"])
    for index in (1, 2, 3):
        assert batch(folder, "--coco", "--shard", f"{index}/3").exit_code == 0
    assert run_program("batch", "--merge", "--out", tmp_path / "out").exit_code == 0
    entries = json.loads((tmp_path / "out/merged.coco.json").read_text())
    assert [entry["image_id"] for entry in entries] == [1, 1, 2, 2, 3, 3]


def test_an_empty_shard_is_no_error(data: Path, batch: Any, tmp_path: Path) -> None:
    assert batch(data / "a", "--shard", "2/2").exit_code == 0
    assert (tmp_path / "out" / Shard(2, 2).file_name).read_text() == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--stale", "mix"], "--stale: expected refuse, redo, keep, got mix"),
        (["--gpus", "1"], "--gpus: expected --ray as well"),
        (["--model", "none.onnx"], "none.onnx"),
        (["--runtime", "torch", "--set", "runtime.backend=openvino"], "--runtime: expected the runtime once"),
    ],
)
def test_wrong_options_end_before_anything_is_written(
    arguments: list[str], message: str, data: Path, tmp_path: Path
) -> None:
    result = run_program("batch", data, "--out", tmp_path / "out", *arguments)
    assert result.exit_code == 1 and message in result.stderr and not (tmp_path / "out").exists()


def test_batches_of_frames_have_the_same_people(data: Path, batch: Any, tmp_path: Path) -> None:
    assert batch(data / "a").exit_code == 0
    single = (tmp_path / "out/walk.avi.people.jsonl").read_bytes()
    assert batch(data / "a", "--set", "runtime.max_batch=3", "--stale", "redo").exit_code == 0
    assert (tmp_path / "out/walk.avi.people.jsonl").read_bytes() == single
