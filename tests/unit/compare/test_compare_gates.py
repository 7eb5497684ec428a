"""Every limit holds at itself and fails right beyond: moved by a hundredth to either side, one of these tests fails."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from harness.compare.decisions import compare_decisions
from harness.compare.fold import Normalisation, check_fold
from harness.compare.outputs import compare_route, compare_runtime, noise_floor
from harness.compare.quantised import compare_steps
from harness.compare.records import Floor, Verdict
from harness.results.evaluate import _is_far_off

ZEROS = np.zeros((4, 2))
SIDES = [(1.0, True), (1.001, False)]


def floor(rms: float, largest: float) -> Floor:
    return Floor(rms=rms, max_abs=largest, measured_rms=rms, measured_max_abs=largest, scale=1.0)


def within(verdict: Verdict) -> bool:
    return verdict.rank <= Verdict.EQUIVALENT.rank


@pytest.mark.parametrize(("beyond", "holds"), SIDES)
def test_runtime_by_rms(beyond: float, holds: bool) -> None:
    error = np.full((4, 2), 4.0 * beyond)
    assert within(compare_runtime(error, ZEROS, floor(1.0, 100.0)).verdict) is holds


@pytest.mark.parametrize(("beyond", "holds"), SIDES)
def test_runtime_by_the_largest_error(beyond: float, holds: bool) -> None:
    error = np.full((4, 2), 16.0 * beyond)
    assert within(compare_runtime(error, ZEROS, floor(100.0, 1.0)).verdict) is holds


@pytest.mark.parametrize(("folded", "limit"), [(False, 1e-8), (True, 1e-6)])
@pytest.mark.parametrize(("beyond", "holds"), SIDES)
def test_route(folded: bool, limit: float, beyond: float, holds: bool) -> None:
    assert within(compare_route(np.full((4, 2), limit * beyond), ZEROS, folded).verdict) is holds


@pytest.mark.parametrize(("beyond", "holds"), SIDES)
def test_agreement_of_oracles(beyond: float, holds: bool) -> None:
    found = compare_route(ZEROS, ZEROS, False, {"r/base": np.full((4, 2), 1e-10 * beyond)})
    assert within(found.verdict) is holds


@pytest.mark.parametrize(("margin", "counts"), [(2.0, True), (1.999, False)])
def test_margin_of_a_flip(margin: float, counts: bool) -> None:
    source, target = np.array([[margin, 0.0]]), np.array([[0.0, 1.0]])
    assert bool(compare_decisions("argmax", target, source, floor(1.0, 1.0)).counted_count) is counts


# Folded batch normalisation.

GENERATOR = np.random.default_rng(4)
CHANNELS, WEIGHTS = 4, 100
WEIGHT = GENERATOR.uniform(1.0, 1.9, (CHANNELS, WEIGHTS)).astype(np.float32)
#: The scale is 1 in exact numbers: a fold leaves the weights as they are.
ONES, NOUGHT = np.ones(CHANNELS, np.float32), np.zeros(CHANNELS, np.float32)
UNIT = Normalisation(gamma=ONES, beta=NOUGHT, mean=NOUGHT, variance=ONES, epsilon=0.0)


def moved(values: np.ndarray, ulp: int, places: np.ndarray) -> np.ndarray:
    """Values moved by so many representable numbers where ``places`` is True."""
    return np.where(places, (values.view(np.int32) + ulp).view(np.float32), values)


@pytest.mark.parametrize(("ulp", "holds"), [(1, True), (2, False)])
def test_weights_of_a_fold(ulp: int, holds: bool) -> None:
    """A third of all weights: more than those that stand alone."""
    places = np.arange(WEIGHTS) % 3 == 0
    found = check_fold(WEIGHT, None, UNIT, moved(WEIGHT, ulp, np.broadcast_to(places, WEIGHT.shape)), None)
    assert found.weight.holds is holds


@pytest.mark.parametrize(("changed", "holds"), [(199, False), (200, True)])
def test_share_of_changes_that_stand_alone(changed: int, holds: bool) -> None:
    """One ULP each in 199 or 200 of 20,000 weights; the limit is a hundredth."""
    weight = np.tile(WEIGHT, 50)
    places = (np.arange(weight.size) % 100 == 50).reshape(weight.shape)
    places &= np.cumsum(places).reshape(weight.shape) <= changed
    assert places.sum() == changed
    assert check_fold(weight, None, UNIT, moved(weight, 1, places), None).weight.holds is holds


@pytest.mark.parametrize(("ulp", "holds"), [(-4, True), (4, True), (-6, False), (6, False)])
def test_scale_of_a_fold(ulp: int, holds: bool) -> None:
    scale = moved(ONES, ulp, ONES > 0)
    found = check_fold(WEIGHT, None, UNIT, WEIGHT * scale[:, None], None)
    assert found.weight.holds is holds
    assert found.scale_ulp == (4 if holds else found.scale_ulp)


@pytest.mark.parametrize(("ulp", "holds"), [(2, True), (3, False)])
def test_bias_of_a_fold(ulp: int, holds: bool) -> None:
    """Every bias off: in units of the last place of the largest term, which is the bias itself."""
    bias = np.float32([1.1, 1.3, 1.5, 1.7])
    found = check_fold(WEIGHT, bias, UNIT, WEIGHT, moved(bias, ulp, bias > 0))
    assert found.bias is not None
    assert found.bias.holds is holds


# An output beside the decided one.


@pytest.mark.parametrize(
    ("ratio", "relative", "spoiled"),
    [(100.0, 1.0, False), (100.1, 1.0, True), (1e9, 1e-3, False), (1e9, 1.001e-3, True)],
)
def test_an_output_without_decisions_that_is_far_off(ratio: float, relative: float, spoiled: bool) -> None:
    compared = SimpleNamespace(rms_ratio=ratio, errors=SimpleNamespace(relative_rms=relative))
    shown = SimpleNamespace(verdict=Verdict.DRIFTED, route_error=None)
    output: Any = SimpleNamespace(shown=shown, runtime=compared, end_to_end=None)
    assert _is_far_off(output) is spoiled


# A quantised output.


@pytest.mark.parametrize(("values", "holds"), [(500, True), (501, False)])
def test_share_that_is_off_by_one_step(values: int, holds: bool) -> None:
    exact = np.zeros(10_000)
    target = exact.copy()
    target[:values] = 0.5
    found = compare_steps(compare_runtime(target, exact, noise_floor(exact, exact)), target, exact, 0.5)
    assert (found.verdict is Verdict.DRIFTED) is not holds
