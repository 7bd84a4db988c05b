"""Test the cache of machine code on disk, and that it is invalid after any file changes."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pose_ros.decoder import jit

pytestmark = pytest.mark.skipif(not jit.COMPILED, reason="numba is not installed")

INNER = "from .jit import jit\n\n@jit\ndef inner(x):\n    return x + {added}\n"
OUTER = "from .inner import inner\nfrom .jit import jit\n\n@jit\ndef outer(x):\n    return 10 * inner(x)\n"
CALL = """
import json
from toy.outer import outer
value = outer(1)
stats = outer.stats
print(json.dumps([value, sum(stats.cache_hits.values()), sum(stats.cache_misses.values())]))
"""


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    """Make a package of two functions with its own copy of jit.py."""
    package = tmp_path / "toy"
    package.mkdir()
    shutil.copy(jit.__file__, package / "jit.py")
    (package / "__init__.py").write_text("")
    (package / "inner.py").write_text(INNER.format(added=1))
    (package / "outer.py").write_text(OUTER)
    return package


STAGES = """
import gc
from numba.core.dispatcher import Dispatcher
from pose_ros.config import DepthConfig, EstimatorConfig, SmoothingConfig
from pose_ros.estimator import PoseEstimator
from pose_ros.pipeline import PosePipeline

config = EstimatorConfig(smoothing=SmoothingConfig(enabled=True), depth=DepthConfig(enabled=True))
PosePipeline(PoseEstimator.load(runtime="onnx", config=config))
for function in [each for each in gc.get_objects() if isinstance(each, Dispatcher)]:
    for overload in function.overloads.values():
        if function.py_func.__module__.startswith("pose_ros."):
            print(function.py_func.__qualname__, "unicode" in str(overload.library._get_module_for_linking()))
"""


def test_no_stage_compiles_functions_for_text() -> None:
    """They took a fifth of the time until the first result: see ``jit``."""
    run = subprocess.run([sys.executable, "-c", STAGES], cwd="/", capture_output=True, text=True, check=True)
    has_text = dict(line.split() for line in run.stdout.splitlines())
    assert {"pair_costs", "match_pairs", "_smooth_rows", "_mark_duplicates"} <= set(has_text)
    slow = {name for name, found in has_text.items() if found == "True"}
    assert slow == set()


def call(toy: Path, **environment: str) -> list[int]:
    """Return value, cache hits and cache misses of ``outer(1)`` in a new process."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("NUMBA", "PYTHON"))}
    kept["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))  # colcon installs the package into a folder of its own
    done = subprocess.run(
        [sys.executable, "-c", CALL],
        cwd=toy.parent,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_second_process_compiles_nothing(toy: Path) -> None:
    assert call(toy) == [20, 0, 1]
    assert call(toy) == [20, 1, 0]


def test_a_changed_function_in_another_file_is_compiled_again(toy: Path) -> None:
    """numba alone would check only outer.py, and continue to add 1."""
    call(toy)
    (toy / "inner.py").write_text(INNER.format(added=200))
    assert call(toy) == [2010, 0, 1]
    assert call(toy) == [2010, 1, 0]


def test_a_new_file_makes_the_cache_invalid(toy: Path) -> None:
    call(toy)
    (toy / "third.py").write_text("")
    assert call(toy) == [20, 0, 1]


def test_without_a_writable_folder_each_process_compiles(toy: Path) -> None:
    (toy / "__pycache__").write_text("in the way")
    blocked = str(toy / "__pycache__" / "cache")
    for _ in range(2):
        value, hits, _ = call(toy, XDG_CACHE_HOME=blocked, HOME=blocked)
        assert value == 20 and hits == 0


def test_a_compiled_function_releases_the_gil_and_is_cached() -> None:
    from pose_ros.decoder.peaks import _scan

    assert _scan.targetoptions["nogil"]
    assert _scan._cache._cache_file._source_stamp == (jit._stamp(Path(jit.__file__).parent),)


def test_every_decoder_imports_without_numba() -> None:
    names = sorted(f"pose_ros.decoder.{path.stem}" for path in Path(jit.__file__).parent.glob("[!_]*.py"))
    assert "pose_ros.decoder.centernet" in names
    script = "import importlib, sys\nsys.modules['numba'] = None\n" + "".join(
        f"importlib.import_module({name!r})\n" for name in names
    )
    script += "from pose_ros.decoder.jit import COMPILED, jit\nassert not COMPILED and jit(len) is len\n"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
def test_damaged_files_are_compiled_again(toy: Path, suffix: str) -> None:
    call(toy)
    for file in (toy / "__pycache__").glob(f"*{suffix}"):
        file.write_bytes(file.read_bytes()[:60])
    assert call(toy)[0] == 20
    assert call(toy)[0] == 20
    if suffix == ".nbi":  # the index was replaced, so the third process can use it
        assert call(toy) == [20, 1, 0]
