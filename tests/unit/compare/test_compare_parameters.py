from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tempcnn_graphs import CLASSES, DATES, Arrays, draw_parameters, export, specification

from harness.compare.parameters import compare_parameters
from harness.compare.records import ParameterComparison, Verdict
from harness.errors import ModelError

SPEC = specification()
SOURCE = draw_parameters(SPEC)
LAYERS = ("conv1", "conv2", "dense")


def compare(structure: dict[str, Any] | None, target: Arrays, source: Arrays = SOURCE) -> ParameterComparison:
    return compare_parameters(SPEC, source, structure, target)


def relations(result: ParameterComparison) -> dict[str, str]:
    """Of canonical parameters that are not equal."""
    return {row.name: row.relation for row in result.rows if row.relation not in ("equal", "extra")}


def extras(result: ParameterComparison) -> dict[str, str]:
    return {row.name: row.note for row in result.rows if row.relation == "extra"}


def to_bfloat16(value: np.float32) -> np.float32:
    """Rounded to nearest, ties to even (no NaN)."""
    raw = np.float32([value]).view(np.uint32)
    return ((raw + 0x7FFF + ((raw >> 16) & 1)) & np.uint32(0xFFFF0000)).view(np.float32)[0]


@pytest.mark.parametrize("style", ["kept", "channels-last"])
def test_clean_unfolded_export_is_identical(style: str) -> None:
    result = compare(*export(SPEC, SOURCE, style=style))
    assert result.verdict is Verdict.IDENTICAL
    assert not result.folded
    assert {row.relation for row in result.rows} == {"equal"}
    assert len(result.rows) == len(SPEC.parameters)
    assert result.source_count == result.target_count


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), style=st.sampled_from(["folded", "renamed", "matmul", "computed"]))
def test_clean_folds_raise_no_alarm(seed: int, style: str) -> None:
    source = draw_parameters(SPEC, seed)
    result = compare(*export(SPEC, source, style=style), source)
    assert result.verdict is Verdict.EQUIVALENT, result.findings
    assert result.folded
    found = relations(result)
    assert found["norm1.weight"] == found["norm1.running_var"] == "folded"
    assert "classifier.weight" not in found


def test_some_layers_folded_and_one_kept() -> None:
    result = compare(*export(SPEC, SOURCE, style="renamed", fold=("conv1", "conv2")))
    assert result.verdict is Verdict.EQUIVALENT
    found = relations(result)
    assert found["conv1.weight"] == "folded"
    assert not any(name.startswith("dense") for name in found)


def test_fold_in_float64_holds_too() -> None:
    structure, target = export(SPEC, SOURCE, style="folded")
    for layer, norm in (("conv1", "norm1"), ("conv2", "norm2"), ("dense", "dense_norm")):
        gamma, beta, mean, variance = (
            SOURCE[f"{norm}.{part}"].astype(np.float64) for part in ("weight", "bias", "running_mean", "running_var")
        )
        scale = gamma / np.sqrt(variance + 1e-5)
        weight = SOURCE[f"{layer}.weight"]
        target[f"{layer}.weight"] = (weight * scale.reshape(-1, *[1] * (weight.ndim - 1))).astype(np.float32)
        target[f"{layer}.bias"] = ((SOURCE[f"{layer}.bias"] - mean) * scale + beta).astype(np.float32)
    assert compare(structure, target).verdict is Verdict.EQUIVALENT


def test_a_fold_without_bias_in_the_source_layer_needs_one_in_the_target() -> None:
    structure, target = export(SPEC, SOURCE, style="folded")
    del target["conv1.bias"]
    structure["nodes"][0]["inputs"].pop()
    structure["initializers"] = [entry for entry in structure["initializers"] if entry["name"] != "conv1.bias"]
    result = compare(structure, target)
    assert relations(result)["conv1.bias"] == "missing"
    assert result.verdict is Verdict.DIVERGENT


def test_names_prove_nothing() -> None:
    """Two kernels of one shape under each other's names, in the right places, are equal; in the wrong ones they are not."""
    structure, target = export(SPEC, SOURCE)
    swapped = {"norm1.weight": "norm1.bias", "norm1.bias": "norm1.weight"}
    for node in structure["nodes"]:
        node["inputs"] = [swapped.get(name, name) for name in node["inputs"]]
    assert relations(compare(structure, target)) == {"norm1.weight": "unequal", "norm1.bias": "unequal"}
    renamed = {swapped.get(name, name): value for name, value in target.items()}
    assert compare(structure, renamed).verdict is Verdict.IDENTICAL


