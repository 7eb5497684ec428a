"""Graphs as they are read, and their constants as they are followed and computed: every operator by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from small_graphs import Written, floats, graph, structure

from harness.compare.graph import Constant, Graph, Node
from harness.errors import ModelError


def constant(*nodes: Written, name: str = "c", **options: Any) -> Any:
    """The value as a list, its type kept apart; None where there is none."""
    found = graph(*nodes, **options).constant(name)
    return None if found is None else found.value.tolist()


def computed(*nodes: Written, name: str = "c", **options: Any) -> tuple[Any, Any] | None:
    found = graph(*nodes, **options).computed(name)
    return None if found is None else (found.value.tolist(), found.names)


# --- reading ----------------------------------------------------------------------------------------------------------


def test_a_node_is_read_with_all_its_parts() -> None:
    node = {"name": "n", "operator": "Gemm", "inputs": ["x", "", "b"], "outputs": ["y"], "domain": "d"}
    bare = {"operator": "Relu", "inputs": ["y"], "outputs": ["z", ""], "name": None, "domain": None, "attributes": None}
    graph = Graph(structure() | {"nodes": [node | {"attributes": {"a": 1}}, bare]}, {})
    first, second = graph.nodes
    assert first == Node("n", "Gemm", ("x", "", "b"), ("y",), {"a": 1}, "d")
    assert second == Node("", "Relu", ("y",), ("z", ""), {}, "")
    assert [first.input(index) for index in range(4)] == ["x", "", "b", ""]
    assert (first.label, second.label) == ("n", "Relu")
    assert graph.producer == {"y": first, "z": second}
    assert Node("n", "o", (), ()).attributes == {}


def test_inputs_are_those_that_are_no_initializers() -> None:
    """Before IR 4 every initializer was an input as well."""
    written = graph(("Relu", "w", "y"), ("Relu", "x", "z"), values={"w": 1.0}, inputs="x w z2", outputs="y z")
    assert (written.inputs, written.outputs) == (("x", "z2"), ("y", "z"))
    assert [written.flows(name) for name in ("x", "z2", "z", "w", "y", "")] == [True, True, True, False, False, False]


def test_consumers_are_told_once_each() -> None:
    written = graph(("Mul", "x x", "t"), ("Add", "t x", "y"), ("Clip", "x - t", "z"))
    mul, add, clip = written.nodes
    assert dict(written.consumers) == {"x": [mul, add, clip], "t": [add, clip]}


@pytest.mark.parametrize("part", ["nodes", "initializers", "inputs", "outputs", "operator", "name"])
def test_a_part_that_lacks_is_named(part: str) -> None:
    written = structure(("Relu", "x", "y"), values={"w": 0})
    target = {"operator": written["nodes"][0], "name": written["initializers"][0]}.get(part, written)
    del target[part]
    with pytest.raises(ModelError) as caught:
        Graph(written, {})
    assert caught.value.what == f"a graph structure lacks '{part}'"
    assert caught.value.hint == "see docs/worker-contract.md"


def test_a_circle_names_a_node_in_it() -> None:
    with pytest.raises(ModelError) as caught:
        graph(("Relu", "x", "a"), ("Add", "a c", "b"), ("Neg", "b", "c"))
    assert caught.value.what in [f"the graph runs in a circle through node '{name}'" for name in ("Add_1", "Neg_2")]
    # A node that takes its own output is left to the runtimes.
    assert len(graph(("Add", "x y", "y")).nodes) == 1


def test_nodes_come_after_those_they_take_from_and_else_as_in_the_file() -> None:
    written = graph(
        ("Add", "c b", "y"), ("Relu", "x", "a"), ("Relu", "a", "b"), ("Neg", "a", "c"), ("Neg", "x", "d"), outputs="y d"
    )
    assert [node.outputs[0] for node in written.nodes] == ["a", "c", "b", "y", "d"]


# --- constants that are followed --------------------------------------------------------------------------------------

W = {"w": floats(2, 3, start=0)}
ROWS = [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    ("operator", "attributes", "axes", "wanted"),
    [
        ("Identity", {}, None, ROWS),
        ("Cast", {"to": 1}, None, ROWS),
        ("Transpose", {}, None, [[0, 3], [1, 4], [2, 5]]),
        ("Transpose", {"perm": [0, 1]}, None, ROWS),
        ("Transpose", {"perm": [1, 0]}, None, [[0, 3], [1, 4], [2, 5]]),
        ("Reshape", {}, [3, 2], [[0, 1], [2, 3], [4, 5]]),
        ("Reshape", {}, [-1], [0, 1, 2, 3, 4, 5]),
        ("Reshape", {}, [0, 1, -1], [[[0, 1, 2]], [[3, 4, 5]]]),
        ("Reshape", {}, [1, 2, 0], None),
        ("Reshape", {"allowzero": 1}, [0, -1], None),
        ("Reshape", {}, [4, 2], None),
        ("Reshape", {}, None, ROWS),
        ("Unsqueeze", {"axes": [1]}, None, [[[0, 1, 2]], [[3, 4, 5]]]),
        ("Unsqueeze", {}, [0, -1], [[[[0], [1], [2]], [[3], [4], [5]]]]),
        ("Unsqueeze", {"axes": [0]}, [1], [ROWS]),
        ("Unsqueeze", {}, None, ROWS),
        ("Flatten", {}, None, ROWS),
        ("Flatten", {"axis": 0}, None, [[0, 1, 2, 3, 4, 5]]),
        ("Flatten", {"axis": 2}, None, [[0], [1], [2], [3], [4], [5]]),
        ("Relu", {}, None, None),
    ],
)
def test_what_operators_of_layout_make_of_a_constant(
    operator: str, attributes: dict[str, Any], axes: list[int] | None, wanted: Any
) -> None:
    values = W | ({} if axes is None else {"a": np.array(axes)})
    node: Written = (operator, "w" if axes is None else "w a", "c", attributes)
    assert constant(node, values=values) == wanted
    found = graph(node, values=values).constant("c")
    assert found is None or (found.name, found.names, found.value.dtype) == ("w", ("w",), np.float32)
    if operator in ("Reshape", "Unsqueeze") and axes is not None and not attributes:
        # Sizes that are not reported leave the value as it is.
        assert constant(node, values=W, unknown="a") == ROWS


@pytest.mark.parametrize(
    ("attributes", "axes", "wanted"),
    [
        ({}, None, [1, 2]),
        ({"axes": [0]}, None, [[[1], [2]]]),
        ({}, [0, 3], [[1, 2]]),
        ({"axes": [2]}, None, None),
        ({"axes": [1]}, [0], [[[1], [2]]]),
    ],
)
def test_axes_of_one_are_taken_away(attributes: dict[str, Any], axes: list[int] | None, wanted: Any) -> None:
    values = {"w": floats(1, 1, 2, 1)} | ({} if axes is None else {"a": np.array(axes)})
    assert constant(("Squeeze", "w" if axes is None else "w a", "c", attributes), values=values) == wanted


def test_an_axis_after_the_second_is_flattened_from_there() -> None:
    found = constant(("Flatten", "w", "c", {"axis": 2}), values={"w": floats(2, 1, 3)})
    assert found == [[1, 2, 3], [4, 5, 6]]
    assert constant(("Flatten", "w", "c"), values={"w": floats(2, 1, 3)}) == [[1, 2, 3], [4, 5, 6]]
    assert constant(("Flatten", "w", "c"), values={"w": floats(1, 2, 2)}) == [[1, 2, 3, 4]]


def test_layouts_are_followed_one_after_the_other() -> None:
    chain: list[Written] = [("Transpose", "w", "a"), ("Reshape", "a s", "b"), ("Identity", "b", "c")]
    written = graph(*chain, values=W | {"s": np.array([6])})
    found = written.constant("c")
    assert found is not None
    assert (found.name, found.value.tolist()) == ("w", [0, 3, 1, 4, 2, 5])
    assert [written.stored_name(name) for name in ("c", "b", "a", "w", "nothing")] == ["w"] * 4 + ["nothing"]


@pytest.mark.parametrize(
    ("attributes", "sizes", "parts", "wanted"),
    [
        ({}, None, "c", [0, 1, 2, 3, 4]),
        ({}, None, "c d", [0, 1, 2]),
        ({}, None, "d c", [3, 4]),
        ({}, [1, 4], "d c", [1, 2, 3, 4]),
        ({}, [1, 2, 2], "d c e", [1, 2]),
        ({"split": [2, 3]}, None, "c d", [0, 1]),
        ({"split": [2, 3]}, [1, 4], "c d", [0, 1]),
        ({"split": [4, 1]}, None, "d c", [4]),
    ],
)
def test_parts_of_a_split(attributes: dict[str, Any], sizes: list[int] | None, parts: str, wanted: Any) -> None:
    values = {"w": floats(5, start=0)} | ({} if sizes is None else {"a": np.array(sizes)})
    node: Written = ("Split", "w" if sizes is None else "w a", parts, attributes)
    assert constant(node, values=values) == wanted
    assert graph(node, values=values).stored_name("c") == "w"
    if sizes is not None and not attributes:
        assert constant(node, values={"w": values["w"]}, unknown="a") is None


@pytest.mark.parametrize(("axis", "wanted"), [(None, [[3, 4, 5]]), (0, [[3, 4, 5]]), (1, [[2], [5]]), (-1, [[2], [5]])])
def test_a_split_along_an_axis(axis: int | None, wanted: Any) -> None:
    assert constant(("Split", "w", "d c", {} if axis is None else {"axis": axis}), values=W) == wanted


def test_constants_of_what_is_not_known_are_none() -> None:
    assert constant(("Identity", "w", "c"), unknown="w") is None
    assert constant(("Identity", "x", "c")) is None
    assert constant(("Identity", "x", "c"), values=W, name="") is None
    assert constant(("Relu", "w", "a"), ("Identity", "a", "c"), values=W) is None
    assert constant(name="w", values=W) == ROWS
    assert constant(name="nowhere") is None
    assert graph(("Relu", "x", "c"), values={"c": 1.0}).constant("c") is None


def test_a_name_is_stored_at_the_end_of_its_layouts() -> None:
    written = graph(("Relu", "w", "a"), ("Identity", "a", "b"), ("Identity", "-", "d"), values=W | {"k": 1.0})
    assert [written.stored_name(name) for name in ("b", "a", "d", "k")] == ["a", "a", "d", "k"]
    both = graph(("Identity", "w", "v"), ("Identity", "v", "u"), values={"w": 1.0, "v": 2.0})
    assert (both.stored_name("u"), both.constant("u")) == ("v", Constant("v", both.values["v"]))


# --- constants that are computed --------------------------------------------------------------------------------------

PAIR = {"a": np.float32([4, 9]), "b": np.float32([2, 3])}


@pytest.mark.parametrize(
    ("operator", "inputs", "wanted"),
    [
        ("Add", "a b", [6, 12]),
        ("Sub", "a b", [2, 6]),
        ("Mul", "a b", [8, 27]),
        ("Div", "a b", [2, 3]),
        ("Neg", "a", [-4, -9]),
        ("Sqrt", "a", [2, 3]),
        ("Reciprocal", "a", [0.25, 1 / 9]),
        ("Add", "a a", [8, 18]),
        ("Identity", "a", [4, 9]),
        ("Exp", "a", None),
        ("Add", "a n", None),
        ("Add", "a three", None),
        ("Add", "a x", None),
        ("Add", "a u", None),
        ("Add", "a", None),
    ],
)
def test_what_a_graph_computes_from_constants(operator: str, inputs: str, wanted: Any) -> None:
    values = PAIR | {"n": np.arange(2), "three": floats(3)}
    written = graph((operator, inputs, "c"), values=values, unknown="u")
    found = written.computed("c")
    if wanted is None:
        assert found is None
        return
    assert found is not None
    names = tuple(dict.fromkeys(inputs.split()))
    assert (found.value.tolist(), found.names, found.name) == (wanted, names, ", ".join(names))
    assert found.value.dtype == (np.float32 if operator == "Identity" else np.float64)
    assert written.computed("c") == found or operator == "Identity"
    assert (found.computed_from == names) is (operator != "Identity")


def test_computed_constants_are_exact_in_double_precision() -> None:
    third, root = np.float32(1) / np.float32(3), np.float64(np.float32(2))
    assert computed(("Div", "a b", "c"), values={"a": np.float32([1]), "b": np.float32([3])}) == ([1 / 3], ("a", "b"))
    assert computed(("Sqrt", "a", "c"), values={"a": np.float32([2])}) == ([np.sqrt(root)], ("a",))
    assert float(third) != 1 / 3


def test_computations_are_nested_and_laid_out() -> None:
    """-sqrt(a) b as a column; the sizes of the layout are no part of the value."""
    nodes: list[Written] = [
        ("Sqrt", "a", "r"),
        ("Neg", "r", "n"),
        ("Mul", "n b", "p"),
        ("Reshape", "p s", "c"),
        ("Add", "c a", "y"),
    ]
    assert computed(*nodes, values=PAIR | {"s": np.array([2, 1])}) == ([[-4], [-9]], ("a", "b"))
    assert computed(*nodes, name="y", values=PAIR | {"s": np.array([2, 1])}) == ([[0, 5], [-5, 0]], ("a", "b"))
    assert computed(*nodes, values=PAIR | {"s": np.array([3, 1])}) is None


def test_no_number_warns() -> None:
    values = {"a": np.float32([-1, 0]), "b": np.float32([0, 0])}
    with np.errstate(all="raise"):
        found = graph(("Div", "a b", "c"), ("Sqrt", "a", "d"), values=values)
        first, second = found.computed("c"), found.computed("d")
    assert first is not None
    assert second is not None
    assert np.array_equal(first.value, [-np.inf, np.nan], equal_nan=True)
    assert np.array_equal(second.value, [np.nan, 0], equal_nan=True)


@pytest.mark.parametrize(("operations", "known"), [(16, True), (17, True), (18, False)])
def test_computations_end_where_they_are_too_long(operations: int, known: bool) -> None:
    nodes = [("Neg", f"t{place}" if place else "a", f"t{place + 1}") for place in range(operations)]
    found = computed(*nodes, name=f"t{operations}", values=PAIR)  # type: ignore[arg-type]
    sign = (-1) ** operations
    assert found == (([4 * sign, 9 * sign], ("a",)) if known else None)


def test_constants_that_flow_or_have_no_name_are_not_computed() -> None:
    written = graph(("Neg", "x", "c"), values=PAIR)
    assert written.computed("c") is written.computed("") is written.computed("nowhere") is None
