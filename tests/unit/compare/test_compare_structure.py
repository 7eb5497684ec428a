from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from tempcnn_graphs import BANDS, CLASSES, DATES, draw_parameters, export, specification

from harness.compare.records import Verdict
from harness.compare.structure import compare_structure, summarise

SPEC = specification()
CLASS_NAMES = ["barley", "wheat", "rapeseed", "corn", "sunflower"]
METADATA = {
    "harness.model": "tempcnn",
    "harness.classes": json.dumps(CLASS_NAMES),
    "harness.class_base": "0",
    "harness.bands": json.dumps(["B2", "B3", "B4"]),
    "harness.axes": json.dumps({"x": ["sample", "band", "time"], "logits": ["sample", "class"]}),
    "harness.normalisation": json.dumps({"kind": "scale", "offset": [0, 0, 0], "scale": [1e-4, 1e-4, 1e-4]}),
    "harness.head": "logits",
}


def graph(**options: Any) -> dict[str, Any]:
    structure, _ = export(SPEC, draw_parameters(SPEC), **options)
    return rename_output(structure, "logits")


def rename_output(structure: dict[str, Any], name: str) -> dict[str, Any]:
    old = structure["outputs"][0]["name"]
    structure["outputs"][0]["name"] = name
    for node in structure["nodes"]:
        node["outputs"] = [name if output == old else output for output in node["outputs"]]
    return structure


def contradictions(metadata: dict[str, str], structure: dict[str, Any] | None, spec: Any = SPEC) -> list[str]:
    findings = compare_structure(spec, metadata, METADATA, structure)
    assert all(finding.comparison == "structure" for finding in findings)
    return [finding.message for finding in findings if finding.verdict is Verdict.DIVERGENT]


def test_the_sources_own_export_has_no_findings() -> None:
    assert compare_structure(SPEC, METADATA, METADATA, graph()) == []


def test_summary() -> None:
    structure = {**graph(), "metadata": METADATA}
    brief = summarise(structure)
    assert brief["operators"] == {"BatchNormalization": 3, "Conv": 2, "Flatten": 1, "Gemm": 2, "Relu": 3}
    assert brief["nodes"] == 11
    assert brief["opsets"] == {"": 18}
    assert brief["exporter"] == "test 1"
    assert brief["dynamic"] == {"logits": ["batch"], "x": ["batch"]}
    assert brief["inputs"][0]["axes"] == ["sample", "band", "time"]
    assert brief["parameters"] == sum(int(np.prod(parameter.shape)) for parameter in SPEC.parameters)
    assert summarise({**structure, "metadata": {}})["inputs"][0]["axes"] is None


def test_two_class_names_exchanged() -> None:
    names = [CLASS_NAMES[index] for index in (0, 3, 2, 1, 4)]
    found = contradictions({**METADATA, "harness.classes": json.dumps(names)}, graph())
    assert found == ['class names in the file are not the source\'s: "wheat" and "corn" are exchanged']


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("harness.classes", json.dumps(CLASS_NAMES[:4]), "4 instead of 5"),
        ("harness.classes", json.dumps([*CLASS_NAMES[:4], "maize"]), 'number 4 is "maize", not "sunflower"'),
        ("harness.classes", json.dumps(CLASS_NAMES[1:] + CLASS_NAMES[:1]), "5 are in another order"),
        ("harness.bands", json.dumps(["B2", "B4", "B3"]), '"B3" and "B4" are exchanged'),
        ("harness.head", "log-softmax", "the head in the file"),
        ("harness.class_base", "1", "first class"),
        ("harness.normalisation", METADATA["harness.normalisation"].replace("0.0001", "0.001"), "scale differ"),
        ("harness.axes", METADATA["harness.axes"].replace('"band", "time"', '"time", "band"'), "axes of 'x'"),
    ],
)
def test_metadata_that_contradict_the_source(key: str, value: str, text: str) -> None:
    found = contradictions({**METADATA, key: value}, None)
    assert len(found) == 1
    assert text in found[0]