def test_initializers_behind_identity_transpose_and_reshape() -> None:
    structure, target = export(SPEC, SOURCE)
    target["conv1.weight"] = np.ascontiguousarray(SOURCE["conv1.weight"].transpose(2, 1, 0))
    target["packed"] = target.pop("dense.bias").reshape(2, -1)
    target["shape"] = np.array([-1], np.int64)
    extra = [
        ("Transpose", ["conv1.weight"], "w1", {"perm": [2, 1, 0]}),
        ("Identity", ["w1"], "w2", {}),
        ("Reshape", ["packed", "shape"], "b1", {}),
    ]
    for operator, inputs, output, attributes in extra:
        structure["nodes"].append(
            {"name": output, "operator": operator, "inputs": inputs, "outputs": [output], "attributes": attributes}
        )
    for node in structure["nodes"]:
        if node["operator"] in ("Conv", "Gemm"):
            node["inputs"] = [{"conv1.weight": "w2", "dense.bias": "b1"}.get(name, name) for name in node["inputs"]]
    result = compare(structure, target)
    assert result.verdict is Verdict.IDENTICAL, result.findings
    assert {row.name: row.target_name for row in result.rows}["dense.bias"] == "packed"


def test_a_kernel_with_an_axis_of_one_more_is_the_same_kernel() -> None:
    structure, target = export(SPEC, SOURCE)
    target["conv1.weight"] = target["conv1.weight"][:, :, None, :]
    row = compare(structure, target).rows[0]
    assert row.relation == "equal"
    assert "8 x 3 x 1 x 5" in row.note


# --- planted faults -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("style", ["kept", "folded"])
@pytest.mark.parametrize("towards", [np.inf, -np.inf])
@pytest.mark.parametrize("name", ["conv1.weight", "conv2.weight", "dense.weight", "classifier.weight"])
def test_one_weight_off_by_one_ulp(style: str, towards: float, name: str) -> None:
    structure, target = export(SPEC, SOURCE, style=style)
    changed = target[name].copy()
    changed.flat[17] = np.nextafter(changed.flat[17], np.float32(towards))
    result = compare(structure, {**target, name: changed})
    assert result.verdict is Verdict.DIVERGENT
    row = next(row for row in result.rows if row.name == name)
    assert (row.relation, row.differing) == ("unequal", 1)
    place = ", ".join(str(int(index)) for index in np.unravel_index(17, SOURCE[name].shape))
    assert f"[{place}]" in row.note
    assert [finding.message for finding in result.findings if name in finding.message]
    assert len(result.findings) == 1


@pytest.mark.parametrize("style", ["kept", "folded"])
def test_one_weight_rounded_to_bfloat16(style: str) -> None:
    structure, target = export(SPEC, SOURCE, style=style)
    changed = target["dense.weight"].copy()
    changed[3, 5] = to_bfloat16(changed[3, 5])
    result = compare(structure, {**target, "dense.weight": changed})
    row = next(row for row in result.rows if row.name == "dense.weight")
    assert (row.relation, row.differing) == ("unequal", 1)
    assert row.max_ulp is not None
    assert row.max_ulp > 1
    if style == "kept":
        assert "rounded to bfloat16" in row.note


def test_epsilon_of_another_framework_in_a_fold() -> None:
    result = compare(*export(SPEC, SOURCE, style="folded", epsilon=1e-3))
    assert result.verdict is Verdict.DIVERGENT
    assert result.folded
    row = next(row for row in result.rows if row.name == "dense.weight")
    assert row.relation == "unequal"
    assert "as if epsilon were 0.001 instead of 1e-05" in row.note
    assert relations(result)["norm1.running_var"] == "unequal"
    assert "classifier.weight" not in relations(result)


def test_epsilon_of_another_framework_in_a_node_is_noted() -> None:
    result = compare(*export(SPEC, SOURCE, epsilon=1e-3))
    row = next(row for row in result.rows if row.name == "norm1.running_var")
    assert row.relation == "equal"
    assert "epsilon 0.001 in the graph, 1e-05 in the source" in row.note


