"""Test the parts of the trainer: rates, averages, order of samples, log, initial weights."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from label_files import make_annotation, write_coco  # noqa: E402
from tiny_training import DOTS, BrokenDots, Dots, first_box_target, make_config, tiny_network  # noqa: E402

from pose_ros.checkpoint import loading, save_checkpoint  # noqa: E402
from pose_ros.checkpoint.reading import read_file  # noqa: E402
from pose_ros.config_file import build_config  # noqa: E402
from pose_ros.datasets.sample import Sample  # noqa: E402
from pose_ros.fields import InputSpec  # noqa: E402
from pose_ros.skeleton import COCO_17, OPENPOSE_18  # noqa: E402
from pose_ros.training import start  # noqa: E402
from pose_ros.training.config import LoaderConfig, OptimiserConfig, ScheduleConfig, TrainingConfig  # noqa: E402
from pose_ros.training.loader import Examples, Normaliser, Positions, make_loader, split_samples  # noqa: E402
from pose_ros.training.log import CsvTable  # noqa: E402
from pose_ros.training.optimisation import (  # noqa: E402
    MovingAverage,
    freeze,
    make_optimiser,
    rate_factor,
    restore_optimiser,
)
from pose_ros.training.run_inputs import open_run_inputs  # noqa: E402
from pose_ros.training.start import build_initial_network  # noqa: E402


@pytest.mark.parametrize(
    ("settings", "step", "factor"),
    [
        ({}, 0, 0.1),
        ({}, 9, 1.0),
        ({}, 10, 1.0),
        ({}, 60, 0.51),
        ({}, 110, 0.02),
        ({}, 500, 0.02),
        ({"warm_up": 0}, 0, 1.0),
        ({"shape": "constant"}, 100, 1.0),
        ({"shape": "steps", "milestones": (0.5, 0.9)}, 54, 1.0),
        ({"shape": "steps", "milestones": (0.5, 0.9)}, 55, 0.1),
        ({"shape": "steps", "milestones": (0.5, 0.9)}, 100, 0.01),
    ],
)
def test_rates_over_110_steps(settings: dict, step: int, factor: float) -> None:
    config = ScheduleConfig(**{"warm_up": 10, "final": 0.02, **settings})
    assert rate_factor(step, 110, config) == pytest.approx(factor)


def test_backbone_has_its_own_rate_and_norms_do_not_decay() -> None:
    network = tiny_network()
    config = OptimiserConfig(rate=1.0, backbone_rate=0.5, weight_decay=0.2, backbone_weight_decay=0.1)
    groups = make_optimiser(network, config).param_groups
    assert {(group["highest"], group["weight_decay"]) for group in groups} == {
        (1.0, 0.2),
        (1.0, 0),
        (0.5, 0.1),
        (0.5, 0),
    }
    assert sum(len(group["params"]) for group in groups) == len(list(network.parameters()))
    (decayed,) = (group for group in groups if group["weight_decay"] == 0.2)
    assert all(weight.ndim == 4 for weight in decayed["params"])


def test_a_restored_optimiser_keeps_its_moments_and_takes_the_new_rates() -> None:
    network = tiny_network()
    optimiser = make_optimiser(network, OptimiserConfig(rate=1.0))
    sum(weight.sum() for weight in network.parameters()).backward()
    optimiser.step()
    other = make_optimiser(network, OptimiserConfig(rate=3.0))
    restore_optimiser(other, optimiser.state_dict())
    weight = next(network.parameters())
    assert torch.equal(other.state[weight]["exp_avg"], optimiser.state[weight]["exp_avg"])
    assert 3.0 in {group["highest"] for group in other.param_groups}


def test_everything_frozen_is_refused() -> None:
    network = tiny_network()
    freeze(network, ["*"])
    with pytest.raises(ValueError, match=r"optimiser.freeze: expected at least one weight to train"):
        make_optimiser(network, OptimiserConfig())


def test_freezing_names_modules() -> None:
    network = tiny_network()
    freeze(network, ["backbone.layers.[01]", "neck.*.weight"])
    frozen = {name for name, weight in network.named_parameters() if not weight.requires_grad}
    assert {name.split(".")[2] for name in frozen if name.startswith("backbone")} == {"0", "1"}
    assert {name for name in frozen if name.startswith("neck")} == {
        "neck.fine.weight",
        "neck.coarse.weight",
        "neck.norm.weight",
    }
    with pytest.raises(ValueError, match="expected names of modules such as backbone, neck, stages, got 'backbon'"):
        freeze(network, ["backbon"])


def test_the_average_is_fast_at_first_and_slow_later() -> None:
    network = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(network.weight)
    average = MovingAverage(network, 0.5)
    torch.nn.init.ones_(network.weight)
    average.update(0)  # decay 1 / 10
    assert average.network.weight.item() == pytest.approx(0.9)
    average.update(10_000)  # decay 1 / 2
    assert average.network.weight.item() == pytest.approx(0.95)
    assert network.weight.item() == 1


def test_without_decay_the_average_is_the_network_itself() -> None:
    network = torch.nn.Linear(1, 1)
    assert MovingAverage(network, 0.0).network is network


def test_statistics_are_averaged_but_counts_are_not() -> None:
    network = torch.nn.BatchNorm2d(2)
    average = MovingAverage(network, 0.5)
    network(torch.rand(2, 2, 4, 4) + 7)
    average.update(10_000)
    assert torch.allclose(average.network.running_mean, network.running_mean / 2)
    assert int(average.network.num_batches_tracked) == 0


@pytest.mark.parametrize(("parts", "processes"), [(1, 1), (2, 1), (1, 2), (3, 2)])
def test_every_step_has_the_same_samples_for_any_split(parts: int, processes: int) -> None:
    shares = [list(Positions(2, 4, 12, parts, rank, processes)) for rank in range(processes)]
    assert all(len(share) == 2 * parts for share in shares)
    for step in range(2):
        indices = [i for share in shares for batch in share[step * parts : (step + 1) * parts] for i in batch]
        assert sorted(indices) == list(range(12 * (step + 2), 12 * (step + 3)))


def test_processes_and_accumulation_give_the_same_batches() -> None:
    alone = list(Positions(0, 3, 8, parts=2))
    first, second = (list(Positions(0, 3, 8, 1, rank, 2)) for rank in range(2))
    assert alone == [batch for pair in zip(first, second, strict=True) for batch in pair]


def test_a_batch_that_cannot_be_split_is_refused() -> None:
    with pytest.raises(ValueError, match=r"batch: expected a multiple of accumulation x processes \(2 x 4\), got 12"):
        Positions(0, 1, 12, 2, 0, 4)


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_the_same_on_any_number_of_workers(workers: int) -> None:
    examples = Examples(Dots(), 10, first_box_target, InputSpec())
    batches = list(make_loader(examples, Positions(2, 4, 6, 2), LoaderConfig(workers=workers)))
    assert len(batches) == 4 and batches[0]["image"].shape == (3, 64, 64, 3)
    for number, batch in enumerate(batches):
        expected = [Dots().sample(*divmod(12 + 3 * number + i, 10)) for i in range(3)]
        for i, sample in enumerate(expected):
            assert (batch["image"][i].numpy() == sample.image_bgr[..., ::-1]).all()
            assert (batch["people"][i].numpy() == sample.boxes[:1]).all()


def test_pixels_are_normalised() -> None:
    spec = InputSpec("image", "NCHW", "float32", "rgb", (1.0, 2.0, 3.0), (2.0, 4.0, 5.0))
    images = Normaliser(spec, torch.device("cpu"))(torch.full((1, 2, 2, 3), 13, dtype=torch.uint8))
    assert images.shape == (1, 3, 2, 2) and images[0, :, 1, 1].tolist() == [6.0, 2.75, 2.0]
    assert images.is_contiguous(memory_format=torch.channels_last)


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_a_table_is_resumed_with_the_run(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    first = CsvTable(path, 0)
    for step in (1, 2, 3):
        first.add({"step": step, "loss": step / 3})
    with path.open("a") as file:
        file.write("4,0.")
    again = CsvTable(path, 2)
    again.add({"step": 3, "loss": 7.0, "push": 1.0})
    again.add({"step": 4, "loss": 8.0})
    assert [(row["step"], row["loss"], row["push"]) for row in read_table(path)] == [
        ("1", "0.333333333", ""),
        ("2", "0.666666667", ""),
        ("3", "7", "1"),
        ("4", "8", ""),
    ]


def build_network(tmp_path: Path, init: dict, skeleton: str = "coco_17") -> tuple:
    data = {"network": NETWORK, "skeleton": skeleton, "output": "x", "steps": 1, "data": [{}], "init": init}
    return build_initial_network(build_config(TrainingConfig, {**data, "name": "mine", "licence": "MIT"}, ""))


NETWORK = "pose_ros_mobilenet_v1_075"


@pytest.fixture(scope="module")
def saved_checkpoint(tmp_path_factory) -> Path:
    """Checkpoint of the default network with the skeleton of COCO."""
    folder = tmp_path_factory.mktemp("saved")
    network, note = build_network(folder, {})
    assert note == "initial weights: random" and (network.spec.name, network.spec.licence) == ("mine", "MIT")
    save_checkpoint(network, NETWORK, folder / "saved.pt")
    return folder / "saved.pt"


def test_all_weights_of_a_checkpoint(tmp_path: Path, saved_checkpoint: Path) -> None:
    network, note = build_network(tmp_path, {"file": str(saved_checkpoint)})
    count = len(network.state_dict())
    assert note == f"initial weights: {count} (all) of {count} entries from {saved_checkpoint}"


def test_the_backbone_of_a_checkpoint(tmp_path: Path, saved_checkpoint: Path) -> None:
    source, _ = build_network(tmp_path, {"file": str(saved_checkpoint)})
    network, note = build_network(tmp_path, {"file": str(saved_checkpoint), "parts": "backbone"}, "openpose_18")
    assert f"initial weights: {len(network.backbone.state_dict())} (backbone)" in note
    assert torch.equal(network.backbone.layers[3].conv.weight, source.backbone.layers[3].conv.weight)


@pytest.mark.parametrize("parts", ["all", "backbone", "fitting"])
def test_a_checkpoint_is_read_once(
    tmp_path: Path, saved_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, parts: str
) -> None:
    read = []
    monkeypatch.setattr(start, "read_file", lambda file: read.append(file) or read_file(file))
    monkeypatch.setattr(loading, "read_file", start.read_file)
    build_network(tmp_path, {"file": str(saved_checkpoint), "parts": parts})
    assert read == [saved_checkpoint]


def test_a_backbone_of_folded_convolutions(tmp_path: Path, saved_checkpoint: Path) -> None:
    source, _ = build_network(tmp_path, {"file": str(saved_checkpoint)})
    arrays = {}
    for number, layer in enumerate(source.backbone.layers):
        for part in ("weight", "bias"):
            arrays[f"{number:02d}_conv.{part}"] = getattr(layer.conv, part).detach().numpy()
    np.savez(tmp_path / "backbone.npz", **arrays)
    network, note = build_network(tmp_path, {"file": str(tmp_path / "backbone.npz"), "parts": "backbone"})
    assert "(backbone)" in note
    assert torch.equal(network.backbone.layers[3].conv.weight, source.backbone.layers[3].conv.weight)


def test_a_backbone_of_another_file_is_loaded_last(tmp_path: Path, saved_checkpoint: Path) -> None:
    other, _ = build_network(tmp_path, {})
    with torch.no_grad():
        other.backbone.layers[3].conv.weight += 1
    save_checkpoint(other, NETWORK, tmp_path / "other.pt")
    network, note = build_network(tmp_path, {"file": str(saved_checkpoint), "backbone": str(tmp_path / "other.pt")})
    source, _ = build_network(tmp_path, {"file": str(saved_checkpoint)})
    assert re.fullmatch(r"initial weights: \d+ \(all\) of .*saved.pt, then \d+ \(backbone\) of .*other.pt", note)
    assert torch.equal(network.backbone.layers[3].conv.weight, other.backbone.layers[3].conv.weight)
    assert torch.equal(network.stages[0].leave.weight, source.stages[0].leave.weight)


def test_mismatched_weights_are_refused_or_reported(tmp_path: Path, saved_checkpoint: Path) -> None:
    with pytest.raises(ValueError, match=r"init: expected .*stages.0.leave.weight.*parts: fitting"):
        build_network(tmp_path, {"file": str(saved_checkpoint)}, "openpose_18")
    network, note = build_network(tmp_path, {"file": str(saved_checkpoint), "parts": "fitting"}, "openpose_18")
    assert "(fitting, missing stages.0.leave.weight, stages.0.leave.bias" in note
    source, _ = build_network(tmp_path, {"file": str(saved_checkpoint)})
    assert torch.equal(network.backbone.layers[0].conv.weight, source.backbone.layers[0].conv.weight)
    assert len(network.spec.skeleton) == len(OPENPOSE_18) != len(COCO_17) != len(DOTS)


def test_the_inputs_of_a_run_report_their_labels(tmp_path: Path) -> None:
    labels = str(write_coco(tmp_path, [make_annotation(), make_annotation(2, image_id=5)]))
    data = [{"labels": labels}]
    sizes = {"network": "pose_ros_mobilenet_v1_075", "size_wh": [64, 64]}
    notes = open_run_inputs(make_config(tmp_path, 1, data=data, validation={"data": data}, **sizes)).notes
    assert notes[1] == "data: 1 training images, 1 validation images"
    assert notes.count(f"{labels}: 1 image, 1 person, 18 keypoints, 0 ignored areas") == 2
    assert notes.count(f"{labels}: left out: 1 annotations of an image that is not listed") == 2


def test_labels_that_teach_nothing_end_the_run_before_it_starts(tmp_path: Path) -> None:
    """All people are in images that are left out, or in a data set of weight 0."""
    write_coco(tmp_path, [make_annotation()])
    labels, sizes = str(tmp_path / "labels.json"), {"network": "pose_ros_mobilenet_v1_075", "size_wh": [64, 64]}
    negatives = {"format": "negatives", "images": str(tmp_path)}
    for data in ([{"labels": labels, "weight": 0.0}, negatives], [negatives], [{"labels": labels, "gate_label": 1.0}]):
        if "gate_label" in data[0]:
            write_coco(tmp_path, [make_annotation(keypoint_scores=[0.9] * 17)])
        with pytest.raises(ValueError, match=r"expected people .*got none"):
            open_run_inputs(make_config(tmp_path, 1, data=data, **sizes))


def test_validation_images_are_as_large_as_those_of_the_running_model(tmp_path: Path) -> None:
    labels = str(write_coco(tmp_path, [make_annotation()]))  # an image of 120 x 100 px
    data = [{"labels": labels}]
    settings = {"network": "pose_ros_mobilenet_v1_075", "size_wh": [64, 64], "short_side": 160}
    inputs = open_run_inputs(make_config(tmp_path, 1, data=data, validation={"data": data}, **settings))
    assert inputs.network.spec.input.short_side == 160
    assert inputs.validation[0].size_wh == (192, 160)
    assert "taught: 1 person with 18 keypoints" in inputs.notes


def test_batches_hold_images_of_one_size() -> None:
    images = [Sample(np.zeros((8, width, 3), np.uint8), *no_people()) for width in (8, 8, 8, 16, 8)]
    assert [len(part) for part in split_samples(images, 2)] == [2, 1, 1, 1]


def no_people() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.zeros((0, 4, 2), np.float32), np.zeros((0, 4), np.uint8), np.zeros((0, 4), np.float32)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_of_a_worker_is_one_line(workers: int) -> None:
    examples = Examples(BrokenDots(), 10, first_box_target, InputSpec(colour="bgr"))
    with pytest.raises(ValueError) as caught:
        list(make_loader(examples, Positions(0, 2, 2), LoaderConfig(workers=workers)))
    assert str(caught.value) == "labels a.json: image b.jpg: expected a complete image"
