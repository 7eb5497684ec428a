"""The exported graph against outputs that a user's own framework gave for the probe.

In float64 they are an oracle of the route. In float32 they are its measurement: what they lie away from the exported graph is the
framework's own rounding as well, so that only a fault of more than some noise floors can be seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.compare import gates
from harness.compare.outputs import compare_route, relative_scale
from harness.compare.records import Finding, Floor, RouteComparison, Verdict, in_floors, worst

Array = NDArray[Any]


def is_measured(expected: Array) -> bool:
    """Whether expected outputs are rounded as float32 is, or more."""
    return expected.dtype.kind == "f" and expected.dtype.itemsize < 8


def floor_of_both(floor: Floor) -> Floor:
    """The floor of the difference of two outputs in float32, each of which may be as far from the truth as ``floor`` says."""
    return floor.model_copy(
        update={name: 2 * getattr(floor, name) for name in ("rms", "max_abs", "measured_rms", "measured_max_abs")}
    )


def compare_expected_route(
    route64: Array,
    expected: Array,
    floor: Floor,
    other_oracles: Mapping[str, Array],
    *,
    half: bool = False,
    source: str = "the expected outputs",
    **named: Any,
) -> RouteComparison:
    """The exported graph in float64 against expected outputs of the same shape, axis 0 the sample.

    Nothing tells whether an exporter folded batch normalisation into float32 weights, so that in float64 the limit is that of
    folded exports. Where the expected outputs are float32, or the graph computes in ``half`` precision itself, it is as many noise
    floors as a runtime may be away, which ``floor`` says of the file itself, if that is more. ``named``: see
    `harness.compare.outputs.compare_route`.
    """
    found = compare_route(route64, expected, True, other_oracles, source=source, **named)
    rounded = "float32 as they are" if is_measured(expected) else "a graph that computes in half precision"
    # Whether anything was folded is not known: the limit allows for it.
    told = [one.model_copy(update={"message": one.message.replace(" (folded)", "")}) for one in found.findings]
    found = found.model_copy(update={"findings": told})
    if not (half or is_measured(expected)) or found.errors.rms is None or found.errors.max_abs is None:
        return found
    spread = relative_scale(expected)
    limit = max(gates.ROUTE_FOLDED, gates.RUNTIME_RMS_RATIO * floor.rms / spread)
    largest = max(gates.ROUTE_FOLDED * spread, gates.RUNTIME_MAX_RATIO * floor.max_abs)
    # What calls for `drifted` are the gate of float64 and nothing else: it makes way for that of the floor.
    findings = [one for one in found.findings if one.verdict is not Verdict.DRIFTED]
    if not ((found.errors.relative_rms or 0.0) <= limit and found.errors.max_abs <= largest):
        findings.insert(
            0,
            Finding(
                comparison="route",
                verdict=Verdict.DRIFTED,
                message=f"the exported graph differs from {source} by {found.errors.relative_rms:.2e} of the outputs' spread, "
                f"{in_floors(found.errors.rms / floor.rms)} times the noise floor "
                f"(largest {in_floors(found.errors.max_abs / floor.max_abs)} times); the limit is "
                f"{gates.RUNTIME_RMS_RATIO:g} times (largest {gates.RUNTIME_MAX_RATIO:g} times), {rounded}",
            ),
        )
    clean = Verdict.IDENTICAL if found.verdict is Verdict.IDENTICAL else Verdict.EQUIVALENT
    verdict = worst([clean, *(one.verdict for one in findings)])
    return found.model_copy(update={"limit": limit, "findings": findings, "verdict": verdict})


def said_of(name: str, expected: Array, route64: Array) -> str:
    """A sentence on what can be seen by expected outputs."""
    if not is_measured(expected):
        what = "an oracle of the route" if expected.dtype.kind == "f" else "compared value by value"
        return f"output {name} was expected in {_dtype(expected)}: {what}"
    away = ""
    if expected.shape == route64.shape and np.isfinite(expected).all() and np.isfinite(route64).all():
        difference = np.subtract(expected, route64, dtype=np.float64)
        away = f", {float(np.sqrt(np.mean(np.square(difference)))):.2e} (RMS) away from the exported graph in float64"
    return (
        f"output {name} was expected in {_dtype(expected)}{away}: a measurement of the route, which sees what is beyond the noise "
        "floor of the file itself; save float64 outputs for an exact one"
    )


def _dtype(array: Array) -> str:
    return array.dtype.name if array.dtype.kind in "biuf" else "texts"
