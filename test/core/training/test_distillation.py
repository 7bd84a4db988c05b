"""Test distillation: fields of a teacher in the channels and cells of the student."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tiny_training import make_config, make_inputs, tiny_network  # noqa: E402

from pose_ros.checkpoint import save_checkpoint  # noqa: E402
from pose_ros.fields import ModelSpec  # noqa: E402
from pose_ros.network.model import PoseNetwork, with_heads  # noqa: E402
from pose_ros.skeleton import Skeleton  # noqa: E402
from pose_ros.training import learner  # noqa: E402
from pose_ros.training.distillation import FieldTeacher, common_channels, distance, load_teacher  # noqa: E402
from pose_ros.training.trainer import Trainer  # noqa: E402

PIXELS = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8))
SWAPPED = Skeleton("swapped", ("right_hip", "neck", "nose", "left_hip"), ((1, 3), (2, 1), (1, 0)))


class Ramp(PoseNetwork):
    """Network whose heatmaps are the cell positions in pixels of the input: x in the first channel, y in the second."""

    def __init__(self, stride: float, origin: float) -> None:
        super().__init__()
        spec = ModelSpec("ramp", Skeleton("xy", ("nose", "neck"), ((0, 1),)), stride, origin)
        self.spec = with_heads(spec, ("heatmaps",))

    def forward(self, images):
        cells = [torch.arange(size // self.spec.stride) for size in images.shape[2:]]
        y, x = torch.meshgrid(*(index * self.spec.stride + self.spec.origin for index in cells), indexing="ij")
        return [{"heatmaps": torch.stack([x, y]).float().expand(len(images), -1, -1, -1)}]


@pytest.mark.parametrize(("stride", "origin"), [(4, 0.0), (4, 1.5), (8, 3.5), (8, 0.0), (16, 2.75)])
def test_fields_are_sampled_at_the_cells_of_the_student(stride: int, origin: float) -> None:
    student = Ramp(8, 0.0).spec
    fields = FieldTeacher(Ramp(stride, origin), student, "cpu")(PIXELS, (8, 8))["heatmaps"]
    inside = torch.arange(8)[(torch.arange(8) * 8 >= origin) & (torch.arange(8) * 8 <= 64 - stride + origin)]
    torch.testing.assert_close(fields[0, 0, 0, inside], inside * 8.0)
    torch.testing.assert_close(fields[0, 1, inside, 0], inside * 8.0)


def test_channels_are_matched_by_name() -> None:
    network = tiny_network()
    student = replace(network.spec, skeleton=SWAPPED, limbs=SWAPPED.limbs)
    channels = common_channels(network.spec, with_heads(student, ("heatmaps", "pafs")))
    assert channels["heatmaps"].tolist() == [3, 1, 0, 2]
    assert channels["pafs"].tolist() == [2, 3, 0, 1, 4, 5]


def test_if_the_teacher_lacks_a_limb_only_heatmaps_are_common() -> None:
    other = Skeleton("other", ("nose", "neck"), ((1, 0),))
    network = tiny_network()
    expected = with_heads(replace(network.spec, skeleton=other, limbs=other.limbs), ("heatmaps", "pafs"))
    assert set(common_channels(network.spec, expected)) == {"heatmaps"}


def test_a_teacher_with_other_keypoints_is_refused() -> None:
    spec = with_heads(ModelSpec("tail", Skeleton("tail", ("tail",), ()), 8), ("heatmaps",))
    with pytest.raises(ValueError, match="expected a teacher with the keypoints of tail, got one of dots"):
        FieldTeacher(tiny_network(), spec, "cpu")


def test_the_distance_of_equal_networks_is_zero() -> None:
    network = tiny_network().eval()
    teacher = FieldTeacher(tiny_network(), network.spec, "cpu")
    images = (PIXELS.permute(0, 3, 1, 2).float() - 128) / 128
    with torch.no_grad():
        stages = network(images)
        expected = teacher(PIXELS, tuple(stages[-1]["heatmaps"].shape[2:]))
        assert distance(stages[-1:], expected) < 1e-8
        assert distance(tiny_network(1).eval()(images)[-1:], expected) > 1e-3


def test_training_reduces_the_distance_to_the_teacher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    teacher = tiny_network(5).eval()
    monkeypatch.setattr(learner, "load_teacher", lambda file, spec, device: FieldTeacher(teacher, spec, device))
    settings = make_config(tmp_path / "run", 40, distillation={"file": str(tmp_path / "teacher.pt"), "weight": 1.0})
    student = tiny_network(0)
    Trainer(settings, inputs=make_inputs(network=student)).run()
    log = (tmp_path / "run" / "log.csv").read_text().splitlines()
    column = log[0].split(",").index("teacher")
    losses = [float(line.split(",")[column]) for line in log[1:]]
    assert np.mean(losses[-3:]) < 0.5 * losses[0]


def test_any_checkpoint_can_be_a_teacher(tmp_path: Path) -> None:
    from pose_ros.network import zoo

    network = zoo.build("pose_ros_mobilenet_v1_075")
    save_checkpoint(network, "pose_ros_mobilenet_v1_075", tmp_path / "teacher.pt")
    fields = load_teacher(tmp_path / "teacher.pt", network.spec, "cpu")(PIXELS, (8, 8))
    assert {name: tuple(field.shape) for name, field in fields.items()} == {
        "heatmaps": (2, 18, 8, 8),
        "pafs": (2, 38, 8, 8),
    }
