"""What is said of batch normalisation that a target holds in other parameters: rows, relations and notes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness.compare.parameters import compare_parameters
from harness.compare.records import ParameterRow
from tests.unit.compare.tempcnn_graphs import Arrays, draw_parameters, export, specification

SPEC = specification()
SOURCE = draw_parameters(SPEC)
NORM = ("norm1.weight", "norm1.bias", "norm1.running_mean", "norm1.running_var")


def rows(structure: dict[str, Any], target: Arrays) -> dict[str, ParameterRow]:
    return {row.name: row for row in compare_parameters(SPEC, SOURCE, structure, target).rows}


def larger(values: np.ndarray, ulp: int, *places: int) -> np.ndarray:
    """A copy whose values at these places of the flattened array are so many representable numbers larger."""
    changed = values.copy()
    for place in places:
        changed.reshape(-1).view(np.int32)[place] += ulp
    return changed


def test_a_clean_fold() -> None:
    found = rows(*export(SPEC, SOURCE, style="folded"))
    weight, bias = found["conv1.weight"], found["conv1.bias"]
    assert (weight.relation, weight.target_name, weight.target_shape) == ("folded", "conv1.weight", (8, 3, 5))
    assert (weight.differing, weight.elements) == (0, 120)
    start, _, end = weight.note.partition("which lies within ")
    assert start == "norm1 folded in; every value is the source's times one scale per channel, "
    assert end in ("0 ULP of the exact one", "1 ULP of the exact one", "2 ULP of the exact one")
    assert (weight.max_ulp, weight.max_abs) == (0, 0.0)
    assert (bias.relation, bias.target_name, bias.note, bias.differing) == (
        "folded",
        "conv1.bias",
        "norm1 folded in",
        0,
    )
    for name in NORM:
        row = found[name]
        assert (row.relation, row.target_name, row.note) == ("folded", "conv1.weight", "folded into conv1")
        assert (row.differing, row.max_ulp, row.max_abs) == (0, None, None)


def test_one_weight_and_one_bias_that_the_fold_does_not_make() -> None:
    structure, target = export(SPEC, SOURCE, style="folded")
    target["conv1.weight"] = larger(target["conv1.weight"], 9, 77)
    target["conv1.bias"] = larger(target["conv1.bias"], 900, 6)
    found = rows(structure, target)
    weight, bias = found["conv1.weight"], found["conv1.bias"]
    at = np.unravel_index(77, (8, 3, 5))
    assert (weight.relation, weight.differing) == ("unequal", 1)
    assert weight.note == (
        "norm1 folded in; 1 of 120 values are not what the fold makes of them; "
        f"at index [{', '.join(str(int(index)) for index in at)}]"
    )
    assert (bias.relation, bias.differing) == ("unequal", 1)
    assert bias.note == "norm1 folded in; 1 of 8 values are not what the fold makes of them; at index [6]"
    assert {found[name].note for name in NORM} == {"folded into conv1"}
    target["conv1.weight"] = larger(target["conv1.weight"], 9, 5)
    target["conv1.bias"] = larger(target["conv1.bias"], 900, 1)
    found = rows(structure, target)
    assert found["conv1.weight"].note == "norm1 folded in; 2 of 120 values are not what the fold makes of them"
    assert found["conv1.bias"].note == "norm1 folded in; 2 of 8 values are not what the fold makes of them"


@pytest.mark.parametrize(("wrong", "holds"), [(60, True), (61, False)])
def test_a_fold_of_which_most_is_wrong_does_not_hold(wrong: int, holds: bool) -> None:
    structure, target = export(SPEC, SOURCE, style="folded")
    # Other steps for each, so that no scale explains them.
    for place in range(wrong):
        target["conv1.weight"] = larger(target["conv1.weight"], 40 + 13 * place, 2 * place if place < 60 else 1)
    found = rows(structure, target)
    assert found["conv1.weight"].note == f"norm1 folded in; {wrong} of 120 values are not what the fold makes of them"
    said = "folded into conv1" if holds else "folded into conv1, but the fold does not hold"
    assert {(found[name].relation, found[name].note) for name in NORM} == {("folded" if holds else "unequal", said)}


def test_another_epsilon_in_a_fold() -> None:
    found = rows(*export(SPEC, SOURCE, style="folded", epsilon=1e-3))
    assert found["conv1.weight"].relation == "unequal"
    assert found["conv1.weight"].note.endswith("; as if epsilon were 0.001 instead of 1e-05")
    assert {found[name].relation for name in NORM} == {"unequal"}


def test_a_fold_whose_bias_is_gone() -> None:
    structure, target = export(SPEC, SOURCE, style="folded")
    del target["conv1.bias"]
    structure["nodes"][0]["inputs"].pop()
    structure["initializers"] = [entry for entry in structure["initializers"] if entry["name"] != "conv1.bias"]
    bias = rows(structure, target)["conv1.bias"]
    assert (bias.relation, bias.note, bias.target_name) == ("missing", "norm1 is folded in, which needs a bias", None)


def test_a_fold_of_other_sizes_is_compared_as_it_stands() -> None:
    structure, target = export(SPEC, SOURCE, style="folded")
    target["conv1.weight"] = target["conv1.weight"][:, :, :4]
    found = rows(structure, target)
    assert found["conv1.weight"].note.endswith("shape 8 x 3 x 4 float32, not 8 x 3 x 5 float32")
    assert found["conv1.bias"].relation == "unequal"
    assert {found[name].relation for name in NORM} == {"missing"}
    structure, target = export(SPEC, SOURCE, style="folded")
    target["conv1.bias"] = target["conv1.bias"][:7]
    assert rows(structure, target)["conv1.bias"].note == "shape 7 float32, not 8 float32"
    structure, target = export(SPEC, SOURCE, style="folded")
    target["conv1.weight"] = target["conv1.weight"][:, :, None]
    assert rows(structure, target)["conv1.weight"].relation == "folded"


def test_clean_arithmetic() -> None:
    found = rows(*export(SPEC, SOURCE, style="matmul"))
    for name in NORM:
        row = found[name]
        assert (row.relation, row.note) == ("folded", "written as arithmetic after conv1")
        assert (row.target_name, row.target_shape, row.differing) == ("norm1.scale, norm1.offset", None, 0)
    assert found["conv1.bias"].relation == "equal"


def test_arithmetic_that_does_not_hold() -> None:
    structure, target = export(SPEC, SOURCE, style="matmul")
    target["norm1.scale"] = larger(target["norm1.scale"], 40, 2)
    target["norm1.offset"] = larger(target["norm1.offset"], 4000, 3, 5)
    found = rows(structure, target)
    for name in NORM:
        assert found[name].relation == "unequal"
        assert found[name].note.startswith(
            "written as arithmetic after conv1, which does not hold: 1 scales and 2 offsets of 8 are others"
        )
    target["norm1.scale"] = SOURCE["norm1.weight"][:, None]
    assert rows(structure, target)["norm1.bias"].note == (
        "written as arithmetic after conv1, which does not hold: 8 scales and 2 offsets of 8 are others"
    )
    structure, target = export(SPEC, SOURCE, style="matmul", epsilon=1e-3)
    assert rows(structure, target)["norm1.weight"].note == (
        "written as arithmetic after conv1, which does not hold: 8 scales and 8 offsets of 8 are others, "
        "as if epsilon were 0.001 instead of 1e-05"
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("ulp", "relation"), [(0, "permuted"), (5, "permuted"), (6, "unequal")])
def test_a_folded_kernel_in_another_order_is_told_within_the_rounding_of_a_fold(
    ulp: int, relation: str, dtype: type
) -> None:
    """Four units of the scale and one of the product."""
    structure, target = export(SPEC, SOURCE, style="folded")
    scale = SOURCE["norm1.weight"].astype(np.float64) / np.sqrt(SOURCE["norm1.running_var"].astype(np.float64) + 1e-5)
    folded = (SOURCE["conv1.weight"] * scale[:, None, None]).astype(np.float32)
    target["conv1.weight"] = larger(np.ascontiguousarray(folded[:, :, ::-1]), ulp, *range(120)).astype(dtype)
    weight = rows(structure, target)["conv1.weight"]
    assert weight.relation == relation
    assert ("kernel reversed along its last axis" in weight.note) is (relation == "permuted")
