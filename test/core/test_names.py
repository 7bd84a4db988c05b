"""Test names: one name means one type in the whole package."""

import ast
from collections import defaultdict
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "pose_ros"


@cache
def parse_files() -> list[tuple[str, ast.Module]]:
    files = sorted(path for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).parts[0] != "msg")
    return [(path.relative_to(PACKAGE).as_posix(), ast.parse(path.read_text(encoding="utf-8"))) for path in files]


def types_of(tree: ast.Module) -> list[str]:
    """Return the classes of a module, and its aliases: assigned names in CapWords."""
    classes = [node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    assigned = [
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    ]
    return classes + [name for name in assigned if is_cap_words(name)]


def is_cap_words(name: str) -> bool:
    plain = name.lstrip("_")
    return len(plain) > 1 and plain[0].isupper() and not plain.isupper() and "_" not in plain


def test_no_two_types_share_a_name() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for file, tree in parse_files():
        for name in types_of(tree):
            places[name].append(file)
    assert {name: files for name, files in places.items() if len(files) > 1} == {}


def test_array_types_have_one_home() -> None:
    """``npt.NDArray[np.float32]`` is ``FloatArray``. Other types without an alias are written in full."""
    aliases = {
        ast.unparse(node.value)
        for node in ast.parse((PACKAGE / "arrays.py").read_text()).body
        if isinstance(node, ast.Assign)
    }
    found = [
        f"{file}:{node.lineno}: {ast.unparse(node)}"
        for file, tree in parse_files()
        for node in ast.walk(tree)
        if isinstance(node, ast.Subscript) and ast.unparse(node) in aliases and file != "arrays.py"
    ]
    assert [each for each in found if "NDArray" in each] == []