@pytest.mark.parametrize("style", ["matmul", "computed"])
def test_epsilon_of_another_framework_in_arithmetic(style: str) -> None:
    result = compare(*export(SPEC, SOURCE, style=style, epsilon=1e-3))
    assert result.verdict is Verdict.DIVERGENT
    assert relations(result)["norm1.weight"] == "unequal"


@pytest.mark.parametrize("part", ["weight", "bias", "running_mean", "running_var"])
def test_a_tensor_that_arithmetic_is_computed_from_is_another(part: str) -> None:
    structure, held = export(SPEC, SOURCE, style="computed")
    held[f"dense_norm.{part}"] = held[f"dense_norm.{part}"].copy()
    held[f"dense_norm.{part}"][3] *= np.float32(1 + 1e-4)
    result = compare(structure, held)
    assert result.verdict is Verdict.DIVERGENT
    assert {name for name, relation in relations(result).items() if relation == "unequal"} == {
        f"dense_norm.{word}" for word in ("weight", "bias", "running_mean", "running_var")
    }
    assert not extras(result)


def test_arithmetic_that_grows_without_end_is_left_alone() -> None:
    """Every sum takes the last one twice: walked without care, there are 2^200 of them."""
    structure, held = export(SPEC, SOURCE, style="kept")
    held["grown.0"] = np.ones(CLASSES, np.float32)
    grown = [
        {"name": "", "operator": "Add", "inputs": [f"grown.{index}"] * 2, "outputs": [f"grown.{index + 1}"]}
        for index in range(200)
    ]
    last = {"name": "", "operator": "Mul", "inputs": [structure["outputs"][0]["name"], "grown.200"], "outputs": ["end"]}
    structure["nodes"] += [*grown, last]
    structure["outputs"][0]["name"] = "end"
    structure["initializers"].append({"name": "grown.0", "dtype": "float32", "shape": [CLASSES], "sha256": ""})
    assert extras(compare(structure, held)).keys() == {"grown.0"}


@pytest.mark.parametrize("style", ["kept", "folded", "renamed"])
def test_kernel_flipped(style: str) -> None:
    flipped = {**SOURCE, "conv1.weight": np.ascontiguousarray(SOURCE["conv1.weight"][:, :, ::-1])}
    row = compare(*export(SPEC, flipped, style=style)).rows[0]
    assert row.relation == "permuted"
    assert "kernel reversed along its last axis" in row.note


@pytest.mark.parametrize("style", ["kept", "folded"])
def test_dense_kernel_permuted(style: str) -> None:
    kernel = SOURCE["dense.weight"]
    moved = kernel.reshape(10, 6, DATES).transpose(0, 2, 1).reshape(kernel.shape)
    result = compare(*export(SPEC, {**SOURCE, "dense.weight": moved}, style=style))
    row = next(row for row in result.rows if row.name == "dense.weight")
    assert row.relation == "permuted"
    assert "flatten order time-major instead of channel-major" in row.note


def test_two_classes_exchanged() -> None:
    order = [0, 3, 2, 1, 4]
    exchanged = {name: SOURCE[name][order] for name in ("classifier.weight", "classifier.bias")}
    result = compare(*export(SPEC, {**SOURCE, **exchanged}))
    assert relations(result) == {"classifier.weight": "permuted", "classifier.bias": "permuted"}
    notes = {row.name: row.note for row in result.rows}
    assert "rows exchanged 1<->3" in notes["classifier.weight"]
    assert "elements exchanged 1<->3" in notes["classifier.bias"]


def test_a_dense_kernel_in_another_order_of_its_outputs_after_matmul() -> None:
    structure, target = export(SPEC, SOURCE, style="matmul")
    target["classifier.kernel"] = np.ascontiguousarray(np.roll(target["classifier.kernel"], 1, axis=1))
    row = next(row for row in compare(structure, target).rows if row.name == "classifier.weight")
    assert row.relation == "permuted"
    assert "5 rows in another order" in row.note


def test_batch_normalisation_that_is_gone_is_not_a_fold() -> None:
    structure, target = export(SPEC, SOURCE)
    node = next(node for node in structure["nodes"] if node["operator"] == "BatchNormalization")
    structure["nodes"].remove(node)
    for other in structure["nodes"]:
        other["inputs"] = [node["inputs"][0] if name in node["outputs"] else name for name in other["inputs"]]
    result = compare(structure, target)
    parts = {f"norm1.{part}" for part in ("weight", "bias", "running_mean", "running_var")}
    assert relations(result) == dict.fromkeys(parts, "missing")
    # Their values are still in the file.
    assert extras(result) == dict.fromkeys(parts, "no node of the graph uses it")


