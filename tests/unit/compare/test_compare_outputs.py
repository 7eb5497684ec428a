from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from harness.compare import gates
from harness.compare.layers import layer_row
from harness.compare.outputs import (
    compare_route,
    compare_runtime,
    error_statistics,
    noise_floor,
    relative_rms,
    relative_scale,
)
from harness.compare.records import Floor, Verdict

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
    # The ULP is that of the largest output as float32 has it.
    below = np.array([[2.0 - 1e-12, 1.0]])
    assert noise_floor(below.astype(np.float32), below).rms == 2.0**-22 / 2


@pytest.mark.parametrize(
    ("operator", "scale", "floor"),
    [
        # Around 1/2 a ULP is 2^-24, whatever small shares a sigmoid gives; larger ones have their own.
        ("Sigmoid", 0.0133, 2.0**-25),
        ("HardSigmoid", 0.0133, 2.0**-25),
        ("Sigmoid", 0.75, 2.0**-25),
        ("Sigmoid", 1.0, 2.0**-24),
        ("Relu", 0.0133, 2.0**-31),
    ],
)
def test_floor_of_a_sigmoid_is_that_of_its_rounding_at_one_half(operator: str, scale: float, floor: float) -> None:
    exact = np.float32([[scale, 1e-6]])
    found = noise_floor(exact, exact.astype(np.float64), operator=operator)
    assert (found.rms, found.max_abs) == (floor, floor)
    assert (
        layer_row(
            tensor="y", node="n", operator=operator, oracle64=exact.astype(np.float64), reference32=exact
        ).floor_rms
        == floor
    )


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


@pytest.mark.parametrize(("error", "verdict"), [(1e-13, Verdict.EQUIVALENT), (1e-9, Verdict.UNDECIDED)])
def test_oracles_must_agree(error: float, verdict: Verdict) -> None:
    source64 = outputs()
    route64 = source64 * (1 + 1e-12)
    result = compare_route(route64, source64, False, {"r/base": route64 * (1 + error)}, oracle="python/onnx-reference")
    assert result.verdict is verdict
    assert result.oracles == ["python/onnx-reference", "r/base"]
    assert result.oracle_agreement is not None
    assert result.parts is (verdict is Verdict.UNDECIDED)
    if result.parts:
        assert "python/onnx-reference and r/base" in result.findings[0].message


@pytest.mark.parametrize("other", [outputs()[:, :8], np.full((64, 9), np.nan)])
def test_an_oracle_that_cannot_be_compared_is_a_finding(other: np.ndarray) -> None:
    result = compare_route(outputs(), outputs(), False, {"r/base": other})
    assert result.verdict is Verdict.UNDECIDED
    assert result.oracle_agreement is None
    assert "r/base" in result.findings[0].message


def exact_floor(rms: float, largest: float) -> Floor:
    return Floor(rms=rms, max_abs=largest, measured_rms=rms, measured_max_abs=largest, scale=1.0)


def above(value: float) -> float:
    return float(np.nextafter(value, np.inf))


def below(value: float) -> float:
    return float(np.nextafter(value, 0))


def test_a_ratio_that_is_the_limit_holds_and_the_next_number_does_not() -> None:
    ones, zeros = np.ones((4, 2)), np.zeros((4, 2))
    at = compare_runtime(ones, zeros, exact_floor(0.25, 0.0625))
    assert (at.rms_ratio, at.max_ratio, at.verdict) == (4.0, 16.0, Verdict.EQUIVALENT)
    (past,) = compare_runtime(ones, zeros, exact_floor(below(0.25), 1.0)).findings
    assert past.message == "the runtime error is 4 times the noise floor, the limit is 4"
    (past,) = compare_runtime(ones, zeros, exact_floor(1.0, below(0.0625)), comparison="end-to-end").findings
    assert (past.comparison, past.verdict) == ("end-to-end", Verdict.DRIFTED)
    assert past.message == (
        "the largest end-to-end error (sample 0) is 16 times that of the noise floor, the limit is 16"
    )
    (past,) = compare_runtime(ones[0, 0], zeros[0, 0], exact_floor(1.0, 0.01)).findings
    assert past.message == "the largest runtime error is 100 times that of the noise floor, the limit is 16"


