"""Which tensor of a target is held against which parameter, and every word and number that is said of it: small cases."""

from __future__ import annotations

import numpy as np
import pytest
from written_layers import ROLES, Writer, equal, linear, model, norm, parts, said

from harness.compare.parameters import compare_parameters
from harness.compare.records import Verdict
from harness.errors import ModelError
from tests.unit.compare.tempcnn_graphs import draw_parameters, specification

SPEC = specification()
SOURCE = draw_parameters(SPEC)


def test_a_source_that_does_not_fit_names_the_model() -> None:
    for source in ({}, {"a.weight": np.zeros((2, 3), np.float32)}):
        with pytest.raises(ModelError) as caught:
            compare_parameters(model(linear("a", 3, 2)), source, None, {})
        assert caught.value.where == SPEC.model


# --- tables of weights without a graph -----------------------------------------------------------------------------


def test_every_row_and_number_of_a_table_of_weights() -> None:
    spec = model(linear("a", 3, 2), linear("b", 2, 3))
    source = draw_parameters(spec)
    target = {
        "a.weight": source["a.weight"],
        "other": source["b.weight"],
        "more": np.ones(4, np.float32),
        "b.bias": source["b.bias"],
        "count": np.array([7]),
    }
    result = compare_parameters(spec, source, None, target)
    assert said(result) == [
        ("a.weight", "equal", "a.weight", ""),
        ("a.bias", "missing", None, ""),
        ("b.weight", "missing", None, "the target holds its values under the name 'other'"),
        ("b.bias", "equal", "b.bias", ""),
        ("more", "extra", "more", ""),
        ("other", "extra", "other", ""),
    ]
    assert [finding.message for finding in result.findings] == [
        "parameter a.bias is missing",
        "parameter b.weight is missing: the target holds its values under the name 'other'",
        "parameter more is held beyond the canonical parameters",
        "parameter other is held beyond the canonical parameters",
    ]
    assert {(finding.comparison, finding.verdict) for finding in result.findings} == {("parameters", Verdict.DIVERGENT)}
    assert (result.source_count, result.target_count) == (6 + 3 + 6 + 2, 6 + 6 + 4 + 2)
    assert (result.copies, result.copied_count, result.folded) == (1, 0, False)


def test_weights_held_in_half_precision_without_loss_are_equal() -> None:
    spec = model(linear("a", 2, 2, bias=False))
    source = {"a.weight": np.float32([[1.5, -2.0], [0.25, 7.0]])}
    result = compare_parameters(spec, source, None, {"a.weight": source["a.weight"].astype(np.float16)})
    assert said(result) == [("a.weight", "equal", "a.weight", "held as float16 without loss")]


def test_a_kernel_after_several_convolutions_was_flattened_with_the_channels_of_the_last() -> None:
    convolutions = [
        linear(name, size, 2, 3, bias=False, kind="convolution") for name, size in zip("abc", (4, 6, 8), strict=True)
    ]
    spec = model(*convolutions, linear("d", 2, 24))
    source = draw_parameters(spec)
    for channels in (8, 6):
        moved = source["d.weight"].reshape(2, channels, -1).transpose(0, 2, 1).reshape(2, 24)
        held = source | {"d.weight": moved}
        row = compare_parameters(spec, source, None, held).rows[3]
        assert row.relation == "permuted"
        assert (row.note == "flatten order time-major instead of channel-major") is (channels == 8)
    # The same bits as integers are not the same numbers, but their order is told.
    moved = source["d.weight"].reshape(2, 8, -1).transpose(0, 2, 1).reshape(2, 24).view(np.int32)
    row = compare_parameters(spec, source, None, source | {"d.weight": moved}).rows[3]
    assert (row.relation, row.note) == ("unequal", "flatten order time-major instead of channel-major")


# --- which operation holds which layer ------------------------------------------------------------------------------

WIDTHS = {"a": 3, "b": 4, "x": 5}


