"""Read the version for pip from package.xml. All other settings are in pyproject.toml."""

from pathlib import Path
from xml.etree import ElementTree

from setuptools import setup

manifest = ElementTree.parse(Path(__file__).parent / "package.xml")
setup(version=manifest.findtext("version"))
