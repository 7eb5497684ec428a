"""Cells of every verdict, as a run leaves them. Test data: no number in them was measured."""

from __future__ import annotations

from typing import Any

import numpy as np
from made_graphs import CLASSES, FOLDED, GRAPHS, MODEL, SCRIPT, UNFOLDED

from harness.compare.records import (
    CellResult,
    Comparison,
    DecisionComparison,
    ErrorStatistics,
    Finding,
    Flip,
    Floor,
    ParameterComparison,
    ParameterRow,
    RouteComparison,
    RuntimeComparison,
    Verdict,
)
from harness.compare.structure import summarise

SUPPORT = (160, 110, 70, 45, 29, 20, 9, 4, 0)
PROBE_SAMPLES = 64
PROBE_SHA256 = "5f0c" + "3b7a9d21" * 7 + "e6f1"
FLOOR = Floor(rms=2.0e-6, max_abs=9.0e-6, measured_rms=2.0e-6, measured_max_abs=9.0e-6, scale=8.4)


def cell_name(route_label: str, target: str) -> str:
    return f"tempcnn.pytorch.{route_label}.{target.replace('/', '-')}"


def _errors(factor: float | None, *, non_finite: int = 0) -> ErrorStatistics:
    if factor is None:
        return ErrorStatistics(
            count=576,
            non_finite=non_finite,
            max_abs=None,
            mean_abs=None,
            rms=None,
            relative_rms=None,
            max_ulp=None,
            one_minus_cosine=None,
            reference_min=-6.31,
            reference_max=13.9,
        )
    return ErrorStatistics(
        count=576,
        non_finite=0,
        max_abs=9.0e-6 * factor,
        mean_abs=1.4e-6 * factor,
        rms=2.0e-6 * factor,
        relative_rms=4.1e-7 * factor,
        max_ulp=int(23 * factor) + 1,
        one_minus_cosine=8.0e-14 * factor**2,
        reference_min=-6.31,
        reference_max=13.9,
    )


def _reasons(comparison: Comparison, verdict: Verdict) -> list[Finding]:
    """What a comparison's own findings say of a verdict that needs one."""
    if verdict.rank <= Verdict.EQUIVALENT.rank:
        return []
    return [Finding(comparison=comparison, verdict=verdict, message="past its gate")]


def _runtime(rms: float | None, largest: float | None, verdict: Verdict, bit_equal: bool = False) -> RuntimeComparison:
    return RuntimeComparison(
        verdict=verdict,
        errors=_errors(rms, non_finite=18 if rms is None else 0),
        rms_ratio=rms,
        max_ratio=largest,
        rms_limit=4.0,
        max_limit=16.0,
        bit_equal_to_source=bit_equal,
        findings=_reasons("runtime", verdict),
    )


def _route(label: str, relative: float, limit: float, verdict: Verdict) -> RouteComparison:
    return RouteComparison(
        verdict=verdict,
        errors=ErrorStatistics(
            count=576,
            non_finite=0,
            max_abs=relative * 12,
            mean_abs=relative * 2,
            rms=relative * 4,
            relative_rms=relative,
            max_ulp=1,
            one_minus_cosine=1e-15,
            reference_min=-6.31,
            reference_max=13.9,
        ),
        limit=limit,
        folded=label.endswith("-folded"),
        oracle_agreement=3.2e-15,
        oracles=["python/onnx-reference", "r/base"],
        findings=_reasons("route", verdict),
    )


def _parameters(*, folded: bool = False, unequal: str | None = None) -> ParameterComparison:
    rows = []
    for layer in MODEL.layers:
        for parameter in layer.parameters:
            elements = int(np.prod(parameter.shape))
            if parameter.name == unequal:
                rows.append(
                    ParameterRow(
                        name=parameter.name,
                        layer=layer.name,
                        relation="unequal",
                        source_shape=parameter.shape,
                        target_name=parameter.name,
                        target_shape=parameter.shape,
                        elements=elements,
                        differing=1,
                        max_ulp=51233,
                        max_abs=0.00391,
                        note="one value looks rounded to bfloat16",
                    )
                )
                continue
            gone = folded and layer.kind == "batch-normalisation"
            rows.append(
                ParameterRow(
                    name=parameter.name,
                    layer=layer.name,
                    relation="folded" if folded and layer.name != "classifier" else "equal",
                    source_shape=parameter.shape,
                    target_name=None if gone else parameter.name,
                    target_shape=None if gone else parameter.shape,
                    elements=elements,
                    differing=0,
                    max_ulp=1 if folded and not gone else 0,
                    max_abs=None if gone else 0.0,
                    note=f"folded into {layer.normalises}" if gone else "",
                )
            )
    verdict = Verdict.DIVERGENT if unequal else Verdict.EQUIVALENT if folded else Verdict.IDENTICAL
    return ParameterComparison(
        verdict=verdict,
        rows=rows,
        source_count=3_200_000,
        target_count=3_197_449 if folded else 3_200_000,
        folded=folded,
        findings=_reasons("parameters", verdict),
    )


