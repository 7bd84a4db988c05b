"""The loss of tags: alike over a person, different between people.

References:
    Newell et al., Associative Embedding, arXiv:1611.05424, section 3.2 (pull and push; the published code has
    exp(-d^2) / 2).
    Cheng et al., HigherHRNet, arXiv:1908.10357 (its code offers the hinge, too).
"""

from __future__ import annotations

import torch
from torch import Tensor


def gather_tags(tags: Tensor, cells: Tensor) -> tuple[Tensor, Tensor]:
    """Read the tags of all people.

    Args:
        tags: (B, K D, H, W).
        cells: (B, P, K) row times columns plus column of each keypoint of each person, -1 where absent; or
            (B, P, K, R), of R readings of each.

    Returns:
        Tags (B, P, K R, D), without meaning where absent, and whether each is present (B, P, K R).
    """
    people, keypoints = cells.shape[1:3]
    maps = tags.reshape(len(tags), keypoints, -1, tags.shape[2] * tags.shape[3])
    index = cells.long().clamp(min=0).reshape(len(tags), people, keypoints, -1).transpose(1, 2)  # (B, K, P, R)
    values = maps.gather(3, index.flatten(2)[:, :, None].expand(-1, -1, maps.shape[2], -1))
    values = values.unflatten(3, (people, -1)).permute(0, 3, 1, 4, 2)  # (B, P, K, R, D)
    return values.flatten(2, 3), (cells >= 0).flatten(2)


def pull_and_push(tags: Tensor, present: Tensor, form: str = "gaussian") -> tuple[Tensor, Tensor]:
    """How much tags differ within people, and how much people are alike.

    With m_n the mean tag of person n, of N people in an image that have any keypoint: pull is the mean over the
    people of the mean squared distance of their tags from m_n; push is the mean over all pairs of people of
    exp(-d^2 / 2) with d = |m_n - m_m| (``"gaussian"``), exp(-d^2) / 2 (``"exp"``) or max(1 - d, 0) / 2 (``"max"``).

    Args:
        tags: (B, P, K, D).
        present: (B, P, K).
        form: That of push.

    Returns:
        Pull and push (B,); 0 in an image without people, push also with one.
    """
    seen = present[..., None]
    keypoints = present.sum(dim=2)
    means = tags.where(seen, 0).sum(dim=2) / keypoints.clamp(min=1)[..., None]  # (B, P, D)
    spread = (tags - means[:, :, None]).where(seen, 0).square().sum(dim=(2, 3)) / keypoints.clamp(min=1)
    somebody = keypoints > 0
    people = somebody.sum(dim=1)
    pairs = (somebody[:, :, None] & somebody[:, None]).triu(diagonal=1)
    alike = _likeness(means, form).where(pairs, 0).sum(dim=(1, 2))
    return spread.sum(dim=1) / people.clamp(min=1), alike / (people * (people - 1) / 2).clamp(min=1)


def _likeness(means: Tensor, form: str) -> Tensor:
    """(B, P, P) of mean tags (B, P, D)."""
    squared = (means[:, :, None] - means[:, None]).square().sum(dim=3)
    if form == "gaussian":
        return torch.exp(-squared / 2)
    if form == "exp":
        return torch.exp(-squared) / 2
    # The root has no gradient at 0.
    distance = squared.where(squared > 0, 1).sqrt().where(squared > 0, 0)
    return (1 - distance).clamp(min=0) / 2
