"""Configuration files: YAML to frozen dataclasses. The only reader of configuration in this package.

Every entry is checked against the type of its field. Every path is relative to the file that contains it.
"""

from __future__ import annotations

import difflib
import os
import types
import warnings
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from pose_ros.files import atomic_write
from pose_ros.skeleton import SKELETONS, Skeleton
from pose_ros.yaml_text import BoundedLoader, parse_yaml, read_yaml

T = TypeVar("T")
EXTENDS = "extends"


class _Located(str):
    """Text that remembers the folder of its file. As a path, it is relative to that folder."""

    folder: Path

    def path(self) -> Path:
        return Path(os.path.abspath(self.folder / Path(self).expanduser()))  # does not resolve symbolic links


def read_config(kind: type[T], path: Path, assignments: Sequence[str] = ()) -> T:
    """Read a configuration file.

    Args:
        kind: Dataclass of the configuration.
        path: YAML file. Its entry ``extends`` names another file. The entries of this file override those of the other.
        assignments: ``name=value`` texts that override the file, such as ``optimiser.rate=0.001``. Paths in them are
            relative to the working folder.

    Raises:
        FileNotFoundError: If a file does not exist.
        TypeError: If a value has the wrong type, or an entry is missing.
        ValueError: If an entry is unknown or out of range.
    """
    return build_config(kind, merge_assignments(_read(path, ()), assignments))


def build_config(kind: type[T], data: Any, name: str = "") -> T:
    """Build a dataclass, nested ones included, from plain data.

    A class may have two attributes for this: ``PATHS`` names its text fields that hold paths, and ``RENAMED`` maps
    former field names to current ones. A former name is accepted with a warning.

    Args:
        kind: The dataclass.
        data: Mapping of field names to values, as read from YAML.
        name: Name of the data, for errors.

    Raises:
        TypeError: If a value has the wrong type, or an entry is missing.
        ValueError: If an entry is unknown or out of range.
    """
    if not isinstance(data, Mapping):
        raise TypeError(f"{name or 'configuration'}: expected names and values, got {_type(data)} {data!r:.80}")
    data = _rename(kind, data, name)
    known = {field.name: field for field in fields(kind) if field.init}  # type: ignore[arg-type]
    for entry in data:
        if entry not in known:
            near = ", ".join(_find_near_names(str(entry), kind))
            raise ValueError(f"{_join_names(name, entry)}: expected a setting such as {near}, got {entry!r}")
    required = [each.name for each in known.values() if each.default is MISSING and each.default_factory is MISSING]
    if missing := [entry for entry in required if entry not in data]:
        got = ", ".join(map(str, data)) or "nothing"
        raise TypeError(f"{name or 'configuration'}: expected also {', '.join(missing)}, got {got}")
    hints, paths = get_type_hints(kind), getattr(kind, "PATHS", ())
    values = {
        entry: _text_path(value)
        if entry in paths
        else _value(hints[entry], _number_of(value, known[entry]), _join_names(name, entry))
        for entry, value in data.items()
    }
    return kind(**values)


