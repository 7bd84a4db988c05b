"""Test drawn Gaussians and limbs: comparison with formulas, and results without a compiler."""

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from target_samples import CENTERNET, PERSONLAB, SPEC, make_sample, spec_with_heads

from pose_ros.training.targets.config import TargetConfig
from pose_ros.training.targets.make import confidence_maps, make_targets, part_affinity_fields


def test_confidence_is_one_at_a_keypoint_and_the_maximum_between() -> None:
    people = np.array([[[5, 5]], [[9, 5]]], np.float32)
    maps = confidence_maps(people, np.ones((2, 1), bool), (12, 16), 2.0)
    assert maps.shape == (1, 12, 16) and maps[0, 5, 5] == maps[0, 5, 9] == 1
    assert np.isclose(maps[0, 5, 7], np.exp(-4 / 8))  # the maximum, not the sum


def test_absent_and_far_outside_keypoints_draw_nothing() -> None:
    people = np.array([[[5, 5], [500, -500]]], np.float32)
    assert not confidence_maps(people, np.array([[False, True]]), (12, 16), 2.0).any()


def test_field_is_the_unit_vector_on_the_limb() -> None:
    people = np.array([[[2, 3], [8, 11]]], np.float32)  # along (0.6, 0.8)
    pafs = part_affinity_fields(people, np.ones((1, 2), bool), ((0, 1),), (14, 14), 1.0)
    np.testing.assert_allclose(pafs[:, 7, 5], [0.6, 0.8], rtol=1e-6)
    assert not pafs[:, 3, 8].any() and not pafs[:, 13, 10].any()


def test_crossing_limbs_are_averaged_and_points_have_no_field() -> None:
    people = np.array([[[2, 5], [10, 5]], [[6, 1], [6, 9]], [[1, 1], [1, 1]]], np.float32)
    pafs = part_affinity_fields(people, np.ones((3, 2), bool), ((0, 1),), (12, 12), 1.0)
    np.testing.assert_allclose(pafs[:, 5, 6], [0.5, 0.5])
    assert not pafs[:, 1, 1].any() and np.isfinite(pafs).all()


@given(seed=st.integers(0, 10_000), people=st.integers(0, 5), sigma=st.floats(0.3, 4))
@settings(deadline=None, max_examples=30)
def test_windows_do_not_change_the_fields(seed: int, people: int, sigma: float) -> None:
    """Compare with formulas over the whole map, with people inside and outside, in any order."""
    random = np.random.default_rng(seed)
    xy, visible = random.uniform(-8, 24, (people, 3, 2)), random.uniform(size=(people, 3)) < 0.8
    rows, cols = np.mgrid[:12, :16].astype(float)
    squared = (cols - xy[..., 0, None, None]) ** 2 + (rows - xy[..., 1, None, None]) ** 2
    naive = np.where(visible[..., None, None], np.exp(-squared / (2 * sigma**2)), 0).max(axis=0, initial=0)
    np.testing.assert_allclose(confidence_maps(xy, visible, (12, 16), sigma), naive, atol=np.exp(-8))
    order = random.permutation(people)
    for form, overhang in (("hard", 0.0), ("hard", 1.3), ("soft", 0.0)):
        ours = part_affinity_fields(xy[order], visible[order], ((0, 1), (1, 2)), (12, 16), sigma, form, overhang)
        for index, ends in enumerate(((0, 1), (1, 2))):
            expected = limb_field_by_formula(
                xy[visible[:, ends].all(axis=1)][:, ends], rows, cols, sigma, form, overhang
            )
            np.testing.assert_allclose(ours[2 * index : 2 * index + 2], expected, atol=2e-5 * max(people, 1))


def limb_field_by_formula(
    ends: np.ndarray, rows: np.ndarray, cols: np.ndarray, width: float, form: str, overhang: float
) -> np.ndarray:
    total, count = np.zeros((2, *rows.shape)), np.zeros(rows.shape)
    for a, b in ends:
        length = np.linalg.norm(b - a)
        unit = (b - a) / length
        along = (cols - a[0]) * unit[0] + (rows - a[1]) * unit[1]
        across = (cols - a[0]) * unit[1] - (rows - a[1]) * unit[0]
        beyond = np.maximum(np.maximum(-along, along - length), 0)
        inside = (beyond <= overhang) & (abs(across) <= width)
        share = inside if form == "hard" else np.exp(-(beyond**2 + across**2) / width**2)
        total, count = total + share * unit[:, None, None], count + inside
    return total / np.maximum(count, 1) if form == "hard" else total


WITHOUT_NUMBA = """
import sys, pickle
sys.modules["numba"] = None
import numpy as np
from pose_ros.decoder import jit
from pose_ros.training.targets.make import make_targets
assert not jit.COMPILED
with open(sys.argv[1], "rb") as file:
    jobs = pickle.load(file)
made = {f"{i}/{name}": array for i, job in enumerate(jobs) for name, array in make_targets(*job).items()}
np.savez(sys.argv[2], **made)
"""


def test_without_numba_the_targets_are_the_same(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    example = make_sample(
        *random.uniform(-10, 120, (4, 3, 2)).tolist(),
        states=random.integers(0, 4, (4, 3)).tolist(),
        people_map=random.integers(0, 5, (96, 128)).astype(np.uint8),
    )
    jobs = [
        (example, SPEC, TargetConfig(limb_form="soft")),
        (example, SPEC, TargetConfig(heatmap_form="rounded")),
        (example, spec_with_heads(*PERSONLAB), TargetConfig(heatmap_form="disk")),
        (example, spec_with_heads(*CENTERNET), TargetConfig(heatmap_form="centernet")),
    ]
    (tmp_path / "jobs").write_bytes(pickle.dumps(jobs))
    command = [sys.executable, "-c", WITHOUT_NUMBA, tmp_path / "jobs", tmp_path / "out.npz"]
    subprocess.run(command, check=True, timeout=120, cwd=tmp_path)
    plain = np.load(tmp_path / "out.npz")
    for i, job in enumerate(jobs):
        for name, array in make_targets(*job).items():
            np.testing.assert_allclose(plain[f"{i}/{name}"], array, atol=1e-6, err_msg=name)
