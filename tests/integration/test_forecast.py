"""A nowcast from end to end: frames, a recurrence that exporters unroll, decisions in every pixel."""

from __future__ import annotations

import csv
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import Workplace, needs_r

DATA: dict[str, Any] = {
    "source": "synthetic-radar",
    "options": {
        **{"frames": 90, "rows": 12, "columns": 10, "history": 2, "horizon": 2},
        **{"stride": 1, "separation": 2, "valid": 0.2, "test": 0.3},
    },
}
DOCUMENT: dict[str, Any] = {
    "scenario": "small",
    "title": "A small nowcast",
    "seed": 3,
    "data": DATA,
    "model": {
        "name": "convlstm",
        "preset": "thesis-keras",
        "hyperparameters": {"filters": [4, 3], "kernels": [3, 1], "momentum": 0.1},
    },
    "source": {"training": {"epochs": 2, "batch_size": 8, "learning_rate": 0.01, "loss": "bce"}},
    "routes": ["safetensors", {"route": "torch-script", "opset": 17}, "torch-scan"],
    "targets": ["python/pytorch", "python/onnxruntime", "python/onnx2torch", "r/base"],
    "probe": {"samples": 16},
    "evaluate": 20,
    "layers": False,
    "expect": {"default": "equivalent", "python/onnx2torch": "unsupported"},
}


@pytest.fixture(scope="module")
def nowcast(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    workplace = Workplace(tmp_path_factory.mktemp("nowcast"), json.loads(json.dumps(DOCUMENT)))
    done = workplace.run()
    assert done.returncode == 0, done.stderr
    return workplace


def read(workplace: Workplace, name: str) -> Any:
    return json.loads((workplace.results / name).read_text())


def test_every_cell_that_can_run_is_as_expected(nowcast: Workplace) -> None:
    cells = {(cell["route"], cell["target"]): cell for cell in read(nowcast, "cells.json")}
    assert cells["safetensors", "python/pytorch"]["verdict"] == "identical"
    found = cells["torch-script", "python/onnxruntime"]
    assert found["verdict"] in ("identical", "equivalent")
    assert {row["relation"] for row in found["parameters"]["rows"]} == {"equal"}
    assert "used by 2 nodes" in {row["note"] for row in found["parameters"]["rows"]}
    mask = read(nowcast, "manifest.json")["data"]["forecast"]
    # Three thresholds in every pixel with data of every step.
    assert found["decisions"]["rule"] == "exceedance"
    assert 0 < found["decisions"]["decisions"] < 16 * 2 * mask["rows"] * mask["columns"] * 3
    assert found["head"] == "sigmoid"


def test_time_that_is_kept_is_one_scan_per_layer_with_the_sources_parameters(nowcast: Workplace) -> None:
    cells = {(cell["route"], cell["target"]): cell for cell in read(nowcast, "cells.json")}
    found = cells["torch-scan", "python/onnxruntime"]
    assert found["verdict"] in ("identical", "equivalent")
    assert {row["relation"] for row in found["parameters"]["rows"]} == {"equal"}
    assert (found["structure"]["loops"], found["structure"]["steps"]) == ({"Scan": 2}, 1)
    unrolled = cells["torch-script", "python/onnxruntime"]["structure"]
    assert (unrolled["loops"], unrolled["steps"]) == ({}, 2)
    with (nowcast.results / "tables" / "structure.csv").open() as file:
        rows = {row["route"]: row for row in csv.DictReader(file)}
    assert rows["torch-scan-opset18-folded"]["time"] == "2 × Scan"
    assert rows["torch-script-opset17-folded"]["time"] == "unrolled, 2 steps"
    assert {row["frozen"] for row in rows.values() if row["nodes"]} == {"none"}
    assert (nowcast.results / "figures" / "node_counts.svg").exists()


@pytest.mark.skipif(find_spec("onnx2torch") is None, reason="the package onnx2torch is not installed")
def test_back_in_pytorch_every_step_has_weights_of_its_own(nowcast: Workplace) -> None:
    cells = {(cell["route"], cell["target"]): cell for cell in read(nowcast, "cells.json")}
    found = cells["torch-script", "python/onnx2torch"]
    assert found["verdict"] in ("identical", "equivalent")
    held = found["parameters"]
    assert (held["verdict"], held["copies"]) == ("identical", 2)
    assert held["target_count"] - held["copied_count"] == held["source_count"]
    assert f"{held['source_count']:,} parameters in 2 copies" in (nowcast.results / "report.md").read_text()
    refused = cells["torch-scan", "python/onnx2torch"]
    assert refused["verdict"] == "unsupported"
    assert refused["error"] == "python/onnx2torch: onnx2torch has no converter for Scan 16"


@needs_r
def test_plain_r_gives_the_same_forecast(nowcast: Workplace) -> None:
    cells = read(nowcast, "cells.json")
    found = next(cell for cell in cells if (cell["route"], cell["target"]) == ("torch-script", "r/base"))
    assert found["verdict"] == "equivalent"
    assert found["runtime_comparison"]["rms_ratio"] <= 1.5
    assert found["route_comparison"]["oracle_agreement"] < 1e-10
    # It is the second implementation of Scan too.
    scanned = next(cell for cell in cells if (cell["route"], cell["target"]) == ("torch-scan", "r/base"))
    assert scanned["verdict"] == "equivalent"
    assert scanned["route_comparison"]["oracle_agreement"] < 1e-10


def test_errors_by_step_are_told_with_persistence_beside_them(nowcast: Workplace) -> None:
    with (nowcast.results / "forecast.csv").open() as file:
        rows = list(csv.DictReader(file))
    runners = {row["who"] for row in rows}
    assert {"persistence", "source", "python/pytorch via safetensors"} <= runners
    assert {row["samples"] for row in rows} == {"20"}
    assert {row["minutes"] for row in rows} == {"5", "10"}
    assert not (nowcast.results / "predictions.csv.gz").exists()
    report = (nowcast.results / "report.md").read_text()
    assert "### Forecasts" in report
    assert "Confusion" not in report


def test_a_finished_run_is_not_run_again(nowcast: Workplace) -> None:
    before = (nowcast.results / "report.html").stat().st_mtime_ns
    assert nowcast.run().returncode == 0
    assert (nowcast.results / "report.html").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            {
                "data": {"source": "synthetic-crops", "options": {"train": 90, "valid": 30, "test": 80}},
                "probe": {"samples": 64},
            },
            "model.name: convlstm is a model for forecast, and synthetic-crops serves classification",
        ),
        ({"probe": {"samples": 7}}, "probe.samples: input should be greater than or equal to 8 (found 7)"),
        ({"data": {**DATA, "dates": 5}}, "frames have no dates to draw"),
        ({"data": {**DATA, "options": {**DATA["options"], "horizon": 3}}}, "forecasts as many frames as it sees"),
        ({"data": {"source": "knmi-radar", "options": {"root": "nowhere"}}}, "nowhere: the folder does not exist"),
    ],
    ids=["series", "probe", "dates", "horizon", "folder"],
)
def test_what_does_not_fit_frames_ends_with_code_2(tmp_path: Path, change: dict[str, Any], expected: str) -> None:
    workplace = Workplace(tmp_path, json.loads(json.dumps({**DOCUMENT, **change})))
    done = workplace.run()
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()[-1:]
    assert expected in line
