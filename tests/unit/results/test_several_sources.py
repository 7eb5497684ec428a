"""Several frameworks in one scenario: a source of its own from each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.cli.progress import listener
from harness.errors import ExitCode, ScenarioError
from harness.pipeline.plan import make_plan
from harness.results import scenario_run as run
from harness.runtimes.row import Availability
from harness.scenario.read import read_scenario
from harness.scenario.several_sources import one_per_framework

TEXT = """
scenario: several
title: Several
data: {source: synthetic-crops}
model: {name: tempcnn, preset: sits}
source: {frameworks: [pytorch, keras-torch], training: {epochs: 2}}
routes:
  - safetensors
  - {route: torch-script, opset: 17}
  - {route: keras-export, opset: 17}
targets: [python/pytorch, python/keras-torch, python/onnxruntime]
expect: {default: equivalent, keras-torch: unsupported}
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "several.yaml"
    path.write_text(text)
    return path


def test_every_framework_has_the_routes_that_convert_its_models(tmp_path: Path) -> None:
    parts = one_per_framework(read_scenario(written(tmp_path, TEXT)))
    assert [part.source.framework for part in parts] == ["pytorch", "keras-torch"]
    assert [[route.route for route in part.routes] for part in parts] == [
        ["safetensors", "torch-script"],
        ["safetensors", "keras-export"],
    ]
    assert all(part.source.training.epochs == 2 and not part.source.frameworks for part in parts)
    plans = [make_plan(part) for part in parts]
    assert {step.worker.name for step in plans[1].steps if step.kind in ("train", "export")} == {"python/keras-torch"}
    # No cell of one source has the name of another's.
    assert len({cell.id for plan in plans for cell in plan.cells}) == sum(len(plan.cells) for plan in plans) == 6
    assert [part.expected("python/onnxruntime", "x") for part in parts] == ["equivalent", "unsupported"]


def test_a_target_is_left_to_the_sources_that_have_a_route_to_it(tmp_path: Path) -> None:
    text = TEXT.replace("  - {route: keras-export, opset: 17}\n", "")
    parts = one_per_framework(read_scenario(written(tmp_path, text)))
    assert parts[1].targets == ["python/pytorch", "python/keras-torch"]


def test_a_scenario_of_one_source_is_not_taken_apart(tmp_path: Path) -> None:
    scenario = read_scenario(
        written(
            tmp_path,
            TEXT.replace("frameworks: [pytorch, keras-torch]", "framework: pytorch")
            .replace("  - {route: keras-export, opset: 17}\n", "")
            .replace(", keras-torch: unsupported", ""),
        )
    )
    assert scenario.source.all_frameworks == ("pytorch",)
    assert [part.routes for part in one_per_framework(scenario)] == [scenario.routes]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "[pytorch, keras-torch]",
            "[pytorch, keras-torsch]",
            "source.frameworks.1: there is no framework 'keras-torsch'",
        ),
        ("[pytorch, keras-torch]", "[pytorch, pytorch]", "a framework is named twice; name each of them once"),
        ("frameworks:", "framework: pytorch, frameworks:", "both framework and frameworks are given; keep one of them"),
        ("keras-export", "tf2onnx", "routes.2.route: tf2onnx converts models of keras-tensorflow, not of keras-torch"),
        (
            "  - safetensors\n  - {route: torch-script, opset: 17}\n",
            "",
            "source.frameworks.0: no route of this scenario converts models of pytorch",
        ),
        ("keras-torch: unsupported", "keras-tensorflow: unsupported", "expect.keras-tensorflow: there is no runtime"),
    ],
)
def test_what_does_not_fit_gets_one_line(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert old in TEXT
    with pytest.raises(ScenarioError) as caught:
        read_scenario(written(tmp_path, TEXT.replace(old, new)))
    line = caught.value.line()
    assert expected in line
    assert line.startswith(str(tmp_path / "several.yaml:"))


@pytest.mark.parametrize(("required", "code"), [([], ExitCode.OK), (["python/keras-torch"], 1)])
def test_a_source_whose_framework_is_missing_costs_its_own_cells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, required: list[str], code: int
) -> None:
    missing = Availability(False, {}, "the package keras is missing", "pip install keras")
    monkeypatch.setattr(run, "ready", lambda row: missing)
    text = TEXT.replace("[pytorch, keras-torch]", "[keras-tensorflow, keras-torch]").replace(
        "  - {route: torch-script, opset: 17}\n", ""
    )
    path = written(tmp_path, f"{text}require: {json.dumps(required)}\n")
    with listener(quiet=True) as listening:
        done = run.run(read_scenario(path), path, output=tmp_path, store=tmp_path / "store", listener=listening)
    assert (done.cells, done.exit_code) == ([], code)
    page = (tmp_path / "several" / "report.md").read_text()
    assert "Source keras-torch: the package keras is missing; install it with: pip install keras" in page
    assert "No source has results." in page
