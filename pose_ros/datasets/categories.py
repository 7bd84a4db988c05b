"""Choose the categories of people in a label file, and collect their annotations by image."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pose_ros.datasets.keypoint_names import normalise_names, split_words
from pose_ros.datasets.label_report import LabelReport

Annotation = Mapping[str, Any]

_PEOPLE_WORDS = {
    *("person", "people", "human", "pedestrian", "man", "men", "woman", "women", "adult", "child", "children", "kid"),
    *("boy", "girl", "baby", "worker", "player", "athlete", "rider", "cyclist", "driver", "passenger"),
}
"""Words in the names of categories of people, in the singular or irregular."""


@dataclass(frozen=True)
class Category:
    """Category of a label file.

    Attributes:
        key: Id as text, see ``id_key``.
        name: Name.
        keypoint_names: Names of its keypoints, normalised. Empty = not in the file.
        people: Number of its annotations with keypoints. None = not counted: all have keypoints.
    """

    key: str
    name: str
    keypoint_names: tuple[str, ...] = ()
    people: int | None = None

    @property
    def has_keypoints(self) -> bool:
        """Whether it lists keypoints, or one of its annotations has keypoints."""
        return bool(self.keypoint_names) or self.people != 0

    @property
    def is_human(self) -> bool:
        """Whether the name contains a word for a person."""
        words = split_words(self.name)
        return any(word in _PEOPLE_WORDS or word.removesuffix("s") in _PEOPLE_WORDS for word in words)


@dataclass(frozen=True)
class LabelledPeople:
    """Annotations of people in a COCO file.

    Attributes:
        keypoint_names: Names of the keypoints, normalised. Empty = not in the file.
        by_image: Annotations by the key of the image.
    """

    keypoint_names: tuple[str, ...]
    by_image: Mapping[str, Sequence[Annotation]] = field(default_factory=dict)

    def in_image(self, entry: Mapping[str, Any]) -> Sequence[Annotation]:
        """Return the annotations of an entry of ``images``."""
        return self.by_image.get(id_key(entry.get("id")), ())


def id_key(value: Any) -> str:
    """Return an id as text: 1, 1.0 and "1" are the same id."""
    return str(int(value) if isinstance(value, float) and value.is_integer() else value).strip()


def choose_categories(categories: Sequence[Category], chosen: Sequence[str], where: str) -> list[Category]:
    """Choose the categories of people.

    Without a choice, these are the categories with keypoints whose name contains a word for a person. If there is
    none, these are all categories with keypoints, or those with a word for a person.

    Args:
        categories: All categories of the file.
        chosen: Names or ids of the categories to use. Empty = choose by keypoints and name.
        where: Name of the file, for messages.

    Raises:
        ValueError: If a chosen category does not exist, or no category is one of people.
    """
    if chosen:
        return [category for name in chosen for category in _find_category(categories, name, where)]
    with_keypoints = [category for category in categories if category.has_keypoints]
    people = [category for category in with_keypoints or categories if category.is_human] or with_keypoints
    if not people:
        raise ValueError(f"labels {where}: expected a category named person or a category with keypoints, got neither")
    return people


def collect_people(content: Mapping[str, Any], chosen: Sequence[str], report: LabelReport) -> LabelledPeople:
    """Collect the annotations of people in a COCO file.

    If no annotation is in one of these categories, the people are the annotations with keypoints whose category is
    not listed.

    Args:
        content: Content of the file, see ``coco.load_coco``.
        chosen: Names or ids of the categories to use. Empty = see ``choose_categories``.
        report: Report that gets the number of people and what is left out.

    Raises:
        ValueError: If the categories are wrong, see ``choose_categories``, or two images have the same id.
    """
    annotations = content["annotations"]
    report.entries = len(annotations)
    categories = {category.key: category for category in _read_categories(content)}
    people = choose_categories(list(categories.values()), chosen, report.name)
    largest = max(people, key=lambda category: (bool(category.keypoint_names), category.people or 0))
    names = largest.keypoint_names
    used = {category.key for category in people if category.keypoint_names in ((), names)}
    unlisted = {key for each in annotations if each.get("keypoints") and (key := _category_key(each))} - set(categories)
    if not chosen and not any(_category_key(each) in {*used, None} for each in annotations):
        used |= unlisted
    images = _check_image_ids(content["images"], report.name)
    by_image: dict[str, list[Annotation]] = defaultdict(list)
    for annotation in annotations:
        key, image = _category_key(annotation), id_key(annotation.get("image_id"))
        if image not in images:
            report.left_out["annotations of an image that is not listed"] += 1
        elif key is None or key in used:
            by_image[image].append(annotation)
            if key is not None and key not in categories:
                report.notes[f"annotations of category {key}, which is not listed, are read as people"] += 1
        else:
            report.left_out[f"annotations of category {_describe(key, categories, people)}"] += 1
    return LabelledPeople(names, by_image)


def list_keypoints(category: Mapping[str, Any]) -> Sequence[str]:
    """List the keypoint names of an entry of ``categories``.

    Raises:
        ValueError: If these are not texts.
    """
    names = category.get("keypoints") or ()
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"categories: expected a list of keypoint names, got {names!r:.60}")
    return names


def _find_category(categories: Iterable[Category], name: str, where: str) -> list[Category]:
    found = [each for each in categories if name.strip().lower() in (each.key, each.name.strip().lower())]
    if not found:
        listed = ", ".join(f"{category.name} ({category.key})" for category in categories)
        raise ValueError(f"category: expected a category of {where}: {listed}, got {name!r}")
    return found


def _read_categories(content: Mapping[str, Any]) -> list[Category]:
    people = Counter(_category_key(each) for each in content["annotations"] if each.get("keypoints"))
    categories = []
    for entry in content["categories"]:
        key, names = id_key(entry.get("id")), normalise_names(list_keypoints(entry))
        categories.append(Category(key, str(entry.get("name")), names, people[key]))
    return categories


def _category_key(annotation: Annotation) -> str | None:
    value = annotation.get("category_id")
    return None if value is None else id_key(value)


def _check_image_ids(images: Sequence[Mapping[str, Any]], where: str) -> set[str]:
    files: dict[str, Any] = {}
    for entry in images:
        first = files.setdefault(id_key(entry.get("id")), entry.get("file_name"))
        if first != entry.get("file_name"):
            raise ValueError(
                f"labels {where}: expected one image with the id {entry.get('id')}, got {first} and "
                f"{entry.get('file_name')}; give each image its own id"
            )
    return set(files)


def _describe(key: str, categories: Mapping[str, Category], people: Sequence[Category]) -> str:
    if key not in categories:
        return f"{key}, which is not listed"
    category = categories[key]
    if not category.has_keypoints:
        return f"{category.name} ({key}), which has no keypoints"
    other = ", which has other keypoints" if category in people else ""
    return f"{category.name} ({key}){other}"
