"""Batch normalisation after a layer: kept, folded into it, written as arithmetic, or gone; every word and number of its rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from written_layers import Writer, equal, linear, model, norm, parts, said

from harness.compare.parameters import compare_parameters
from harness.models.spec import ModelSpec
from tests.unit.compare.tempcnn_graphs import Arrays, draw_parameters, export, specification

SPEC = specification()
SOURCE = draw_parameters(SPEC)


@pytest.mark.parametrize("style", ["kept", "folded", "matmul", "gone"])
def test_what_is_said_of_an_operation_is_in_the_row_of_its_weight(style: str) -> None:
    """The dense kernel after a flattening of the time first."""
    structure, target = export(SPEC, SOURCE, style="channels-last")
    note = "the graph flattens time-major; the kernel was reordered to channel-major"
    nodes = structure["nodes"]
    (dense,) = (node for node in nodes if node["inputs"][1:2] == ["dense.weight"])
    (normaliser,) = (node for node in nodes if node["inputs"][1:2] == ["dense_norm.weight"])
    parameters = [target[f"dense_norm.{part}"] for part in ("weight", "bias", "running_mean", "running_var")]
    gamma, beta, mean, variance = parameters
    scale = gamma / np.sqrt(variance + np.float32(1e-5))
    if style == "folded":
        target["dense.weight"] = target["dense.weight"] * scale[:, None]
        target["dense.bias"] = (target["dense.bias"] - mean) * scale + beta
    if style == "matmul":
        normaliser["operator"], normaliser["inputs"] = "Mul", [dense["outputs"][0], "s"]
        last = {"name": "", "operator": "Add", "inputs": ["scaled", "o"], "outputs": normaliser["outputs"]}
        normaliser["outputs"] = ["scaled"]
        nodes.insert(nodes.index(normaliser) + 1, last)
        target |= {"s": scale, "o": beta - mean * scale}
    elif style != "kept":
        nodes.remove(normaliser)
        for node in nodes:
            node["inputs"] = [dense["outputs"][0] if name in normaliser["outputs"] else name for name in node["inputs"]]
    if style != "kept":
        for name in [name for name in target if name.startswith("dense_norm")]:
            del target[name]
    result = compare_parameters(SPEC, SOURCE, structure, target)
    rows = {row.name: row for row in result.rows}
    assert rows["dense.weight"].note.startswith(note)
    wanted = {"kept": ("equal", "equal"), "matmul": ("equal", "folded"), "gone": ("equal", "missing")}
    relations = wanted.get(style, ("folded", "folded"))
    assert (rows["dense.weight"].relation, rows["dense_norm.weight"].relation) == relations
    assert rows["dense.bias"].relation == ("folded" if style == "folded" else "equal")
    if style == "folded":
        wrong = target | {"dense.weight": target["dense.weight"][:9]}
        cut = next(row for row in compare_parameters(SPEC, SOURCE, structure, wrong).rows if row.name == "dense.weight")
        assert cut.note == f"{note}; shape 9 x 36 float32, not 10 x 36 float32"
        rounded = target | {"dense.weight": np.nextafter(target["dense.weight"], np.float32(9))}
        assert compare_parameters(SPEC, SOURCE, structure, rounded).folded


def normalised(bias: bool = True, epsilon: float | None = None, **values: Any) -> tuple[ModelSpec, Arrays]:
    """A layer of two channels whose batch normalisation changes nothing, but for the ``values`` of its parts."""
    spec = model(linear("a", 2, 3, bias=bias), norm("n", 2, "a", epsilon))
    source = draw_parameters(spec)
    plain = {"scale": 1.0, "shift": 0.0, "mean": 0.0, "variance": 1.0} | values
    source |= {f"n.{part}": np.full(2, value, np.float32) for part, value in plain.items()}
    return spec, source


FOLDED = (
    "n folded in; every value is the source's times one scale per channel, which lies within 0 ULP of the exact one"
)


@pytest.mark.parametrize("scalar", [False, True], ids=["", "times-one"])
@pytest.mark.parametrize(
    ("values", "folds"),
    [
        ({}, True),
        ({"epsilon": 0.0}, True),
        ({"variance": np.float32(1) - np.float32(1e-5), "epsilon": 1e-5}, True),
        ({"shift": 0.5, "mean": 0.5}, True),
        ({"shift": 0.5}, False),
        ({"mean": 0.5}, False),
        ({"scale": 2.0}, False),
        ({"scale": 2.0, "shift": 0.5, "mean": 0.5}, False),
        ({"scale": 0.5, "shift": 0.5}, False),
    ],
)
def test_a_normalisation_that_is_gone_was_folded_only_where_it_changes_nothing(
    values: dict[str, Any], folds: bool, scalar: bool
) -> None:
    spec, source = normalised(**values)
    writer = Writer().dense(("w", source["a.weight"]), ("b", source["a.bias"]))
    if scalar:
        # One factor for all channels is no normalisation.
        writer.then("Mul", ("one", np.float32([1])))
    result = writer.compared(spec, source)
    if folds:
        assert said(result) == [
            ("a.weight", "folded", "w", FOLDED),
            ("a.bias", "folded", "b", "n folded in"),
            *((name, "folded", "w", "folded into a") for name in parts("n")),
        ]
    else:
        assert said(result) == [
            ("a.weight", "equal", "w", ""),
            ("a.bias", "equal", "b", ""),
            *((name, "missing", None, "") for name in parts("n")),
        ]
    assert result.folded is folds


def test_a_fold_of_a_layer_without_bias_needs_none_of_the_source() -> None:
    spec, source = normalised(bias=False, scale=2.0, shift=0.5)
    writer = Writer().dense(("w", source["a.weight"] * np.float32(2)), ("b", np.full(2, 0.5, np.float32)))
    result = writer.compared(spec, source)
    assert said(result) == [
        ("a.weight", "folded", "w", FOLDED),
        *((name, "folded", "w", "folded into a") for name in parts("n")),
    ]
    assert [row.differing for row in result.rows] == [0] * 5


def test_a_folded_bias_that_the_target_does_not_report_is_missing() -> None:
    spec, source = normalised(scale=2.0)
    writer = Writer().dense(("w", source["a.weight"] * np.float32(2)), ("b", source["a.bias"] * np.float32(2)))
    result = writer.compared(spec, source, {"w": writer.values["w"]})
    row = result.rows[1]
    assert (row.relation, row.note, row.differing) == ("missing", "n is folded in, which needs a bias", 0)
    assert (row.target_name, row.target_shape, row.max_ulp, row.max_abs) == (None, None, None, None)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    ("scale_ulp", "offset_ulp", "wrong"), [(0, 0, None), (8, 0, None), (9, 0, (1, 0)), (0, 8, None), (0, 9, (0, 1))]
)
def test_arithmetic_holds_within_eight_units_of_its_largest_term(
    bias: bool, scale_ulp: int, offset_ulp: int, wrong: tuple[int, int] | None
) -> None:
    """Of a scale of 1 and of an offset of 1, the mean being nought; the operation has no bias of its own."""
    spec, source = normalised(bias=bias, shift=1.0)
    if bias:
        source["a.bias"] = np.float32([0.25, -0.5])
    scale, offset = np.ones(2, np.float32), np.ones(2, np.float32)
    scale[1] += np.float32(scale_ulp * 2.0**-23)
    offset[0] += np.float32(offset_ulp * 2.0**-23)
    if bias:
        offset += source["a.bias"]
    writer = Writer().dense(("w", source["a.weight"])).then("Mul", ("s", scale)).then("Add", ("o", offset))
    result = writer.compared(spec, source)
    note = "written as arithmetic after a"
    if wrong is not None:
        note += f", which does not hold: {wrong[0]} scales and {wrong[1]} offsets of 2 are others"
    relation = "folded" if wrong is None else "unequal"
    assert said(result) == [
        ("a.weight", "equal", "w", ""),
        *((name, relation, "s, o", note) for name in [*(["a.bias"] if bias else []), *parts("n")]),
    ]
    assert {(row.target_shape, row.differing, row.max_ulp, row.max_abs) for row in result.rows[1:]} == {
        (None, 0, None, None)
    }


@pytest.mark.parametrize(("change", "relation"), [(0.0, "folded"), (2.0**-14, "folded"), (2.0**-13, "unequal")])
def test_a_bias_that_went_into_the_offset_sets_its_unit(change: float, relation: str) -> None:
    """A bias of 16384 times a scale of 1 / 128 is 128, of which eight units are 2**-13 and less."""
    spec, source = normalised(scale=2.0**-7)
    source["a.bias"] = np.float32([2.0**14, 3.0])
    offset = source["a.bias"] * np.float32(2.0**-7)
    offset[0] += np.float32(change * 1.5)
    scale = np.full(2, 2.0**-7, np.float32)
    writer = Writer().dense(("w", source["a.weight"])).then("Mul", ("s", scale)).then("Add", ("o", offset))
    assert [row.relation for row in writer.compared(spec, source).rows] == ["equal", *[relation] * 5]


def test_a_kept_normalisation_without_epsilon_in_the_source_has_none_to_set_against() -> None:
    spec, source = normalised(bias=False)
    writer = Writer().dense(("a.weight", source["a.weight"])).normaliser(source, "n")
    assert said(writer.compared(spec, source)) == equal("a.weight", *parts("n"))