def test_a_parameter_without_a_partner_is_a_finding() -> None:
    structure, target = export(SPEC, SOURCE)
    target["leftover"] = np.ones(3, np.float32)
    target["shape"] = np.ones(3, np.int64)
    result = compare(structure, target)
    assert result.verdict is Verdict.DIVERGENT
    assert set(extras(result)) == {"leftover"}
    assert relations(result) == {}


def test_a_layer_less_does_not_move_the_others() -> None:
    structure, target = export(SPEC, SOURCE)
    nodes = structure["nodes"]
    drop = [node for node in nodes if node["inputs"][-1].startswith(("conv2", "norm2"))]
    relu = nodes[nodes.index(drop[-1]) + 1]
    for node in [*drop, relu]:
        nodes.remove(node)
    for node in nodes:
        node["inputs"] = [drop[0]["inputs"][0] if name in relu["outputs"] else name for name in node["inputs"]]
    found = relations(compare(structure, target))
    assert {name for name, relation in found.items() if relation == "missing"} == {
        parameter.name for layer in SPEC.layers if layer.name in ("conv2", "norm2") for parameter in layer.parameters
    }
    assert "unequal" not in found.values()


def test_signed_zeros_and_nan_payloads_count() -> None:
    source = {name: value.copy() for name, value in SOURCE.items()}
    source["classifier.bias"][0] = 0.0
    target = {name: value.copy() for name, value in source.items()}
    target["classifier.bias"][0] = -0.0
    row = compare(None, target, source).rows[-1]
    assert (row.relation, row.differing, row.max_ulp) == ("unequal", 1, 0)
    payload = np.array([0x7FC00001], np.uint32).view(np.float32)
    source["classifier.bias"][0], target["classifier.bias"][0] = np.nan, payload[0]
    row = compare(None, target, source).rows[-1]
    assert (row.relation, row.differing, row.max_abs) == ("unequal", 1, None)
    target["classifier.bias"] = source["classifier.bias"].copy()
    assert compare(None, target, source).verdict is Verdict.IDENTICAL


def test_tables_of_weights_are_paired_by_name() -> None:
    assert compare(None, SOURCE).verdict is Verdict.IDENTICAL
    target = dict(SOURCE)
    target["conv.kernel"] = target.pop("conv1.weight")
    target["norm1.num_batches_tracked"] = np.array(3, np.int64)
    result = compare(None, target)
    assert relations(result) == {"conv1.weight": "missing"}
    assert set(extras(result)) == {"conv.kernel"}
    assert "under the name 'conv.kernel'" in result.rows[0].note


def test_wider_numbers_without_loss_are_equal_and_others_are_not() -> None:
    wide = {name: value.astype(np.float64) for name, value in SOURCE.items()}
    result = compare(None, wide)
    assert result.verdict is Verdict.IDENTICAL
    assert "float64" in result.rows[0].note
    wide["conv1.weight"][0, 0, 0] += 1e-12
    assert relations(compare(None, wide)) == {"conv1.weight": "unequal"}


def test_other_shapes_are_unequal_and_say_so() -> None:
    row = compare(None, {**SOURCE, "classifier.weight": SOURCE["classifier.weight"][:4]}).rows[-2]
    assert row.relation == "unequal"
    assert "4 x 10" in row.note
    transposed = compare(None, {**SOURCE, "classifier.weight": SOURCE["classifier.weight"].T.copy()}).rows[-2]
    assert (transposed.relation, transposed.note) == ("permuted", "transposed")


def test_a_value_that_the_target_does_not_report_is_missing() -> None:
    structure, target = export(SPEC, SOURCE)
    del target["classifier.weight"]
    result = compare(structure, target)
    assert relations(result) == {"classifier.weight": "missing"}
    assert "does not report 'classifier.weight'" in result.findings[0].message


def test_a_source_that_is_not_the_model_is_refused() -> None:
    with pytest.raises(ModelError, match=re.escape("no parameter 'classifier.bias'")):
        compare(None, SOURCE, {name: value for name, value in SOURCE.items() if name != "classifier.bias"})
    with pytest.raises(ModelError, match="shape"):
        compare(None, SOURCE, {**SOURCE, "classifier.bias": np.zeros(4, np.float32)})
