"""Compute the loss of tags, which must be similar within a person and different between people.

References:
    Newell et al., Associative Embedding, arXiv:1611.05424, section 3.2 (pull and push; the published code has
    exp(-d^2) / 2).
    Cheng et al., HigherHRNet, arXiv:1908.10357 (its code offers the hinge, too).
"""

from __future__ import annotations

import torch
from torch import Tensor


def gather_tags(tags: Tensor, cells: Tensor) -> tuple[Tensor, Tensor]:
    """Read the tags of all people from the tag maps.

    Args:
        tags: (B, K D, H, W).
        cells: (B, P, K), cell index ``row * W + col`` of each keypoint of each person. -1 = absent.
            Or (B, P, K, R), with R cells per keypoint.

    Returns:
        Tags (B, P, K R, D), undefined for absent keypoints, and whether each keypoint is present (B, P, K R).
    """
    people, keypoints = cells.shape[1:3]
    maps = tags.reshape(len(tags), keypoints, -1, tags.shape[2] * tags.shape[3])
    index = cells.long().clamp(min=0).reshape(len(tags), people, keypoints, -1).transpose(1, 2)  # (B, K, P, R)
    values = maps.gather(3, index.flatten(2)[:, :, None].expand(-1, -1, maps.shape[2], -1))
    values = values.unflatten(3, (people, -1)).permute(0, 3, 1, 4, 2)  # (B, P, K, R, D)
    return values.flatten(2, 3), (cells >= 0).flatten(2)


def pull_and_push(
    tags: Tensor, present: Tensor, form: str = "gaussian", pull_form: str = "square"
) -> tuple[Tensor, Tensor]:
    """Compute the pull loss within people and the push loss between people.

    m_n is the mean tag of person n. Only people with at least one keypoint count.
    Pull is the mean over people of the mean over their tags of a function of the distance d from m_n: d^2
    (``"square"``), or 2 d - 1 for d above 1, else d^2 (``"huber"``).
    Push is the mean over all pairs of people of a function of d = |m_n - m_m|:
    exp(-d^2 / 2) (``"gaussian"``), exp(-d^2) / 2 (``"exp"``) or max(1 - d, 0) / 2 (``"max"``).

    Args:
        tags: (B, P, K, D), tags of the keypoints.
        present: (B, P, K), whether each keypoint is present.
        form: Form of the push loss.
        pull_form: Form of the pull loss.

    Returns:
        Pull and push, (B,) each. Pull is 0 without people, push is 0 with fewer than two people.
    """
    known = present[..., None]
    keypoints = present.sum(dim=2)
    means = tags.where(known, 0).sum(dim=2) / keypoints.clamp(min=1)[..., None]  # (B, P, D)
    squared = (tags - means[:, :, None]).where(known, 0).square().sum(dim=3)
    pull = (_huber(squared) if pull_form == "huber" else squared).sum(dim=2) / keypoints.clamp(min=1)
    has_keypoints = keypoints > 0
    people = has_keypoints.sum(dim=1)
    pairs = (has_keypoints[:, :, None] & has_keypoints[:, None]).triu(diagonal=1)
    push = _similarity(means, form).where(pairs, 0).sum(dim=(1, 2))
    return pull.sum(dim=1) / people.clamp(min=1), push / (people * (people - 1) / 2).clamp(min=1)


def _huber(squared: Tensor) -> Tensor:
    """Compute 2 d - 1 of squared distances above 1, and d^2 of the others."""
    return (2 * squared.clamp(min=1).sqrt() - 1).where(squared > 1, squared)


def _similarity(means: Tensor, form: str) -> Tensor:
    """Compute the similarity (B, P, P) of mean tags (B, P, D)."""
    squared = (means[:, :, None] - means[:, None]).square().sum(dim=3)
    if form == "gaussian":
        return torch.exp(-squared / 2)
    if form == "exp":
        return torch.exp(-squared) / 2
    # The square root has no finite gradient at 0.
    distance = squared.where(squared > 0, 1).sqrt().where(squared > 0, 0)
    return (1 - distance).clamp(min=0) / 2
