from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from harness.compare import gates
from harness.compare.outputs import (
    compare_route,
    compare_runtime,
    error_statistics,
    noise_floor,
    relative_scale,
)
from harness.compare.records import Verdict

FINITE = st.floats(-1e6, 1e6, width=32)


def outputs(seed: int = 0, shape: tuple[int, ...] = (64, 9)) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape) * 5


@given(arrays(np.float64, (4, 3), elements=FINITE), arrays(np.float64, (4, 3), elements=FINITE))
def test_statistics_are_their_definitions(candidate: np.ndarray, reference: np.ndarray) -> None:
    errors = error_statistics(candidate, reference)
    difference = candidate - reference
    assert errors.count == 12
    assert errors.max_abs == np.abs(difference).max()
    assert errors.mean_abs == pytest.approx(np.abs(difference).mean())
    assert errors.rms == pytest.approx(np.sqrt((difference**2).mean()))
    assert errors.relative_rms == pytest.approx(errors.rms / relative_scale(reference))
    if errors.one_minus_cosine is not None:
        flat, other = candidate.ravel(), reference.ravel()
        cosine = flat @ other / np.linalg.norm(flat) / np.linalg.norm(other)
        assert errors.one_minus_cosine == pytest.approx(1 - cosine, abs=1e-9)


def test_small_angles_do_not_cancel() -> None:
    reference = outputs()
    errors = error_statistics(reference * (1 + 1e-10) + 1e-10, reference)
    assert errors.one_minus_cosine is not None
    assert 0 < errors.one_minus_cosine < 1e-15


def test_relative_errors_do_not_depend_on_the_unit() -> None:
    celsius = outputs() / 5
    error = 1e-3 * outputs(1)
    in_celsius = error_statistics(celsius + error, celsius).relative_rms
    in_kelvin = error_statistics(celsius + 273.15 + error, celsius + 273.15).relative_rms
    assert in_kelvin == pytest.approx(in_celsius, rel=1e-6)


def test_outputs_that_do_not_vary_are_measured_by_their_size() -> None:
    assert relative_scale(np.full((8, 3), 4.0)) == 4.0
    assert relative_scale(np.zeros((8, 3))) == 1.0


def test_non_finite_values_are_counted_and_errors_left_out() -> None:
    candidate, reference = outputs(), outputs()
    candidate[3, 2], reference[5, 1] = np.nan, np.inf
    errors = error_statistics(candidate, reference)
    assert errors.non_finite == 2
    assert errors.max_abs is None
    assert errors.rms is None
    assert errors.max_ulp is None


def test_floor_is_the_sources_own_error() -> None:
    source64 = outputs()
    source32 = (source64 + 1e-4 * outputs(1)).astype(np.float32)
    floor = noise_floor(source32, source64)
    error = source32 - source64
    assert floor.rms == floor.measured_rms == pytest.approx(np.sqrt((error**2).mean()))
    assert floor.max_abs == floor.measured_max_abs == np.abs(error).max()


def test_floor_never_falls_below_half_a_ulp_of_the_scale() -> None:
    exact = np.float32([[8.0, 1.0]])
    floor = noise_floor(exact, exact.astype(np.float64))
    assert floor.measured_rms == 0
    assert floor.rms == floor.max_abs == 2.0**-20 / 2
    assert floor.scale == 8.0


@pytest.mark.parametrize(("factor", "verdict"), [(3.9, Verdict.EQUIVALENT), (4.1, Verdict.DRIFTED)])
def test_rms_gate(factor: float, verdict: Verdict) -> None:
    source64 = outputs()
    noise = 1e-5 * np.sign(outputs(1))
    floor = noise_floor((source64 + noise).astype(np.float64), source64)
    result = compare_runtime(source64 + factor * noise, source64, floor)
    assert result.verdict is verdict
    assert result.rms_ratio == pytest.approx(factor, rel=1e-6)
    assert bool(result.findings) is (verdict is Verdict.DRIFTED)


def test_one_large_error_fails_the_max_gate_alone() -> None:
    source64 = outputs(shape=(1000, 9))
    noise = 1e-5 * np.sign(outputs(1, (1000, 9)))
    floor = noise_floor(source64 + noise, source64)
    target = source64 + noise
    target[7, 3] = source64[7, 3] + 17e-5
    result = compare_runtime(target, source64, floor)
    assert result.rms_ratio < gates.RUNTIME_RMS_RATIO
    assert result.verdict is Verdict.DRIFTED
    assert [finding.message for finding in result.findings if "sample 7" in finding.message]