def test_metadata_in_another_notation_agree() -> None:
    assert contradictions({**METADATA, "harness.bands": '["B2","B3",  "B4"]'}, None) == []


def test_missing_metadata_are_told_but_no_fault() -> None:
    findings = compare_structure(SPEC, {}, METADATA, None)
    assert {finding.verdict for finding in findings} == {Verdict.EQUIVALENT}
    assert any("class names" in finding.message for finding in findings)


def test_width_and_shapes_of_the_graph() -> None:
    structure = graph()
    structure["outputs"][0]["shape"] = ["batch", CLASSES - 1]
    found = contradictions(METADATA, structure)
    assert any("4 outputs for 5 class names" in message for message in found)
    structure = graph()
    structure["inputs"][0]["shape"] = ["batch", DATES, BANDS]
    assert len(contradictions(METADATA, structure)) == 2
    structure["inputs"][0]["shape"] = ["batch", BANDS]
    assert "2 axes in the graph, 3 in the model" in contradictions(METADATA, structure)[0]
    structure = graph()
    structure["inputs"].append({"name": "mask", "dtype": "bool", "shape": ["batch"]})
    assert contradictions(METADATA, structure) == ["the graph has 2 inputs, the model 1"]


def test_fixed_axes_and_other_names_are_told_but_no_fault() -> None:
    structure = rename_output(graph(), "output_0")
    structure["inputs"][0]["shape"][0] = 4
    findings = compare_structure(SPEC, METADATA, METADATA, structure)
    assert {finding.verdict for finding in findings} == {Verdict.EQUIVALENT}
    assert sorted("fixed to 4" in finding.message for finding in findings) == [False, True]


@pytest.mark.parametrize(("head", "word"), [("LogSoftmax", "log-softmax"), ("Softmax", "softmax")])
def test_a_head_that_is_not_declared(head: str, word: str) -> None:
    assert contradictions(METADATA, graph(head=head)) == [f"the graph ends in {word}, the model declares logits"]
    declared = specification(head=word)
    structure = rename_output(graph(head=head), word.replace("-", "_"))
    assert contradictions(METADATA, structure, declared) == []
    bare = rename_output(graph(), word.replace("-", "_"))
    assert f"ends without {word}" in contradictions(METADATA, bare, declared)[0]


def test_the_logarithm_of_a_softmax_is_a_log_softmax() -> None:
    structure = graph(head="Softmax")
    structure["nodes"].append(
        {"name": "log", "operator": "Log", "inputs": ["logits"], "outputs": ["log_softmax"], "attributes": {}}
    )
    structure["outputs"][0]["name"] = "log_softmax"
    assert contradictions(METADATA, structure, specification(head="log-softmax")) == []


@pytest.mark.parametrize(("state", "fault"), [(True, True), (False, False)])
def test_dropout_left_on(state: bool, fault: bool) -> None:
    structure = graph()
    relu = next(node for node in structure["nodes"] if node["operator"] == "Relu")
    old = relu["outputs"][0]
    relu["outputs"] = ["kept"]
    structure["nodes"].append(
        {"name": "drop", "operator": "Dropout", "inputs": ["kept", "p", "on"], "outputs": [old], "attributes": {}}
    )
    structure["initializers"] += [
        {"name": "p", "dtype": "float32", "shape": []},
        {"name": "on", "dtype": "bool", "shape": []},
    ]
    findings = compare_structure(SPEC, METADATA, METADATA, structure, {"on": np.array(state)})
    found = [finding for finding in findings if finding.verdict is Verdict.DIVERGENT]
    assert bool(found) is fault
    if fault:
        assert "dropout is left on in node 'drop'" in found[0].message
    unknown = compare_structure(SPEC, METADATA, METADATA, structure)
    assert "cannot be told" in unknown[0].message
    assert unknown[0].verdict is Verdict.EQUIVALENT


def test_batch_normalisation_in_training_mode() -> None:
    structure = graph()
    node = next(node for node in structure["nodes"] if node["operator"] == "BatchNormalization")
    node["attributes"]["training_mode"] = 1
    assert "training mode" in contradictions(METADATA, structure)[0]
