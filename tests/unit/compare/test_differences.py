"""What differs where two graphs part, in words: both are run, and the difference is found by values."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from harness.compare.differences import differing_bodies
from harness.compare.graph import Node
from tests.unit.compare.run_graphs import INPUT, PLAIN, WEIGHTS, Array, difference, parting_of, run
from tests.unit.compare.small_graphs import Written, structure

FIRST, LAST = PLAIN[1:], PLAIN[:5]


def sines(count: int) -> list[Written]:
    """So many sines between the second layer and the activation at the end."""
    chain = ["e", *(f"s{index}" for index in range(count))]
    return [*LAST, *(("Sin", one, two) for one, two in itertools.pairwise(chain)), ("Tanh", chain[-1], "y")]


def scaled_by(operator: str, value: Any) -> tuple[list[Written], dict[str, Array]]:
    return [*LAST, (operator, "e s", "e2"), ("Tanh", "e2", "y")], {"s": np.float64(value)}


def ends_in(operator: str, value: Any = 0.0, **attributes: Any) -> tuple[list[Written], dict[str, Array]]:
    given = "e s" if operator == "Mul" else "e"
    return [*LAST, (operator, given, "y", attributes)], {"s": np.asarray(value, float)}


def gathered(places: list[int], axis: int) -> tuple[list[Written], dict[str, Array]]:
    return [("Gather", "x k", "x2", {"axis": axis}), ("MatMul", "x2 dense1.weight", "a"), *FIRST], {
        "k": np.array(places)
    }


def activated(operator: str, **attributes: Any) -> tuple[list[Written], dict[str, Array]]:
    return [*PLAIN[:2], (operator, "b", "c", attributes), *PLAIN[3:]], {}


ONE_BIAS = {"dense1.bias": WEIGHTS["dense1.bias"] + 0.25 * np.eye(6)[2]}
SQUARE = [*PLAIN[:3], ("MatMul", "c dense2.weight", "f")]
SQUARED = {"dense2.weight": np.random.default_rng(5).normal(size=(6, 6))}
TURNED = [("Relu", "x", "r"), ("Transpose", "r", "t", {"perm": [0, 2, 1]}), ("Softmax", "t", "y", {"axis": 2})]
SOFTMAX = [("Relu", "x", "r"), ("Softmax", "r", "y", {"axis": 2})]
MEAN = ("ReduceMean", "d", "y", {"axes": [2]})
SCALED_SHAPES = (ends_in("Mul", [[1], [2], [3]]), ends_in("Mul", [1, 2, 3, 4]))

#: The file, the source, kind and place of the difference, its node, and the sentence.
CASES: list[tuple[Any, Any, str, str, str, str]] = [
    # One node with other settings, values or inputs.
    (
        activated("LeakyRelu", alpha=0.3),
        activated("LeakyRelu"),
        *("setting", "after dense1", "LeakyRelu_2", "LeakyRelu after dense1: alpha 0.3, the source has 0.01"),
    ),
    (
        ends_in("Softmax", axis=1),
        ends_in("Softmax"),
        *("setting", "after dense2", "Softmax_5", "Softmax after dense2: axis 1, the source has 2"),
    ),
    (
        (PLAIN, ONE_BIAS),
        (PLAIN, {}),
        *("constant", "dense1", "Add_1", "dense1: dense1.bias differs in 1 of 6 values, by 0.25 at most"),
    ),
    (
        ends_in("Mul", 3),
        ends_in("Mul", 2),
        *("constant", "after dense2", "Mul_5", "Mul after dense2: 3, the source has 2"),
    ),
    (
        *SCALED_SHAPES,
        *("constant", "after dense2", "Mul_5", "Mul after dense2: s has shape (3, 1), the source's (4,)"),
    ),
    (
        gathered([1, 2, 0], 1),
        gathered([0, 2, 1], 1),
        *("constant", "at the input x", "Gather_0"),
        "Gather at the input x: k is 1, 2, 0, the source has 0, 2, 1",
    ),
    (
        ([*SQUARE, ("Add", "f c", "y")], SQUARED),
        ([*SQUARE, ("Add", "f b", "y")], SQUARED),
        *("input", "after dense2", "Add_4"),
        "Add after dense2: it reads what comes after the Relu after dense1, the source reads what comes after dense1",
    ),
    (
        (TURNED, {}),
        (SOFTMAX, {}),
        *("input", "at the input x", "Softmax_2"),
        "Softmax at the input x: it reads its input with the axes in another order (0, 2, 1) than the source",
    ),
    # Nodes that only the file has.
    (
        ([*LAST, ("Relu", "e", "e2"), ("Tanh", "e2", "y")], {}),
        (PLAIN, {}),
        *("inserted", "after dense2", "Relu_5", "a Relu after dense2 that the source does not have"),
    ),
    (
        scaled_by("Mul", 2),
        (PLAIN, {}),
        *("inserted", "after dense2", "Mul_5"),
        "a Mul after dense2 that multiplies by 2 and that the source does not have",
    ),
    (
        scaled_by("Add", 0.5),
        (PLAIN, {}),
        *("inserted", "after dense2", "Add_5"),
        "an Add after dense2 that adds 0.5 and that the source does not have",
    ),
    (
        (
            [*LAST, ("Mul", "e s", "e1"), ("Add", "e1 t", "e2"), ("Tanh", "e2", "y")],
            {"s": np.float64(3), "t": np.float64(2)},
        ),
        (PLAIN, {}),
        *("inserted", "after dense2", "Mul_5"),
        "a Mul and an Add after dense2 that multiplies by 3 and adds 2 and that the source does not have",
    ),
    (
        gathered([1, 0, 2], 1),
        (PLAIN, {}),
        *("inserted", "at the input x", "Gather_0"),
        "at the input x: bands 0 and 1 exchanged, by a Gather that the source does not have",
    ),
    (
        gathered([1, 2, 0], 1),
        (PLAIN, {}),
        *("inserted", "at the input x", "Gather_0"),
        "at the input x: 3 bands in another order, by a Gather that the source does not have",
    ),
    (
        gathered([4, 3, 2, 1, 0], 2),
        (PLAIN, {}),
        *("inserted", "at the input x", "Gather_0"),
        "at the input x: the date axis backwards, by a Gather that the source does not have",
    ),
    (
        (
            [*PLAIN[:3], ("Gather", "c k", "c2", {"axis": 2}), ("MatMul", "c2 dense2.weight", "d"), *PLAIN[4:]],
            {"k": np.array([1, 0, 2, 3, 4, 5])},
        ),
        (PLAIN, {}),
        *("inserted", "after the Relu after dense1", "Gather_3"),
        "after the Relu after dense1: places 0 and 1 of axis 2 exchanged, by a Gather that the source does not have",
    ),
    (
        ([*PLAIN[:3], ("Cast", "c", "c2", {"to": 10}), ("MatMul", "c2 dense2.weight", "d"), *PLAIN[4:]], {}),
        (PLAIN, {}),
        *("inserted", "after the Relu after dense1", "Cast_3"),
        "a Cast to float16 after the Relu after dense1 that the source does not have",
    ),
    (
        (sines(12), {}),
        (PLAIN, {}),
        *("inserted", "after dense2", "Sin_5"),
        f"{'a Sin, ' * 10}a Sin and a Sin after dense2 that the source does not have",
    ),
    # Nodes that only the source has.
    (
        ([*PLAIN[:2], ("MatMul", "b dense2.weight", "d"), *PLAIN[4:]], {}),
        (PLAIN, {}),
        *("missing", "after dense1", "Relu_2", "the Relu after dense1 is missing"),
    ),
    (
        ([PLAIN[0], ("MatMul", "a dense2.weight", "d"), *PLAIN[4:]], {}),
        (PLAIN, {}),
        *("missing", "dense1", "Add_1", "dense1 is missing (Add, Relu)"),
    ),
    (
        ([*PLAIN[:4], ("Add", "d dense2.bias", "y")], {}),
        (PLAIN, {}),
        *("missing", "after dense2", "Tanh_5", "the Tanh after dense2 is missing"),
    ),
    (
        (PLAIN, {}),
        (sines(2), {}),
        *("missing", "after dense2", "Sin_5", "the Sin and Sin after dense2 are missing"),
    ),
    # Other nodes, or the same in another order.
    (
        activated("LeakyRelu"),
        (PLAIN, {}),
        *("exchanged", "after dense1", "LeakyRelu_2", "a LeakyRelu (alpha 0.01) after dense1, the source has a Relu"),
    ),
    (
        ([*PLAIN[:3], ("Sin", "c", "d"), MEAN], {}),
        ([*PLAIN[:4], MEAN], {}),
        *("exchanged", "dense2", "Sin_3", "dense2: a Sin, the source has a MatMul"),
    ),
    (
        ([PLAIN[0], ("Relu", "a", "b"), ("Add", "b dense1.bias", "c"), *PLAIN[3:]], {}),
        (PLAIN, {}),
        *("order", "dense1", "Relu_1", "dense1: Relu, then Add; the source has Add, then Relu"),
    ),
]


@pytest.mark.parametrize(("file", "source", "kind", "place", "node", "message"), CASES)
def test_a_difference_is_named_by_place_node_and_what_it_is(
    file: Any, source: Any, kind: str, place: str, node: str, message: str
) -> None:
    found = difference(run(*file), run(*source))
    assert (found.message, found.kind, found.place, found.node) == (message, kind, place, node)
    assert found.operator == node.partition("_")[0]
    assert found.explained


@pytest.mark.parametrize(
    ("file", "source", "place", "message"),
    [
        (sines(13), PLAIN, "after dense2", "the file goes on with Sin, Sin, Sin, Sin and so on, the source ends"),
        (PLAIN, sines(13), "after dense2", "the file ends, the source with Sin, Sin, Sin, Sin and so on"),
        (
            [*sines(13)[:-1], ("Relu", "s12", "y")],
            PLAIN,
            "after dense2",
            "the file goes on with Sin, Sin, Sin, Sin and so on, the source with Tanh",
        ),
    ],
)
def test_of_many_nodes_the_place_alone_is_known(file: Any, source: Any, place: str, message: str) -> None:
    found = difference(run(file), run(source))
    assert (found.message, found.kind, found.explained) == (f"{place}: {message}", "unknown", False)


@pytest.mark.parametrize(
    ("given", "named", "unnamed"),
    [
        (INPUT[:, [1, 0, 2]], "bands 0 and 1 exchanged", "places 0 and 1 of axis 1 exchanged"),
        (INPUT[:, [1, 2, 0]], "3 bands in another order", "3 places of axis 1 in another order"),
        (INPUT[:, :, ::-1], "the date axis backwards", "axis 2 backwards"),
    ],
)
def test_an_input_in_another_order_is_told_with_the_names_of_its_axes(given: Array, named: str, unnamed: str) -> None:
    file, source = run(PLAIN, x=given), run(PLAIN)
    for axes, order in (({"x": ("sample", "band", "date")}, named), ({}, unnamed)):
        found = difference(file, source, axes)
        assert found.message == f"dense1: it reads its input with {order}"
        assert (found.kind, found.place, found.explained) == ("input", "dense1", True)


def test_a_node_that_gives_other_values_for_no_known_reason_is_placed() -> None:
    odd = run(PLAIN, c=np.maximum(run(PLAIN).values["b"], 0) * np.arange(6))
    found = difference(odd, run(PLAIN))
    assert found.message == (
        "Relu after dense1: the Relu gives other values on the same input, for a reason that is not known"
    )
    assert (found.kind, found.explained, found.operator, found.place) == ("unknown", False, "Relu", "after dense1")


def test_what_is_written_in_another_way_does_not_part() -> None:
    turned: list[Written] = [
        ("Transpose", "x", "x2", {"perm": [2, 0, 1]}),
        ("Transpose", "x2", "x3", {"perm": [1, 2, 0]}),
        ("MatMul", "x3 dense1.weight", "a"),
        *FIRST,
    ]
    assert parting_of(run(turned), run(PLAIN)) is None
    # A bias in two halves: the sum of both comes back.
    half = {"half": WEIGHTS["dense1.bias"] / 2}
    twice = [PLAIN[0], ("Add", "a half", "b1"), ("Add", "b1 half", "b"), *PLAIN[2:]]
    assert parting_of(run(twice, half), run(PLAIN)) is None


@pytest.mark.parametrize(
    ("file", "source", "links", "reader"),
    [
        (activated("Tanh"), (PLAIN, {}), (("c", "c"),), ""),
        (scaled_by("Mul", 2), (PLAIN, {}), (("e2", "e"),), ""),
        (([*PLAIN[:2], ("MatMul", "b dense2.weight", "d"), *PLAIN[4:]], {}), (PLAIN, {}), (("b", "c"),), "MatMul_2"),
        (([*PLAIN[:4], ("Add", "d dense2.bias", "y")], {}), (PLAIN, {}), (), ""),
    ],
)
def test_where_the_file_goes_on_as_the_source_does(file: Any, source: Any, links: Any, reader: str) -> None:
    found = parting_of(run(*file), run(*source))
    assert found is not None
    assert found.links == links
    assert ("" if found.reader is None else found.reader.name) == reader


def looping(*nodes: Written, attribute: str = "body") -> Node:
    return Node("loop", "Loop", ("x",), ("y",), {attribute: {"graph": structure(*nodes)}})


@pytest.mark.parametrize(
    ("own", "other", "said"),
    [
        ([("Relu", "x", "y")], [("Relu", "x", "y")], ""),
        ([("Relu", "x", "y")], [("Relu", "x", "h"), ("Tanh", "h", "y")], "the Tanh in its body is missing"),
        (
            [("Relu", "x", "h"), ("Abs", "h", "y")],
            [("Relu", "x", "y")],
            "an Abs in its body that the source does not have",
        ),
        ([("Tanh", "x", "y")], [("Relu", "x", "y")], "a Tanh in its body, the source has a Relu"),
        (
            [("Elu", "x", "y", {"alpha": 0.5})],
            [("Elu", "x", "y")],
            "Elu in its body: alpha 0.5, the source has 1",
        ),
        # What changes no value is no difference.
        ([("Identity", "x", "h"), ("Relu", "h", "y")], [("Relu", "x", "y")], ""),
        (
            [("Relu", "x", "h"), ("Elu", "h", "y", {"alpha": 0.5})],
            [("Relu", "x", "h"), ("Elu", "h", "y")],
            "Elu in its body: alpha 0.5, the source has 1",
        ),
    ],
)
def test_graphs_inside_of_nodes_are_compared_node_by_node(own: list[Written], other: list[Written], said: str) -> None:
    assert differing_bodies(looping(*own), looping(*other)) == said


def test_a_difference_inside_of_a_node_is_told_with_its_layer() -> None:
    source = run([("Loop", "x", "y", {"body": {"graph": structure(("Relu", "x", "y"))}})])
    file = run([("Loop", "x", "y", {"body": {"graph": structure(("Tanh", "x", "y"))}})], y=INPUT * 3)
    found = difference(file, source)
    assert found.message == "Loop at the input x: a Tanh in its body, the source has a Relu"
    assert (found.kind, found.explained) == ("setting", True)
