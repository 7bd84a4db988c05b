# make demo · make test · make lint · make bench. Each sets up what it needs first: `make help`.
# Options:  VIDEO=my.mp4 make demo     VIEW=1 make demo     PYTHON=python3.12 make setup     TORCH=torch make test

PYTHON ?=
VIDEO ?=
VIEW ?=
# What the tests of networks and training need: a build for the CPU, and none where pip finds no such build.
TORCH ?= torch==2.13.0+cpu
SETUP = python3 underlay/install.py $(if $(PYTHON),--python "$(PYTHON)")
# Sources, messages and tables hold more than ASCII, whatever the locale is.
export PYTHONUTF8 := 1
CACHES := .mypy_cache .pytest_cache .ruff_cache .hypothesis pose_ros.egg-info

.PHONY: help setup demo test lint bench clean
.DEFAULT_GOAL := help

help:  ## show this list
	@sed -n 's/^\([a-z]*\):.*## /make \1\t/p' Makefile | expand -t 14

setup:  ## install what is missing into .venv, build the messages into .colcon
	@$(SETUP)

demo: setup  ## find the people in a video; VIDEO=path for your own, VIEW=1 for the live page
	@. .venv/ros.sh && python demo/run.py $(if $(VIDEO),--video "$(VIDEO)") $(if $(VIEW),--view)

test:  ## run all tests; those for ROS, PyTorch or a GPU are skipped where there is none
	@$(SETUP) $(if $(TORCH),--torch "$(TORCH)")
	@. .venv/ros.sh && pytest

lint: setup  ## check style and types
	@. .venv/ros.sh && ruff check && ruff format --check && mypy

bench: setup  ## run every benchmark
	@. .venv/ros.sh && for script in $$(grep -l __main__ benchmarks/*.py); do echo "== $$script"; python "$$script" || exit 1; done

clean:  ## remove everything that these commands have made
	rm -rf .venv .colcon output $(CACHES)
	find . -name __pycache__ -prune -exec rm -rf {} +
