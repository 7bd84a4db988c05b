"""Test ``pose_ros image --masks`` with a network whose masks are known."""

from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from typer.testing import CliRunner  # noqa: E402

from pose_ros.checkpoint import save_checkpoint  # noqa: E402
from pose_ros.cli import app  # noqa: E402
from pose_ros.network import zoo  # noqa: E402
from pose_ros.network.model import PoseNetwork, with_heads  # noqa: E402
from pose_ros.network.personlab import personlab_small  # noqa: E402
from pose_ros.skeleton import COCO_17  # noqa: E402


class OnePerson(PoseNetwork):
    """Network that finds one person whose mask is the left half of the image."""

    def __init__(self) -> None:
        super().__init__()
        plain = personlab_small(COCO_17).spec
        self.spec = with_heads(plain, ("heatmaps", "short_offsets", "mid_offsets", "long_offsets", "segmentation"))
        self.bias = torch.nn.Parameter(torch.zeros(1))

    def forward(self, images: torch.Tensor) -> list[dict[str, torch.Tensor]]:
        grid = images[:, :1, ::8, ::8] * 0 + self.bias
        columns = torch.cumsum(grid + 1, dim=3) - 1
        left = (columns < grid.shape[3] / 2).float()
        place = (columns * 8 == 32).float() * (torch.cumsum(grid + 1, dim=2) * 8 == 40).float()  # cell (4, 4)
        to = torch.cat([32 - columns * 8, 32 - (torch.cumsum(grid + 1, dim=2) - 1) * 8], dim=1)
        return [
            {
                "heatmaps": place.repeat(1, 17, 1, 1),
                "short_offsets": to.repeat(1, 17, 1, 1),
                "mid_offsets": to.repeat(1, 32, 1, 1),
                "long_offsets": to.repeat(1, 17, 1, 1),
                "segmentation": left,
            }
        ]


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(zoo, "networks", lambda: {"one": lambda skeleton=COCO_17: OnePerson()})
    save_checkpoint(OnePerson(), "one", tmp_path / "one.pt")
    return tmp_path / "one.pt"


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["image", *map(str, arguments)])
    return result.exit_code, result.output + str(result.exception or "")


def test_masks_are_written_for_each_image(model: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for name in ("a.jpg", "b.png"):
        cv2.imwrite(str(tmp_path / "photos" / name), np.full((192, 256, 3), 90, np.uint8))
    drawn, settings = tmp_path / "drawn", ("--set", "decoder.mask_distance=100")
    code, text = run(tmp_path / "photos", "--model", model, "--masks", tmp_path / "maps", "-o", drawn, *settings)
    assert code == 0, text
    assert sorted(file.name for file in (tmp_path / "maps").iterdir()) == ["a.jpg.png", "b.png.png"]
    numbers = cv2.imread(str(tmp_path / "maps/a.jpg.png"), cv2.IMREAD_UNCHANGED)
    assert numbers.shape == (192, 256) and numbers[:, :120].min() == 1 and not numbers[:, 132:].any()
    assert np.abs(cv2.imread(str(drawn / "b.png"))[150, 60].astype(int) - 90).max() > 20  # the mask is drawn


def test_a_model_without_masks_is_refused(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((64, 64, 3), 90, np.uint8))
    code, text = run(tmp_path / "a.png", "--masks", tmp_path / "maps", "--threads", 1)
    assert code != 0 and "--masks: expected a model with long offsets and a segmentation" in text
    assert not (tmp_path / "maps").exists()


@pytest.mark.parametrize(("short_side", "written"), [("0", False), ("auto", True)])
def test_masks_need_one_input_size(model: Path, tmp_path: Path, short_side: str, written: bool) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((192, 256, 3), 90, np.uint8))
    sizes = ("--set", "preprocess.scales=[128,192]", "--short-side", short_side)
    code, text = run(tmp_path / "a.png", "--model", model, "--masks", tmp_path / "map.png", *sizes)
    assert (code == 0) == (tmp_path / "map.png").exists() == written, text
    assert ("--masks: expected one input size, got several preprocess.scales" in text) != written


def test_several_images_need_a_folder(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(tmp_path / name), np.full((64, 64, 3), 90, np.uint8))
    code, text = run(tmp_path / "a.png", tmp_path / "b.png", "--masks", tmp_path / "maps.png")
    assert code != 0 and "--masks: expected a folder for 2 images" in text
