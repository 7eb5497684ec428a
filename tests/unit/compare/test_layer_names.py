"""Where a node stands, by the layers of its model: from names of stored tensors, scopes of nodes, or layers that are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness.compare.layer_names import LayerNames
from tests.unit.compare.small_graphs import Written, graph, structure

HELD = ("conv1.weight", "conv1.bias", "block.dense.weight", "plain", "onnx::MatMul_7")
NODES: tuple[Written, ...] = (
    ("Identity", "x", "x2"),
    ("Conv", "x2 conv1.weight", "a"),
    ("Add", "a conv1.bias", "b"),
    ("Relu", "b", "c"),
    ("Transpose", "c", "d", {"perm": [0, 2, 1]}),
    ("MatMul", "d block.dense.weight", "e"),
    ("Mul", "e plain", "f"),
    ("Add", "f c", "y"),
)


def named(*nodes: Written, layers: Any = (), outputs: Any = None, held: Any = HELD, **parts: Any) -> LayerNames:
    made = graph(*(nodes or NODES), values={name: np.ones(2) for name in held}, **parts)
    return LayerNames(made, layers, outputs)


def node_of(names: LayerNames, output: str) -> Any:
    return names._graph.producer[output]


@pytest.mark.parametrize(
    ("output", "owner", "place"),
    [
        ("x2", "", "at the input x"),
        ("a", "conv1", "conv1"),
        ("b", "conv1", "conv1"),
        ("c", "", "after conv1"),
        ("e", "block.dense", "block.dense"),
        ("f", "", "after block.dense"),
        # Of two layers as near the one that the first input comes from.
        ("y", "", "after block.dense"),
    ],
)
def test_a_layer_owns_what_reads_its_parameters_and_the_rest_comes_after_one(
    output: str, owner: str, place: str
) -> None:
    names = named()
    node = node_of(names, output)
    assert (names.owner(node), names.of(node)) == (owner, place)


@pytest.mark.parametrize(
    ("tensor", "where"),
    [
        ("x", "at the input x"),
        ("x2", "at the input x"),
        ("a", "after conv1"),
        ("c", "after the Relu after conv1"),
        # What changes no value is passed over.
        ("d", "after the Relu after conv1"),
        ("e", "after block.dense"),
        ("f", "after the Mul after block.dense"),
    ],
)
def test_what_reads_a_tensor_stands_behind_its_node(tensor: str, where: str) -> None:
    assert named().behind(tensor) == where


def test_what_lies_before_the_output_of_a_layer_is_in_it() -> None:
    names = named(layers=("conv1", "dense"), outputs={"conv1": "c", "dense": "e"})
    assert names.of(node_of(names, "c")) == "in conv1"
    assert names.of(node_of(names, "d")) == "after conv1"
    assert names.behind("a") == "in conv1"
    assert names.behind("b") == "in conv1"
    assert names.behind("c") == "in conv1"
    assert names.behind("e") == "after dense"


@pytest.mark.parametrize(
    ("layers", "stored", "owner"),
    [
        (("lstm1",), "lstm1.weight_ih", "lstm1"),
        (("lstm1",), "model/lstm1/kernel:0", "lstm1"),
        (("conv", "conv_2"), "conv_2.weight", "conv_2"),
        (("conv",), "conv_kernel", "conv"),
        (("con",), "conv.weight", ""),
        (("a", "bb"), "a.bb.weight", "bb"),
        (("x",), "other.weight", ""),
        ((), "other.weight", "other"),
        ((), "onnx::MatMul_7.weight", ""),
        ((), "weight", ""),
        ((), "a.b.weight", "a.b"),
    ],
)
def test_a_layer_is_told_by_the_name_of_a_stored_tensor(layers: Any, stored: str, owner: str) -> None:
    names = named(("Mul", f"x {stored}", "y"), layers=layers, held=(stored,))
    assert names.owner(node_of(names, "y")) == owner


@pytest.mark.parametrize(
    ("name", "operator", "owner"),
    [
        ("/encoder/conv1/Conv", "Conv", "encoder/conv1"),
        ("/encoder/norm/B", "BatchNormalization", "encoder/norm"),
        ("/Conv", "Conv", ""),
        ("encoder/conv1/Conv", "Conv", ""),
        ("/encoder/act/Relu", "Relu", ""),
        *((f"/l/{one}", one, "l") for one in ("ConvTranspose", "Gemm", "MatMul", "LayerNormalization")),
    ],
)
def test_without_a_name_the_scope_of_a_node_serves(name: str, operator: str, owner: str) -> None:
    names = named((operator, "x w", "y"), held=("w",))
    node = node_of(names, "y")
    object.__setattr__(node, "name", name)
    assert names.owner(node) == owner


def test_a_loop_belongs_to_the_layer_whose_parameters_its_body_reads() -> None:
    body = structure(("Mul", "x cell.weight", "y"))
    names = named(("Loop", "x", "y", {"body": {"graph": body}}), held=("cell.weight",))
    assert names.owner(node_of(names, "y")) == "cell"


def test_a_graph_without_inputs_has_its_nodes_at_the_input() -> None:
    names = named(("Identity", "w", "y"), held=("w",), inputs="")
    assert names.of(node_of(names, "y")) == "at the input"
