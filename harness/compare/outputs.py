"""Outputs against oracles: error statistics, the noise floor, and the gates of route and runtime."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from harness.compare import gates
from harness.compare.half_precision import Precision, precision_of, spacing
from harness.compare.not_finite import describe_parted, finite_in_both, parted
from harness.compare.records import (
    Comparison,
    ErrorStatistics,
    Finding,
    Floor,
    RouteComparison,
    RuntimeComparison,
    Verdict,
    in_floors,
    worst,
)
from harness.compare.ulp import bit_equal, max_ulp, spacing32

Array = NDArray[Any]


def relative_scale(reference: Array) -> float:
    """The number that relative errors are relative to: the standard deviation of the reference over all its
    elements.

    Centred, because an offset that all outputs share carries no information: a temperature of 290 +- 1 K
    would otherwise be allowed 290 times the error of the same answer in degrees Celsius. Where the reference
    does not vary beyond float32 resolution (standard deviation <= 2 ** -23 of its RMS), its RMS; where it is
    zero throughout, 1. Elements that are not finite are left out.
    """
    finite = reference[np.isfinite(reference)].astype(np.float64)
    if finite.size == 0:
        return 1.0
    rms = float(np.sqrt(np.mean(np.square(finite))))
    deviation = float(finite.std())
    if deviation > rms * 2.0**-23:
        return deviation
    return rms or 1.0


def relative_rms(candidate: Array, reference: Array) -> float | None:
    """rms(candidate - reference) / `relative_scale` (reference), in float64.

    None where shapes differ, there are no elements, or an element is not finite on either side.
    """
    if candidate.shape != reference.shape or not candidate.size:
        return None
    difference = _difference(candidate, reference)
    if not np.isfinite(difference).all():
        return None
    return _rms(difference) / relative_scale(reference)


def _difference(candidate: Array, reference: Array) -> NDArray[np.float64]:
    # Of two infinities there is no difference: NaN, which every gate refuses.
    with np.errstate(invalid="ignore"):
        return np.subtract(candidate, reference, dtype=np.float64)


def _rms(values: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def error_statistics(candidate: Array, reference: Array, *, allow_nan: bool = False) -> ErrorStatistics:
    """How far ``candidate`` lies from ``reference``; both of one shape, any floating-point dtype, any axes.

    Differences are taken in float64. ``relative_rms`` is rms(candidate - reference) / `relative_scale`
    (reference); ``max_ulp`` is taken after rounding both to float32. Elements that are not finite on either
    side count in ``non_finite``; where there are any, where shapes differ, or where there are no elements,
    the errors are None. With ``allow_nan`` they are left out, and errors are those of all other elements.
    """
    if candidate.shape != reference.shape or candidate.size == 0:
        bad = int(np.count_nonzero(~np.isfinite(candidate))) + int(np.count_nonzero(~np.isfinite(reference)))
        return no_errors(int(candidate.size), bad, reference)
    kept = finite_in_both(candidate, reference)
    non_finite = int(np.count_nonzero(~kept))
    if non_finite and not (allow_nan and kept.any()):
        return no_errors(int(candidate.size), non_finite, reference)
    count = int(candidate.size)
    if non_finite:
        candidate, reference = candidate[kept], reference[kept]
    # One number alone is an array, too.
    first, second = (np.atleast_1d(array).astype(np.float64) for array in (candidate, reference))
    difference = first - second
    magnitude = np.abs(difference)
    rms = _rms(difference)
    with np.errstate(over="ignore"):
        ulp = max_ulp(first.astype(np.float32), second.astype(np.float32))
    return ErrorStatistics(
        count=count,
        non_finite=non_finite,
        max_abs=float(magnitude.max()),
        mean_abs=float(magnitude.mean()),
        rms=rms,
        relative_rms=rms / relative_scale(second),
        max_ulp=ulp,
        one_minus_cosine=_one_minus_cosine(first, second),
        reference_min=float(second.min()),
        reference_max=float(second.max()),
    )


#: Operators that implementations compute around a value beyond what they may give, and that value: a sigmoid as 1/2 and a rational
#: function of its argument. Over 6 million arguments from -20 to 20 onnxruntime 1.31 was off by at most 5.9 halves of the ULP at
#: 1/2 (RMS 1.1), and by as much where the sigmoid is below 5e-5.
ROUNDED_AT = {"Sigmoid": 0.5, "HardSigmoid": 0.5}


def noise_floor(source32: Array, source64: Array, computed_in: Precision = "float32", *, operator: str = "") -> Floor:
    """The source's own float32 error against the source oracle over the probe.

    ``source32`` are the source model's outputs in float32, ``source64`` the same model's in float64, in its
    own framework; one shape. Neither number falls below half a ULP at the largest output, of float32 or of the half
    precision that it was ``computed_in``: a source that happens to be exact must not condemn everybody else. Where the
    ``operator`` that gives the output is one of :data:`ROUNDED_AT`, nor below half a ULP there. Elements that are not finite are
    left out; `compare_runtime` reports them.
    """
    both = source32.shape == source64.shape
    finite = np.isfinite(source64)
    scale = float(np.abs(_chosen(source64, finite)).max(initial=0.0))
    rms = largest = 0.0
    if both:
        finite &= np.isfinite(source32)
        if finite.any():
            difference = _difference(_chosen(source32, finite), _chosen(source64, finite))
            rms = _rms(difference)
            largest = float(np.abs(difference).max())
    precision = precision_of(source32, computed_in)
    reached = max(scale, ROUNDED_AT.get(operator, 0.0))
    least = (spacing32(reached) if precision == "float32" else spacing(reached, precision)) / 2
    return Floor(
        rms=max(rms, least),
        max_abs=max(largest, least),
        measured_rms=rms,
        measured_max_abs=largest,
        scale=scale,
    )


def _chosen(values: Array, where: NDArray[np.bool_]) -> Array:
    """The values in one row; not copied where all are chosen, as they mostly are."""
    return values.reshape(-1) if where.all() else values[where]


def compare_runtime(
    target32: Array,
    oracle64: Array,
    floor: Floor,
    *,
    source32: Array | None = None,
    comparison: Literal["runtime", "end-to-end"] = "runtime",
    allow_nan: bool = False,
) -> RuntimeComparison:
    """A target's outputs against an oracle (the route oracle, or for ``end-to-end`` the source oracle), in
    floors.

    The gates: rms(error) <= 4 x floor.rms and max |error| <= 16 x floor.max_abs. Verdict: ``identical`` where
    the outputs have the bits of ``source32``, ``equivalent`` where both gates hold, ``drifted`` where one
    fails, ``divergent`` where a value is not finite (on whichever side, even on both) or shapes differ. With
    ``allow_nan`` such values must stand in the same places on both sides, infinities with the same sign, and errors are
    those of the finite ones.
    Whether a decision changed is not known here: `harness.compare.verdict` turns ``drifted`` into
    ``divergent``.
    """
    findings = _unusable(comparison, target32, oracle64, "target", "oracle", allow_nan)
    errors = error_statistics(target32, oracle64, allow_nan=allow_nan)
    same = source32 is not None and bit_equal(target32, source32)
    rms_ratio = None if errors.rms is None else errors.rms / floor.rms
    max_ratio = None if errors.max_abs is None else errors.max_abs / floor.max_abs
    # Written so that a ratio that cannot be compared (NaN) fails its gate.
    if rms_ratio is not None and not rms_ratio <= gates.RUNTIME_RMS_RATIO:
        findings.append(
            Finding(
                comparison=comparison,
                verdict=Verdict.DRIFTED,
                message=f"the {comparison} error is {in_floors(rms_ratio)} times the noise floor, "
                f"the limit is {gates.RUNTIME_RMS_RATIO:g}",
            )
        )
    if max_ratio is not None and not max_ratio <= gates.RUNTIME_MAX_RATIO:
        findings.append(
            Finding(
                comparison=comparison,
                verdict=Verdict.DRIFTED,
                message=f"the largest {comparison} error{_sample_of_largest(target32, oracle64)} is "
                f"{in_floors(max_ratio)} times that of the noise floor, the limit is {gates.RUNTIME_MAX_RATIO:g}",
            )
        )
    clean = Verdict.IDENTICAL if same else Verdict.EQUIVALENT
    return RuntimeComparison(
        verdict=worst([clean, *(finding.verdict for finding in findings)]),
        errors=errors,
        rms_ratio=rms_ratio,
        max_ratio=max_ratio,
        rms_limit=gates.RUNTIME_RMS_RATIO,
        max_limit=gates.RUNTIME_MAX_RATIO,
        bit_equal_to_source=same,
        findings=findings,
    )


def compare_route(
    route64: Array,
    source64: Array,
    folded: bool,
    other_oracles: Mapping[str, Array] | None = None,
    *,
    oracle: str = "route oracle",
    passed_over: Mapping[str, str] | None = None,
    allow_nan: bool = False,
    source: str = "the source",
) -> RouteComparison:
    """The exported graph in float64 against the source model in float64.

    The relative RMS error, as defined by `error_statistics`, must not exceed 1e-8, or 1e-6 where batch
    normalisation is ``folded`` into float32 weights. ``other_oracles`` are outputs of other implementations
    of the same graph by name: their largest difference from ``route64``, relative to `relative_scale`, must
    not exceed 1e-10, or the reference itself is in doubt. ``oracle`` names the implementation that made
    ``route64``, ``passed_over`` those that could not, with the reason. Verdict: ``identical`` where float64 outputs
    are bit-equal, ``equivalent`` within the limits, ``undecided`` where the implementations disagree, ``drifted`` beyond
    the limits, ``divergent`` where a value is not finite or shapes differ. ``allow_nan``: see `compare_runtime`.
    """
    others = dict(other_oracles or {})
    limit = gates.ROUTE_FOLDED if folded else gates.ROUTE_UNFOLDED
    findings = _unusable("route", route64, source64, "route oracle", "source oracle", allow_nan)
    errors = error_statistics(route64, source64, allow_nan=allow_nan)
    if errors.relative_rms is not None and not errors.relative_rms <= limit:
        findings.append(
            Finding(
                comparison="route",
                verdict=Verdict.DRIFTED,
                message=f"in float64 the exported graph differs from {source} by {errors.relative_rms:.2e} of the "
                f"outputs' spread, the limit is {limit:g}" + (" (folded)" if folded else ""),
            )
        )
    agreement: float | None = None
    for name, other in others.items():
        difference = _largest_relative_difference(other, route64, allow_nan)
        if difference is None:
            agreement = None
            text = f"outputs {other.shape}" if other.shape != route64.shape else "values that are not finite"
            if allow_nan and other.shape == route64.shape:
                text = "NaN or infinities in other places"
            findings.append(
                Finding(
                    comparison="route",
                    verdict=Verdict.UNDECIDED,
                    message=f"{name} and {oracle} cannot be compared: {name} gives {text} against {route64.shape}",
                )
            )
            break
        agreement = max(difference, agreement or 0.0)
        if not difference <= gates.ORACLE_AGREEMENT:
            findings.append(
                Finding(
                    comparison="route",
                    verdict=Verdict.UNDECIDED,
                    message=f"two implementations of the route oracle, {oracle} and {name}, differ by "
                    f"{difference:.2e} of the outputs' spread, the limit is {gates.ORACLE_AGREEMENT:g}",
                )
            )
    clean = Verdict.IDENTICAL if bit_equal(route64, source64) else Verdict.EQUIVALENT
    return RouteComparison(
        verdict=worst([clean, *(finding.verdict for finding in findings)]),
        errors=errors,
        limit=limit,
        folded=folded,
        oracle_agreement=agreement,
        oracles=[oracle, *others],
        passed_over=dict(passed_over or {}),
        findings=findings,
    )


def _unusable(
    comparison: Comparison,
    candidate: Array,
    reference: Array,
    candidate_name: str,
    reference_name: str,
    allow_nan: bool,
) -> list[Finding]:
    """Findings that call for ``divergent``: other shapes, no elements, values that are not finite and not meant."""
    findings: list[Finding] = []

    def add(message: str) -> None:
        findings.append(Finding(comparison=comparison, verdict=Verdict.DIVERGENT, message=message))

    if candidate.shape != reference.shape:
        add(
            f"the {candidate_name}'s outputs have shape {_shape(candidate)}, the {reference_name}'s {_shape(reference)}"
        )
    elif candidate.size == 0:
        add(f"the {candidate_name} has no outputs to compare: shape {_shape(candidate)}")
    if allow_nan:
        if candidate.shape == reference.shape and (
            text := describe_parted(candidate, reference, candidate_name, reference_name)
        ):
            add(text)
        return findings
    bad, bad_reference = ~np.isfinite(candidate), ~np.isfinite(reference)
    if bad.any() and bad_reference.any() and bad.shape == bad_reference.shape and np.array_equal(bad, bad_reference):
        add(
            f"{int(bad.sum())} of {bad.size} output values are not finite on both sides, "
            f"the first in sample {_first_sample(bad)}"
        )
        return findings
    for name, mask in ((candidate_name, bad), (reference_name, bad_reference)):
        if mask.any():
            add(
                f"{int(mask.sum())} of {mask.size} output values of the {name} are not finite, "
                f"the first in sample {_first_sample(mask)}"
            )
    return findings


def _largest_relative_difference(candidate: Array, reference: Array, allow_nan: bool) -> float | None:
    if candidate.shape != reference.shape or candidate.size == 0:
        return None
    if allow_nan:
        if parted(candidate, reference).any():
            return None
        kept = finite_in_both(candidate, reference)
        candidate, reference = candidate[kept], reference[kept]
    largest = float(np.abs(_difference(candidate, reference)).max(initial=0.0))
    return largest / relative_scale(reference) if np.isfinite(largest) else None


def _one_minus_cosine(first: NDArray[np.float64], second: NDArray[np.float64]) -> float | None:
    """1 - cos of the angle between two flattened arrays, by half the squared chord of the unit vectors.

    Unlike 1 - dot, it does not cancel where the arrays are nearly parallel.
    """
    lengths = float(np.linalg.norm(first)), float(np.linalg.norm(second))
    if not all(np.isfinite(length) and length > 0 for length in lengths):
        return None
    chord = first / lengths[0] - second / lengths[1]
    return float(np.sum(np.square(chord)) / 2)


def no_errors(count: int, non_finite: int, reference: Array) -> ErrorStatistics:
    """Statistics of ``count`` values without an error: other shapes, values that are not finite, or no numbers at all."""
    finite = reference[np.isfinite(reference)]
    return ErrorStatistics(
        count=count,
        non_finite=non_finite,
        max_abs=None,
        mean_abs=None,
        rms=None,
        relative_rms=None,
        max_ulp=None,
        one_minus_cosine=None,
        reference_min=float(finite.min()) if finite.size else None,
        reference_max=float(finite.max()) if finite.size else None,
    )


def _first_sample(mask: NDArray[np.bool_]) -> int:
    """Index along axis 0 of the first True."""
    return int(np.argwhere(mask)[0][0]) if mask.ndim else 0


def _sample_of_largest(candidate: Array, reference: Array) -> str:
    if candidate.ndim == 0:
        return ""
    # Where values are not finite on both sides, and that is meant, there is no error.
    error = np.where(finite_in_both(candidate, reference), np.abs(_difference(candidate, reference)), -1.0)
    place = int(np.argmax(error))
    return f" (sample {int(np.unravel_index(place, candidate.shape)[0])})"


def _shape(array: Array) -> str:
    return " x ".join(str(size) for size in array.shape) or "()"
