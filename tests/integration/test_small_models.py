"""Several labels, a class per pixel and regression, from training to report: inputs, masks and outputs by name."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from harness.files.arrays import load_arrays
from harness.runtimes.registry import RUNTIMES, availability
from harness.runtimes.routes import ROUTES as ROUTES_BY_NAME
from harness.tasks import task
from tests.integration.conftest import Workplace, needs_julia, needs_r

PATCHES: dict[str, Any] = {
    "source": "synthetic-patches",
    "options": {"train": 100, "valid": 30, "test": 80, "rows": 9, "columns": 7},
}
SPECTRA: dict[str, Any] = {
    "source": "synthetic-spectra",
    "options": {"train": 120, "valid": 30, "test": 80, "bands": 12},
}
DATA = {"patchcnn": PATCHES, "fieldseg": PATCHES, "spectralnet": SPECTRA}
TASKS = {"patchcnn": "multi-label", "fieldseg": "segmentation", "spectralnet": "regression"}
#: Names and shapes of the outputs on the probe.
OUTPUTS = {
    "patchcnn": {"labels": [64, 5]},
    "fieldseg": {"scores": [64, 5, 9, 7], "share": [64, 5]},
    "spectralnet": {"value": [64, 2]},
}
QUICK = ["python/pytorch", "python/onnxruntime", "r/base", "julia/base"]
#: The routes of each framework that trains.
ROUTES: dict[str, list[Any]] = {
    "pytorch": [
        "safetensors",
        {"route": "torch-dynamo", "opset": 18},
        {"route": "torch-script", "opset": 17, "fold": False},
    ],
    "keras-tensorflow": [
        "safetensors",
        {"route": "keras-export", "opset": 17},
        {"route": "tf2onnx", "opset": 17},
        "keras-to-savedmodel",
        "keras-backend-swap",
    ],
}


def document(model: str, framework: str = "pytorch", **changes: Any) -> dict[str, Any]:
    return {
        "scenario": "small",
        "title": f"A small {model}",
        "seed": 3,
        "data": DATA[model],
        "model": {"name": model, "preset": "small"},
        "source": {
            "framework": framework,
            "training": {"epochs": 4, "batch_size": 16, "learning_rate": 0.01, "weight_decay": 0.0},
        },
        "routes": ["safetensors", {"route": "torch-dynamo", "opset": 18}],
        "targets": QUICK,
        "probe": {"samples": 64},
        "layers": False,
        **changes,
    }


def ran(folder: Path, given: dict[str, Any]) -> Workplace:
    workplace = Workplace(folder, json.loads(json.dumps(given)))
    done = workplace.run()
    assert done.returncode == 0, done.stdout + done.stderr
    return workplace


def read(workplace: Workplace, name: str) -> Any:
    return json.loads((workplace.results / name).read_text())


def check(workplace: Workplace, model: str, targets: list[str]) -> None:
    """Every target was run, agrees in every output, and is scored and reported as the task wants it."""
    cells = read(workplace, "cells.json")
    assert {cell["target"] for cell in cells} == set(targets)
    refused = [cell for cell in cells if cell["verdict"] == "unsupported"]
    assert {cell["target"] for cell in refused} <= {"python/onnx2torch"}
    cells = [cell for cell in cells if cell not in refused]
    for cell in cells:
        where = f"{cell['target']} via {cell['route_label']}: {cell.get('error')}"
        assert cell["verdict"] in ("identical", "equivalent"), where
        assert {row["relation"] for row in cell["parameters"]["rows"]} <= {"equal", "folded", "permuted"}, where
        outputs = {output["name"]: output for output in cell["outputs"]}
        assert {name: output["shape"] for name, output in outputs.items()} == OUTPUTS[model], where
        assert {output["verdict"] for output in outputs.values()} <= {"identical", "equivalent"}, where
        assert [name for name, output in outputs.items() if output["decided"]] == list(OUTPUTS[model])[:1], where
        rule = task(TASKS[model]).decision
        assert (cell["decisions"] is None) == (rule == "none"), where
        if cell["decisions"] is not None:
            assert cell["decisions"]["rule"] == rule, where
    with (workplace.results / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {"source", *(f"{cell['target']} via {cell['route_label']}" for cell in cells)} == {
        row["who"] for row in rows
    }
    report = (workplace.results / "report.md").read_text()
    assert "no target could be run" not in report.lower()
    assert all(name in report for name in OUTPUTS[model])


@needs_r
@needs_julia
@pytest.mark.parametrize("model", DATA)
def test_it_is_the_same_in_python_in_plain_r_and_in_plain_julia(tmp_path: Path, model: str) -> None:
    # Julia takes long to start: once is enough here.
    targets = QUICK if model == "fieldseg" else QUICK[:-1]
    workplace = ran(tmp_path, document(model, targets=targets))
    check(workplace, model, targets)
    manifest = read(workplace, "manifest.json")
    assert manifest["model"]["task"] == TASKS[model]
    assert manifest["data"]["arrays"]["task"] == TASKS[model]


#: A tile's patches: the day of the year is given once for all of them.
ONE_DAY: dict[str, Any] = {
    "data": {**PATCHES, "options": {**PATCHES["options"], "one_day": True}},
    "model": {"name": "fieldseg", "preset": "small", "hyperparameters": {"one_day": True}},
}


@needs_r
@pytest.mark.parametrize(
    "targets", [QUICK[:-1], pytest.param(["r/torch", "julia/base", "julia/flux"], marks=pytest.mark.slow)], ids=len
)
def test_an_input_is_given_once_for_all_samples(tmp_path: Path, targets: list[str]) -> None:
    workplace = ran(tmp_path, document("fieldseg", targets=targets, layers={"samples": 2}) | ONE_DAY)
    check(workplace, "fieldseg", targets)
    (probe,) = (workplace.folder / "exported").glob("data-*/probe.safetensors")
    assert {name: len(array) for name, array in load_arrays(probe).items()} == {"x": 64, "doy": 1, "mask": 64}
    assert "doy: float32 (day 1), the same for all samples" in (workplace.results / "report.md").read_text()


def installed(framework: str) -> list[str]:
    """Runtimes that are installed and read something of what the routes of a framework write."""
    written = {
        ROUTES_BY_NAME[route if isinstance(route, str) else route["route"]].writes for route in ROUTES[framework]
    }
    return [
        name
        for name, row in RUNTIMES.items()
        if "@" not in name and written.intersection(row.reads) and availability(row).installed
    ]


@pytest.mark.slow
@pytest.mark.parametrize("framework", ROUTES)
@pytest.mark.parametrize("model", DATA)
def test_it_is_the_same_in_every_runtime_that_is_installed(tmp_path: Path, model: str, framework: str) -> None:
    # Of the graphs of FieldSeg the package onnx2torch refuses some by name.
    expect = {"default": "equivalent", "python/onnx2torch": "unsupported"}
    given = document(model, framework, routes=ROUTES[framework], targets=installed(framework), expect=expect)
    workplace = Workplace(tmp_path, json.loads(json.dumps(given)))
    with workplace.start("run", str(workplace.scenario)) as process:
        out, errors = process.communicate(timeout=1800)
    assert process.returncode == 0, out + errors
    check(workplace, model, installed(framework))


@pytest.mark.parametrize(
    ("model", "data", "words"),
    [
        (
            "tempcnn",
            PATCHES,
            "tempcnn is a model for classification, and synthetic-patches serves multi-label and segmentation",
        ),
        ("fieldseg", SPECTRA, "fieldseg is a model for segmentation, and synthetic-spectra serves regression"),
        ("patchcnn", {"source": "synthetic-crops"}, "patchcnn is a model for multi-label, and synthetic-crops serves"),
        ("fieldseg", {**PATCHES, "dates": 4}, "arrays by name have no dates to draw"),
        (
            "fieldseg",
            ONE_DAY["data"],
            "give 'doy' once for all samples, and fieldseg takes it for every sample; change",
        ),
    ],
)
def test_data_of_another_task_are_refused_in_one_line(
    tmp_path: Path, model: str, data: dict[str, Any], words: str
) -> None:
    given = document("fieldseg") | {"data": data, "model": {"name": model, "hyperparameters": {}}}
    done = Workplace(tmp_path, given).run()
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()[-1:]
    assert words in line
