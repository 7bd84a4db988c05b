"""The script .venv/ros.sh: what a shell has to source to use the environment and the workspace."""

from __future__ import annotations

import shlex
from pathlib import Path

from environment import Environment

PREPEND = """\
_pose_ros_prepend() {  # NAME FOLDER: puts FOLDER in front of the list NAME, unless it is in it
  eval "_pose_ros_list=\\${$1:-}"
  case ":$_pose_ros_list:" in
    *":$2:"*) ;;
    *) export "$1=$2${_pose_ros_list:+:$_pose_ros_list}" ;;
  esac
}
"""
CLEAN_UP = "unset -f _pose_ros_prepend\nunset _pose_ros_list\n"


def script(root: Path, env: Environment) -> str:
    """The text of ros.sh, for sh, bash and zsh."""
    title = f"# Made by underlay/install.py. Use it with:  . {shlex.quote(str(env.prefix / 'ros.sh'))}\n"
    packages = _prepend("PATH", env.prefix / "bin")
    if env.distro:
        return title + _sourced_ros(root, env.distro) + PREPEND + packages + CLEAN_UP
    messages = _ros_from_wheels(root, env) if env.has_ros else ""
    return title + PREPEND + packages + messages + CLEAN_UP


def _sourced_ros(root: Path, distro: str) -> str:
    advice = f"pose_ros was built on ROS 2 {distro}: source that first, or run make setup again"
    return (
        f'[ "${{ROS_DISTRO:-}}" = {distro} ] || {{ echo "{advice}" >&2; return 1; }}\n'
        f". {shlex.quote(str(root / '.colcon/install/local_setup.sh'))}\n"
    )


def _ros_from_wheels(root: Path, env: Environment) -> str:
    install = root / ".colcon/install/pose_ros"
    # The start-up hook of the wheels would execute every Python a second time, to extend LD_LIBRARY_PATH, and leave
    # its children a mark that this is done. With the complete list set here it has nothing left to do.
    libraries = [install / "lib", env.prefix / "lib", *sorted(env.site_packages.glob("ros_*.libs"))]
    return (
        _prepend("AMENT_PREFIX_PATH", install, env.prefix)
        + _prepend("PYTHONPATH", install / "lib" / env.python.name / "site-packages")
        + _prepend("LD_LIBRARY_PATH", *libraries)
        + "export _ROS_WHEELS_BOOTSTRAP_COMPLETE=1\n"
    )


def _prepend(name: str, *folders: Path) -> str:
    return "".join(f"_pose_ros_prepend {name} {shlex.quote(str(folder))}\n" for folder in reversed(folders))