def test_the_limits_of_the_route_hold_at_themselves() -> None:
    zeros = np.zeros((4, 2))
    for folded, limit in ((False, 1e-8), (True, 1e-6)):
        at = compare_route(np.full((4, 2), limit), zeros, folded)
        assert (at.errors.relative_rms, at.limit, at.verdict) == (limit, limit, Verdict.EQUIVALENT)
        past = compare_route(np.full((4, 2), above(limit)), zeros, folded)
        assert past.verdict is Verdict.DRIFTED
    assert past.findings[0].message == (
        "in float64 the exported graph differs from the source by 1.00e-06 of the outputs' spread, "
        "the limit is 1e-06 (folded)"
    )
    kept = compare_route(np.full((4, 2), 2e-8), zeros, False).findings[0].message
    assert kept.endswith("differs from the source by 2.00e-08 of the outputs' spread, the limit is 1e-08")


def test_the_agreement_of_oracles_holds_at_its_limit() -> None:
    zeros = np.zeros((4, 2))
    at = compare_route(zeros, zeros, False, {"r/base": np.full((4, 2), 1e-10), "julia/base": np.full((4, 2), 2e-11)})
    assert (at.oracle_agreement, at.verdict) == (1e-10, Verdict.IDENTICAL)
    past = compare_route(zeros, zeros, False, {"r/base": np.full((4, 2), above(1e-10))})
    assert past.verdict is Verdict.UNDECIDED
    assert past.findings[0].message == (
        "two implementations of the route oracle, route oracle and r/base, differ by 1.00e-10 of the outputs' spread, "
        "the limit is 1e-10"
    )
    wide = np.array([[100.0, -100.0]])
    assert compare_route(wide, wide, False, {"r/base": wide + 5e-9}).verdict is Verdict.IDENTICAL
    one = compare_route(wide[:, :1], wide[:, :1], False, {"r/base": wide[:, :1]})
    assert one.oracle_agreement == 0.0
    single = wide.astype(np.float32)
    far = compare_route(single, single, False, {"r/base": np.float32([[100.1, -3e9]])})
    assert far.oracle_agreement == (3e9 - 100.0) / 100.0


def test_what_cannot_be_compared_is_said() -> None:
    source = outputs(shape=(4, 2))
    cut = compare_route(source, source, False, {"r/base": source[:, :1]}).findings[0].message
    assert cut == "r/base and route oracle cannot be compared: r/base gives outputs (4, 1) against (4, 2)"
    sick = source.copy()
    sick[2, 1] = np.inf
    said = compare_route(source, source, False, {"r/base": sick}, oracle="x").findings[0].message
    assert said == "r/base and x cannot be compared: r/base gives values that are not finite against (4, 2)"
    floor = exact_floor(1.0, 1.0)
    assert [one.message for one in compare_runtime(source, sick, floor).findings] == [
        "1 of 8 output values of the oracle are not finite, the first in sample 2"
    ]
    assert [one.message for one in compare_route(sick, source, False).findings] == [
        "1 of 8 output values of the route oracle are not finite, the first in sample 2"
    ]
    assert [one.message for one in compare_route(source, sick, False).findings] == [
        "1 of 8 output values of the source oracle are not finite, the first in sample 2"
    ]
    assert compare_route(source[:0], source[:0], False).findings[0].message == (
        "the route oracle has no outputs to compare: shape 0 x 2"
    )
    assert compare_runtime(np.float32(np.nan), np.float64(1.0), floor).findings[0].message == (  # type: ignore[arg-type]
        "1 of 1 output values of the target are not finite, the first in sample 0"
    )
    assert compare_runtime(np.float32(1.0), source, floor).findings[0].message == (  # type: ignore[arg-type]
        "the target's outputs have shape (), the oracle's 4 x 2"
    )


def test_relative_rms_is_in_doubles_and_in_units_of_the_spread() -> None:
    reference = np.float32([[2.0, -2.0]])
    assert relative_rms(np.float32([[3e9, -3e9]]), reference) == (3e9 - 2.0) / 2.0
    assert relative_rms(reference[:, :1], reference) is None
    assert relative_rms(reference[:0], reference[:0]) is None
    assert relative_rms(np.float32([[np.nan, 0.0]]), reference) is None


