"""Errors of single tensors against their floor, and what follows from a row of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness.compare.layers import compare_layers, explanation, in_words, layer_row, past_gate
from harness.compare.records import Culprit, LayerError, LayerRow, Neighbour, Verdict

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


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (None, "not known"),
        (LayerError(shape=(4, 50), unequal=3), "shape 4 x 50 instead"),
        (LayerError(shape=(), unequal=1), "shape () instead"),
        (LayerError(unequal=3), "3 values differ or are not finite"),
        (LayerError(), "equal"),
        (LayerError(rms_ratio=1.0), "equal"),
        (LayerError(max_ratio=1.0), "equal"),
        (LayerError(rms_ratio=1.234567, max_ratio=99.99), "1.23 times its floor (largest 100 times)"),
        (LayerError(rms_ratio=100.0, max_ratio=123456.0), "100 times its floor (largest 123,456 times)"),
        (LayerError(rms_ratio=1e9, max_ratio=100.6), "1e+09 times its floor (largest 101 times)"),
    ],
)
def test_errors_in_words(error: LayerError | None, words: str) -> None:
    assert in_words(error) == words


@pytest.mark.parametrize(
    ("rms", "largest", "past"),
    [(4.0, 16.0, False), (4.01, 16.0, True), (4.0, 16.01, True), (None, None, False), (np.nan, 1.0, True)],
)
def test_the_gates_themselves_are_not_past(rms: float | None, largest: float | None, past: bool) -> None:
    assert past_gate(LayerError(rms_ratio=rms, max_ratio=largest)) is past


def test_every_number_of_a_row() -> None:
    oracle = np.array([1.0, -2.0, 4.0])
    local, reference = np.array([4.0, -2.0, 4.0]), np.array([2.0, -3.0, 4.0])
    found = row(local, oracle=oracle, reference=reference, accumulated=oracle, note="why")
    assert found.model_dump() | {"floor_rms": round(found.floor_rms or 0, 12)} == {
        "tensor": "b",
        "node": "two",
        "operator": "LeakyRelu",
        "shape": (3,),
        "exact": False,
        "floor_rms": round((2 / 3) ** 0.5, 12),
        "floor_max": 1.0,
        "local": found.local.model_dump(),
        "accumulated": LayerError(rms_ratio=0.0, max_ratio=0.0).model_dump(),
        "note": "why",
    }
    assert found.local.rms_ratio == pytest.approx(3**0.5 / (2 / 3) ** 0.5)
    assert found.local.max_ratio == 3.0
    whole = row(np.array([1, 2]), oracle=np.array([1, 2]), reference=np.array([1, 2]))
    assert (whole.floor_rms, whole.floor_max, whole.note) == (None, None, "")
    nothing = row(np.zeros((0, 3)), oracle=np.zeros((0, 3)), reference=np.zeros((0, 3)))
    assert nothing.local == LayerError(rms_ratio=0.0, max_ratio=0.0)


def explained(structure: dict[str, Any] | None, tensor: str = "b") -> str:
    found = compare_layers(
        [row(ORACLE[:4], tensor=tensor)], structure, samples=8, not_examined=["k"], notes=["one", "two"]
    )
    assert (found.not_examined, found.notes, found.samples) == (["k"], ["one", "two"], 8)
    sentence = explanation(found, Verdict.DIVERGENT)
    assert sentence is not None
    return sentence.message


def test_the_whole_sentence_about_a_culprit() -> None:
    rest = "tensor '{}': shape 4 x 50 instead on the oracle's own inputs"
    start = "the first node past its floor is LeakyRelu 'two'"
    assert explained(None) == f"{start}, {rest.format('b')}"
    assert explained(STRUCTURE) == f"{start} (alpha 0.01), {rest.format('b')}, after Conv 'one', before Exp 'three'"
    assert explained(STRUCTURE, "y") == f"{start}, {rest.format('y')}, after LeakyRelu 'two', before output 'y'"
    assert explained(STRUCTURE, "inner") == f"{start}, {rest.format('inner')}"
    assert explained(STRUCTURE, "a").endswith("after input 'x', before LeakyRelu 'two'")
    many = {
        "nodes": [
            {
                "name": "",
                "operator": "Sum",
                "inputs": ["v", "w", "x1", "", "x2", "x3", "x4", "x5", "x1"],
                "outputs": ["b"],
                "attributes": {"z": "s" * 61, "k": 0.12345678, "e": "s" * 60},
            },
            {"name": "", "operator": "Add", "inputs": ["v", "w"], "outputs": ["c"]},
        ],
        "initializers": [{"name": "v"}, {"name": "w"}],
        "inputs": [{"name": f"x{number}"} for number in range(1, 6)],
        "outputs": [{"name": "c"}],
    }
    attributes = f"e {'s' * 60}, k 0.123457, z {'s' * 57}..."
    inputs = ", ".join(f"input 'x{number}'" for number in range(1, 5))
    assert explained(many) == f"{start} ({attributes}), {rest.format('b')}, after {inputs}"
    assert explained(many, "c").endswith("after stored tensor 'v', stored tensor 'w', before output 'c'")


def test_a_culprit_with_its_neighbours() -> None:
    found = compare_layers([row(ORACLE[:4], tensor="a")], STRUCTURE, samples=8).culprit
    assert found == Culprit(
        tensor="a",
        node="two",
        operator="LeakyRelu",
        attributes={"pads": "[1, 1]"},
        before=[
            Neighbour(tensor="x", operator="input", node=""),
            Neighbour(tensor="w", operator="stored tensor", node=""),
        ],
        after=[Neighbour(tensor="a", operator="LeakyRelu", node="two")],
    )
    unnamed = layer_row(
        tensor="q", node="", operator="Add", oracle64=ORACLE, reference32=ORACLE, expected64=ORACLE, local=ORACLE[:4]
    )
    sentence = explanation(compare_layers([unnamed], None, samples=1), Verdict.DIVERGENT)
    assert sentence is not None
    assert sentence.message.startswith("the first node past its floor is Add, tensor 'q'")
    last = compare_layers([row(ORACLE[:4], tensor="y")], STRUCTURE, samples=8).culprit
    assert last is not None
    assert last.after == [Neighbour(tensor="y", operator="output", node="")]