@pytest.mark.parametrize(
    ("layers", "operations", "pairs"),
    [
        ("ab", "ab", [0, 1]),
        # Branches are written in any order.
        ("ab", "ba", [1, 0]),
        ("aba", "baa", [1, 0, 2]),
        ("ab", "bb", [0, 1]),
        ("ab", "b", [None, 0]),
        ("ab", "x?a", [1, None]),
        ("ab", "xab", [1, 2]),
        ("ab", "bxx", [None, 0]),
        ("ab", "xbx", [None, 1]),
        ("aa", "bba", [2, None]),
        ("a", "axa", [0]),
        ("a", "xa", [1]),
        ("a", "xx", [None]),
        ("a", "x?", [1]),
        ("a", "", [None]),
        ("", "a", []),
    ],
)
def test_layers_are_paired_in_order_and_by_size_where_the_numbers_differ(
    layers: str, operations: str, pairs: list[int | None]
) -> None:
    """A letter is a size of a weight, "?" one that the target does not report."""
    spec = model(*(linear(f"{size}{place}", 2, WIDTHS[size], bias=False) for place, size in enumerate(layers)))
    source = draw_parameters(spec)
    writer = Writer()
    for place, size in enumerate(operations):
        writer.dense((f"w{place}", np.full((2, WIDTHS.get(size, 9)), place, np.float32)))
    held = {name: value for name, value in writer.values.items() if operations[int(name[1:])] != "?"}
    result = writer.compared(spec, source, held)
    unreported = {f"the target does not report 'w{place}'": f"w{place}" for place in range(len(operations))}
    found = [row.target_name or unreported.get(row.note) for row in result.rows if row.relation != "extra"]
    assert found == [None if place is None else f"w{place}" for place in pairs]
    left = [f"w{place}" for place, size in enumerate(operations) if place not in pairs and size != "?"]
    assert said(result)[len(layers) :] == [(name, "extra", name, "") for name in left]


# --- what is missing and what is beyond ----------------------------------------------------------------------------


def test_a_layer_that_is_missing_takes_its_normalisation_along() -> None:
    """The batch normalisation that stands before the other layer is not that of the missing one."""
    spec = model(linear("a", 3, 2, bias=False), norm("n", 3, "a"), norm("m", 4), linear("b", 2, 4))
    source = draw_parameters(spec)
    writer = Writer().normaliser(source, "m").dense(("w", source["b.weight"]), ("c", source["b.bias"]))
    result = writer.compared(spec, source)
    assert said(result) == [
        *((name, "missing", None, "") for name in ["a.weight", *parts("n")]),
        *equal(*parts("m")),
        ("b.weight", "equal", "w", ""),
        ("b.bias", "equal", "c", ""),
    ]
    gone = compare_parameters(spec, source, Writer().structure("x", spec), {})
    assert {(row.relation, row.note) for row in gone.rows} == {("missing", "")}
    assert (gone.target_count, gone.copies, gone.copied_count) == (0, 1, 0)


def test_operations_beyond_the_layers_are_rows_of_their_own() -> None:
    spec = model(linear("a", 2, 3))
    source = draw_parameters(spec)
    more = {f"n.{role}": np.full(5, place + 2, np.float32) for place, role in enumerate(ROLES)}
    writer = Writer().then("Slope", ("q", np.ones(6, np.float32)))
    writer.dense(("w", source["a.weight"]), ("b", source["a.bias"])).then("Relu")
    writer.dense(("w2", np.ones((5, 2), np.float32)), ("b2", np.ones(5, np.float32))).normaliser(more, "n")
    writer.then("Relu").dense(("w1", np.ones((7, 5), np.float32))).then("Relu")
    writer.dense(("w3", np.ones((3, 7), np.float32)), ("b3", np.ones(3, np.float32))).then("Relu")
    writer.normaliser({name: value[:2] for name, value in more.items()}, "n", "k").then("Relu")
    writer.then("Mul", ("s", np.full(2, 3, np.float32))).then("Add", ("o", np.full(2, 4, np.float32)))
    held = {name: value for name, value in writer.values.items() if name != "w3"}
    held["loose"] = np.zeros(3, np.float32)
    result = writer.compared(spec, source, held)
    extra = sorted(["q", "w2", "b2", *parts("n"), "w1", "b3", *(f"k{name}" for name in parts("n")), "s", "o", "loose"])
    assert said(result) == [
        ("a.weight", "equal", "w", ""),
        ("a.bias", "equal", "b", ""),
        *((name, "extra", name, "no node of the graph uses it" if name == "loose" else "") for name in extra),
    ]
    assert len(result.findings) == len(extra)


