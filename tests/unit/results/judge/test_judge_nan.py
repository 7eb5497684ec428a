"""NaN and infinities that are meant: the same ones everywhere are no fault, others are, and errors are those of the rest."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest

from harness.compare.records import Verdict
from harness.results.evaluate import SAME_PLACES, DecisionRule, Exported, Judged, SourceFile, Target, judge

CLASSES = ["a", "b", "c"]
RANDOM = np.random.default_rng(4)
EXACT = np.stack([RANDOM.permutation([-3.0, 0.5, 2.5]) for _ in range(64)])
#: Samples without an answer, and a class that none can be.
EXACT[5], EXACT[9, 1], EXACT[:3, 2] = np.nan, np.nan, -np.inf
NOISE = 1e-6 * np.sign(RANDOM.normal(size=EXACT.shape))


def judged(target: np.ndarray, *, allow_nan: bool = True, other: np.ndarray = EXACT) -> Judged:
    source = SourceFile(
        parameters={},
        float32={"y": EXACT + NOISE},
        float64={"y": EXACT},
        decision=DecisionRule("argmax", CLASSES, np.arange(64)),
        allow_nan=allow_nan,
    )
    exported = Exported(None, {"python/onnx-reference": {"y": EXACT}, "r/base": {"y": other}})
    return judge(source, exported, Target({}, {}, {"y": target}))


def test_nan_in_the_same_places_is_no_fault_and_decides_nothing() -> None:
    found = judged(EXACT + 1.5 * NOISE)
    assert found.judgement.verdict is Verdict.EQUIVALENT
    assert found.judgement.sentence.endswith(f", outputs are not finite); {SAME_PLACES}.")
    assert found.decisions is not None
    # Five samples hold what is not finite.
    assert (found.decisions.decisions, found.decisions.without, found.decisions.flip_count) == (59, 5, 0)
    assert "0 of 59 samples change class (5 more: no decision, outputs are not finite)" in found.judgement.sentence
    assert found.runtime.errors.non_finite == 7
    assert (found.runtime.rms_ratio, found.runtime.max_ratio) == pytest.approx((1.5, 1.5))
    assert found.route.verdict is Verdict.IDENTICAL
    assert found.route.oracle_agreement == 0.0
    json.dumps(found.runtime.model_dump(mode="json"), allow_nan=False)


def test_errors_of_finite_values_are_still_gated() -> None:
    found = judged(EXACT + 9 * NOISE)
    assert found.judgement.verdict is Verdict.DRIFTED
    assert found.runtime.rms_ratio == pytest.approx(9)
    assert "(sample 0)" in "".join(one.message for one in judged(EXACT + 40 * NOISE).runtime.findings)
    # The first sample has a value without an error, which is not the largest.
    errors = NOISE.copy()
    errors[17, 0] *= 40
    assert "(sample 17)" in "".join(one.message for one in judged(EXACT + errors).runtime.findings)


@pytest.mark.parametrize(
    ("place", "value", "told"),
    [
        ((20, 0), np.nan, "the first in sample 20: 1 NaN in the target alone"),
        ((9, 1), 0.0, "the first in sample 9: 1 NaN in the oracle alone"),
        ((1, 2), np.inf, "the first in sample 1: 1 infinite with another sign or on one side alone"),
        ((1, 2), -1e30, "the first in sample 1: 1 infinite with another sign or on one side alone"),
        ((1, 2), np.nan, "the first in sample 1: 1 NaN in the target alone"),
    ],
)
def test_nan_and_infinities_in_other_places_are_divergent(place: tuple[int, int], value: float, told: str) -> None:
    target = EXACT + NOISE
    target[place] = value
    found = judged(target)
    assert found.judgement.verdict is Verdict.DIVERGENT
    assert f"1 of 192 output values are NaN or infinite in other places, {told}" in found.judgement.sentence
    assert SAME_PLACES not in found.judgement.sentence


def test_an_oracle_with_nan_elsewhere_is_no_agreement() -> None:
    other = EXACT.copy()
    other[20, 0] = np.nan
    found = judged(EXACT + NOISE, other=other)
    assert found.route.findings[0].message.endswith("r/base gives NaN or infinities in other places against (64, 3)")
    assert found.route.errors.rms == 0.0
    assert SAME_PLACES not in found.judgement.sentence


def test_without_being_allowed_nan_is_divergent_even_on_both_sides() -> None:
    found = judged(EXACT + NOISE, allow_nan=False)
    assert found.judgement.verdict is Verdict.DIVERGENT
    assert "are not finite on both sides" in found.judgement.sentence


def test_where_nothing_is_finite_there_is_no_error() -> None:
    nothing = np.full_like(EXACT, np.nan)
    source = SourceFile({}, {"y": nothing}, {"y": nothing}, None, allow_nan=True)
    oracles = {"r/base": {"y": nothing}, "julia/base": {"y": nothing}}
    found = judge(source, Exported(None, oracles), Target({}, {}, {"y": nothing.copy()}))
    assert found.judgement.verdict is Verdict.IDENTICAL
    assert found.route.oracle_agreement == 0.0
    assert found.runtime.errors.rms is None


def test_an_output_of_whole_numbers_has_no_nan_that_could_be_elsewhere() -> None:
    classes = np.arange(64)
    source = SourceFile({}, {"y": EXACT, "k": classes}, {"y": EXACT, "k": classes}, None, allow_nan=True)
    outputs = {"y": EXACT, "k": classes}
    found = judge(source, Exported(None, {"r/base": outputs}), Target({}, {}, outputs))
    assert found.judgement.sentence.endswith(f"; {SAME_PLACES}.")


def test_infinities_on_both_sides_make_no_warning() -> None:
    """Their difference is none, and nobody is told of it by NumPy."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = judged(EXACT + 40 * NOISE)
    assert found.judgement.verdict is Verdict.DRIFTED
