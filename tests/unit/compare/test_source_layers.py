"""The layers of a whole model in a file that was made from it: the first that parts, and what was only written in another way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness.compare.alike import Known
from harness.compare.source_layers import (
    SourceLayer,
    first_that_parts,
    named_nodes,
    paired_by_name,
    parting_sentence,
    walked_layers,
)

RANDOM = np.random.default_rng(4)


def layer(name: str, *inputs: str, kind: str = "op", namespace: str = "", line: str = "") -> SourceLayer:
    return SourceLayer(name, kind, namespace, line, inputs)


#: A convolution that a normalisation takes in, a branch on either side of it, and their sum.
LAYERS = [
    layer("conv", namespace="stem.conv", kind="conv2d", line='File "net.py", line 3: self.conv(x)'),
    layer("norm", "conv", namespace="stem.norm", kind="batch_norm"),
    layer("left", "norm"),
    layer("right", "norm", kind="upsample", line='File "net.py", line 9: up(x)'),
    layer("sum", "left", "right"),
]
VALUES = {one.name: RANDOM.normal(size=(2, 3, 4, 4)) for one in LAYERS}


def parts(*missing: str) -> str:
    file = {f"t_{name}": value for name, value in VALUES.items() if name not in missing}
    found = first_that_parts(LAYERS, walked_layers(LAYERS, VALUES, file, 1e-6))
    return "" if found is None else found.name


@pytest.mark.parametrize(
    ("missing", "first"),
    [
        ((), ""),
        (("conv",), ""),
        (("right", "sum"), "right"),
        (("conv", "norm", "left", "right", "sum"), "conv"),
        (("sum",), "sum"),
        (("left", "right", "sum"), "left"),
    ],
)
def test_the_first_layer_that_parts_is_not_one_that_was_folded(missing: tuple[str, ...], first: str) -> None:
    assert parts(*missing) == first


def test_a_layer_is_found_in_another_layout_and_under_another_name() -> None:
    file = {"x": VALUES["norm"].transpose(0, 2, 3, 1), "y": VALUES["sum"] + 1e-3}
    rows = {row.layer: row for row in walked_layers(LAYERS, VALUES, file, 1e-6)}
    assert rows["norm"].tensor == "x"
    assert (rows["sum"].tensor, rows["conv"].namespace) == ("", "stem.conv")


def test_the_sentence_names_layer_line_and_node() -> None:
    file = {f"t_{name}": value for name, value in VALUES.items() if name not in ("right", "sum")}
    shown = walked_layers(LAYERS, VALUES, file, 1e-6)
    assert parting_sentence(LAYERS, shown, {"right": "Resize 'up'"}) == (
        "right (upsample) is the first layer that the file does not have as the source, after stem.norm; "
        "the file has Resize 'up' there; File \"net.py\", line 9: up(x)"
    )
    assert parting_sentence(LAYERS, walked_layers(LAYERS, VALUES, VALUES, 1e-6), {}) == ""


def node(name: str, output: str, scopes: str = "") -> dict[str, Any]:
    stored = {"metadata": {"pkg.torch.onnx.name_scopes": scopes}} if scopes else {}
    return {"name": name, "operator": "Op", "inputs": [], "outputs": [output], **stored}


def test_nodes_are_told_by_what_exporters_store_and_by_names() -> None:
    nodes = [
        node("n1", "a", "['', 'stem', 'conv', 'conv']"),
        node("/stem/norm/Mul", "b0"),
        node("/stem/norm/Add", "b"),
        node("model/left/Relu", "c"),
        node("other", "d", "no list ["),
    ]
    found = named_nodes(nodes, LAYERS)
    assert {name: one["outputs"][0] for name, one in found.items()} == {"conv": "a", "norm": "b", "left": "c"}


def test_behind_the_fault_tensors_are_paired_by_name() -> None:
    file = {"b": VALUES["norm"], "c": VALUES["left"] + 0.5, "d": VALUES["right"][:, :1]}
    known = Known(VALUES)
    pairs = {name: found for name, value in file.items() if (found := known.find(value, 1e-6))}
    named = {"left": node("", "c"), "right": node("", "d")}
    both = paired_by_name(named, VALUES, file, pairs)
    assert {name: alike[0].name for name, alike in both.items()} == {"b": "norm", "c": "left"}
    assert both["c"][0].gap > 0.1
