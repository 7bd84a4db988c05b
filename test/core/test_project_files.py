"""Test the files for strangers: they can be parsed, agree with each other, and name no invented address."""

from __future__ import annotations

import fnmatch
import importlib.util
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest
import yaml

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
YAML_FILES = [
    ROOT / ".pre-commit-config.yaml",
    ROOT / "CITATION.cff",
    *sorted((ROOT / ".github").rglob("*.yml")),
]
PAGES = (
    "README.md",
    "SECURITY.md",
    "CODE_OF_CONDUCT.md",
    "QUALITY_DECLARATION.md",
    "docs/install.md",
    "docs/releases.md",
)
COMMAND = re.compile(r"\b(?:TESTS=1 )?make (?:-C \S+ )?([a-z]+)\b")


def load(file: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Import a file that is not part of a package."""
    monkeypatch.syspath_prepend(str(ROOT / "underlay"))
    spec = importlib.util.spec_from_file_location(f"tested_{Path(file).stem}", ROOT / file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    before = set(sys.modules)
    spec.loader.exec_module(module)
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(ROOT / "underlay")):
            monkeypatch.delitem(sys.modules, name)
    return module


@pytest.mark.parametrize("file", YAML_FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_yaml_is_valid(file: Path) -> None:
    assert yaml.safe_load(file.read_text(encoding="utf-8"))


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("workflow", sorted((ROOT / ".github/workflows").glob("*.yml")), ids=lambda path: path.name)
def test_workflows_call_commands_of_the_project(workflow: Path) -> None:
    jobs = yaml.safe_load(workflow.read_text())["jobs"]
    commands = "\n".join(step.get("run", "") for job in jobs.values() for step in job["steps"])
    called = set(COMMAND.findall(commands))
    assert called or ".ci/run" in commands
    assert called <= make_targets() | {"docs"}  # the documentation is built by its own rooms of the Makefile


@pytest.mark.parametrize("page", [*PAGES, "CONTRIBUTING.md", ".pre-commit-config.yaml"])
def test_documents_name_existing_commands(page: str) -> None:
    commands = re.findall(
        r"(?:^    |`|&& )(?:\S+=\S+ )?make (?:-C \S+ )?([a-z]+)", (ROOT / page).read_text(), re.MULTILINE
    )
    assert set(commands) <= make_targets()


def test_checks_of_a_change_are_those_of_the_workflow() -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]
    assert {"run": ".ci/run"} in jobs["checks"]["steps"]
    assert jobs["workspace"]["strategy"]["matrix"]["distro"] == ["humble", "jazzy", "kilted", "lyrical"]


def test_citation_has_the_version_and_the_licence_of_the_package() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    manifest = ElementTree.parse(ROOT / "package.xml")
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["version"] == manifest.findtext("version")
    assert citation["license"] == manifest.findtext("license") == PYPROJECT["project"]["license"]


@pytest.mark.parametrize("page", PAGES)
def test_links_to_files_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    assert [target for target in targets if not (ROOT / page).parent.joinpath(target).exists()] == []


def test_pixi_has_the_floors_of_the_package() -> None:
    pixi = tomllib.loads((ROOT / "pixi.toml").read_text())
    floors = {**pixi["dependencies"], **pixi["pypi-dependencies"]}
    names = {"opencv-python-headless": "py-opencv"}
    for requirement in PYPROJECT["project"]["dependencies"]:
        name, _, floor = requirement.partition(">=")
        assert floors[names.get(name, name)] == f">={floor}"
    assert floors["python"] == PYPROJECT["project"]["requires-python"]


def test_apt_versions_suit_pytest() -> None:
    """``colcon test`` may run with the pytest of apt: 7.4 on Ubuntu 24.04."""
    options = PYPROJECT["tool"]["pytest"]["ini_options"]
    assert tuple(map(int, options["minversion"].split("."))) <= (7, 4)
    assert not [option for option in options["addopts"] if option.startswith("-p ")]


# Requirements, release ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("extra", [None, *PYPROJECT["project"]["optional-dependencies"]])
def test_requirements_are_those_of_pyproject(extra: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    project = PYPROJECT["project"]
    wanted = project["optional-dependencies"][extra] if extra else project["dependencies"]
    assert load("underlay/requirements.py", monkeypatch).read_requirements(ROOT / "pyproject.toml", extra) == wanted


@pytest.mark.parametrize("shell", ["/", None, "link"], ids=["elsewhere", "unknown", "link"])
def test_the_workspace_is_found(shell: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = load("underlay/ros_venv.py", monkeypatch)
    clone = tmp_path / ("clones" if shell == "link" else "ws/src") / "pose_ros"
    clone.mkdir(parents=True)
    (tmp_path / "ws/src").mkdir(parents=True, exist_ok=True)
    if shell == "link":
        (tmp_path / "ws/src/link").symlink_to(clone)
    monkeypatch.setattr(module, "ROOT", clone)
    monkeypatch.delenv("PWD", raising=False)
    if shell:
        monkeypatch.setenv("PWD", str(tmp_path / "ws/src" / shell))
    assert module.find_workspace(None) == tmp_path / "ws"
    monkeypatch.setattr(module, "ROOT", tmp_path)
    with pytest.raises(module.SetupError, match="set WS=<workspace>"):
        module.find_workspace(None)


def test_a_workspace_needs_ros(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ROS_DISTRO", raising=False)
    module = load("underlay/ros_venv.py", monkeypatch)
    with pytest.raises(module.SetupError, match="no ROS 2 is sourced"):
        module.make(tmp_path, None, has_tests=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("folder", ["a folder", "Kl\u00f6n"])
def test_a_path_that_ros_cannot_build_in_is_refused_at_once(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The CMake files of rosidl cut a path at letters beyond ASCII, but not at spaces."""
    monkeypatch.setenv("ROS_DISTRO", "jazzy")
    module = load("underlay/ros_venv.py", monkeypatch)
    monkeypatch.setattr(module, "choose_python", lambda *_: pytest.fail("too late"))
    if folder.isascii():
        load("underlay/workspace.py", monkeypatch).check_path(tmp_path / folder)
    else:
        with pytest.raises(module.SetupError, match=r"path: expected ASCII letters.*; move the folder"):
            module.make(tmp_path / folder, None, has_tests=False)


def test_the_images_have_the_files_that_they_need() -> None:
    """What CMake installs and pip reads is in the context of Docker, and pip's files are copied."""
    admitted = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    cmake = (ROOT / "CMakeLists.txt").read_text()
    installed = {name.partition("/")[0] for name in re.findall(r"\b(?:scripts|examples)/\w+", cmake)}
    (folders,) = re.findall(r"foreach\(folder (launch [^)]*)\)", cmake)
    assert installed == {"scripts", "examples"}
    licences = set(PYPROJECT["project"]["license-files"])
    assert installed | set(folders.split()) | licences <= admitted
    for file in ("desktop", "jetson"):
        (copied,) = re.findall(r"^COPY (pyproject.toml .*) /opt/pose_ros/$", _read(f"docker/{file}.Dockerfile"), re.M)
        assert licences | {"setup.py", "package.xml", "README.md"} <= set(copied.split())


def test_advice_of_pip_has_the_versions_of_pyproject() -> None:
    project = PYPROJECT["project"]
    extras = [each for requirements in project["optional-dependencies"].values() for each in requirements]
    known = {*project["dependencies"], *extras}
    floors = {re.sub(r"\.0$", "", each) for each in known}
    files = [*(ROOT / "pose_ros").rglob("*.py"), *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").rglob("*.yaml")]
    named = {
        (file.name, each)
        for file in files
        for each in re.findall(r"""pip install ['"]([a-z_\[\]-]+>=[\d.]+)""", file.read_text(encoding="utf-8"))
    }
    named = {(file, each) for file, each in named if not each.startswith("coverage")}  # a floor for numba only
    assert len(named) >= 5 and {each for _, each in named} <= floors | known, named
    # pip knows the extras of this package only in a folder with its files
    assert not [file for file in files if re.search(r"pip install ['\"]?pose_ros\[", file.read_text(encoding="utf-8"))]


def _read(file: str) -> str:
    return (ROOT / file).read_text(encoding="utf-8")


@pytest.mark.parametrize("numpy", ["1.21.5", "2.2.0"])
def test_a_workspace_keeps_the_numpy_of_ros_and_gets_a_coverage_for_numba(
    numpy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """colcon of apt brings a coverage with which numba cannot be imported."""
    module = load("underlay/ros_venv.py", monkeypatch)
    facts = {"executable": sys.executable, "version": sys.version_info[:2], "include": "/", "has_venv": True}
    python = load("underlay/pythons.py", monkeypatch).Python(**facts, has_rclpy=True, numpy=numpy)
    installed: list[str] = []
    monkeypatch.setenv("ROS_DISTRO", "humble")
    monkeypatch.setattr(module, "choose_python", lambda *_: python)
    monkeypatch.setattr(module, "require_tools", lambda *_, builds: None)
    monkeypatch.setattr(module, "run", lambda *_: f"{numpy} /numpy\n")
    monkeypatch.setattr(module.Environment, "create", lambda self: self.prefix.mkdir())
    monkeypatch.setattr(module.Environment, "pip", lambda _, *words: installed.extend(words))
    env = module.make(tmp_path, None, has_tests=False)
    assert (env.prefix / "COLCON_IGNORE").exists()
    assert Path(installed[installed.index("--constraint") + 1]).read_text() == f"numpy=={numpy[0]}.*\n"
    assert set(PYPROJECT["project"]["dependencies"]) | {"coverage>=7.6.1"} <= set(installed)


@pytest.fixture
def release_files(tmp_path: Path) -> Path:
    for name in ("package.xml", "CITATION.cff", "CHANGELOG.rst"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def test_leftovers_before_a_release_are_listed(release_files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find_leftovers = load("underlay/release.py", monkeypatch).find_leftovers
    manifest, citation, changelog = (release_files / name for name in ("package.xml", "CITATION.cff", "CHANGELOG.rst"))
    version = ElementTree.parse(manifest).findtext("version")
    text = re.sub(r"\n  <url [^\n]*", "", re.sub(r'email="[^"]*"', 'email="x@noreply.example"', manifest.read_text()))
    manifest.write_text(text)
    citation.write_text(re.sub(r"^(repository-code|date-released):.*\n", "", citation.read_text(), flags=re.MULTILINE))
    found = "\n".join(find_leftovers(release_files))
    for word in ("'website'", "'repository'", "'bugtracker'", "receives mail", "repository-code", "date-released"):
        assert word in found
    urls = "".join(f'<url type="{kind}">https://example.org</url>' for kind in ("website", "repository", "bugtracker"))
    manifest.write_text(text.replace("x@noreply.example", "me@example.org").replace("<author>", f"{urls}<author>", 1))
    citation.write_text(citation.read_text() + "repository-code: https://example.org\ndate-released: 2026-12-01\n")
    changelog.write_text(
        re.sub(r"^Forthcoming\n-+", f"{version} (2026-12-01)\n-----", changelog.read_text(), flags=re.M)
    )
    assert find_leftovers(release_files) == []
    citation.write_text(citation.read_text().replace(f"version: {version}", "version: 0.0.9"))
    assert find_leftovers(release_files) == [f"CITATION.cff: expected version {version}, got 0.0.9"]


def test_no_address_of_the_repository_is_invented() -> None:
    """The address stands in package.xml and CITATION.cff alone. Until it is there, no other file names one."""
    given = [url.text or "" for url in ElementTree.parse(ROOT / "package.xml").findall("url")]
    pages = [ROOT / page for page in PAGES] + [ROOT / "pyproject.toml", *YAML_FILES]
    named = {
        address
        for page in pages
        for address in re.findall(r"https?://[^\s)>\"'\]]*pose_ros[^\s)>\"'\]]*", page.read_text(encoding="utf-8"))
    }
    assert [address for address in named if not address.startswith(tuple(given))] == [] if given else named == set()


# Distributions -----------------------------------------------------------------------------------------------------

README = "![a](docs/a.gif) [b](docs/b.md#c) [d](https://example.org) [e](#f)"


@pytest.mark.parametrize(
    ("repository", "expected"),
    [
        (None, " b [d](https://example.org) [e](#f)"),
        (
            "https://example.org/r",
            "![a](https://example.org/r/raw/0.2.0/docs/a.gif) [b](https://example.org/r/blob/0.2.0/docs/b.md#c) "
            "[d](https://example.org) [e](#f)",
        ),
    ],
    ids=["not published", "published"],
)
def test_the_description_for_pip_has_no_relative_links(
    repository: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("setuptools", reason="needs setuptools, which Python 3.12 and later do not bring")
    assert load("setup.py", monkeypatch).make_long_description(README, repository, "0.2.0") == expected


def make_distributions(module: ModuleType, folder: Path, without: str = "", model_bytes: int = 100) -> list[Path]:
    sdist, wheel = folder / "p-1.tar.gz", folder / "p-1.whl"
    (folder / "empty").touch()
    with tarfile.open(sdist, "w:gz") as archive:
        for name in module.IN_SDIST:
            if name != without:
                archive.add(folder / "empty", f"p-1/{name}")
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in module.IN_WHEEL:
            if name != without:
                archive.writestr(name, bytes(model_bytes) if name == module.MODEL else b"")
    return [sdist, wheel]


@pytest.mark.parametrize(
    ("without", "expected"),
    [("", []), ("package.xml", ["expected package.xml"]), ("pose_ros/py.typed", ["expected pose_ros/py.typed"])],
)
def test_missing_files_of_a_distribution_are_reported(
    without: str, expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = load("underlay/distributions.py", monkeypatch)
    faults = module.find_faults(*make_distributions(module, tmp_path, without))
    assert len(faults) == len(expected) and all(text in fault for text, fault in zip(expected, faults, strict=True))


def test_unwanted_and_large_files_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = load("underlay/distributions.py", monkeypatch)
    monkeypatch.setattr(module, "IN_SDIST", (*module.IN_SDIST, "docs/_pages/readme.md"))
    sdist, wheel = make_distributions(module, tmp_path)
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("pose_ros/ros/node/process.py", bytes(module.MOST_BESIDES_MODEL + 1000))
    faults = module.find_faults(sdist, wheel)
    assert faults[:2] == ["expected no pose_ros/ros/node/process.py", "expected no docs/_pages/readme.md"]
    assert "besides the model" in faults[2]


def test_the_listed_files_of_the_distributions_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    module = load("underlay/distributions.py", monkeypatch)
    assert [name for name in (*module.IN_SDIST, *module.IN_WHEEL) if not (ROOT / name).exists()] == []


def test_the_manifest_names_every_file_of_the_repository() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=False, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("needs a git checkout")
    folders = {line.split("/")[0] for line in listed.stdout.splitlines() if "/" in line}
    manifest = (ROOT / "MANIFEST.in").read_text()
    assert folders <= set(re.findall(r"^graft (\S+)", manifest, re.MULTILINE))
    patterns = " ".join(re.findall(r"^include (.+)", manifest, re.MULTILINE)).split()
    files = [line for line in listed.stdout.splitlines() if "/" not in line]
    assert [file for file in files if not any(fnmatch.fnmatch(file, pattern) for pattern in patterns)] == []


def test_no_part_of_the_wheel_imports_a_part_that_is_left_out() -> None:
    """Except inside functions, where a command reports what is missing."""
    left_out = [name.rstrip("*") for name in PYPROJECT["tool"]["setuptools"]["packages"]["find"]["exclude"]]
    importing = re.compile(rf"^(?:from|import) (?:{'|'.join(map(re.escape, left_out))})", re.MULTILINE)
    for module in (ROOT / "pose_ros").rglob("*.py"):
        name = ".".join(module.relative_to(ROOT).with_suffix("").parts)
        if not name.startswith(tuple(left_out)):
            assert not importing.search(module.read_text()), name
