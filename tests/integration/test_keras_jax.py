"""Keras on JAX in a scenario: as a source that goes by each of its routes, and where its environment cannot be made."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

import pytest

from harness.runtimes.registry import RUNTIMES, availability
from tests.integration.conftest import SMALL, Workplace

JAX = "python/keras-jax"


def cells(workplace: Workplace) -> dict[tuple[str, str], dict[str, Any]]:
    found = json.loads((workplace.results / "cells.json").read_text())
    return {(cell["route"], cell["target"]): cell for cell in found}


@pytest.mark.slow
def test_it_trains_and_goes_by_every_route_into_every_runtime(tmp_path: Path) -> None:
    targets = [JAX, "python/keras-tensorflow", "python/pytorch", "python/onnxruntime", "r/base"]
    for name in targets:
        if not (here := availability(RUNTIMES[name])).installed:
            pytest.skip(f"{name}: {here.reason}; install it with: {here.install}")
    document = copy.deepcopy(SMALL) | {"targets": targets}
    document["source"]["framework"] = "keras-jax"
    document["routes"] = ["safetensors", "keras-backend-swap", {"route": "keras-export", "opset": 17}]
    workplace = Workplace(tmp_path, document)
    done = workplace.run()
    assert done.returncode == 0, done.stdout + done.stderr
    found = {place: cell["verdict"] for place, cell in cells(workplace).items()}
    assert found.pop(("safetensors", JAX)) == found.pop(("keras-backend-swap", JAX)) == "identical"
    assert set(found) == {
        ("safetensors", "python/keras-tensorflow"),
        ("safetensors", "python/pytorch"),
        ("keras-backend-swap", "python/keras-tensorflow"),
        ("keras-export", "python/onnxruntime"),
        ("keras-export", "r/base"),
    }
    assert set(found.values()) == {"equivalent"}
    record = json.loads((workplace.results / "manifest.json").read_text())
    assert record["training"]["framework"] == "keras-jax"
    assert {"keras", "jax", "jaxlib"} <= set(record["training"]["versions"])
    assert "environment.lock" in record["runtimes"][JAX]["versions"]


def test_where_its_environment_cannot_be_made_its_cells_say_so_and_the_others_stand(tmp_path: Path) -> None:
    if not (here := availability(RUNTIMES["python/pytorch"])).installed:
        pytest.skip(f"python/pytorch: {here.reason}; install it with: {here.install}")
    document = copy.deepcopy(SMALL) | {"routes": ["safetensors"], "targets": ["python/pytorch", JAX]}
    workplace = Workplace(tmp_path, document)
    done = workplace.run(environment={**os.environ, "HARNESS_CACHE": str(tmp_path / "cache"), "PIP_NO_INDEX": "1"})
    assert done.returncode == 0, done.stdout + done.stderr
    found = cells(workplace)
    assert found["safetensors", "python/pytorch"]["verdict"] == "identical"
    refused = found["safetensors", JAX]
    assert refused["verdict"] == "unavailable"
    assert "the Python environment python-keras-jax cannot be made: " in refused["error"]
    assert "python -m harness prepare python/keras-jax" in (workplace.results / "report.md").read_text()
    assert not list((tmp_path / "cache" / "environments").glob("*/bin"))
