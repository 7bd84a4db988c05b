"""Write the page of the catalogue for people.

``python -m pose_ros.models.catalogue_page docs/catalogue.md`` writes it. A test checks that it is up to date.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from pose_ros.files import atomic_write
from pose_ros.models.catalogue import OURS, Entry, entries

_HEAD = """\
# Model catalogue

The public models that `pose_ros models get` downloads and `pose_ros export` reads. `pose_ros models show NAME` prints
everything that is known about one. [From a public checkpoint to AP and to the node](tutorials/checkpoint.md) uses one,
[models.md](models.md#which-network) helps to choose.

- *Published AP*: AP of the COCO keypoints, in percent, as the publisher states it, and the part of COCO. Publishers
  test in different ways: with several scales, mirrored images or a separate detector of people. So compare with care.
- *Our AP*: AP of the same keypoints through this package: [how we measured](#our-ap).
- *Licence*: of the weights. *Commercial*: whether it permits commercial use. This is no legal advice.

`pose_ros models list` prints both.
"""
_OURS_HEAD = f"""
## Our AP

`pose_ros evaluate` with default settings, on {OURS}. With so few images, differences of one or
two points mean little. Models without a value have not been measured. The tests:
"""


def make_page(catalogue: Sequence[Entry]) -> str:
    """Make the page, as Markdown."""
    return _HEAD + "\n" + "\n".join(_table(catalogue)) + "\n" + _OURS_HEAD + "\n" + "\n".join(_tests(catalogue)) + "\n"


def _table(catalogue: Sequence[Entry]) -> Iterator[str]:
    yield "| name | grouping | keypoints | published AP | our AP | licence | commercial |"
    yield "|---|---|---|---|---:|---|---|"
    for entry in catalogue:
        published, ours = entry.published, entry.measured
        scores = f"{published.ap:.1f} ({published.data.removeprefix('COCO ')}) |" if published else "|"
        scores += f" {ours.ap:.1f}" if ours else ""
        facts = f"{entry.grouping} | {entry.skeleton} | {scores}"
        yield f"| {entry.name} | {facts} | {_shorten(entry.weights_licence)} | {entry.commercial} |"


def _tests(catalogue: Sequence[Entry]) -> Iterator[str]:
    for entry in catalogue:
        yield from (f"- `{entry.name}`: {result.test}" for result in entry.results if result.is_ours)


def _shorten(licence: str) -> str:
    return licence.replace("academic or non-profit research only", "research only").removeprefix("provided ")


def main(path: str) -> None:
    """Write the page to a file."""
    with atomic_write(Path(path)) as unfinished:
        unfinished.write_text(make_page(entries()), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