def merge_assignments(data: Mapping[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """Override nested plain data by ``name=value`` texts. Dots in a name separate levels. A value is YAML.

    Raises:
        ValueError: If a text does not have this form.
    """
    merged = dict(data)
    for assignment in assignments:
        merged = _merge(merged, _parse_assignment(assignment))
    return merged


def to_plain(config: Any) -> Any:
    """Return a configuration as plain data for YAML and JSON. ``build_config`` reads it back."""
    if isinstance(config, Skeleton) and SKELETONS.get(config.name) == config:
        return config.name
    if is_dataclass(config):
        return {entry.name: to_plain(getattr(config, entry.name)) for entry in fields(config) if entry.init}
    if isinstance(config, Mapping):
        return {str(key): to_plain(value) for key, value in config.items()}
    if isinstance(config, (list, tuple)):
        return [to_plain(value) for value in config]
    return str(config) if isinstance(config, (Path, str)) else config


def write_config(config: Any, path: Path) -> None:
    """Write a configuration as YAML. ``read_config`` reads it back."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as unfinished:
        unfinished.write_text(yaml.safe_dump(to_plain(config), sort_keys=False, allow_unicode=True), encoding="utf-8")


def _join_names(name: str, entry: Any) -> str:
    return f"{name}.{entry}" if name else str(entry)


def _find_near_names(entry: str, kind: type[Any]) -> list[str]:
    """Find the settings with a similar name, nested ones included."""
    names = list(_list_names(kind))
    last = [name.rpartition(".")[2] for name in names]
    near = difflib.get_close_matches(entry, dict.fromkeys(last), n=3, cutoff=0.6)
    found = [name for each in near for name, end in zip(names, last, strict=True) if end == each]
    top = [name for name in names if "." not in name] if entry else []
    return found or difflib.get_close_matches(entry, top, n=3, cutoff=0.4) or top


def _list_names(kind: type[Any], prefix: str = "") -> Iterator[str]:
    """Yield the dotted names of all settings of a dataclass, groups included."""
    hints = get_type_hints(kind)
    for field in fields(kind):
        if field.init:
            yield prefix + field.name
            hint = hints[field.name]
            if is_dataclass(hint) and hint is not Skeleton:
                yield from _list_names(hint, f"{prefix}{field.name}.")  # type: ignore[arg-type]


def _rename(kind: type[Any], data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Replace former field names by current ones."""
    renamed: Mapping[str, str] = getattr(kind, "RENAMED", {})
    for old in renamed.keys() & data.keys():
        new = renamed[old]
        if new in data:
            raise ValueError(f"{_join_names(name, old)}: expected {new} alone, got both names")
        warnings.warn(
            f"{_join_names(name, old)} is now {_join_names(name, new)}: use the new name", FutureWarning, stacklevel=4
        )
    return {renamed.get(entry, entry): value for entry, value in data.items()}


def _read(path: Path, above: tuple[Path, ...]) -> dict[str, Any]:
    path = Path(os.path.abspath(path))
    if path in above:
        raise ValueError(f"{path}: expected no cycle of extends entries, got a file that extends itself")
    data = read_yaml(path, "configuration", _make_loader(path.parent))
    if not isinstance(data, dict):
        raise ValueError(f"{path}: expected names and values, got {_type(data)}")
    base = data.pop(EXTENDS, None)
    if base is None:
        return data
    if not isinstance(base, _Located):
        raise ValueError(f"{path}: {EXTENDS}: expected the name of a file, got {_type(base)} {base!r:.80}")
    return _merge(_read(base.path(), (*above, path)), data)


def _make_loader(folder: Path) -> type[BoundedLoader]:
    """Make a loader whose texts remember a folder."""

    def locate(loader: BoundedLoader, node: yaml.ScalarNode) -> _Located:
        value = _Located(node.value)
        value.folder = folder
        return value

    class Loader(BoundedLoader):
        pass

    Loader.add_constructor("tag:yaml.org,2002:str", locate)
    return Loader


def _merge(base: Any, change: Any) -> Any:
    """Merge mappings entry by entry. Replace anything else."""
    if not isinstance(base, dict) or not isinstance(change, dict):
        return change
    return {**base, **{key: _merge(base.get(key), value) for key, value in change.items()}}


def _parse_assignment(assignment: str) -> dict[str, Any]:
    name, equals, text = assignment.partition("=")
    if not (name and equals):
        raise ValueError(f"--set: expected NAME=VALUE, got {assignment!r}")
    value = parse_yaml(text, f"--set {name}", _make_loader(Path.cwd()))
    for part in reversed(name.split(".")):
        value = {part: value}
    return dict(value)


def _value(hint: Any, value: Any, name: str) -> Any:
    """Convert one value to the type of its field."""
    if get_origin(hint) in (Union, types.UnionType):
        options = [option for option in get_args(hint) if option is not type(None)]
        return None if value is None else _value(options[0], value, name)
    if get_origin(hint) is tuple:
        return _items(get_args(hint), value, name)
    if is_dataclass(hint):
        return _skeleton(value, name) if hint is Skeleton else build_config(hint, value, name)  # type: ignore[arg-type]
    return _SIMPLE[hint](value, name) if hint in _SIMPLE else value


def _items(kinds: tuple[Any, ...], value: Any, name: str) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple, array)):  # an array of numbers is how rclpy stores a parameter
        raise TypeError(f"{name}: expected a list, got {_type(value)} {value!r:.80}")
    if kinds[-1] is Ellipsis:
        kinds = (kinds[0],) * len(value)
    if len(kinds) != len(value):
        raise ValueError(f"{name}: expected {len(kinds)} values, got {len(value)}")
    return tuple(_value(kind, item, f"{name}[{i}]") for i, (kind, item) in enumerate(zip(kinds, value, strict=True)))