def _decisions(flips: list[Flip]) -> DecisionComparison:
    return DecisionComparison(
        rule="argmax",
        unit="sample",
        samples=PROBE_SAMPLES,
        decisions=PROBE_SAMPLES,
        agreement=1 - len(flips) / PROBE_SAMPLES,
        flip_count=len(flips),
        counted_count=sum(not flip.within_floor for flip in flips),
        flips=flips,
    )


def cells() -> list[CellResult]:
    """One cell of every verdict, and one whose outputs are not finite."""
    flips = [
        Flip(sample=11, id=70211, source=CLASSES[3], target=CLASSES[4], margin=0.0213, within_floor=False),
        Flip(sample=40, id=70240, source=CLASSES[0], target=CLASSES[1], margin=1.1e-6, within_floor=True),
    ]

    def cell(route_label: str, target: str, verdict: Verdict, sentence: str, **found: Any) -> CellResult:
        return CellResult(
            cell=cell_name(route_label, target),
            model="tempcnn",
            source="pytorch",
            route=route_label.split("-opset")[0],
            route_label=route_label,
            target=target,
            verdict=verdict,
            sentence=sentence,
            structure=summarise(GRAPHS[route_label]) if route_label in GRAPHS else None,
            head="logits",
            probe_sha256=PROBE_SHA256,
            probe_samples=PROBE_SAMPLES,
            **found,
        )

    return sorted(
        (
            cell(
                "safetensors",
                "python/pytorch",
                Verdict.IDENTICAL,
                "Identical: parameters and outputs are equal to the source's bit for bit.",
                parameters=_parameters(),
                floor=FLOOR,
                runtime_comparison=_runtime(1.0, 1.0, Verdict.IDENTICAL, True),
                end_to_end=_runtime(1.0, 1.0, Verdict.IDENTICAL, True),
                decisions=_decisions([]),
                versions={"python": "3.11.7", "torch": "2.13.0"},
            ),
            cell(
                FOLDED,
                "python/onnxruntime",
                Verdict.EQUIVALENT,
                "Equivalent: its parameters are the source's with batch normalisation folded in and its runtime error is 1.37 "
                "times the noise floor; 0 of 64 samples change class.",
                parameters=_parameters(folded=True),
                floor=FLOOR,
                route_comparison=_route(FOLDED, 2.1e-7, 1e-6, Verdict.EQUIVALENT),
                runtime_comparison=_runtime(1.37, 2.2, Verdict.EQUIVALENT),
                end_to_end=_runtime(1.41, 2.3, Verdict.EQUIVALENT),
                decisions=_decisions([]),
                versions={"onnxruntime": "1.31.1", "python": "3.11.7"},
            ),
            cell(
                FOLDED,
                "r/base",
                Verdict.EQUIVALENT,
                "Equivalent: its parameters are the source's with batch normalisation folded in and its runtime error is "
                "0.031 times the noise floor; 0 of 64 samples change class.",
                parameters=_parameters(folded=True),
                floor=FLOOR,
                route_comparison=_route(FOLDED, 2.1e-7, 1e-6, Verdict.EQUIVALENT),
                runtime_comparison=_runtime(0.031, 0.05, Verdict.EQUIVALENT),
                end_to_end=_runtime(0.42, 0.61, Verdict.EQUIVALENT),
                decisions=_decisions([]),
                versions={"R": "4.2.2", "jsonlite": "1.8.4"},
            ),
            cell(
                FOLDED,
                "julia/base",
                Verdict.UNAVAILABLE,
                "Not available: julia is not on the path; install Julia 1.10.",
                error="julia is not on the path",
                hint="apt-get install julia",
            ),
            cell(
                SCRIPT,
                "python/onnx-reference",
                Verdict.DRIFTED,
                "Drifted: the runtime error is 7.8 times the noise floor, the limit is 4; 0 of 64 samples change class.",
                findings=[
                    Finding(
                        comparison="runtime",
                        verdict=Verdict.DRIFTED,
                        message="the runtime error is 7.8 times the noise floor, the limit is 4",
                    )
                ],
                parameters=_parameters(folded=True),
                floor=FLOOR,
                route_comparison=_route(SCRIPT, 3.0e-7, 1e-6, Verdict.EQUIVALENT),
                runtime_comparison=_runtime(7.8, 12.0, Verdict.DRIFTED),
                end_to_end=_runtime(7.7, 12.2, Verdict.DRIFTED),
                decisions=_decisions([flips[1]]),
                versions={"onnx": "1.23.2", "python": "3.11.7"},
            ),
            cell(
                SCRIPT,
                "python/onnxruntime",
                Verdict.DIVERGENT,
                "Divergent: 18 of 576 outputs are not finite.",
                findings=[
                    Finding(
                        comparison="runtime",
                        verdict=Verdict.DIVERGENT,
                        message="18 of 576 outputs are not finite",
                    )
                ],
                parameters=_parameters(folded=True),
                floor=FLOOR,
                route_comparison=_route(SCRIPT, 3.0e-7, 1e-6, Verdict.EQUIVALENT),
                runtime_comparison=_runtime(None, None, Verdict.DIVERGENT),
                end_to_end=_runtime(None, None, Verdict.DIVERGENT),
                decisions=_decisions(
                    [
                        Flip(
                            sample=5,
                            id=70205,
                            source=CLASSES[1],
                            target="not finite",
                            margin=3.2,
                            within_floor=False,
                        )
                    ]
                ),
                versions={"onnxruntime": "1.31.1", "python": "3.11.7"},
            ),
            cell(
                SCRIPT,
                "r/base",
                Verdict.UNSUPPORTED,
                "Not supported: operator Loop (opset 11, node 'loop_1') is not supported by r/base.",
                error="operator Loop (opset 11, node 'loop_1') is not supported by r/base",
                versions={"R": "4.2.2", "jsonlite": "1.8.4"},
            ),
            cell(
                UNFOLDED,
                "python/onnxruntime",
                Verdict.DIVERGENT,
                "Divergent: parameter conv2.weight differs in 1 of 114,688 values; 1 of 64 samples changes class, for instance "
                f"sample 11 from {CLASSES[3]} to {CLASSES[4]} (2 further findings).",
                findings=[
                    Finding(
                        comparison="parameters",
                        verdict=Verdict.DIVERGENT,
                        message="parameter conv2.weight differs in 1 of 114,688 values",
                    ),
                    Finding(
                        comparison="route",
                        verdict=Verdict.DIVERGENT,
                        message="route oracle is 1.1e-5 away from the source oracle, the limit is 1e-08",
                    ),
                    Finding(
                        comparison="end-to-end",
                        verdict=Verdict.DRIFTED,
                        message="the end-to-end error is 310 times the noise floor, the limit is 4",
                    ),
                ],
                parameters=_parameters(unequal="conv2.weight"),
                floor=FLOOR,
                route_comparison=_route(UNFOLDED, 1.1e-5, 1e-8, Verdict.DIVERGENT),
                runtime_comparison=_runtime(1.5, 2.9, Verdict.EQUIVALENT),
                end_to_end=_runtime(310.0, 880.0, Verdict.DRIFTED),
                decisions=_decisions(flips),
                versions={"onnxruntime": "1.31.1", "python": "3.11.7"},
            ),
            cell(
                UNFOLDED,
                "r/base",
                Verdict.FAILED,
                "Failed: the worker of r/base ended with signal 9.",
                error="the worker of r/base ended with signal 9",
                log_tail=[
                    "Loading required package: interop",
                    "Error in onnx_run(graph, inputs) : <simpleError> cannot allocate vector of size 9.1 Gb",
                    "Calls: serve -> handle -> predict",
                ],
                hint="look at the worker's log, or give the machine more memory",
                versions={"R": "4.2.2", "jsonlite": "1.8.4"},
            ),
        ),
        key=lambda result: result.cell,
    )
