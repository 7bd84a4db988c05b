"""YAML into nested settings: every entry checked against the type of its field, every path relative to its file."""

from __future__ import annotations

import difflib
import os
import types
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from pose_ros.skeleton import SKELETONS, Skeleton

T = TypeVar("T")
EXTENDS = "extends"


class _Located(str):
    """A text that remembers the folder of its file: as a path, it is relative to that."""

    folder: Path

    def path(self) -> Path:
        return Path(os.path.abspath(self.folder / Path(self).expanduser()))  # links in it keep their names


def read_settings(kind: type[T], path: Path, assignments: Sequence[str] = ()) -> T:
    """Read settings from YAML.

    Args:
        kind: The dataclass of the settings.
        path: The file. Its entry ``extends`` names another file, whose entries it changes.
        assignments: ``name=value``, stronger than the file, such as ``optimiser.rate=0.001``; paths among them are
            relative to the working folder.

    Raises:
        FileNotFoundError: If a file does not exist.
        TypeError: If a value is of another type.
        ValueError: If an entry is unknown, missing or out of range.
    """
    data = _read(path, ())
    for assignment in assignments:
        data = _merged(data, _assigned(assignment))
    return built(kind, data, "")


def built(kind: type[T], data: Any, name: str) -> T:
    """Plain data made into a dataclass, nested ones too; ``name`` says in errors where it stands.

    Texts that are paths, in a class whose fields are not of the type Path, are named in its attribute ``PATHS``.

    Raises:
        TypeError: If a value is of another type.
        ValueError: If an entry is unknown, missing or out of range.
    """
    if not isinstance(data, Mapping):
        raise TypeError(f"{name or 'settings'}: expected names and values, got {type(data).__name__} {data!r}")
    known = {field.name for field in fields(kind) if field.init}  # type: ignore[arg-type]
    for entry in data:
        if entry not in known:
            near = difflib.get_close_matches(str(entry), known, n=3, cutoff=0.4) or sorted(known)
            raise ValueError(f"{_inside(name, entry)}: expected a setting such as {', '.join(near)}, got {entry!r}")
    hints, paths = get_type_hints(kind), getattr(kind, "PATHS", ())
    values = {
        entry: _text_path(value) if entry in paths else _value(hints[entry], value, _inside(name, entry))
        for entry, value in data.items()
    }
    try:
        return kind(**values)
    except TypeError as error:
        if "__init__() missing" not in str(error):
            raise
        raise TypeError(f"{name or 'settings'}: expected all entries, got {str(error).split('() ')[1]}") from error


def plain(settings: Any) -> Any:
    """Settings as plain data for YAML and checkpoints; ``built`` reads them back."""
    if is_dataclass(settings):
        return {entry.name: plain(getattr(settings, entry.name)) for entry in fields(settings) if entry.init}
    if isinstance(settings, Mapping):
        return {str(key): plain(value) for key, value in settings.items()}
    if isinstance(settings, (list, tuple)):
        return [plain(value) for value in settings]
    return str(settings) if isinstance(settings, Path) else settings


def write_settings(settings: Any, path: Path) -> None:
    """Write settings as YAML; ``read_settings`` reads them back."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(plain(settings), sort_keys=False, allow_unicode=True), encoding="utf-8")


def yaml_text(path: Path, name: str) -> str:
    """Read a file that ought to be YAML; it is not parsed.

    Args:
        path: The file.
        name: What it is, for errors.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no text.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{name}: expected a YAML file, got {path}, which does not exist")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{name}: expected a YAML file, got {path}, which is no text") from error


def _inside(name: str, entry: Any) -> str:
    return f"{name}.{entry}" if name else str(entry)


def _read(path: Path, above: tuple[Path, ...]) -> dict[str, Any]:
    path = Path(os.path.abspath(path))
    if path in above:
        raise ValueError(f"{path}: expected files that extend others, got one that extends itself")
    data = _parsed(yaml_text(path, "settings"), path.parent, str(path))
    if not isinstance(data, dict):
        raise ValueError(f"{path}: expected names and values, got {type(data).__name__}")
    base = data.pop(EXTENDS, None)
    return data if base is None else _merged(_read(base.path(), (*above, path)), data)


