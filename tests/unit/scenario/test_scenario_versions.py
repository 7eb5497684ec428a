"""Versions in a scenario: of targets, of what trains, of what exports, and of what is expected."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import ScenarioError
from harness.pipeline.plan import make_plan
from harness.scenario.read import read_scenario

TEXT = """
scenario: versions
title: versions
data: {source: synthetic-crops}
model: {name: tempcnn}
source: {framework: pytorch}
routes:
  - safetensors
  - {route: torch-script, opset: 17}
  - {route: torch-script@2.8, opset: 17}
  - torch-dynamo@2.6
targets:
  - python/pytorch@2.8
  - python/onnxruntime
  - python/onnxruntime@1.15
layers: false
require: [python/onnxruntime@1.15]
expect:
  default: identical
  python/onnxruntime: drifted
  python/onnxruntime@1.15: divergent
  python/onnxruntime@1.15 via torch-dynamo@2.6-opset18-folded: unsupported
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "versions.yaml"
    path.write_text(text)
    return path


def test_a_version_of_the_exporter_converts_what_the_source_trained(tmp_path: Path) -> None:
    plan = make_plan(read_scenario(written(tmp_path, TEXT)))
    runtimes = {step.id: step.runtime and step.runtime.name for step in plan.steps}
    assert runtimes["train"] == runtimes["source"] == "python/pytorch"
    assert runtimes["export torch-script-opset17-folded"] == "python/pytorch"
    assert runtimes["export torch-script@2.8-opset17-folded"] == "python/pytorch@2.8"
    assert runtimes["export torch-dynamo@2.6-opset18-folded"] == "python/pytorch@2.6"
    # The oracles stay those of the harness.
    assert {
        runtime for name, runtime in runtimes.items() if name.startswith("oracle ") and "@" in (runtime or "")
    } == set()
    assert {cell.route for cell in plan.cells} == {"safetensors", "torch-script", "torch-dynamo"}


def test_every_version_has_cells_of_its_own(tmp_path: Path) -> None:
    plan = make_plan(read_scenario(written(tmp_path, TEXT)))
    names = [cell.id for cell in plan.cells]
    assert len(set(names)) == len(names) == 1 + 3 * 2
    assert "tempcnn.pytorch.torch-script@2.8-opset17-folded.python-onnxruntime@1.15" in names
    assert "tempcnn.pytorch.safetensors.python-pytorch@2.8" in names
    assert not any("/" in name for name in names)


def test_the_source_may_be_trained_in_a_version(tmp_path: Path) -> None:
    text = TEXT.replace("framework: pytorch", "framework: pytorch@2.7")
    plan = make_plan(read_scenario(written(tmp_path, text)))
    runtimes = {step.id: step.runtime and step.runtime.name for step in plan.steps}
    assert runtimes["train"] == runtimes["export torch-script-opset17-folded"] == "python/pytorch@2.7"
    assert runtimes["export torch-script@2.8-opset17-folded"] == "python/pytorch@2.8"


def test_what_is_expected_of_one_cell_goes_before_its_runtime_and_that_before_all_versions(tmp_path: Path) -> None:
    scenario = read_scenario(written(tmp_path, TEXT))
    assert scenario.expected("python/onnxruntime@1.15", "torch-dynamo@2.6-opset18-folded") == "unsupported"
    assert scenario.expected("python/onnxruntime@1.15", "torch-script-opset17-folded") == "divergent"
    assert scenario.expected("python/onnxruntime@1.31", "torch-script-opset17-folded") == "drifted"
    assert scenario.expected("python/pytorch@2.8", "safetensors") == "identical"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("- python/onnxruntime@1.15", "- python/onnxruntime@1.x", "targets.2: '1.x' is no version"),
        ("- python/onnxruntime@1.15", "- python/onnxruntim@1.15", "did you mean 'python/onnxruntime'?"),
        ("- python/onnxruntime@1.15", "- r/base@4.2", "r/base cannot be asked for in a version"),
        ("framework: pytorch", "framework: pytorch@new", "source.framework: 'new' is no version"),
        ("torch-dynamo@2.6", "torch-dynamo@tf2.19", "'tf2.19' is no version of python/pytorch"),
        ("torch-dynamo@2.6\n", "torch-dynamo@\n", "'' is no version"),
        ("torch-dynamo@2.6\n", "torch-dinamo@2.6\n", "did you mean 'torch-dynamo'?"),
        ("- safetensors", "- safetensors@2.8", "safetensors is not written by a framework"),
        ("via torch-dynamo@2.6-", "via torch-dynamo@2.5-", "did you mean 'torch-dynamo@2.6-opset18-folded'?"),
        ("require: [python/onnxruntime@1.15]", "require: [python/onnxruntime@]", "require.0: '' is no version"),
    ],
)
def test_a_bad_version_gets_one_line_with_its_place(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert old in TEXT
    with pytest.raises(ScenarioError) as caught:
        read_scenario(written(tmp_path, TEXT.replace(old, new)))
    assert words in caught.value.line()
    assert "versions.yaml:" in caught.value.line()
    assert "\n" not in caught.value.line()