def test_tensors_that_are_used_again_are_not_beyond_the_parameters() -> None:
    spec = model(norm("n", 3), linear("a", 3, 3, bias=False))
    source = draw_parameters(spec)
    scale = (source["n.scale"] / np.sqrt(source["n.variance"] + np.float32(1e-5))).astype(np.float32)
    arithmetic = ("scale", scale), ("offset", (source["n.shift"] - source["n.mean"] * scale).astype(np.float32))
    writer = Writer()
    for _ in range(2):
        writer.then("Mul", arithmetic[0]).then("Add", arithmetic[1]).then("Relu")
        writer.dense(("w", source["a.weight"])).then("Relu")
    result = writer.compared(spec, source)
    assert said(result) == [
        *((name, "folded", "scale, offset", "written as arithmetic") for name in parts("n")),
        ("a.weight", "equal", "w", ""),
    ]
    assert (result.verdict, result.findings) == (Verdict.EQUIVALENT, [])


def test_normalisation_that_no_layer_takes_in_is_paired_in_order() -> None:
    spec = model(norm("n", 3), linear("a", 3, 3), norm("m", 3), norm("k", 3))
    source = draw_parameters(spec)
    writer = Writer().normaliser(source, "n").dense(("a.weight", source["a.weight"]), ("a.bias", source["a.bias"]))
    writer.then("Relu")
    scale = (source["m.scale"] / np.sqrt(source["m.variance"] + np.float32(1e-5))).astype(np.float32)
    offset = (source["m.shift"] - source["m.mean"] * scale).astype(np.float32)
    writer.then("Mul", ("s", scale)).then("Add", ("o", offset)).then("Relu")
    result = writer.compared(spec, source)
    assert said(result) == [
        *equal(*parts("n"), "a.weight", "a.bias"),
        *((name, "folded", "s, o", "written as arithmetic") for name in parts("m")),
        *((name, "missing", None, "") for name in parts("k")),
    ]


def test_zeros_beyond_the_parameters_count_where_nothing_is_recurrent() -> None:
    spec = model(linear("a", 2, 3))
    source = draw_parameters(spec)
    writer = Writer().dense(("w", source["a.weight"]), ("b", source["a.bias"]))
    writer.then("Slope", ("zeros", np.zeros(6, np.float32)))
    assert said(writer.compared(spec, source))[2:] == [("zeros", "extra", "zeros", "")]


# --- copies ----------------------------------------------------------------------------------------------------------


def test_copies_that_a_runtime_holds_are_counted_and_no_rows() -> None:
    spec = model(linear("a", 2, 3))
    source = draw_parameters(spec)
    writer = Writer().dense(("w", source["a.weight"]), ("b", source["a.bias"]))
    held = writer.values | {"w.again": source["a.weight"].copy(), "count": np.arange(6).reshape(2, 3)}
    result = writer.compared(spec, source, held)
    assert said(result) == [("a.weight", "equal", "w", ""), ("a.bias", "equal", "b", "")]
    assert (result.copies, result.copied_count, result.target_count) == (2, 6, 14)


def test_a_recurrence_of_many_steps_is_one_weight_with_its_copies() -> None:
    spec = model(linear("l", 4, 2, 1, 1, kind="convolutional-lstm"), linear("a", 2, 3))
    source = draw_parameters(spec)
    writer = Writer()
    for step in range(3):
        weight = (f"w{step}", source["l.weight"].copy())
        writer.then("Conv", weight, ("c", source["l.bias"])).then("Relu")
    writer.dense(("a.weight", source["a.weight"]), ("a.bias", source["a.bias"]))
    writer.then("Slope", ("zeros", np.zeros(6, np.float32))).then("Slope", ("ones", np.ones(6, np.float32)))
    held = writer.values | {"w.again": source["l.weight"].copy()}
    result = writer.compared(spec, source, held)
    assert said(result) == [
        ("l.weight", "equal", "w0", "used by 3 nodes in 3 copies"),
        ("l.bias", "equal", "c", ""),
        *equal("a.weight", "a.bias"),
        ("ones", "extra", "ones", ""),
    ]
    assert (result.copies, result.copied_count) == (3, 8 + 8 + 8)
    # What the target does not report is counted nowhere.
    some = {name: value for name, value in writer.values.items() if name != "w1"}
    assert writer.compared(spec, source, some).copied_count == 8
    gone = compare_parameters(spec, source, Writer().structure("x", spec), {})
    assert (gone.copies, gone.copied_count) == (1, 0)