def _type(value: Any) -> str:
    return "str" if isinstance(value, str) else type(value).__name__


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name}: expected text, got {_type(value)} {value!r:.80}; put it in quotes")
    return str(value)


def _path(value: Any, name: str) -> Path:
    if not isinstance(value, (str, Path)):
        raise TypeError(f"{name}: expected a path, got {_type(value)} {value!r:.80}")
    return value.path() if isinstance(value, _Located) else Path(value)


def _number_of(value: Any, field: Field[Any]) -> Any:
    """Return the number of a word of a setting, and any other value unchanged."""
    words = field.metadata.get("words", {})
    return words.get(value, value) if isinstance(value, str) else value


def _text_path(value: Any) -> Any:
    if isinstance(value, _Located):
        return str(value.path()) if value else ""
    return value


def _float(value: Any, name: str) -> float:
    try:
        if not isinstance(value, bool):
            return float(value)  # accepts text, because YAML 1.1 reads 1e-3 as text
    except (TypeError, ValueError, OverflowError):
        pass
    raise TypeError(f"{name}: expected a number, got {_type(value)} {value!r:.80}")


def _integer(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name}: expected a whole number, got {_type(value)} {value!r:.80}")
    return value


def _truth(value: Any, name: str) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{name}: expected true or false, got {_type(value)} {value!r:.80}")
    return value


_SIMPLE = {str: _text, Path: _path, float: _float, int: _integer, bool: _truth}


def _skeleton(value: Any, name: str) -> Skeleton:
    """Return a known skeleton by its name, or build one. Limbs are pairs of indices or names."""
    if isinstance(value, Skeleton):
        return value
    if isinstance(value, str):
        if value not in SKELETONS:
            raise ValueError(f"{name}: expected one of {', '.join(SKELETONS)}, or a definition, got {str(value)!r:.80}")
        return SKELETONS[value]
    names = value.get("keypoint_names", ()) if isinstance(value, Mapping) else ()
    if not names:
        return build_config(Skeleton, value, name)
    entries = {key: _indices(value.get(key, ()), names, f"{name}.{key}") for key in ("limbs", "redundant_limbs")}
    return build_config(Skeleton, {**value, **entries}, name)


def _indices(limbs: Sequence[Any], names: Sequence[str], name: str) -> list[list[Any]]:
    pairs = isinstance(limbs, (list, tuple)) and all(isinstance(limb, (list, tuple)) for limb in limbs)
    if not (pairs and isinstance(names, (list, tuple))):
        raise TypeError(f"{name}: expected a list of pairs of keypoints, got {limbs!r:.80}")
    for limb in limbs:
        for end in limb:
            if isinstance(end, str) and end not in names:
                known = ", ".join(map(str, names))
                raise ValueError(f"{name}: expected keypoints of this skeleton ({known}), got {str(end)!r:.80}")
    return [[list(names).index(end) if isinstance(end, str) else end for end in limb] for limb in limbs]
