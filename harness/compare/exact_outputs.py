"""Outputs that are compared value by value: whole numbers, truth values and texts have no error, they are equal or not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from harness.compare import gates
from harness.compare.outputs import no_errors
from harness.compare.records import (
    Comparison,
    ErrorStatistics,
    Finding,
    Floor,
    RouteComparison,
    RuntimeComparison,
    Verdict,
    worst,
)

Array = NDArray[Any]


def is_exact(array: Array) -> bool:
    """Whether the values of an output are whole numbers, truth values or texts."""
    return array.dtype.kind in "biuUSO"


def no_floor(source64: Array) -> Floor:
    """The noise floor of an output without errors."""
    numbers = source64.dtype.kind in "biu" and source64.size
    return Floor(
        rms=0.0,
        max_abs=0.0,
        measured_rms=0.0,
        measured_max_abs=0.0,
        scale=float(np.abs(source64.astype(np.float64)).max()) if numbers else 0.0,
    )


def compare_exact_runtime(
    target: Array,
    oracle: Array,
    *,
    source: Array,
    comparison: Literal["runtime", "end-to-end"] = "runtime",
) -> RuntimeComparison:
    """A target's values against an oracle's. Verdict: ``identical`` where they are those of ``source``, the source's own run in
    float32; ``equivalent`` where they differ from the oracle only in places where ``source`` does, too: what lies between
    two values there is within the noise of float32; else ``divergent``.
    """
    findings = []
    counted = _differing(target, oracle)
    if counted is None:
        findings.append(_other_shape(comparison, target, oracle, "target", "oracle"))
    else:
        if source.shape == oracle.shape:
            counted = counted & (source == oracle)
        if counted.any():
            findings.append(
                Finding(
                    comparison=comparison,
                    verdict=Verdict.DIVERGENT,
                    message=f"{int(counted.sum())} of {counted.size} values differ from the {comparison} oracle"
                    + (f", the first in sample {int(np.argwhere(counted)[0][0])}" if counted.ndim else ""),
                )
            )
    same = target.shape == source.shape and target.dtype == source.dtype and bool(np.array_equal(target, source))
    clean = Verdict.IDENTICAL if same else Verdict.EQUIVALENT
    return RuntimeComparison(
        verdict=worst([clean, *(finding.verdict for finding in findings)]),
        errors=_statistics(target, oracle),
        rms_ratio=None,
        max_ratio=None,
        rms_limit=gates.RUNTIME_RMS_RATIO,
        max_limit=gates.RUNTIME_MAX_RATIO,
        bit_equal_to_source=same,
        findings=findings,
    )


def compare_exact_route(
    route: Array,
    source: Array,
    folded: bool,
    other_oracles: Mapping[str, Array],
    *,
    oracle: str,
    passed_over: Mapping[str, str],
    called: str = "the source",
) -> RouteComparison:
    """The exported graph's values against the source's, both from float64, and the oracles' against each other."""
    findings = []
    agreement: float | None = None
    differing = _differing(route, source)
    if differing is None:
        findings.append(_other_shape("route", route, source, "route oracle", "source oracle"))
    elif differing.any():
        findings.append(
            Finding(
                comparison="route",
                verdict=Verdict.DIVERGENT,
                message=f"in float64 {int(differing.sum())} of {differing.size} values of the exported graph differ "
                f"from {called}",
            )
        )
    for name, other in other_oracles.items():
        apart = _differing(other, route)
        share = 1.0 if apart is None else float(apart.mean()) if apart.size else 0.0
        agreement = max(share, agreement or 0.0)
        if share:
            findings.append(
                Finding(
                    comparison="route",
                    verdict=Verdict.UNDECIDED,
                    message=f"two implementations of the route oracle, {oracle} and {name}, differ in {share:.2%} of the values",
                )
            )
    return RouteComparison(
        verdict=worst([Verdict.IDENTICAL, *(finding.verdict for finding in findings)]),
        errors=_statistics(route, source),
        limit=gates.ROUTE_FOLDED if folded else gates.ROUTE_UNFOLDED,
        folded=folded,
        oracle_agreement=agreement,
        oracles=[oracle, *other_oracles],
        passed_over=dict(passed_over),
        findings=findings,
    )


def _differing(one: Array, other: Array) -> NDArray[np.bool_] | None:
    """Where values differ; None where shapes do, or numbers are set against texts."""
    if one.shape != other.shape or (one.dtype.kind in "USO") != (other.dtype.kind in "USO"):
        return None
    return np.asarray(one != other)


def _other_shape(comparison: Comparison, one: Array, other: Array, who: str, whom: str) -> Finding:
    shapes = [" x ".join(map(str, array.shape)) or "()" for array in (one, other)]
    return Finding(
        comparison=comparison,
        verdict=Verdict.DIVERGENT,
        message=f"the {who}'s outputs are {one.dtype.name} {shapes[0]}, the {whom}'s {other.dtype.name} {shapes[1]}",
    )


def _statistics(one: Array, other: Array) -> ErrorStatistics:
    differing = _differing(one, other)
    numbers = other if other.dtype.kind in "biuf" else np.zeros(0)
    found = no_errors(int(one.size), 0, numbers)
    return found.model_copy(update={"differing": None if differing is None else int(differing.sum())})
