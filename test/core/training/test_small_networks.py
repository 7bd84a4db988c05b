"""Test the configurations of PersonLab and CenterNet from images to people: training, export, decoding, evaluation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("pycocotools")

from pose_ros.datasets.augment import Augmentation, AugmentConfig  # noqa: E402
from pose_ros.datasets.preview import masks_of  # noqa: E402
from pose_ros.datasets.sample import Sample  # noqa: E402
from pose_ros.datasets.synthetic.scene import SyntheticImages  # noqa: E402
from pose_ros.estimator import PoseEstimator  # noqa: E402
from pose_ros.evaluation.scores import evaluate_samples  # noqa: E402
from pose_ros.network import zoo  # noqa: E402
from pose_ros.network.model import PoseNetwork  # noqa: E402
from pose_ros.people import People  # noqa: E402
from pose_ros.skeleton import COCO_17  # noqa: E402
from pose_ros.training.config import TrainingConfig, load_config  # noqa: E402
from pose_ros.training.contact_sheet import find_people  # noqa: E402
from pose_ros.training.loader import Normaliser, stack_examples  # noqa: E402
from pose_ros.training.losses.fields import FieldsLoss  # noqa: E402
from pose_ros.training.run_inputs import FixedStream, make_examples  # noqa: E402
from pose_ros.training.trainer import Trainer  # noqa: E402

CONFIGS = Path(__file__).parents[3] / "configs"
SIZE, SCENES, STEPS = 128, 4, 150
SMALL_RUN = (
    "threads=1",
    "device=cpu",
    "loader.workers=0",
    "validation.data=[]",
    "validation.pictures=0",
    "checkpoint={steps: 0, minutes: 0}",
)


@pytest.fixture(autouse=True)
def keep_threads() -> None:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def read_config(name: str, output: Path, *settings: str) -> TrainingConfig:
    return load_config(CONFIGS / f"{name}.yaml", [*SMALL_RUN, f"output={output}", *settings])


@pytest.mark.parametrize("name", ["personlab", "centernet"])
def test_a_short_run_gives_a_model_that_runs(name: str, tmp_path: Path) -> None:
    settings = "data=[{format: synthetic, first: 4}]", "size_wh=[64, 64]", "steps=2", "batch=2", "log_steps=1"
    config = read_config(name, tmp_path / "run", *settings)
    Trainer(config).run()
    header, *rows = (tmp_path / "run/log.csv").read_text(encoding="utf-8").splitlines()
    heads = {head.field for head in zoo.build(config.network).spec.heads}
    assert heads <= set(header.split(",")) and len(rows) == 2  # each field has a loss
    estimator = PoseEstimator.load(tmp_path / "run/model.onnx", runtime="onnx", notify=lambda text: None)
    people = estimator.estimate(np.full((120, 160, 3), 90, np.uint8))
    assert estimator.grouping == name
    assert (people.masks is not None) == (name == "personlab")
    assert people.masks is None or people.masks.shape == (len(people), 120, 160)


def make_scenes() -> list[Sample]:
    """Make small images of large people, with masks."""
    still = AugmentConfig(
        two_pictures=0, four_pictures=0, person_low_px=120, person_high_px=120, rotation_deg=0, shift=0.1, flip=0,
        colour=0, grey=0, blur=0, motion_blur=0, noise=0, jpeg=0,
    )  # fmt: skip
    images, augmentation = SyntheticImages(COCO_17, SCENES, (320, 240), 2, seed=7), Augmentation(still, COCO_17)
    return [augmentation([images[i]], (SIZE, SIZE), np.random.default_rng(i)) for i in range(SCENES)]


def mean_mask_iou(samples: list[Sample], people: list[People]) -> float:
    """Return the mean IoU of each labelled person with the mask that fits best."""
    ious = []
    for sample, found in zip(samples, people, strict=True):
        for mask in masks_of(sample.people_map, len(sample.boxes)):
            pairs = [(mask & other).sum() / (mask | other).sum() for other in found.masks]
            ious.append(max(pairs, default=0.0))
    return float(np.mean(ious))


def overfit(config: TrainingConfig, samples: list[Sample], steps: int) -> PoseNetwork:
    """Train a network from scratch on one batch, without augmentation."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = zoo.build(config.network).train()
    examples = make_examples(FixedStream(samples), len(samples), network.spec, config.targets)
    batch = stack_examples([examples[i] for i in range(len(samples))])
    images = Normaliser(network.spec.input, "cpu")(batch.pop("image"))
    loss, optimiser = FieldsLoss(config.loss), torch.optim.AdamW(network.parameters(), lr=5e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        optimiser.zero_grad()
        loss(network(images), batch)[0].backward()
        optimiser.step()
        schedule.step()
    return network


@pytest.mark.parametrize("name", ["personlab", "centernet"])
def test_overfitted_scenes_are_decoded(name: str, tmp_path: Path) -> None:
    """Keypoints and masks of the decoded people are those of the labels, as well as the grid permits."""
    samples = make_scenes()
    network = overfit(read_config(name, tmp_path), samples, STEPS)
    (people,) = find_people(network, samples).values()
    scores = evaluate_samples(samples, people, COCO_17)
    assert scores["AP_medium"] >= 0.8, scores
    if name == "personlab":
        assert mean_mask_iou(samples, people) >= 0.55
