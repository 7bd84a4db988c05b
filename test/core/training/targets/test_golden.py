"""Test targets and losses against published results, each golden case within its own tolerance."""

import golden
import numpy as np
import pytest

from pose_ros.training.targets.centernet import gaussian_radius, peaks
from pose_ros.training.targets.config import TargetConfig
from pose_ros.training.targets.grid import GridLabels
from pose_ros.training.targets.heatmaps import confidence_maps, gaussians
from pose_ros.training.targets.paf import part_affinity_fields
from pose_ros.training.targets.personlab import disks, mid_offsets, nearest_people, short_offsets
from pose_ros.training.targets.tags import tag_cells

CASES = golden.cases("targets_losses")
LOSSES = ("_loss", "_focal", "_l1")
pytestmark = pytest.mark.skipif(not CASES, reason=f"no golden cases in {golden.FOLDER}")


def select_cases(part: str) -> list:
    """Return the cases with ``part`` in their id as parameters, or None if there are none, which skips the test."""
    return [pytest.param(case, id=case["id"]) for case in CASES if part in case["id"]] or [None]


def assert_close(case: dict, ours: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(ours, expected, rtol=0, atol=case["tolerance"])


def make_labels(
    xy: np.ndarray, labelled: np.ndarray, shape_hw: tuple, stride: float = 1, boxes: np.ndarray | None = None
):
    """Make labels of keypoints in cells, with weight 1 everywhere."""
    boxes = np.zeros((len(xy), 4)) if boxes is None else boxes
    return GridLabels(
        shape_hw, stride, xy.astype(np.float64), labelled.astype(np.uint8), boxes, np.ones(shape_hw, np.uint8)
    )


def test_every_case_has_a_test() -> None:
    tested = ("trtpose", "lhp_targets", "heatmap_0", "heatmap_1", "_joints_", "dark", "gaussian", "personlab", *LOSSES)
    assert len(CASES) == 26
    assert [case["id"] for case in CASES if not any(part in case["id"] for part in tested)] == []


@pytest.mark.parametrize("case", select_cases("trtpose"))
def test_trt_pose(case) -> None:
    data, parameters = golden.arrays(case), case["parameters"]
    shape_hw, width = (parameters["height"], parameters["width"]), parameters["stdev_cells"]
    xy = data["peaks_yx_normalised"][0, ..., ::-1] * shape_hw[::-1] - 0.5  # (K, M, 2)
    visible = np.arange(xy.shape[1]) < data["counts"][0][:, None]
    maps = confidence_maps(xy.swapaxes(0, 1), visible.T, shape_hw, width / np.sqrt(2), parameters["window"] / 2)
    assert_close(case, maps, data["expected_cmap"][0])
    for limb, (first, _, a, b) in enumerate(data["topology"]):
        partner = data["connections"][0, limb, 0]
        ends = np.stack([xy[a], xy[b][partner]], axis=1)  # (M, 2, 2)
        whole = np.repeat(partner[:, None] >= 0, 2, axis=1)
        field = part_affinity_fields(ends, whole, ((0, 1),), shape_hw, width, "soft")
        assert_close(case, field[::-1], data["expected_paf"][0, first : first + 2])


@pytest.mark.parametrize("case", select_cases("lhp_targets"))
def test_heatmaps_of_lightweight_openpose(case) -> None:
    """Their heatmaps equal ours, drawn one person at a time, cut off, added and clipped."""
    data, parameters = golden.arrays(case), case["parameters"]
    stride, people = parameters["stride"], data["keypoints"]
    sigma = parameters["sigma_px"] / stride
    shape_hw = data["expected_heat"].shape[1:]
    xy = (people[..., :2] - (stride / 2 - 0.5)) / stride
    alone = [confidence_maps(xy[n : n + 1], people[n : n + 1, :, 2] < 2, shape_hw, sigma) for n in range(len(xy))]
    heat = sum(np.where(maps >= np.exp(-4.6052), maps, 0) for maps in alone).clip(max=1)
    assert_close(case, heat, data["expected_heat"][:-1])
    assert_close(case, 1 - heat.max(axis=0), data["expected_heat"][-1])


@pytest.mark.parametrize("case", select_cases("lhp_targets"))
def test_pafs_of_lightweight_openpose(case) -> None:
    """Their fields equal ours of elongated limbs, cut to the limb boxes. The later person has priority."""
    data, parameters = golden.arrays(case), case["parameters"]
    width, shape_hw = parameters["paf_thickness_cells"], data["expected_paf"].shape[1:]
    expected = np.zeros_like(data["expected_paf"])
    for person in data["keypoints"]:
        for limb, ends in enumerate(person[data["limbs"]]):
            if (ends[:, 2] == 2).any():
                continue
            xy = ends[:, :2].astype(np.float64) / parameters["stride"]
            along = (xy[1] - xy[0]) / np.linalg.norm(xy[1] - xy[0])
            longer = np.stack([xy[0] - 100 * along, xy[1] + 100 * along])[None]
            field = part_affinity_fields(longer, np.ones((1, 2), bool), ((0, 1),), shape_hw, width)
            low, high = np.trunc(xy.min(axis=0) - width), np.trunc(xy.max(axis=0) + width)
            cols, rows = (np.arange(size) for size in shape_hw[::-1])
            inside = ((rows >= low[1]) & (rows < high[1]))[:, None] & (cols >= low[0]) & (cols < high[0])
            drawn = inside & field.any(axis=0)
            expected[2 * limb : 2 * limb + 2, drawn] = field[:, drawn]
    assert_close(case, expected, data["expected_paf"])


@pytest.mark.parametrize("case", select_cases("higherhrnet_heatmap"))
def test_heatmaps_of_higherhrnet(case) -> None:
    data, parameters = golden.arrays(case), case["parameters"]
    joints, size, sigma = data["joints"], parameters["output_res"], parameters["sigma"]
    on_map = ((joints[..., :2] >= 0) & (joints[..., :2] < size)).all(axis=2)
    maps = confidence_maps(np.trunc(joints[..., :2]), (joints[..., 2] > 0) & on_map, (size, size), sigma, 3 * sigma + 1)
    assert_close(case, maps, data["expected_heat"])
    whole = make_labels(joints[..., :2] - 0.5, (joints[..., 2] > 0) & on_map, (size, size))
    rounded, _ = gaussians(whole, TargetConfig(heatmap_form="rounded", heatmap_sigma=sigma))
    np.testing.assert_allclose(rounded, data["expected_heat"], atol=np.exp(-0.5 * 3**2))  # with a different cut-off


@pytest.mark.parametrize("case", select_cases("_joints_"))
def test_tag_cells_of_higherhrnet(case) -> None:
    data, size = golden.arrays(case), case["parameters"]["output_res"]
    joints = data["joints"]
    ours = tag_cells(make_labels(np.trunc(joints[..., :2]), joints[..., 2] > 0, (size, size)), len(data["expected"]))
    keypoints = np.arange(joints.shape[1])
    for cells, slots in zip(ours, data["expected"].astype(int), strict=True):
        assert (keypoints * size**2 + cells)[cells >= 0].tolist() == slots[slots[:, 1] == 1, 0].tolist()


@pytest.mark.parametrize("case", select_cases("dark"))
def test_heatmaps_of_dark(case) -> None:
    data, parameters = golden.arrays(case), case["parameters"]
    (cols, rows), sigma = parameters["heatmap_size_wh"], parameters["sigma"]
    visible = data["joints_vis"][None, :, 0] > 0
    uncut = confidence_maps(data["joints"][None, :, :2], visible, (rows, cols), sigma, 100)
    cut = confidence_maps(data["joints"][None, :, :2], visible, (rows, cols), sigma, 3 * sigma)
    used = data["expected_weight"][:, 0] > 0
    assert (cut.any(axis=(1, 2)) == used).all()
    assert_close(case, uncut[used], data["expected_heat"][used])


@pytest.mark.parametrize("case", select_cases("gaussian"))
def test_peaks_of_centernet(case) -> None:
    data, parameters = golden.arrays(case), case["parameters"]
    size_wh = data["box_hw"][::-1].astype(np.float64)
    assert_close(case, gaussian_radius(size_wh[None], parameters["min_overlap"]), data["expected_radius"])
    centres = data["centres_xy"]
    boxes = np.tile([0, 0, *size_wh], (len(centres), 1))
    ours = make_labels(centres[:, None], np.ones((len(centres), 1)), tuple(parameters["shape"]), boxes=boxes)
    maps, _ = peaks(ours, TargetConfig(heatmap_form="centernet", centre_overlap=parameters["min_overlap"]))
    assert_close(case, maps[0], data["expected_heat"])


@pytest.mark.parametrize("case", select_cases("personlab_keras"))
def test_fields_of_keras_personlab(case) -> None:
    data, parameters = golden.arrays(case), case["parameters"]
    people, config = data["keypoints"], TargetConfig(disk_radius=parameters["radius_px"])
    ours = make_labels(people[..., :2], people[..., 2] > 0, tuple(parameters["image_shape_hw"]))
    edges = tuple(map(tuple, parameters["edges"]))
    for field, reference in (
        (disks(ours, config)[0], "expected_heat_hwc"),
        (short_offsets(ours, config)[0], "expected_short_hwc"),
        (mid_offsets(ours, edges, config)[0], "expected_mid_hwc"),
    ):
        assert_close(case, field, data[reference].transpose(2, 0, 1))


@pytest.mark.parametrize("case", select_cases("personlab_formula"))
def test_fields_of_personlab(case) -> None:
    data, parameters = golden.arrays(case), case["parameters"]
    people, config = data["keypoints"], TargetConfig(disk_radius=parameters["radius_px"])
    stride = parameters["stride"]
    ours = make_labels(people[..., :2] / stride, people[..., 2] > 0, tuple(parameters["shape"]), stride)
    reference = golden.personlab_fields(
        {"heat_logit": data["expected_heat"], "short": data["expected_short"], "mid": data["expected_mid"]}
    )
    assert_close(case, nearest_people(ours, config.disk_radius), data["owner"])
    assert_close(case, disks(ours, config)[0], data["expected_heat"])
    assert_close(case, short_offsets(ours, config)[0], reference.short_offsets)
    assert_close(case, mid_offsets(ours, tuple(map(tuple, data["edges"])), config)[0], reference.mid_offsets)


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


@pytest.fixture
def dense(torch):
    from pose_ros.training.losses import dense as losses_dense

    return losses_dense


def load_tensors(torch, case: dict) -> dict:
    return {name: torch.from_numpy(array) for name, array in golden.arrays(case).items()}


@pytest.mark.parametrize("case", select_cases("l2_loss"))
def test_l2_of_lightweight_openpose(case, torch, dense) -> None:
    data = load_tensors(torch, case)
    cells = dense.l2(data["pred"], data["target"], data["mask"].square())
    assert_close(case, dense.reduce_cells(cells, "openpose"), data["expected"][0])


@pytest.mark.parametrize("case", select_cases("ae_heatmap_loss"))
def test_l2_of_associative_embedding(case, torch, dense) -> None:
    data = load_tensors(torch, case)
    cells = dense.l2(data["pred"], data["gt"], data["mask"][:, None])
    for image, *expected in zip(cells, data["expected"], data["expected_pose_ae"], strict=True):
        assert_close(case, dense.reduce_cells(image[None], "mean").expand(2), expected)


@pytest.mark.parametrize("case", select_cases("ae_loss"))
def test_pull_and_push(case, torch) -> None:
    from pose_ros.training.losses.tags import pull_and_push

    data = load_tensors(torch, case)
    index, present = data["joints"][..., 0], data["joints"][..., 1] > 0
    tags = data["tags"][0, index]  # (1, P, K, 1)
    for form in ("exp", "max"):
        pull, push = pull_and_push(tags, present, form)
        assert_close(case, pull, data[f"expected_pull_{form}"])
        assert_close(case, push, data[f"expected_push_{form}"])
    pull, push = pull_and_push(tags, present, "exp")
    assert_close(case, pull, data["expected_pose_ae_pull"])
    assert_close(case, push, data["expected_pose_ae_push"])
    if "tags_2d" in data:  # their pull is averaged over the dimensions too
        pull, push = pull_and_push(data["tags_2d"][0, index], present, "exp")
        assert_close(case, pull / 2, data["expected_pose_ae_pull_2d"])
        assert_close(case, push, data["expected_pose_ae_push_2d"])


@pytest.mark.parametrize("case", select_cases("focal"))
def test_focal_loss(case, torch, dense) -> None:
    data = load_tensors(torch, case)
    logits, weights = data["pred"].logit(), torch.ones_like(data["pred"])
    for target, expected in (("gt", "expected"), ("gt_no_positive", "expected_no_positive")):
        assert_close(case, dense.focal(logits, data[target], weights), data[expected][0])


@pytest.mark.parametrize("case", select_cases("reg_l1"))
@pytest.mark.parametrize(
    ("mask", "expected"), [("mask", "expected_regl1"), ("mask_weighted", "expected_reg_weighted_l1")]
)
def test_l1_of_centernet(case, mask, expected, torch, dense) -> None:
    """They gather values at cells. Here the values are on maps."""
    data = load_tensors(torch, case)
    batch, channels, rows, cols = data["output"].shape
    known = data[mask] if data[mask].ndim == 3 else data[mask][..., None].expand(-1, -1, channels)
    target, weights = torch.zeros(2, batch, channels, rows * cols)
    cells = data["ind"][:, None].expand(-1, channels, -1)
    target.scatter_(2, cells, data["target"].transpose(1, 2))
    weights.scatter_(2, cells, known.transpose(1, 2))
    loss = dense.l1(data["output"], target.reshape(data["output"].shape), weights.reshape(data["output"].shape))
    assert_close(case, loss, data[expected][0])
