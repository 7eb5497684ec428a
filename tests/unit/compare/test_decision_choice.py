"""Which decision is made on an output of a given file, and what a user may ask for."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from harness.compare.asked_decision import AskedDecision, read_decision
from harness.compare.decision_choice import ChosenDecision, GivenOutput, choose_decision
from harness.errors import DataError, ScenarioError


def graph(*nodes: tuple[str, dict[str, Any]], opset: int = 17) -> dict[str, Any]:
    """Nodes one behind the other, from the input ``t0`` to the output ``y``."""
    names = [*(f"t{place}" for place in range(len(nodes))), "y"]
    return {
        "nodes": [
            {"operator": operator, "inputs": [names[place]], "outputs": [names[place + 1]], "attributes": attributes}
            for place, (operator, attributes) in enumerate(nodes)
        ],
        "initializers": [],
        "inputs": [{"name": "t0"}],
        "outputs": [{"name": "y"}],
        "opsets": {"": opset},
    }


def output(shape: tuple[int, ...], *nodes: str | tuple[str, dict[str, Any]], **changes: Any) -> GivenOutput:
    ends = [(node, {}) if isinstance(node, str) else node for node in nodes]
    values = changes.pop("values", np.linspace(0.0, 1.0, int(np.prod(shape))).reshape(shape))
    opset = changes.pop("opset", 17)
    parts = {"dtype": "float32", "metadata": {}, **changes}
    return GivenOutput(
        "y", values, parts["dtype"], graph(*ends, opset=opset), parts["metadata"], parts.get("sample_axis", 0)
    )


def chosen(given: GivenOutput, asked: str | None = None) -> ChosenDecision:
    return choose_decision(given, None if asked is None else read_decision(asked))


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("argmax", AskedDecision("argmax")),
        ("argmax-axis=1", AskedDecision("argmax", axis=1)),
        ("argmax-axis=-1", AskedDecision("argmax", axis=-1)),
        ("threshold=0.5", AskedDecision("threshold", thresholds=(0.5,))),
        ("threshold=0.5,-1,2e-1", AskedDecision("threshold", thresholds=(0.5, -1.0, 0.2))),
        ("classes", AskedDecision("classes")),
        (" none ", AskedDecision("none")),
    ],
)
def test_what_can_be_asked_for(text: str, asked: AskedDecision) -> None:
    assert read_decision(text) == asked


@pytest.mark.parametrize(
    "text",
    [
        "",
        "argmin",
        "argmax=1",
        "argmax-axis",
        "argmax-axis=b",
        "threshold",
        "threshold=",
        "threshold=a",
        "threshold=1,",
        "none=",
    ],
)
def test_what_cannot_be_asked_for_is_told_with_what_can(text: str) -> None:
    with pytest.raises(ScenarioError, match=r"--decision: there is no decision .*say one of argmax, argmax-axis=1"):
        read_decision(text)


@pytest.mark.parametrize("text", ["threshold=nan", "threshold=0.5,inf"])
def test_a_threshold_is_finite(text: str) -> None:
    with pytest.raises(ScenarioError, match="is not finite"):
        read_decision(text)


def test_sigmoids_are_decided_label_by_label_at_a_half() -> None:
    found = chosen(output((6, 43), "Gemm", "Sigmoid"))
    assert (found.rule, found.axis, found.thresholds, len(found.names)) == ("threshold", 1, (0.5,), 43)
    assert found.sentence() == "each of 43 labels of the output 'y' is decided at 0.5: it ends in a sigmoid"
    maps = chosen(output((2, 3, 4, 5), "Conv", "Sigmoid"))
    assert (maps.axis, maps.names) == (1, ("0", "1", "2"))
    mask = chosen(output((2, 1, 4, 5), "Conv", "Sigmoid"))
    assert (mask.rule, mask.axis, mask.names) == ("threshold", 1, ())
    assert mask.sentence() == "the output 'y' is decided at 0.5: it ends in a sigmoid"
    # Nothing tells which of these axes is that of labels: every number is decided by itself.
    assert chosen(output((2, 4, 5), "Reshape", "Sigmoid")).axis is None


def test_scores_of_classes_are_decided_by_the_largest() -> None:
    told = chosen(output((6, 3), "Gemm", "Softmax"))
    assert (told.rule, told.axis, told.names, told.assumed) == ("argmax", 1, ("0", "1", "2"), False)
    assert (
        told.sentence()
        == "the class of a sample is the largest of 3 along axis 1 of the output 'y': it ends in a softmax"
    )
    assumed = chosen(output((6, 3), "Gemm"))
    assert (assumed.rule, assumed.assumed) == ("argmax", True)
    assert assumed.sentence().endswith(
        "the file does not say what it is for, and it has the shape of scores of classes; --decision says otherwise"
    )


def test_maps_of_scores_are_decided_pixel_by_pixel_along_the_axis_that_the_graph_tells() -> None:
    first = chosen(output((2, 3, 4, 5), "Conv", "Resize"))
    assert (first.rule, first.axis, len(first.names)) == ("argmax-per-pixel", 1, 3)
    assert first.sentence().startswith("the class of a pixel is the largest of 3 along axis 1")
    assert chosen(output((2, 3, 4, 5, 6), "Conv")).sentence().startswith("the class of a place is the largest of 3")
    last = ("Transpose", {"perm": [0, 2, 3, 1]})
    assert chosen(output((2, 4, 5, 3), "Conv", last)).axis == 3
    assert chosen(output((2, 4, 5, 3), "Conv", last, "Softmax")).axis == 3
    assert chosen(output((2, 4, 5, 3), ("Softmax", {"axis": 1}), last)).axis == 3
    assert chosen(output((2, 3, 4, 5), "Reshape", "Relu")).axis == 1
    # A softmax without an axis has the last one, and before opset 13 the first after the sample.
    assert chosen(output((2, 3, 4, 5), "Softmax")).axis == 3
    assert chosen(output((2, 3, 4, 5), "Softmax", opset=11)).axis == 1


def test_an_axis_is_counted_as_the_file_has_it() -> None:
    turned = output((4, 3, 5, 6), ("Softmax", {"axis": 0}), sample_axis=1)
    assert chosen(turned).axis == 1
    assert chosen(turned, "argmax-axis=0").axis == 1
    assert chosen(turned, "argmax-axis=2").axis == 2
    with pytest.raises(DataError, match="axis 1 of the output 'y' is the sample"):
        chosen(turned, "argmax-axis=1")


@pytest.mark.parametrize("dtype", ["uint8", "int64", "bool"])
def test_whole_numbers_are_classes_already(dtype: str) -> None:
    found = chosen(output((2, 3, 3), "Cast", values=np.ones((2, 3, 3), dtype), dtype=dtype))
    assert (found.rule, found.axis) == ("classes", None)
    assert "which are classes already" in found.sentence()


def test_classes_that_were_cast_to_floating_point_are_classes() -> None:
    whole = np.array([[0.0, 2.0]])
    assert chosen(output((1, 2), "ArgMax", "Cast", values=whole)).rule == "classes"
    assert chosen(output((1, 2), "Gemm", "Cast", values=whole)).rule == "argmax"
    assert chosen(output((1, 2), "Gemm", values=whole), "classes").rule == "classes"
    with pytest.raises(DataError, match="not whole"):
        chosen(output((1, 2), "Gemm", values=whole + 0.5), "classes")


@pytest.mark.parametrize("shape", [(6,), (6, 1), (6, 1, 4, 4), (6, 5, 4)])
def test_single_numbers_and_unknown_axes_are_not_decided_on(shape: tuple[int, ...]) -> None:
    found = chosen(output(shape, "Reshape"))
    assert (found.rule, found.assumed) == ("none", True)
    assert found.sentence().startswith(
        "no decision is made on the output 'y': the file does not say what it is for, and it"
    )


def test_a_scalar_and_nothing_at_all_are_not_decided_on() -> None:
    assert chosen(output((), values=np.float64(1.0))).rule == "none"
    assert chosen(output((0, 3))).rule == "none"
    shared = output((6, 3), sample_axis=None)
    assert chosen(shared).sentence() == "no decision is made on the output 'y': it belongs to no sample"
    for nothing in (shared, output((), values=np.float64(1.0))):
        with pytest.raises(DataError, match="belongs to no sample"):
            chosen(nothing, "argmax")


def test_texts_are_classes_already() -> None:
    texts = output((2,), values=np.array(["maize", "wheat"]), dtype="string")
    assert (chosen(texts).rule, chosen(texts, "classes").rule) == ("classes", "classes")
    with pytest.raises(DataError, match="holds texts"):
        chosen(texts, "argmax")


def test_the_file_names_its_task() -> None:
    def named(task: str, shape: tuple[int, ...], *nodes: str, **changes: Any) -> ChosenDecision:
        metadata = {"harness.task": task, **changes.pop("metadata", {})}
        return chosen(output(shape, *nodes, metadata=metadata, **changes))

    assert named("regression", (6, 3), "Gemm").rule == "none"
    assert named("forecast", (6, 3, 4, 4), "Conv").rule == "none"
    assert named("segmentation", (6, 3, 4, 4), "Conv").rule == "argmax-per-pixel"
    assert named("classification", (6, 3), "Gemm").assumed is False
    assert named("multi-label", (6, 3), "Gemm", "Sigmoid").thresholds == (0.5,)
    # A logit of 0 is a share of a half.
    assert named("multi-label", (6, 3), "Gemm").thresholds == (0.0,)
    assert named("segmentation", (6, 4, 4), values=np.ones((6, 4, 4), np.int64), dtype="int64").rule == "classes"
    classes = {"harness.classes": json.dumps(["a", "b", "c"])}
    assert named("classification", (6, 3), metadata=classes).names == ("a", "b", "c")
    with pytest.raises(
        DataError, match=r"names the task segmentation, and its output 'y' of shape 6 x 3 is none of it"
    ):
        named("segmentation", (6, 3))
    specification = {"harness.spec": json.dumps({"task": "regression"})}
    assert chosen(output((6, 3), metadata=specification)).rule == "none"


def test_what_is_asked_for_goes_before_what_the_file_tells() -> None:
    sigmoids = output((6, 4), "Gemm", "Sigmoid", metadata={"harness.task": "regression"})
    assert chosen(sigmoids, "argmax").rule == "argmax"
    assert chosen(sigmoids, "none").rule == "none"
    assert chosen(sigmoids, "threshold=0.1,0.2,0.3,0.4").thresholds == (0.1, 0.2, 0.3, 0.4)
    assert chosen(sigmoids, "threshold=0.1").sentence() == (
        "each of 4 labels of the output 'y' is decided at 0.1: --decision says so"
    )
    assert "decided at 4 thresholds from 0.1 to 0.4" in chosen(sigmoids, "threshold=0.4,0.2,0.3,0.1").sentence()


@pytest.mark.parametrize(
    ("shape", "asked", "message"),
    [
        ((6, 4), "threshold=0.1,0.2", "2 thresholds for 4 labels of the output 'y' of shape 6 x 4"),
        ((6,), "threshold=0.1,0.2", "2 thresholds for 1 label of the output 'y' of shape 6"),
        ((6, 4), "argmax-axis=2", "has no axis 2; it has 2"),
        ((6, 4), "argmax-axis=0", "axis 0 of the output 'y' is the sample"),
        ((6, 1), "argmax-axis=1", "has 1 class along axis 1"),
        ((6, 1), "argmax", "has no axis of classes that is known"),
        ((6,), "argmax", "has no axis of classes that is known"),
        ((6, 5, 4), "argmax", "say argmax-axis=K"),
    ],
)
def test_a_decision_that_an_output_cannot_have_is_refused(shape: tuple[int, ...], asked: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        chosen(output(shape, "Reshape"), asked)


def test_no_threshold_applies_to_booleans() -> None:
    with pytest.raises(DataError, match="holds booleans"):
        chosen(output((2, 2), values=np.ones((2, 2), bool), dtype="bool"), "threshold=0.5")