def _parsed(text: str, folder: Path, source: str) -> Any:
    def located(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> _Located:
        value = _Located(node.value)
        value.folder = folder
        return value

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_constructor("tag:yaml.org,2002:str", located)
    try:
        return yaml.load(text, Loader)
    except yaml.YAMLError as error:
        raise ValueError(f"{source}: expected YAML, got: {error}") from error


def _merged(base: Any, change: Any) -> Any:
    """Mappings entry by entry; anything else is replaced."""
    if not isinstance(base, dict) or not isinstance(change, dict):
        return change
    return {**base, **{key: _merged(base.get(key), value) for key, value in change.items()}}


def _assigned(assignment: str) -> dict[str, Any]:
    name, equals, text = assignment.partition("=")
    if not equals:
        raise ValueError(f"--set: expected NAME=VALUE, got {assignment!r}")
    value = _parsed(text, Path.cwd(), "--set")
    for part in reversed(name.split(".")):
        value = {part: value}
    return dict(value)


def _value(hint: Any, value: Any, name: str) -> Any:
    """One value, made into what its field wants."""
    if get_origin(hint) in (Union, types.UnionType):
        options = [option for option in get_args(hint) if option is not type(None)]
        return None if value is None else _value(options[0], value, name)
    if get_origin(hint) is tuple:
        return _items(get_args(hint), value, name)
    if is_dataclass(hint):
        return _skeleton(value, name) if hint is Skeleton else built(hint, value, name)  # type: ignore[arg-type]
    if hint in _SIMPLE:
        return _SIMPLE[hint](value, name)
    return _plain_text(value)


def _plain_text(value: Any) -> Any:
    return str(value) if isinstance(value, _Located) else value


def _items(kinds: tuple[Any, ...], value: Any, name: str) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"{name}: expected a list, got {type(value).__name__} {value!r}")
    if kinds[-1] is Ellipsis:
        kinds = (kinds[0],) * len(value)
    if len(kinds) != len(value):
        raise ValueError(f"{name}: expected {len(kinds)} values, got {len(value)}")
    return tuple(_value(kind, item, f"{name}[{i}]") for i, (kind, item) in enumerate(zip(kinds, value, strict=True)))


def _path(value: Any, name: str) -> Path:
    if not isinstance(value, (str, Path)):
        raise TypeError(f"{name}: expected a path, got {type(value).__name__} {value!r}")
    return value.path() if isinstance(value, _Located) else Path(value)


def _text_path(value: Any) -> Any:
    return str(value.path()) if isinstance(value, _Located) and value else value


def _number(value: Any, name: str) -> Any:
    """YAML 1.1 takes ``1e-3`` for a text, as it has no point."""
    try:
        return float(value) if not isinstance(value, bool) else value
    except (TypeError, ValueError):
        return _plain_text(value)


_SIMPLE = {Path: _path, float: _number}


def _skeleton(value: Any, name: str) -> Skeleton:
    """A known skeleton by its name, or one's own, with limbs as pairs of indices or of names."""
    if isinstance(value, str):
        if value not in SKELETONS:
            raise ValueError(f"{name}: expected one of {', '.join(SKELETONS)}, or an own definition, got {value!r}")
        return SKELETONS[value]
    names = value.get("keypoint_names", ()) if isinstance(value, Mapping) else ()
    if not names:
        return built(Skeleton, value, name)
    entries = {key: _indices(value.get(key, ()), names, f"{name}.{key}") for key in ("limbs", "redundant_limbs")}
    return built(Skeleton, {**value, **entries}, name)


def _indices(limbs: Sequence[Any], names: Sequence[str], name: str) -> list[list[Any]]:
    for limb in limbs:
        for end in limb:
            if isinstance(end, str) and end not in names:
                raise ValueError(f"{name}: expected keypoints of this skeleton ({', '.join(names)}), got {str(end)!r}")
    return [[list(names).index(end) if isinstance(end, str) else end for end in limb] for limb in limbs]
