"""What is said of a file's metadata, tensors, head, dropout and batch normalisation: every sentence, and its weight."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from small_graphs import Written, structure

from harness.compare.records import Finding, Verdict
from harness.compare.structure import compare_structure, head_of, summarise
from harness.models.spec import Axis, Head, ModelSpec, TensorSpec

SAMPLE = Axis(name="sample")
FAULT, TOLD = Verdict.DIVERGENT, Verdict.EQUIVALENT


def model(head: Head = "logits", outputs: tuple[TensorSpec, ...] | None = None, inputs: int = 1) -> ModelSpec:
    """``x`` (sample, 3 bands) and, with two inputs, a mask ``m`` (sample,), to ``y`` (sample, 4 classes)."""
    given = (
        TensorSpec(name="x", axes=(SAMPLE, Axis(name="band", size=3))),
        TensorSpec(name="m", axes=(SAMPLE,), dtype="bool"),
    )
    scores = (TensorSpec(name="y", axes=(SAMPLE, Axis(name="class", size=4))),)
    return ModelSpec(
        model="small",
        hyperparameters={},
        inputs=given[:inputs],
        outputs=outputs or scores,
        head=head,
        decision="argmax",
        layers=(),
    )


def tensor(name: str, *shape: int | str | None, dtype: str = "float32") -> dict[str, Any]:
    return {"name": name, "dtype": dtype, "shape": list(shape)}


def file(*nodes: Written, **parts: Any) -> dict[str, Any]:
    parts = {"inputs": [tensor("x", "n", 3)], "outputs": [tensor("y", "n", 4)]} | parts
    return structure(*(nodes or [("Relu", "x", "y")])) | parts


def said(findings: list[Finding]) -> list[tuple[str, Verdict]]:
    assert {finding.comparison for finding in findings} <= {"structure"}
    return [(finding.message, finding.verdict) for finding in findings]


def of_graph(written: Any, spec: ModelSpec | None = None, values: Any = None, **expected: Any) -> Any:
    """Findings of a graph alone; ``expected``: metadata of the source, which the file has too."""
    metadata = {f"harness.{key}": json.dumps(value) for key, value in expected.items()}
    return said(compare_structure(spec or model(), metadata, metadata, written, values))


def of_metadata(key: str, found: Any, wanted: Any) -> Any:
    """JSON where it is no text."""
    texts = [value if isinstance(value, str) else json.dumps(value) for value in (found, wanted)]
    return said(compare_structure(model(), {f"harness.{key}": texts[0]}, {f"harness.{key}": texts[1]}, None))


# --- metadata ---------------------------------------------------------------------------------------------------------

WORDS = {
    "classes": "class names",
    "class_base": "the index of the first class",
    "bands": "band names",
    "axes": "axis names",
    "normalisation": "the normalisation",
    "head": "the head",
    "model": "the model's name",
}


def test_what_the_file_does_not_carry_is_told_by_name() -> None:
    expected = {f"harness.{key}": "1" for key in WORDS} | {"harness.other": "1"}
    assert said(compare_structure(model(), {}, expected, None)) == [
        (f"the file does not carry {word} (metadata key 'harness.{key}')", TOLD) for key, word in WORDS.items()
    ]
    # One that is missing does not hide the next; what the source does not carry is not asked for.
    metadata = {"harness.head": '"softmax"', "harness.bands": '["a"]'}
    assert said(compare_structure(model(), metadata, {"harness.class_base": "0", "harness.head": "logits"}, None)) == [
        ("the file does not carry the index of the first class (metadata key 'harness.class_base')", TOLD),
        ('the head in the file is "softmax", the source\'s is "logits"', FAULT),
    ]


@pytest.mark.parametrize("key", ["classes", "class_base", "bands", "head", "model"])
def test_one_value_in_place_of_another(key: str) -> None:
    assert of_metadata(key, "[1", "b") == [(f'{WORDS[key]} in the file is "[1", the source\'s is "b"', FAULT)]
    assert of_metadata(key, "[1", ["a"]) == [(f'{WORDS[key]} in the file is "[1", the source\'s is ["a"]', FAULT)]
    assert of_metadata(key, ["a"], "b") == [(f'{WORDS[key]} in the file is ["a"], the source\'s is "b"', FAULT)]
    assert of_metadata(key, {"a": 1}, 3) == [(f'{WORDS[key]} in the file is {{"a": 1}}, the source\'s is 3', FAULT)]
    assert of_metadata(key, "1", 1) == of_metadata(key, "b", '"b"') == []


def test_long_values_are_cut_and_letters_are_as_they_are() -> None:
    sixty = "ä" * 58
    assert of_metadata("model", sixty, "b") == [
        (f'the model\'s name in the file is "{sixty}", the source\'s is "b"', FAULT)
    ]
    assert of_metadata("model", sixty + "ä", "b") == [
        (f'the model\'s name in the file is "{"ä" * 56}..., the source\'s is "b"', FAULT)
    ]


@pytest.mark.parametrize(
    ("found", "wanted", "words"),
    [
        ("ab", "abc", "2 instead of 3"),
        ("abcd", "abc", "4 instead of 3"),
        ("abx", "abc", 'number 2 is "x", not "c"'),
        ("xay", "abc", 'number 0 is "x", not "a"'),
        ("aab", "abb", 'number 1 is "a", not "b"'),
        ("cba", "abc", '"a" and "c" are exchanged'),
        ("acbd", "abcd", '"b" and "c" are exchanged'),
        ("bca", "abc", "3 are in another order"),
        ("badc", "abcd", "4 are in another order"),
    ],
)
@pytest.mark.parametrize("key", ["classes", "bands"])
def test_lists_of_names_that_differ(key: str, found: str, wanted: str, words: str) -> None:
    message = f"{WORDS[key]} in the file are not the source's: {words}"
    assert of_metadata(key, list(found), list(wanted)) == [(message, FAULT)]


def test_names_that_are_numbers_are_told_apart_from_text() -> None:
    message = "class names in the file are not the source's: "
    assert of_metadata("classes", [1, 2], [2, 1]) == [(message + "2 and 1 are exchanged", FAULT)]
    assert of_metadata("classes", [1, 3], [1, 2]) == [(message + "number 1 is 3, not 2", FAULT)]


def test_parts_of_the_normalisation_that_differ_are_named() -> None:
    found, wanted = {"kind": "scale", "scale": [1], "mean": 0}, {"kind": "scale", "scale": [2], "low": 0}
    assert of_metadata("normalisation", found, wanted) == [
        ("the normalisation in the file is not the source's: low, mean, scale differ", FAULT)
    ]
    assert of_metadata("normalisation", "none", wanted) == [
        (f'the normalisation in the file is "none", the source\'s is {json.dumps(wanted)}', FAULT)
    ]


def test_axes_that_differ_are_told_by_tensor() -> None:
    found = {"x": ["sample", "band"], "y": ["sample"], "z": ["row"]}
    wanted = {"x": ["band", "sample"], "y": ["sample"], "a": ["time"]}
    assert of_metadata("axes", found, wanted) == [
        ("axes of 'a' in the file are None, the source's are ['time']", FAULT),
        ("axes of 'x' in the file are ['sample', 'band'], the source's are ['band', 'sample']", FAULT),
        ("axes of 'z' in the file are ['row'], the source's are None", FAULT),
    ]


# --- tensors ----------------------------------------------------------------------------------------------------------


def test_a_graph_that_is_the_models_has_no_findings() -> None:
    assert of_graph(file(), classes=list("abcd")) == []
    assert of_graph(file(inputs=[{"name": "x", "shape": ["n", 3]}])) == []


def test_numbers_of_tensors_that_differ() -> None:
    more = file(inputs=[tensor("x", "n", 3), tensor("k", 1)])
    assert of_graph(more) == [("the graph has 2 inputs, the model 1", FAULT)]
    assert of_graph(more | {"initializers": [{"name": "k"}]}) == []
    assert of_graph(file(), model(inputs=2)) == [("the graph has 1 inputs, the model 2", FAULT)]
    outputs = file(outputs=[tensor("y", "n", 4), tensor("z", "n")], inputs=[tensor("x", "n", 5)])
    assert of_graph(outputs) == [
        ("axis band of input 'x' is 5 in the graph, 3 in the model", FAULT),
        ("the graph has 2 outputs, the model 1", FAULT),
    ]
    # A wrong number of inputs does not hide what is wrong with the outputs.
    assert of_graph(file(inputs=[], outputs=[tensor("y", "n", 9)])) == [
        ("the graph has 0 inputs, the model 1", FAULT),
        ("axis class of output 'y' is 9 in the graph, 4 in the model", FAULT),
    ]


def test_tensors_are_paired_by_name_or_else_in_order() -> None:
    x, m = tensor("x", "n", 3), tensor("m", "n", dtype="bool")
    assert of_graph(file(inputs=[m, x]), model(inputs=2)) == []
    assert of_graph(file(inputs=[x, m | {"name": "k"}]), model(inputs=2)) == [
        ("the input 'm' is called 'k' in the graph", TOLD)
    ]
    assert of_graph(file(("Relu", "x", "z"), outputs=[tensor("z", "n", 4)])) == [
        ("the output 'y' is called 'z' in the graph", TOLD)
    ]


@pytest.mark.parametrize(
    ("entry", "wanted"),
    [
        (tensor("x", "n", 3, dtype="float64"), [("input 'x' is float64 in the graph, float32 in the model", FAULT)]),
        (tensor("x", "n"), [("input 'x' has 1 axes in the graph, 2 in the model", FAULT)]),
        ({"name": "x"}, [("input 'x' has 0 axes in the graph, 2 in the model", FAULT)]),
        (tensor("x", "n", 3, 1), [("input 'x' has 3 axes in the graph, 2 in the model", FAULT)]),
        (tensor("x", "n", 5), [("axis band of input 'x' is 5 in the graph, 3 in the model", FAULT)]),
        (tensor("x", 1, 3), [("axis sample of input 'x' is fixed to 1 in the graph, free in the model", TOLD)]),
        (tensor("x", None, "bands"), []),
        (
            tensor("x", 2, 5, dtype="int32"),
            [
                ("input 'x' is int32 in the graph, float32 in the model", FAULT),
                ("axis sample of input 'x' is fixed to 2 in the graph, free in the model", TOLD),
                ("axis band of input 'x' is 5 in the graph, 3 in the model", FAULT),
            ],
        ),
    ],
)
def test_types_and_sizes_of_a_tensor(entry: dict[str, Any], wanted: Any) -> None:
    assert of_graph(file(inputs=[entry])) == wanted


def test_outputs_are_as_many_as_class_names() -> None:
    free = (TensorSpec(name="y", axes=(Axis(name="class"), SAMPLE)),)
    assert of_graph(file(outputs=[tensor("y", 5, "n")]), model(outputs=free), classes=list("abcd")) == [
        ("axis class of output 'y' is fixed to 5 in the graph, free in the model", TOLD),
        ("the graph has 5 outputs for 4 class names", FAULT),
    ]
    for shape in (("k", "n"), (4, "n")):
        found = of_graph(file(outputs=[tensor("y", *shape)]), model(outputs=free), classes=list("abcd"))
        assert FAULT not in [verdict for _, verdict in found]
    # Where the axis is not there, or there are no classes, nothing is to be counted.
    short = of_graph(file(outputs=[tensor("y", 4)]), classes=list("abc"))
    assert short == [("output 'y' has 1 axes in the graph, 2 in the model", FAULT)]
    bare = of_graph(file(outputs=[{"name": "y"}]), classes=list("abc"))
    assert bare == [("output 'y' has 0 axes in the graph, 2 in the model", FAULT)]
    values = (TensorSpec(name="y", axes=(SAMPLE, Axis(name="value", size=4))),)
    assert of_graph(file(), model(outputs=values), classes=list("abc")) == []
    assert of_graph(file(), classes="four") == []


# --- heads ------------------------------------------------------------------------------------------------------------

HEADS: dict[str, tuple[list[Written], Head]] = {
    "none": ([("Relu", "x", "y")], "logits"),
    "softmax": ([("Softmax", "x", "y")], "softmax"),
    "log-softmax": ([("LogSoftmax", "x", "y")], "log-softmax"),
    "sigmoid": ([("Sigmoid", "x", "y")], "sigmoid"),
    "logarithm": ([("Softmax", "x", "a"), ("Log", "a", "y")], "log-softmax"),
    "layouts": ([("Softmax", "x", "a"), ("Cast", "a", "b"), ("Log", "b", "c"), ("Reshape", "c s", "y")], "log-softmax"),
    "logarithm-of-sigmoid": ([("Sigmoid", "x", "a"), ("Log", "a", "y")], "sigmoid"),
    "two-logarithms": ([("Softmax", "x", "a"), ("Log", "a", "b"), ("Log", "b", "y")], "logits"),
    "logarithm-alone": ([("Log", "x", "y")], "logits"),
    "inside": ([("Softmax", "x", "a"), ("Relu", "a", "y")], "logits"),
    "taken-apart": ([("Exp", "x", "a"), ("ReduceSum", "a", "b"), ("Div", "a b", "y")], "logits"),
    "taken-apart-in-logarithms": ([("ReduceLogSumExp", "x", "a"), ("Sub", "x a", "y")], "logits"),
    "log-softmax-inside": ([("LogSoftmax", "x", "a"), ("Mul", "a a", "y")], "logits"),
}


@pytest.mark.parametrize("case", HEADS)
def test_the_head_is_told_by_the_last_operators(case: str) -> None:
    nodes, head = HEADS[case]
    assert head_of(structure(*nodes)) == head
    assert head_of(structure(*nodes, ("Sigmoid", "x", "z"), outputs="y z")) == head
    assert of_graph(file(*nodes), model(head=head)) == []
    other: Head = "sigmoid" if head == "softmax" else "softmax"
    hidden = case in ("inside", "taken-apart", "taken-apart-in-logarithms", "log-softmax-inside", "two-logarithms")
    ends = f"ends in {head}, the model declares {other}"
    bare = f"ends without {other}, which the model declares"
    assert of_graph(file(*nodes), model(head=other)) == (
        [] if hidden else [(f"the graph {bare if head == 'logits' else ends}", FAULT)]
    )


def test_a_linear_head_is_no_function_of_its_own() -> None:
    assert of_graph(file(("Relu", "x", "y")), model(head="linear")) == []
    assert of_graph(file(("Softmax", "x", "y")), model(head="linear")) == [
        ("the graph ends in softmax, the model declares linear", FAULT)
    ]


def test_the_head_is_that_of_the_first_output() -> None:
    share = TensorSpec(name="z", axes=(SAMPLE,))
    nodes: list[Written] = [("Relu", "x", "y"), ("Softmax", "x", "z")]
    written = file(*nodes, outputs=[tensor("y", "n", 4), tensor("z", "n")])
    assert of_graph(written, model(outputs=(*model().outputs, share))) == []


def test_an_output_that_is_an_input_has_no_head() -> None:
    assert head_of(structure(outputs="x")) == "logits"


# --- training mode ----------------------------------------------------------------------------------------------------


def test_batch_normalisation_in_training_mode_is_told_by_node() -> None:
    nodes: list[Written] = [
        ("BatchNormalization", "x", "a", {"training_mode": 0}),
        ("BatchNormalization", "a", "b"),
        ("BatchNormalization", "b", "c", {"training_mode": 1}),
        ("InstanceNormalization", "c", "d", {"training_mode": 1}),
        ("BatchNormalization", "d", "y", {"training_mode": 1}),
    ]
    assert of_graph(file(*nodes)) == [
        (f"batch normalisation 'BatchNormalization_{place}' is in training mode: it normalises by the batch", FAULT)
        for place in (2, 4)
    ]


def dropouts(*states: str) -> Any:
    """A chain of Dropout nodes whose third inputs have these names."""
    nodes = [
        ("Dropout", f"t{place} p {state}" if place else f"x p {state}", f"t{place + 1}")
        for place, state in enumerate(states)
    ]
    return [*nodes, ("Relu", f"t{len(states)}", "y")]


def test_dropout_that_is_on_is_told_by_the_first_node_and_their_number() -> None:
    values = {"on": np.array(True), "off": np.array(False), "p": np.array(0.5)}
    one = [("dropout is left on in node 'Dropout_1'", FAULT)]
    assert of_graph(file(*dropouts("off", "on", "-")), values=values) == one
    assert of_graph(file(*dropouts("on", "off", "on", "on")), values=values) == [
        ("dropout is left on in node 'Dropout_0' and 2 more", FAULT)
    ]
    assert of_graph(file(("Dropout", "x p", "y")), values=values) == []
    assert of_graph(file(("Drop", "x p on", "y")), values=values) == []


def test_dropout_of_which_the_graph_does_not_tell() -> None:
    note = "whether dropout is on in node '{}' cannot be told from the graph alone"
    assert of_graph(file(*dropouts("on"))) == [(note.format("Dropout_0"), TOLD)]
    values = {"on": np.array(True)}
    assert of_graph(file(*dropouts("where", "on", "there")), values=values) == [
        ("dropout is left on in node 'Dropout_1'", FAULT),
        ("whether dropout is on in node 'Dropout_0' and 1 more cannot be told from the graph alone", TOLD),
    ]
    computed: list[Written] = [("Less", "x k", "on"), ("Dropout", "x p on", "y")]
    assert of_graph(file(*computed)) == [(note.format("Dropout_1"), TOLD)]


@pytest.mark.parametrize(
    ("attributes", "on"),
    [
        ({"value": {"tensor": {"values": [True]}}}, True),
        ({"value": {"tensor": {"values": [False]}}}, False),
        ({"value": {"tensor": {"values": [False, True]}}}, True),
        ({"value": {"tensor": {}}}, None),
        ({"value": {"tensor": 5}}, None),
        ({"value": {}}, None),
        ({"value": 1}, None),
        ({}, None),
    ],
)
def test_dropout_may_be_set_by_a_constant_node(attributes: dict[str, Any], on: bool | None) -> None:
    nodes: list[Written] = [("Constant", "", "c", attributes), ("Identity", "c", "s"), ("Dropout", "x p s", "y")]
    wanted = {
        True: [("dropout is left on in node 'Dropout_2'", FAULT)],
        False: [],
        None: [("whether dropout is on in node 'Dropout_2' cannot be told from the graph alone", TOLD)],
    }
    assert of_graph(file(*nodes)) == wanted[on]
    nodes[0] = ("Other", *nodes[0][1:])  # type: ignore[assignment]
    assert of_graph(file(*nodes)) == wanted[None]


def test_what_is_inside_of_nodes_is_looked_at_too() -> None:
    inside = {"graph": structure(("BatchNormalization", "x", "a", {"training_mode": 1}), inputs="", outputs="a")}
    assert of_graph(file(("If", "x", "y", {"then": inside}))) == [
        ("batch normalisation 'BatchNormalization_0' is in training mode: it normalises by the batch", FAULT)
    ]


# --- in brief ---------------------------------------------------------------------------------------------------------


def test_a_graph_in_brief() -> None:
    weights = {"tensor": {"dtype": "float32", "shape": [5], "values": []}}
    inside = structure(("Exp", "t", "i"), ("Constant", "", "k", {"value": weights}), inputs="", outputs="i") | {
        "initializers": [{"name": "deep", "dtype": "float64", "shape": [2, 2], "sha256": "1"}]
    }
    written = structure(("Relu", "x", "t"), ("If", "c", "y", {"then": {"graph": inside}}), ("Exp", "t", "z")) | {
        "initializers": [
            {"name": "w", "dtype": "float16", "shape": [2, 3], "sha256": "2"},
            {"name": "s", "dtype": "float32", "shape": [], "sha256": "3"},
            {"name": "n", "dtype": "int64", "shape": [7], "sha256": "4"},
        ],
        "inputs": [tensor("x", None, 3, "rows"), {"name": "c"}, {"name": "d", "shape": None}],
        "outputs": [tensor("z", 1, 4), tensor("y", "n", 4)],
        "opsets": {"b": 1, "": 18},
        "ir_version": 9,
        "producer": "tool 2",
        "bytes": 77,
        "metadata": {"harness.axes": json.dumps({"x": ["sample", "band", "row"]})},
    }
    for node, domain in zip(written["nodes"], ("ai.onnx", "", "com.example"), strict=True):
        node["domain"] = domain
    brief = summarise(written)
    assert list(brief["operators"].items()) == [
        ("Constant", 1),
        ("Exp", 1),
        ("If", 1),
        ("Relu", 1),
        ("com.example.Exp", 1),
    ]
    assert list(brief["opsets"].items()) == [("", 18), ("b", 1)]
    assert {key: brief[key] for key in ("nodes", "ir_version", "exporter", "bytes", "initializers", "parameters")} == {
        "nodes": 3,
        "ir_version": 9,
        "exporter": "tool 2",
        "bytes": 77,
        "initializers": 4,
        "parameters": 6 + 1 + 4 + 5,
    }
    assert (brief["loops"], brief["nodes_inside"]) == ({"If": 1}, 2)
    axes = ["sample", "band", "row"]
    assert brief["inputs"] == [
        {"name": "x", "dtype": "float32", "shape": [None, 3, "rows"], "axes": axes},
        {"name": "c", "dtype": None, "shape": [], "axes": None},
        {"name": "d", "dtype": None, "shape": [], "axes": None},
    ]
    assert [entry["name"] for entry in brief["outputs"]] == ["z", "y"]
    assert list(brief["dynamic"].items()) == [("x", ["?", "rows"]), ("y", ["n"])]


def test_a_graph_in_brief_needs_no_more_than_its_parts() -> None:
    brief = summarise(structure(("Relu", "x", "y")))
    assert (brief["opsets"], brief["ir_version"], brief["exporter"], brief["bytes"]) == ({}, None, None, None)
    for text in ('["x"]', "[1", "3"):
        written = structure(("Relu", "x", "y")) | {"metadata": {"harness.axes": text}}
        assert summarise(written)["inputs"] == [{"name": "x", "dtype": None, "shape": [], "axes": None}]
