# make demo · make test · make lint · make bench. Each runs the setup first. `make help` lists all targets.
# Options:  VIDEO=my.mp4 make demo     VIEW=1 make demo     PYTHON=python3.12 make setup     TORCH=torch make test
#          WS=~/ws TESTS=1 make venv

PYTHON ?=
WS ?=
TESTS ?=
VIDEO ?=
VIEW ?=
# PyTorch for the tests of networks and training: a CPU build. It is skipped if pip finds no such build.
TORCH ?= torch==2.13.0+cpu
SETUP = python3 underlay/install.py $(if $(PYTHON),--python "$(PYTHON)")
# Sources, messages and tables contain non-ASCII text. The locale must not matter.
export PYTHONUTF8 := 1
CACHES := .floors build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis pose_ros.egg-info

.PHONY: help setup venv demo test lint docs bench package floors release clean
.DEFAULT_GOAL := help

help:  ## show this list
	@sed -n 's/^\([a-z]*\):.*## /make \1\t/p' Makefile | expand -t 14

setup:  ## install missing packages into .venv and build the messages into .colcon
	@$(SETUP)

venv:  ## make .venv of the colcon workspace above this clone; WS=path: another one, TESTS=1: for colcon test
	@python3 underlay/ros_venv.py $(if $(WS),--workspace "$(WS)") $(if $(PYTHON),--python "$(PYTHON)") $(if $(TESTS),--tests)

demo: setup  ## find people in a video; VIDEO=path: your own video, VIEW=1: live page
	@. .venv/ros.sh && python demo/run.py $(if $(VIDEO),--video "$(VIDEO)") $(if $(VIEW),--view)

test:  ## run all tests on all cores; without ROS, PyTorch or a GPU, their tests are skipped
	@$(SETUP) $(if $(TORCH),--torch "$(TORCH)")
	@. .venv/ros.sh && pytest --numprocesses auto --maxprocesses 8 --dist worksteal

lint: setup  ## check style and types
	@. .venv/ros.sh && ruff check && ruff format --check && mypy

docs: setup  ## build the documentation site in output/docs, and check its links
	@. .venv/ros.sh && pip install -q -r docs/requirements.txt && sphinx-build -qW --keep-going docs output/docs
	@echo "output/docs/index.html"

bench: setup  ## run every benchmark
	@. .venv/ros.sh && for script in $$(grep -l __main__ benchmarks/*.py); do echo "== $$script"; python "$$script" || exit 1; done

package: setup  ## build the source distribution and the wheel in dist/, and install both in empty environments
	@. .venv/ros.sh && python underlay/distributions.py

floors:  ## test the lowest versions of all packages on Python 3.10, and the highest on Python 3.14
	@python3 underlay/floors.py

release: setup  ## list what is missing for a release
	@. .venv/ros.sh && python underlay/release.py

clean:  ## remove everything that these commands created
	rm -rf .venv .colcon output docs/_pages $(CACHES)
	find . -name __pycache__ -prune -exec rm -rf {} +
