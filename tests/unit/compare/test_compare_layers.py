"""Errors of single tensors against their floor, and what follows from a row of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness.compare.layers import compare_layers, explanation, layer_row, past_gate
from harness.compare.records import LayerRow, Verdict

RANDOM = np.random.default_rng(0)
ORACLE = RANDOM.normal(size=(8, 50))
NOISE = RANDOM.normal(size=(8, 50)) * 1e-6
STRUCTURE = {
    "nodes": [
        {"name": "one", "operator": "Conv", "inputs": ["x", "w"], "outputs": ["a"], "attributes": {"pads": [1, 1]}},
        {"name": "two", "operator": "LeakyRelu", "inputs": ["a"], "outputs": ["b"], "attributes": {"alpha": 0.01}},
        {"name": "three", "operator": "Exp", "inputs": ["b"], "outputs": ["y"]},
    ],
    "initializers": [{"name": "w"}],
    "inputs": [{"name": "x"}],
    "outputs": [{"name": "y"}],
}


def row(local: Any = None, *, oracle: Any = ORACLE, reference: Any = None, tensor: str = "b", **more: Any) -> LayerRow:
    reference = oracle + NOISE if reference is None else reference
    return layer_row(
        tensor=tensor,
        node="two",
        operator="LeakyRelu",
        oracle64=oracle,
        reference32=reference,
        expected64=oracle,
        local=local,
        **more,
    )


def test_ratios_are_multiples_of_the_floor() -> None:
    found = row(ORACLE + 3 * NOISE, accumulated=ORACLE - 20 * NOISE)
    assert found.local.rms_ratio == pytest.approx(3)
    assert found.local.max_ratio == pytest.approx(3)
    assert found.accumulated.rms_ratio == pytest.approx(20)
    assert not past_gate(found.local)
    assert past_gate(found.accumulated)
    assert past_gate(row(ORACLE + 4.1 * NOISE).local)


def test_one_value_far_off_is_past_the_gate_of_the_largest() -> None:
    wide = RANDOM.normal(size=100_000)
    noise = RANDOM.normal(size=wide.shape) * 1e-6
    local = wide + noise
    local[7] += 17 * np.abs(noise).max()
    found = row(local, oracle=wide, reference=wide + noise)
    assert found.local.rms_ratio < 4
    assert past_gate(found.local)


def test_the_floor_never_falls_below_half_a_ulp() -> None:
    """A reference that happens to be exact must not condemn a runtime that is off by one rounding."""
    oracle = np.full((8, 4), 1.5)
    found = row(oracle + 2.0**-24, oracle=oracle, reference=oracle)
    assert found.floor_rms == 2.0**-24
    assert found.local.rms_ratio == 1.0


@pytest.mark.parametrize("dtype", [np.int64, np.bool_])
def test_integers_and_booleans_must_be_equal(dtype: type) -> None:
    oracle = np.array([0, 1, 1, 0], dtype)
    other = oracle.copy()
    other[2] = 0
    assert row(oracle, oracle=oracle, reference=oracle).local.unequal == 0
    found = row(other, oracle=oracle, reference=oracle, accumulated=oracle)
    assert found.exact
    assert found.local.unequal == 1
    assert past_gate(found.local)
    assert not past_gate(found.accumulated)


def test_values_that_are_not_finite() -> None:
    oracle, reference = ORACLE.copy(), ORACLE + NOISE
    oracle[0, :3] = np.inf, np.nan, 1e300
    reference[0, :3] = np.inf, np.nan, np.inf
    same = ORACLE + NOISE
    same[0, :3] = np.inf, np.nan, np.inf
    # Infinite and NaN where the oracle is, and too large where float32 cannot but be.
    assert not past_gate(row(same, oracle=oracle, reference=reference).local)
    for place, value in ((0, -np.inf), (1, 0.0), (5, np.nan), (5, np.inf)):
        wrong = same.copy()
        wrong.ravel()[place] = value
        found = row(wrong, oracle=oracle, reference=reference).local
        assert past_gate(found)
        assert found.unequal == 1


def test_another_shape_is_past_the_gate() -> None:
    found = row(ORACLE[:4])
    assert found.local.shape == (4, 50)
    assert past_gate(found.local)


def test_the_first_past_its_gate_is_the_culprit_whatever_accumulates() -> None:
    rows = [
        row(ORACLE + NOISE, tensor="a", accumulated=ORACLE + 100 * NOISE),
        row(ORACLE + 9 * NOISE, tensor="b"),
        row(ORACLE + 90 * NOISE, tensor="y"),
    ]
    found = compare_layers(rows, STRUCTURE, samples=8)
    assert found.culprit.tensor == "b"
    assert found.past_gate == 2
    assert [(near.operator, near.node) for near in found.culprit.before] == [("Conv", "one")]
    assert [(near.operator, near.node) for near in found.culprit.after] == [("Exp", "three")]
    sentence = explanation(found, Verdict.EQUIVALENT)
    # It explains, and calls for nothing of its own.
    assert sentence.verdict is Verdict.EQUIVALENT
    assert sentence.comparison == "runtime"
    for word in ("LeakyRelu 'two'", "alpha 0.01", "9 times its floor", "Conv 'one'", "Exp 'three'"):
        assert word in sentence.message


def test_neighbours_at_the_ends_of_the_graph() -> None:
    first = compare_layers([row(ORACLE + 9 * NOISE, tensor="a")], STRUCTURE, samples=8).culprit
    assert [near.operator for near in first.before] == ["input", "stored tensor"]
    last = compare_layers([row(ORACLE + 9 * NOISE, tensor="y")], STRUCTURE, samples=8).culprit
    assert [near.operator for near in last.after] == ["output"]


def test_without_a_culprit_there_is_nothing_to_explain() -> None:
    found = compare_layers([row(ORACLE + NOISE), row(None, note="refused")], STRUCTURE, samples=8)
    assert found.culprit is None
    assert explanation(found, Verdict.EQUIVALENT) is None