def test_bit_equal_to_the_source_is_identical() -> None:
    source64 = outputs()
    source32 = source64.astype(np.float32)
    floor = noise_floor(source32, source64)
    same = compare_runtime(source32.copy(), source64, floor, source32=source32)
    assert same.verdict is Verdict.IDENTICAL
    assert same.bit_equal_to_source
    other = source32.copy()
    other[0, 0] = np.nextafter(other[0, 0], np.float32(np.inf))
    assert compare_runtime(other, source64, floor, source32=source32).verdict is Verdict.EQUIVALENT


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_both_sides_share_but_is_not_finite_is_divergent(value: float) -> None:
    source64 = outputs()
    source64[11, 4] = source64[20, 0] = value
    source32 = source64.astype(np.float32)
    floor = noise_floor(source32, source64)
    assert np.isfinite([floor.rms, floor.max_abs, floor.scale]).all()
    runtime = compare_runtime(source32, source64, floor, source32=source32)
    assert runtime.verdict is Verdict.DIVERGENT
    message = runtime.findings[0].message
    assert "2 of 576" in message
    assert "both sides" in message
    assert "sample 11" in message
    route = compare_route(source64, source64, False)
    assert route.verdict is Verdict.DIVERGENT
    assert "sample 11" in route.findings[0].message


def test_a_value_that_one_side_lacks_names_the_side() -> None:
    source64 = outputs()
    target = source64.astype(np.float32)
    target[5] = np.nan
    floor = noise_floor(source64.astype(np.float32), source64)
    result = compare_runtime(target, source64, floor)
    assert result.verdict is Verdict.DIVERGENT
    assert len(result.findings) == 1
    assert "9 of 576 output values of the target" in result.findings[0].message


def test_other_shapes_are_a_finding() -> None:
    source64 = outputs()
    floor = noise_floor(source64.astype(np.float32), source64)
    runtime = compare_runtime(source64[:, :8].astype(np.float32), source64, floor)
    assert runtime.verdict is Verdict.DIVERGENT
    assert "64 x 8" in runtime.findings[0].message
    assert "64 x 9" in runtime.findings[0].message
    route = compare_route(source64[:, :8], source64, False)
    assert route.verdict is Verdict.DIVERGENT
    assert "64 x 9" in route.findings[0].message


def test_no_samples_are_not_a_pass() -> None:
    empty = np.zeros((0, 9))
    floor = noise_floor(empty.astype(np.float32), empty)
    assert compare_runtime(empty.astype(np.float32), empty, floor).verdict is Verdict.DIVERGENT


@pytest.mark.parametrize(
    ("error", "folded", "verdict"),
    [
        (0.9e-8, False, Verdict.EQUIVALENT),
        (1.2e-8, False, Verdict.DRIFTED),
        (0.9e-6, True, Verdict.EQUIVALENT),
        (1.2e-6, True, Verdict.DRIFTED),
        (0.0, False, Verdict.IDENTICAL),
    ],
)
def test_route_limits(error: float, folded: bool, verdict: Verdict) -> None:
    source64 = outputs()
    signs = np.sign(outputs(1))
    result = compare_route(source64 + error * source64.std() * signs, source64, folded)
    assert result.errors.relative_rms == pytest.approx(error, rel=1e-4)
    assert result.verdict is verdict


@pytest.mark.parametrize(("error", "verdict"), [(1e-13, Verdict.EQUIVALENT), (1e-9, Verdict.DIVERGENT)])
def test_oracles_must_agree(error: float, verdict: Verdict) -> None:
    source64 = outputs()
    route64 = source64 * (1 + 1e-12)
    result = compare_route(route64, source64, False, {"r/base": route64 * (1 + error)}, oracle="python/onnx-reference")
    assert result.verdict is verdict
    assert result.oracles == ["python/onnx-reference", "r/base"]
    assert result.oracle_agreement is not None
    if verdict is Verdict.DIVERGENT:
        assert "python/onnx-reference and r/base" in result.findings[0].message


@pytest.mark.parametrize("other", [outputs()[:, :8], np.full((64, 9), np.nan)])
def test_an_oracle_that_cannot_be_compared_is_a_finding(other: np.ndarray) -> None:
    result = compare_route(outputs(), outputs(), False, {"r/base": other})
    assert result.verdict is Verdict.DIVERGENT
    assert result.oracle_agreement is None
    assert "r/base" in result.findings[0].message
