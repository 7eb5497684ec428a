"""Two frameworks in one scenario, from the command line to the overview."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.runtimes.registry import RUNTIMES, availability
from tests.integration.conftest import Workplace

DOCUMENT: dict[str, Any] = {
    "scenario": "small",
    "title": "Two sources",
    "seed": 3,
    "data": {
        "source": "synthetic-radar",
        "options": {
            **{"frames": 90, "rows": 8, "columns": 8, "history": 2, "horizon": 2},
            **{"stride": 1, "separation": 2, "valid": 0.2, "test": 0.3},
        },
    },
    "model": {
        "name": "convlstm",
        "preset": "demetrakopoulos",
        "hyperparameters": {"filters": [3, 2], "kernels": [3, 1], "momentum": 0.1},
    },
    "source": {
        "frameworks": ["pytorch", "keras-tensorflow"],
        "training": {"epochs": 1, "batch_size": 8, "learning_rate": 0.01},
    },
    "routes": ["safetensors", {"route": "torch-script", "opset": 17}, {"route": "tf2onnx", "opset": 17}],
    "targets": ["python/pytorch", "python/keras-tensorflow", "python/onnxruntime"],
    "probe": {"samples": 8},
    "evaluate": 8,
    "layers": False,
}


@pytest.mark.slow
def test_every_source_goes_by_every_route_into_every_runtime(tmp_path: Path) -> None:
    for name in DOCUMENT["targets"]:
        if not (here := availability(RUNTIMES[name])).installed:
            pytest.skip(f"{name}: {here.reason}; install it with: {here.install}")
    workplace = Workplace(tmp_path, json.loads(json.dumps(DOCUMENT)))
    done = workplace.run()
    assert done.returncode == 0, done.stdout + done.stderr
    found = {}
    for framework in ("pytorch", "keras-tensorflow"):
        for cell in json.loads((workplace.results / framework / "cells.json").read_text()):
            found[cell["source"], cell["route"], cell["target"]] = cell["verdict"]
    assert found.pop(("pytorch", "safetensors", "python/pytorch")) == "identical"
    assert found.pop(("keras-tensorflow", "safetensors", "python/keras-tensorflow")) == "identical"
    assert set(found) == {
        ("pytorch", "safetensors", "python/keras-tensorflow"),
        ("pytorch", "torch-script", "python/onnxruntime"),
        ("keras-tensorflow", "safetensors", "python/pytorch"),
        ("keras-tensorflow", "tf2onnx", "python/onnxruntime"),
    }
    assert set(found.values()) <= {"identical", "equivalent"}
    before = (workplace.results / "pytorch" / "report.html").stat().st_mtime_ns
    again = workplace.run()
    assert again.returncode == 0
    assert "All of this was finished before." in again.stdout
    assert (workplace.results / "pytorch" / "report.html").stat().st_mtime_ns == before
