"""Outputs of quantised graphs are equal or off by whole steps of their scale."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness.compare import gates
from harness.compare.outputs import compare_runtime, noise_floor
from harness.compare.quantised import compare_steps, step_of
from harness.compare.records import RuntimeComparison, Verdict

STEP = 0.125
EXACT = np.arange(200.0).reshape(20, 10) * STEP
SCALES = {"s": np.float32(0.5), "two": np.float32([0.25, -0.75]), "none": np.float32(0)}


def graph(*nodes: tuple[str, str, str], domain: str = "") -> dict[str, Any]:
    """Nodes as (operator, inputs, output), names being single words."""
    return {
        "inputs": [{"name": "x"}],
        "outputs": [{"name": "y"}],
        "initializers": [{"name": name} for name in SCALES],
        "nodes": [
            {
                "name": "",
                "operator": operator,
                "domain": domain,
                "inputs": inputs.split(),
                "outputs": [output],
                "attributes": {},
            }
            for operator, inputs, output in nodes
        ],
    }


@pytest.mark.parametrize(
    ("nodes", "step"),
    [
        ([("QuantizeLinear", "x s", "y")], 1.0),
        ([("QLinearMatMul", "x s", "a"), ("Reshape", "a s", "y")], 1.0),
        ([("QuantizeLinear", "x s", "a"), ("DequantizeLinear", "a s", "y")], 0.5),
        ([("DequantizeLinear", "x two", "a"), ("MaxPool", "a", "b"), ("Transpose", "b", "y")], 0.75),
        ([("DequantizeLinear", "x none", "y")], None),
        # A scale that is computed, a value that is changed, and another type.
        ([("Abs", "x", "t"), ("DequantizeLinear", "x t", "y")], None),
        ([("DequantizeLinear", "x s", "a"), ("Add", "a s", "y")], None),
        ([("QuantizeLinear", "x s", "a"), ("Cast", "a", "y")], None),
        ([("Identity", "x", "y")], None),
    ],
)
def test_the_step_is_that_of_what_the_output_comes_from(nodes: list[tuple[str, str, str]], step: float | None) -> None:
    assert step_of(graph(*nodes), SCALES, "y") == step


def test_without_a_graph_or_in_another_domain_there_is_no_step() -> None:
    assert step_of(None, SCALES, "y") is None
    assert step_of({"nodes": []}, SCALES, "y") is None
    assert step_of(graph(("QuantizeLinear", "x s", "y"), domain="com.microsoft"), SCALES, "y") is None
    assert step_of(graph(("QuantizeLinear", "x s", "y"), domain="ai.onnx"), SCALES, "y") == 1.0


def compared(target: np.ndarray) -> RuntimeComparison:
    single = target.astype(np.float32)
    found = compare_runtime(single, EXACT, noise_floor(EXACT, EXACT), source32=EXACT.astype(np.float32))
    return compare_steps(found, single, EXACT, STEP)


def off(count: int, steps: float = 1.0) -> np.ndarray:
    target = EXACT.copy()
    target.ravel()[:count] += steps * STEP
    return target


@pytest.mark.parametrize("count", [1, 10])
def test_one_step_is_nobodys_fault_and_its_share_is_told(count: int) -> None:
    assert gates.OFF_BY_ONE_STEP == 0.05
    found = compared(off(count, 1 + 1e-4))
    assert (found.verdict, found.off_by_one_step) == (Verdict.EQUIVALENT, count / 200)
    (told,) = found.findings
    assert told.verdict is Verdict.EQUIVALENT
    assert told.message == f"{count} of 200 values ({count / 200:.2%}) are off by one step of the scale (0.125)"


def test_more_than_rounding_explains_has_drifted() -> None:
    found = compared(off(11))
    assert (found.verdict, found.findings[0].verdict, found.off_by_one_step) == (
        Verdict.DRIFTED,
        Verdict.DRIFTED,
        0.055,
    )
    assert found.findings[0].message.endswith("off by one step of the scale (0.125), the limit is 5%")


def test_more_than_a_step_has_drifted() -> None:
    found = compared(off(1, -3.0))
    assert (found.verdict, found.off_by_one_step) == (Verdict.DRIFTED, 0.0)
    assert found.findings[0].message == (
        "0 of 200 values (0.00%) are off by one step of the scale (0.125) and 1 by more, up to 3 steps"
    )


def test_the_same_bits_stay_identical() -> None:
    found = compared(EXACT)
    assert (found.verdict, found.off_by_one_step, len(found.findings)) == (Verdict.IDENTICAL, 0.0, 1)


def test_whole_numbers_are_their_own_steps() -> None:
    values = np.arange(200, dtype=np.uint8)
    found = compare_runtime(values, values, noise_floor(values, values))
    other = values.copy()
    other[3] -= 1
    steps = compare_steps(found, other, values, 1.0, "end-to-end")
    assert steps.findings[0].message == "1 of 200 values (0.50%) are off by one step of the scale"
    assert steps.findings[0].comparison == "end-to-end"


def test_what_has_no_steps_stays_as_it_was() -> None:
    found = compared(EXACT)
    sick = EXACT.copy()
    sick[0, 0] = np.nan
    for target in (EXACT[:1], sick, EXACT.astype(str)):
        assert compare_steps(found, target, EXACT, STEP) is found
    assert compare_steps(found, EXACT[:0], EXACT[:0], STEP) is found
