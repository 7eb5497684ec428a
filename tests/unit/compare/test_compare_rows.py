"""What is said of one parameter, word for word and number for number."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness.compare.file_parameters import compare_file_parameters
from harness.compare.graph import Node
from harness.compare.parameter_rows import (
    distance,
    extra_row,
    place,
    same_values,
    sentence,
    shape_text,
    squeezed,
    what_changed,
)
from harness.compare.parameter_table import ParameterTable
from harness.compare.records import ParameterRow, Verdict
from harness.compare.roles import Normaliser, StoredTensor
from tests.unit.compare.tempcnn_graphs import draw_parameters, specification

SPEC = specification()
SOURCE = draw_parameters(SPEC)
FLOATS = np.float32([[1.5, -2.0, 3.25], [0.5, 7.0, -9.0]])


def up(values: np.ndarray, ulp: int, *places: tuple[int, ...]) -> np.ndarray:
    """Values of which some have a magnitude so many representable numbers larger."""
    changed = values.copy()
    for at in places:
        changed.view(np.int32)[at] += ulp
    return changed


@pytest.mark.parametrize(
    ("value", "same"),
    [
        (FLOATS.copy(), True),
        (FLOATS[:, None, :], True),
        (None, False),
        (FLOATS.astype(np.float64), False),
        (FLOATS.view(np.int32), False),
        (FLOATS[:1], False),
        (FLOATS.reshape(3, 2), False),
        (up(FLOATS, 1, (1, 2)), False),
    ],
)
def test_same_values_are_those_of_equal_bits_in_the_same_order(value: Any, same: bool) -> None:
    assert same_values(FLOATS, value) is same


def test_shapes() -> None:
    assert squeezed((1, 4, 1, 2)) == (4, 2)
    assert (shape_text((4, 2)), shape_text(())) == ("4 x 2", "()")
    assert place(np.array([[False, False], [False, True]])) == "at index [1, 1]"


def test_distances() -> None:
    assert distance(up(FLOATS, 3, (0, 0)), FLOATS) == (3, 3 * 2.0**-23)
    assert distance(np.array([1, 2]), np.array([1, 3])) == (None, None)
    broken = FLOATS.copy()
    broken[0, 0] = np.inf
    with np.errstate(all="raise"):
        ulp, largest = distance(broken, broken)
    assert (ulp, largest) == (0, None)
    assert distance(FLOATS[:0], FLOATS[:0]) == (None, 0.0)
    far, near = np.float32([3e7]), np.float32([0.1])
    assert distance(far, near)[1] == 3e7 - float(near[0])


def changed(value: np.ndarray, source: np.ndarray) -> str:
    return what_changed(source, value, value.view(np.uint32) != source.view(np.uint32))


@pytest.mark.parametrize(
    ("lost", "bits", "words"),
    [
        (0x0001, 0, "1 of 2 values differ, at index [1]"),
        (0xFFFF, 16, "1 of 2 values differ, at index [1], rounded to bfloat16"),
        (0x1FFF, 13, "1 of 2 values differ, at index [1], rounded to float16"),
        # As few bits as a rounded number has, yet farther away than rounding goes.
        (0x10000, 16, "1 of 2 values differ, at index [1]"),
        (0x2000, 13, "1 of 2 values differ, at index [1]"),
        (0x12000, 13, "1 of 2 values differ, at index [1]"),
    ],
)
def test_what_looks_rounded_is_said(lost: int, bits: int, words: str) -> None:
    value = np.uint32([0x3F800000, 0x3FA40000 if bits == 16 else 0x3FA42000 if bits == 13 else 0x3FA40001])
    source = value.copy()
    source[1] += lost
    assert changed(value.view(np.float32), source.view(np.float32)) == words


def test_what_is_not_finite_is_said_and_how_many_differ() -> None:
    value = FLOATS.copy()
    value[0, 1] = value[1, 1] = np.nan
    assert changed(value, FLOATS) == "2 of 6 values differ, 2 are not finite"
    wide = FLOATS.astype(np.float64)
    assert what_changed(wide, wide + 1, np.ones((2, 3), bool)) == "6 of 6 values differ"


def row(relation: Any, name: str = "a", target: str | None = "a", note: str = "") -> ParameterRow:
    found = extra_row(name, FLOATS, used=True)
    return found.model_copy(update={"relation": relation, "target_name": target, "note": note})


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (row("unequal"), "parameter a differs from the source"),
        (row("permuted", note="transposed"), "parameter a holds the source's values in another order: transposed"),
        (row("missing", target=None), "parameter a is missing"),
        (row("extra"), "parameter a is held beyond the canonical parameters"),
        (row("unequal", target="b"), "parameter a (held as 'b') differs from the source"),
    ],
)
def test_sentences(one: ParameterRow, words: str) -> None:
    assert sentence(one) == words


@pytest.mark.parametrize(("used", "note"), [(True, ""), (False, "no node of the graph uses it")])
def test_a_tensor_beyond_the_canonical_ones(used: bool, note: str) -> None:
    assert extra_row("b", FLOATS, used).model_dump() == {
        "name": "b",
        "layer": "",
        "relation": "extra",
        "source_shape": None,
        "target_name": "b",
        "target_shape": (2, 3),
        "elements": 6,
        "differing": 0,
        "max_ulp": None,
        "max_abs": None,
        "note": note,
    }


def file_row(name: str, **fields: Any) -> dict[str, Any]:
    blank = {"layer": "", "relation": "equal", "source_shape": (2, 3), "target_name": name, "target_shape": (2, 3)}
    counts = {"elements": 6, "differing": 0, "max_ulp": None, "max_abs": None, "note": ""}
    return {"name": name, **blank, **counts, **fields}


def test_tensors_of_one_file() -> None:
    reference = {"a": FLOATS, "b": FLOATS + 1, "c": FLOATS, "d": FLOATS * 2, "n": np.array([1, 2])}
    target = {
        "a": FLOATS.copy(),
        "b": up(FLOATS + 1, 2, (1, 1)),
        "d": (FLOATS * 2).astype(np.float64),
        "n": np.array([1, 5]),
        "z": FLOATS * 3,
        "y": FLOATS,
        "k": np.array([3]),
    }
    found = compare_file_parameters(reference, target)
    assert [one.model_dump() for one in found.rows] == [
        file_row("a"),
        file_row(
            "b",
            relation="unequal",
            differing=1,
            max_ulp=2,
            max_abs=2 * 2.0**-20,
            note="1 of 6 values differ, at index [1, 1]",
        ),
        file_row("c", relation="missing", target_name=None, target_shape=None),
        file_row("d", relation="unequal", differing=6, note="float64 (2, 3) instead of float32 (2, 3)"),
        file_row(
            "n",
            relation="unequal",
            source_shape=(2,),
            target_shape=(2,),
            elements=2,
            differing=1,
            note="1 of 2 values differ, at index [1]",
        ),
        file_row("k", relation="extra", source_shape=None, target_shape=(1,), elements=1),
        file_row("z", relation="extra", source_shape=None),
    ]
    assert found.verdict is Verdict.DIVERGENT
    assert [one.verdict for one in found.findings] == [Verdict.DIVERGENT] * 6
    assert {one.comparison for one in found.findings} == {"parameters"}
    assert found.findings[1].message == "parameter c is missing"
    # Of floating-point numbers alone: four tensors of six here, a, b, d, z and the copy of a there.
    assert (found.source_count, found.target_count) == (24, 30)
    assert (found.copies, found.copied_count, found.folded) == (2, 6, False)
    same = compare_file_parameters(reference, dict(reference))
    assert (same.verdict, same.findings, same.copies, same.copied_count) == (Verdict.IDENTICAL, [], 1, 0)
    cut = compare_file_parameters({"a": FLOATS}, {"a": FLOATS[:1]})
    assert cut.rows[0].note == "float32 (1, 3) instead of float32 (2, 3)"


def table_row(name: str, stored: StoredTensor | None, notes: tuple[str, ...] = ()) -> dict[str, Any]:
    """The row of a parameter of TempCNN in whose place a tensor is stored."""
    table = ParameterTable(SPEC, SOURCE)
    parameter = next(one for one in SPEC.parameters if one.name == name)
    table.compare(parameter, stored, notes)
    return table.rows[name].model_dump()


def classifier(**fields: Any) -> dict[str, Any]:
    blank = {"layer": "classifier", "relation": "equal", "source_shape": (5, 10), "target_name": "w"}
    counts = {"target_shape": (5, 10), "elements": 50, "differing": 0, "max_ulp": 0, "max_abs": 0.0, "note": ""}
    return {"name": "classifier.weight", **blank, **counts, **fields}


WEIGHT = SOURCE["classifier.weight"]


def nudged() -> np.ndarray:
    return up(WEIGHT, 1, (2, 3))


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (StoredTensor("w", WEIGHT), classifier()),
        (
            None,
            classifier(relation="missing", target_name=None, target_shape=None, max_ulp=None, max_abs=None),
        ),
        (
            StoredTensor("w", None),
            classifier(
                relation="missing",
                target_name=None,
                target_shape=None,
                max_ulp=None,
                max_abs=None,
                note="first; the target does not report 'w'",
            ),
        ),
        (
            StoredTensor("w", WEIGHT[:, None, :], "turned"),
            classifier(target_shape=(5, 1, 10), note="turned; stored as 5 x 1 x 10"),
        ),
        (StoredTensor("w", WEIGHT.astype(np.float64)), classifier(note="held as float64 without loss")),
        (
            StoredTensor("w", WEIGHT.astype(np.float64) + 1e-12),
            classifier(
                relation="unequal",
                differing=50,
                max_ulp=None,
                max_abs=None,
                note="shape 5 x 10 float64, not 5 x 10 float32",
            ),
        ),
        (
            StoredTensor("w", WEIGHT[:4]),
            classifier(
                relation="unequal",
                target_shape=(4, 10),
                differing=50,
                max_ulp=None,
                max_abs=None,
                note="shape 4 x 10 float32, not 5 x 10 float32",
            ),
        ),
        (
            StoredTensor("w", WEIGHT.T.copy()),
            classifier(
                relation="permuted", target_shape=(10, 5), differing=50, max_ulp=None, max_abs=None, note="transposed"
            ),
        ),
        (
            StoredTensor("w", nudged()),
            classifier(
                relation="unequal",
                differing=1,
                max_ulp=1,
                max_abs=abs(float(nudged()[2, 3]) - float(WEIGHT[2, 3])),
                note="1 of 50 values differ, at index [2, 3]",
            ),
        ),
    ],
)
def test_rows_of_a_parameter(stored: StoredTensor | None, expected: dict[str, Any]) -> None:
    first = ("first",) if stored is None or stored.value is None else ()
    found = table_row("classifier.weight", stored, first)
    if first:
        # Where nothing is reported there is nothing that notes could be of.
        expected = {**expected, "note": "" if stored is None else "the target does not report 'w'"}
    assert found == expected
    if stored is not None and stored.value is not None:
        noted = table_row("classifier.weight", stored, ("first",))["note"]
        assert noted == "; ".join(["first", *([expected["note"]] if expected["note"] else [])])


def test_a_weight_in_another_order_is_told_with_its_distance() -> None:
    exchanged = WEIGHT[[0, 1, 4, 3, 2]]
    found = table_row("classifier.weight", StoredTensor("w", exchanged))
    assert (found["relation"], found["differing"]) == ("permuted", 20)
    assert found["max_abs"] == float(np.abs(exchanged.astype(np.float64) - WEIGHT).max())
    assert "2<->4" in found["note"]


def test_channels_are_those_of_the_last_convolution_before_a_dense_layer() -> None:
    table = ParameterTable(SPEC, SOURCE)
    by_name = {one.name: one for one in SPEC.parameters}
    assert table.channels(by_name["dense.weight"]) == [6]
    assert table.channels(by_name["classifier.weight"]) == [6]
    assert table.channels(by_name["dense.bias"]) == []
    assert table.channels(by_name["conv2.weight"]) == []


@pytest.mark.parametrize(
    ("epsilon", "note"),
    [(1e-5, ""), (float(np.float32(1e-5)), ""), (1e-3, "epsilon 0.001 in the graph, 1e-05 in the source")],
)
def test_a_node_of_batch_normalisation(epsilon: float, note: str) -> None:
    table = ParameterTable(SPEC, SOURCE)
    layer = next(one for one in SPEC.layers if one.name == "norm1")
    roles = {"scale": "weight", "shift": "bias", "mean": "running_mean", "variance": "running_var"}
    parts = {role: StoredTensor(role, SOURCE[f"norm1.{name}"]) for role, name in roles.items()}
    node = Node("n", "BatchNormalization", ("x",), ("y",), {})
    table.normaliser(layer, Normaliser(node, **parts, epsilon=epsilon))
    assert {one.relation for one in table.rows.values()} == {"equal"}
    assert table.rows["norm1.running_var"].note == note
    assert [one.target_name for one in table.rows.values()] == [*roles]
    gone = ParameterTable(SPEC, SOURCE)
    gone.normaliser(layer, None)
    assert [one.relation for one in gone.rows.values()] == ["missing"] * 4
    gone.note(layer.parameters[0], "one")
    gone.note(layer.parameters[0], "two")
    assert gone.rows["norm1.weight"].note == "one; two"
