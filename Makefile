# `make run` runs the main job, `make test` the test suite; both set up first what is missing.
SHELL := /bin/bash
PYTHON ?= python3
SCENARIO ?= scenarios/tempcnn_py_to_r.yaml
VENV := .venv/bin

.PHONY: run test test-slow test-long test-r test-julia test-differential test-flux test-julia-onnxruntime clean-networks scoreboard check-r lint mutants setup clean

run: setup
	$(VENV)/python -m harness run $(SCENARIO)

# The node cases run all runtimes side by side themselves.
NODE_CASES := tests/conformance/test_node_cases.py
# The oracles against each other, which say at the end how many cases of every operator they agreed on.
DIFFERENTIAL := tests/conformance/differential
OTHERS := -n 2 --dist loadfile tests/unit tests/integration tests/benchmarks tests/conformance --ignore $(NODE_CASES) \
	--ignore $(DIFFERENTIAL)
# Targets two by two, the lines of each together.
BOTH := $(MAKE) --no-print-directory --jobs 2 --output-sync=target

test: setup lint
	$(VENV)/python -m pytest -m "not slow" $(NODE_CASES)
	$(VENV)/python -m pytest -m "not slow" $(OTHERS)
	$(BOTH) test-julia test-r test-differential

test-slow: setup
	$(VENV)/python -m pytest -m slow $(NODE_CASES)
	$(VENV)/python -m pytest -m slow $(OTHERS)
	$(BOTH) test-flux test-julia-onnxruntime

# The own tests of the R and Julia packages, each in a single process, so that two of these run side by side.
test-r:
	bash scripts/test_r.sh

# R CMD check of the R package as CRAN does it, without the network: minutes.
check-r:
	bash scripts/check_r.sh

test-julia:
	bash scripts/test_julia.sh

# The oracles against each other, which wait for each other.
test-differential:
	$(VENV)/python -m pytest $(DIFFERENTIAL)

test-flux:
	bash scripts/test_julia.sh flux

test-julia-onnxruntime:
	bash scripts/test_julia.sh onnxruntime

# All cases of every operator and opset, in every oracle: up to half an hour, most of it Julia's compiler.
test-long: setup
	HARNESS_ALL_CASES=1 $(VENV)/python -m pytest $(DIFFERENTIAL)

# Draws 500 networks and compares each in every runtime: hours on two cores.
clean-networks: setup
	$(VENV)/python -m tests.networks.compare --networks 500

# ONNX's published cases on every reader, as docs/conformance.md and the README show them: most of an hour, as Julia compiles.
scoreboard: setup
	$(VENV)/python -m harness conformance --jobs 2

# Changes the code of the verdict and counts the changes that its tests notice: up to an hour on two cores.
mutants: setup
	$(VENV)/python scripts/mutants.py

lint:
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	$(VENV)/mypy

setup:
	@PYTHON="$(PYTHON)" bash scripts/setup.sh

clean:
	rm -rf build dist mutants .pytest_cache .mypy_cache .ruff_cache
