"""What is timed, in which steps, and that only one timing at a time has the machine."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.errors import ScenarioError
from harness.pipeline.plan import make_plan
from harness.pipeline.steps.export import ExportStep
from harness.runtimes.process_timing import machine_lock
from harness.runtimes.registry import framework_runtime
from harness.scenario.read import read_scenario
from harness.scenario.sections import RouteSection, Scenario, json_schema

DOCUMENT: dict[str, Any] = {
    "scenario": "small",
    "title": "Small",
    "data": {"source": "synthetic-crops"},
    "model": {"name": "tempcnn"},
    "routes": ["safetensors", {"route": "torch-script", "opset": 17}, {"route": "torch-dynamo", "fold": False}],
    "targets": ["python/pytorch", "python/onnxruntime", "r/base"],
}


def scenario(**sections: Any) -> Scenario:
    return Scenario.model_validate(DOCUMENT | sections)


@pytest.mark.parametrize("sections", [{}, {"timing": False}], ids=["absent", "false"])
def test_nothing_is_timed_unless_asked_for(sections: dict[str, Any]) -> None:
    plan = make_plan(scenario(**sections))
    assert plan.timed == ()
    assert not [step for step in plan.steps if step.kind == "timing"]


def test_every_cell_is_timed_and_the_source_first_and_once() -> None:
    plan = make_plan(scenario(timing=True))
    assert [timed.step for timed in plan.timed] == [
        "timing source",
        "timing torch-dynamo-opset18-unfolded python/onnxruntime",
        "timing torch-dynamo-opset18-unfolded r/base",
        "timing torch-script-opset17-folded python/onnxruntime",
        "timing torch-script-opset17-folded r/base",
    ]
    steps = [step for step in plan.steps if step.kind == "timing"]
    # After all other steps: their workers are idle by then.
    assert list(plan.steps[-len(steps) :]) == steps
    assert steps[0].worker.name == "python/pytorch"
    assert steps[0].needs == ("data", "train")
    assert steps[1].needs == ("data", "export torch-dynamo-opset18-unfolded", "train")
    assert steps[1].settings() == {"batch_sizes": [1, 64], "processes": 3, "seconds": 1.0, "threads": 1}


@pytest.mark.parametrize("name", ["torch-script", "torch-script-opset17-folded"])
def test_routes_may_be_chosen_by_name_or_label(name: str) -> None:
    plan = make_plan(scenario(timing={"routes": [name]}))
    assert [timed.route_label for timed in plan.timed[1:]] == ["torch-script-opset17-folded"] * 2


def test_a_timing_belongs_to_its_machine_and_its_settings_to_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    needs = {"data": "1", "train": "2"}
    step = make_plan(scenario(timing=True)).step("timing source")
    key = step.key(needs)
    assert make_plan(scenario(timing={"seconds": 0.5})).step("timing source").key(needs) != key
    monkeypatch.setattr("harness.pipeline.steps.timing.hardware", lambda: {"processor": "another"})
    assert step.key(needs) != key


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"batch_sizes": []}, "batch_sizes"),
        ({"batch_sizes": [0]}, "batch_sizes.0"),
        ({"batch_sizes": [4, 4]}, "named twice"),
        ({"processes": 0}, "processes"),
        ({"seconds": -1}, "seconds"),
        ({"routes": ["torch-skript"]}, "torch-skript"),
        ({"batch_size": 1}, "unknown key 'timing.batch_size'"),
    ],
    ids=str,
)
def test_a_bad_timing_section_is_refused_by_name_and_line(tmp_path: Path, section: dict[str, Any], said: str) -> None:
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(DOCUMENT | {"timing": section}, sort_keys=False))
    with pytest.raises(ScenarioError) as error:
        read_scenario(path)
    assert said in error.value.line()
    line = int(str(error.value.where).rpartition(":")[2])
    assert line >= path.read_text().splitlines().index("timing:") + 1


def test_the_schema_lets_timing_be_switched_by_a_bare_word() -> None:
    choices = json_schema()["properties"]["timing"]["anyOf"]
    assert {"type": "boolean"} in choices


def test_a_second_timing_waits_for_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    told: list[str] = []
    order: list[str] = []

    def second() -> None:
        with machine_lock(told.append, every=0.01):
            order.append("second")

    thread = threading.Thread(target=second)
    with machine_lock(lambda text: order.append(f"first had to wait: {text}")):
        thread.start()
        deadline = time.monotonic() + 120
        while not told and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.05)
        order.append("first")
    thread.join(120)
    assert order == ["first", "second"]
    assert told == ["waiting for another timing on this machine"]


def test_the_lock_is_given_back_after_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    with pytest.raises(RuntimeError), machine_lock():
        raise RuntimeError
    told: list[str] = []
    with machine_lock(told.append):
        assert not told


@pytest.mark.parametrize(("route", "tool"), [("tf2onnx", "tf2onnx"), ("torch-scan", "onnxscript")])
def test_an_export_is_another_one_with_another_version_of_its_tool(
    monkeypatch: pytest.MonkeyPatch, route: str, tool: str
) -> None:
    framework = "pytorch" if route == "torch-scan" else "keras-tensorflow"
    step = ExportStep(id="export", runtime=framework_runtime(framework), route=RouteSection(route=route))
    before = step.outside()
    assert tool in before["tools"]
    monkeypatch.setattr(
        "harness.pipeline.steps.export.distribution_version",
        lambda name: "0.1" if name == tool else before["tools"][name],
    )
    assert step.outside() == before | {"tools": before["tools"] | {tool: "0.1"}}