def test_the_scale_of_a_reference() -> None:
    assert relative_scale(np.zeros(0)) == 1.0
    assert relative_scale(np.array([np.nan])) == 1.0
    assert relative_scale(np.array([5.0])) == 5.0
    # Squares that float32 cannot hold.
    assert relative_scale(np.float32([3e30, -3e30])) == pytest.approx(3e30)
    # Spread against RMS: at 2 ** -23 of it there is nothing that float32 could tell, just above there is.
    for exponent, scale in ((-23.5, 1.0), (-22.5, 2.0**-22.5)):
        assert relative_scale(np.array([1.0 + 2.0**exponent, 1.0 - 2.0**exponent])) == pytest.approx(scale)


def test_a_floor_leaves_out_what_is_not_finite_on_either_side() -> None:
    source64 = np.array([1.0, 2.0, np.nan, -8.0, 3.0])
    source32 = np.float32([1.5, np.inf, 7.0, -8.0, 3.0])
    floor = noise_floor(source32, source64)
    assert floor.measured_max_abs == 0.5
    assert floor.measured_rms == pytest.approx(np.sqrt(0.25 / 3))
    assert floor.scale == 8.0
    other = noise_floor(source32[:2], source64)
    assert (other.measured_rms, other.measured_max_abs, other.scale) == (0.0, 0.0, 8.0)
    none = noise_floor(np.float32([np.nan]), np.array([np.nan]))
    assert (none.measured_rms, none.measured_max_abs, none.scale) == (0.0, 0.0, 0.0)
    half = np.float16([4.0])
    assert noise_floor(np.float32([3e30]), half).measured_max_abs == float(np.float32(3e30)) - 4.0
    assert noise_floor(np.float32([3e30]), np.float32([4.0])).measured_rms == float(np.float32(3e30)) - 4.0


def test_the_range_of_the_reference_is_told_where_errors_are_not() -> None:
    reference = np.array([[-3.0, 5.0], [np.nan, 1.0]])
    errors = error_statistics(reference, reference)
    assert (errors.reference_min, errors.reference_max, errors.non_finite, errors.count) == (-3.0, 5.0, 1, 4)
    none = error_statistics(np.zeros((2, 1)), np.full((2, 2), np.nan))
    assert (none.reference_min, none.reference_max, none.non_finite, none.count) == (None, None, 4, 2)
    assert error_statistics(np.full(3, np.inf), np.zeros(2)).non_finite == 3


def test_short_vectors_have_a_direction_too() -> None:
    first, second = np.array([0.3, 0.0]), np.array([0.0, 0.4])
    assert error_statistics(first, second).one_minus_cosine == pytest.approx(1.0)
    assert error_statistics(first, np.zeros(2)).one_minus_cosine is None


def test_the_sample_of_the_largest_error_is_named() -> None:
    target, oracle = np.zeros((3, 2), np.float32), np.zeros((3, 2), np.float32)
    # In float32 the two errors of samples 1 and 2 would be one.
    target[1, 0], oracle[1, 0] = 3e7, 0.5
    target[2, 1], oracle[2, 1] = 3e7, -0.5
    found = compare_runtime(target, oracle, exact_floor(1e9, 1.0))
    assert "error (sample 2) is" in found.findings[0].message
    flat = compare_runtime(np.float32([0.0, 9.0]), np.zeros(2), exact_floor(1e9, 0.1))
    assert "error (sample 1) is" in flat.findings[0].message


def test_all_that_is_told_of_errors() -> None:
    reference = np.float32([[-3.0, 1.0], [5.0, 2.0]])
    candidate = reference.copy()
    candidate.view(np.int32)[1, 1] += 3
    errors = error_statistics(candidate, reference)
    assert (errors.count, errors.non_finite, errors.max_ulp) == (4, 0, 3)
    assert (errors.reference_min, errors.reference_max, errors.max_abs) == (-3.0, 5.0, 3 * 2.0**-22)
    with np.errstate(all="raise"):
        # Larger than float32 can hold.
        assert error_statistics(np.array([1e50, 1.0]), np.array([1e49, 1.0])).max_ulp == 0
