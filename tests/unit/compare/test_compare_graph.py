from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness.compare.graph import Graph
from harness.compare.permutation import describe_permutation
from harness.compare.roles import find_roles
from harness.errors import ModelError


def structure(nodes: list[tuple[str, list[str], list[str], dict[str, Any]]], initializers: list[str]) -> dict[str, Any]:
    return {
        "inputs": [{"name": "x"}],
        "outputs": [{"name": "y"}],
        "initializers": [{"name": name} for name in initializers],
        "nodes": [
            {"name": f"{operator}_{index}", "operator": operator, "inputs": i, "outputs": o, "attributes": a}
            for index, (operator, i, o, a) in enumerate(nodes)
        ],
    }


def test_nodes_are_walked_in_the_order_of_flow_whatever_the_order_of_the_file() -> None:
    nodes = [("Relu", ["b"], ["y"], {}), ("Relu", ["a"], ["b"], {}), ("Relu", ["x"], ["a"], {})]
    graph = Graph(structure(nodes, []), {})
    assert [node.outputs[0] for node in graph.nodes] == ["a", "b", "y"]
    assert graph.flows("b")
    assert not graph.flows("w")


def test_a_long_chain_needs_no_recursion() -> None:
    nodes = [("Relu", [f"t{i}" if i else "x"], [f"t{i + 1}"], {}) for i in range(20_000)]
    assert len(Graph(structure(nodes[::-1], []), {}).nodes) == 20_000


def test_circles_and_missing_parts_are_errors() -> None:
    nodes = [("Relu", ["b"], ["a"], {}), ("Relu", ["a"], ["b"], {})]
    with pytest.raises(ModelError, match="circle"):
        Graph(structure(nodes, []), {})
    with pytest.raises(ModelError, match="nodes"):
        Graph({"inputs": [], "outputs": [], "initializers": []}, {})


@pytest.mark.parametrize(
    ("operator", "attributes", "wanted"),
    [
        ("Transpose", {"perm": [1, 0]}, np.arange(6).reshape(2, 3).T),
        ("Transpose", {}, np.arange(6).reshape(2, 3).T),
        ("Unsqueeze", {"axes": [0]}, np.arange(6).reshape(1, 2, 3)),
        ("Flatten", {"axis": 0}, np.arange(6).reshape(1, 6)),
        ("Identity", {}, np.arange(6).reshape(2, 3)),
    ],
)
def test_constants_are_followed(operator: str, attributes: dict[str, Any], wanted: np.ndarray) -> None:
    graph = Graph(structure([(operator, ["w"], ["v"], attributes)], ["w"]), {"w": np.arange(6).reshape(2, 3)})
    found = graph.constant("v")
    assert found is not None
    assert found.name == graph.stored_name("v") == "w"
    assert np.array_equal(found.value, wanted)
    assert graph.constant("x") is None
    assert graph.constant("") is None


def test_reshape_with_zero_and_minus_one() -> None:
    values = {"w": np.arange(12).reshape(2, 6), "s": np.array([0, 3, -1])}
    graph = Graph(structure([("Reshape", ["w", "s"], ["v"], {})], list(values)), values)
    found = graph.constant("v")
    assert found is not None
    assert found.value.shape == (2, 3, 2)


def test_a_gate_made_of_products_is_no_batch_normalisation() -> None:
    """0.2 x + 0.5 between two layers: arithmetic with scalars, and no parameter."""
    values = {
        "w": np.ones((2, 3), np.float32),
        "b": np.ones(2, np.float32),
        "a": np.float32(0.2),
        "c": np.float32(0.5),
    }
    nodes = [
        ("Gemm", ["x", "w", "b"], ["t"], {"transB": 1}),
        ("Mul", ["t", "a"], ["u"], {}),
        ("Add", ["u", "c"], ["y"], {}),
    ]
    roles = find_roles(Graph(structure(nodes, list(values)), values))
    assert len(roles.linears) == 1
    assert roles.linears[0].bias is not None
    assert roles.linears[0].bias.name == "b"
    assert roles.others == []


def test_gemm_factors_are_applied() -> None:
    values = {"w": np.ones((3, 2), np.float32), "b": np.ones((1, 2), np.float32)}
    nodes = [("Gemm", ["x", "w", "b"], ["y"], {"alpha": 2.0, "beta": 0.5})]
    linear = find_roles(Graph(structure(nodes, list(values)), values)).linears[0]
    assert linear.weight.value is not None
    assert linear.weight.value.shape == (2, 3)
    assert np.all(linear.weight.value == 2.0)
    assert linear.bias is not None
    assert linear.bias.value is not None
    assert linear.bias.value.tolist() == [0.5, 0.5]


def test_orders_in_words() -> None:
    kernel = np.random.default_rng(0).normal(size=(4, 3, 5, 2)).astype(np.float32)
    cases = {
        "kernel reversed along its last axis": kernel[..., ::-1],
        "kernel reversed along axes 2, 3": kernel[:, :, ::-1, ::-1],
        "output channels exchanged 0<->3": kernel[[3, 1, 2, 0]],
        "input channels exchanged 0<->2": kernel[:, [2, 1, 0]],
        "axes in the order 2, 3, 1, 0": kernel.transpose(2, 3, 1, 0),
        "the same values in another order": np.random.default_rng(1).permutation(kernel.ravel()).reshape(kernel.shape),
        "4 output channels in another order": kernel[[1, 2, 3, 0]],
        "read in column-major order": kernel.ravel(order="F").reshape(kernel.shape),
    }
    for text, moved in cases.items():
        assert describe_permutation(kernel, np.ascontiguousarray(moved)) == text
    changed = kernel.copy()
    changed[0, 0, 0, 0] += 1
    assert describe_permutation(kernel, changed) is None
