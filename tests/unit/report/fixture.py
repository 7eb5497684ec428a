"""A small results folder with a cell of every verdict. Test data: no number in it was measured."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from harness.compare.records import (
    CellResult,
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
from harness.models import tempcnn

#: Names that would break a page which forgot to escape them.
CLASSES = (
    "barley",
    "wheat",
    "rapeseed",
    "maize <b>grain & silage</b>",
    "sunflower \"late\" | 'early'",
    "orchards and other long-lived plantations of $fruit$ trees",
    "nuts_and_*berries*",
    "permanent meadows",
    "temporary meadows",
)
SUPPORT = (160, 110, 70, 45, 29, 20, 9, 4, 0)
PROBE_SAMPLES = 64
PROBE_SHA256 = "5f0c" + "3b7a9d21" * 7 + "e6f1"
FLOOR = Floor(rms=2.0e-6, max_abs=9.0e-6, measured_rms=2.0e-6, measured_max_abs=9.0e-6, scale=8.4)
BANDS = ("B1", "B10", "B11", "B12", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9")
MODEL = tempcnn.build(bands=13, dates=45, classes=len(CLASSES))

FOLDED = "torch-dynamo-opset18-folded"
UNFOLDED = "torch-dynamo-opset18-unfolded"
SCRIPT = "torch-script-opset11-folded"


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


def _runtime(rms: float | None, largest: float | None, verdict: Verdict, bit_equal: bool = False) -> RuntimeComparison:
    return RuntimeComparison(
        verdict=verdict,
        errors=_errors(rms, non_finite=18 if rms is None else 0),
        rms_ratio=rms,
        max_ratio=largest,
        rms_limit=4.0,
        max_limit=16.0,
        bit_equal_to_source=bit_equal,
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
    )


def _decisions(flips: list[Flip]) -> DecisionComparison:
    return DecisionComparison(
        rule="argmax",
        samples=PROBE_SAMPLES,
        decisions=PROBE_SAMPLES,
        agreement=1 - len(flips) / PROBE_SAMPLES,
        flip_count=len(flips),
        counted_count=sum(not flip.within_floor for flip in flips),
        flips=flips,
    )


def _structure(opset: int, operators: dict[str, int], size: int) -> dict[str, Any]:
    nodes = [
        {
            "name": f"{name.lower()}_{index}",
            "operator": name,
            "domain": "",
            "inputs": [],
            "outputs": [],
            "attributes": {},
        }
        for name, count in operators.items()
        for index in range(count)
    ]
    graph = {
        "format": "onnx",
        "ir_version": 10,
        "producer": "pytorch 2.13.0",
        "opsets": {"": opset},
        "bytes": size,
        "inputs": [{"name": "x", "dtype": "float32", "shape": ["batch", 13, 45]}],
        "outputs": [{"name": "logits", "dtype": "float32", "shape": ["batch", 9]}],
        "nodes": nodes,
        "initializers": [],
        "metadata": {},
    }
    return summarise(graph)


_STRUCTURES = {
    FOLDED: _structure(18, {"Conv": 3, "Relu": 4, "Flatten": 1, "Gemm": 2}, 12_804_112),
    UNFOLDED: _structure(18, {"BatchNormalization": 4, "Conv": 3, "Relu": 4, "Flatten": 1, "Gemm": 2}, 12_816_400),
    SCRIPT: _structure(11, {"BatchNormalization": 1, "Conv": 3, "Relu": 4, "Flatten": 1, "Gemm": 2}, 12_807_015),
}


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
            structure=_STRUCTURES.get(route_label),
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
                "Equivalent: its parameters are the source's with batch normalisation folded in and its error is 1.4 times "
                "the source's own float32 noise; none of 64 decisions changed.",
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
                "Equivalent: its parameters are the source's with batch normalisation folded in and its error is 0.42 times "
                "the source's own float32 noise; none of 64 decisions changed.",
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
                "Drifted: RMS error is 7.8 times the noise floor, the limit is 4; none of 64 decisions changed.",
                findings=[
                    Finding(
                        comparison="runtime",
                        verdict=Verdict.DRIFTED,
                        message="RMS error is 7.8 times the noise floor, the limit is 4",
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
                "Divergent: parameter conv2.weight differs in 1 of 114,688 values; 1 of 64 decisions changed, for instance "
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
                        message="RMS error is 310 times the noise floor, the limit is 4",
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


def _softmax(values: np.ndarray) -> np.ndarray:
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def predictions(results: list[CellResult]) -> pd.DataFrame:
    rng = np.random.default_rng(7)
    truth = np.repeat(np.arange(len(CLASSES)), SUPPORT)
    rng.shuffle(truth)
    logits = rng.normal(0, 1.6, (len(truth), len(CLASSES)))
    logits[np.arange(len(truth)), truth] += np.linspace(4.5, 0.5, len(CLASSES))[truth]
    columns: dict[str, Any] = {
        "region": np.where(np.arange(len(truth)) % 2, "frh03", "frh04"),
        "id": np.arange(70_200, 70_200 + len(truth)),
        "truth": np.asarray(CLASSES)[truth],
    }
    runners = {"source": 0.0}
    for cell in results:
        if cell.runtime_comparison is not None:
            changed = 1.5 if cell.route_label == UNFOLDED else 1e-6
            runners[f"{cell.target} via {cell.route_label}"] = 0.0 if cell.verdict is Verdict.IDENTICAL else changed
    for name, noise in runners.items():
        values = logits + noise * np.random.default_rng(11).normal(0, 1, logits.shape)
        if name == f"python/onnxruntime via {SCRIPT}":
            values[:2] = np.nan
        probabilities = _softmax(values)
        ordered = np.sort(values, axis=1)
        chosen = np.asarray(CLASSES, dtype=object)[np.argmax(values, axis=1)]
        chosen[~np.isfinite(values).all(axis=1)] = ""
        columns[f"{name}.prediction"] = chosen
        columns[f"{name}.confidence"] = probabilities.max(axis=1)
        columns[f"{name}.margin"] = ordered[:, -1] - ordered[:, -2]
        for index, label in enumerate(CLASSES):
            columns[f"{name}.p.{label}"] = probabilities[:, index]
    return pd.DataFrame(columns)


def probe_outputs(results: list[CellResult]) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    oracle = rng.normal(0, 4, (PROBE_SAMPLES, len(CLASSES)))
    parts = []
    for cell in results:
        if cell.runtime_comparison is None:
            continue
        target = oracle + 2e-6 * (cell.runtime_comparison.rms_ratio or 1.0) * rng.normal(0, 1, oracle.shape)
        if cell.runtime_comparison.rms_ratio is None:
            target[:2] = np.nan
        parts.append(
            pd.DataFrame(
                {
                    "cell": cell.cell,
                    "sample": np.repeat(np.arange(PROBE_SAMPLES), len(CLASSES)),
                    "id": np.repeat(np.arange(70_200, 70_200 + PROBE_SAMPLES), len(CLASSES)),
                    "class": np.tile(CLASSES, PROBE_SAMPLES),
                    "target": target.ravel(),
                    "route_oracle": oracle.ravel(),
                    "source_oracle": oracle.ravel(),
                }
            )
        )
    return pd.concat(parts)


def training(epochs: int = 12) -> pd.DataFrame:
    epoch = np.arange(1, epochs + 1)
    score = 0.86 - 0.5 * np.exp(-epoch / 3)
    frame = pd.DataFrame(
        {
            "epoch": epoch,
            "loss": 0.35 + 1.6 * np.exp(-epoch / 2.5),
            "valid_loss": 0.45 + 1.4 * np.exp(-epoch / 2.3) + 0.02 * np.sin(epoch),
            "accuracy": score,
            "kappa": score - 0.06,
        }
    )
    for metric in ("f1", "precision", "recall"):
        for average, offset in (("micro", 0.0), ("macro", -0.21), ("weighted", -0.02)):
            frame[f"{metric}_{average}"] = score + offset
    frame["iterations_per_second"] = 21.5 + np.cos(epoch)
    frame["seconds"] = 3.1 + 0.2 * np.sin(epoch)
    frame["learning_rate"] = 2.38e-4
    return frame


def manifest(results: list[CellResult]) -> dict[str, Any]:
    def export(label: str, exporter: str, warnings: list[str]) -> dict[str, Any]:
        structure = _STRUCTURES[label]
        return {
            "route": label.split("-opset")[0],
            "asked": {"opset": int(label.split("opset")[1].split("-")[0]), "fold": label.endswith("-folded")},
            "exporter": exporter,
            "opset": structure["opsets"][""],
            "folded": label.endswith("-folded"),
            "warnings": warnings,
            "seconds": 2.4,
            "bytes": structure["bytes"],
            "versions": {"torch": "2.13.0", "onnx": "1.23.2"},
        }

    return {
        "scenario": {
            "name": "unit-test",
            "title": "TempCNN from PyTorch to other runtimes (test data)",
            "text": "scenario: unit-test\ntitle: TempCNN from PyTorch to other runtimes (test data)\nseed: 42\n",
            "sha256": "a1" * 32,
        },
        "harness": {"version": "0.1.0", "source_sha256": "b2" * 32},
        "hardware": {
            "processor": "Example CPU @ 2.00GHz",
            "architecture": "x86_64",
            "cores": 2,
            "memory_gib": 8,
            "operating_system": "Debian GNU/Linux 12 (bookworm)",
        },
        "threads": 1,
        "seeds": {"scenario": 42},
        "python": {"python": "3.11.7", "numpy": "2.4.6"},
        "lock": "c3" * 32,
        "runtimes": {
            "python/pytorch": {"installed": True, "versions": {"python": "3.11.7", "torch": "2.13.0"}, "install": ""},
            "python/onnxruntime": {
                "installed": True,
                "versions": {"onnxruntime": "1.31.1", "python": "3.11.7"},
                "install": "",
            },
            "python/onnx-reference": {
                "installed": True,
                "versions": {"onnx": "1.23.2", "python": "3.11.7"},
                "install": "",
            },
            "r/base": {"installed": True, "versions": {"R": "4.2.2", "jsonlite": "1.8.4"}, "install": ""},
            "julia/base": {"installed": False, "versions": {}, "install": "apt-get install julia"},
        },
        "data": {
            "name": "synthetic-crops",
            "title": "Synthetic crop time series",
            "synthetic": True,
            "bands": [{"name": name, "unit": "1", "description": "top-of-atmosphere reflectance"} for name in BANDS],
            "class_names": list(CLASSES),
            "licence": "MIT",
            "doi": None,
            "citation": "Made by the test suite; no field was observed.",
            "url": None,
            "notes": ["Every series is drawn from a formula."],
            "dates": 45,
            "sampling": "frozen",
            "seed": 42,
            "normalisation": {"kind": "scale", "offset": [0.0] * 13, "scale": [1e-4] * 13},
            "counts": {
                "train": dict(zip(CLASSES, (n * 5 for n in SUPPORT), strict=True)),
                "valid": dict(zip(CLASSES, SUPPORT, strict=True)),
                "test": dict(zip(CLASSES, SUPPORT, strict=True)),
            },
            "probe": {"samples": PROBE_SAMPLES, "sha256": PROBE_SHA256, "seed": 42, "indices": list(range(64))},
        },
        "model": json.loads(MODEL.to_json()),
        "training": {
            "framework": "pytorch",
            "versions": {"torch": "2.13.0"},
            "seed": 42,
            "threads": 1,
            "epochs": 12,
            "hyperparameters": {"batch_size": 256, "learning_rate": 2.38e-4, "weight_decay": 5.18e-5},
        },
        "exports": {
            FOLDED: export(FOLDED, "torch.onnx.export (dynamo)", []),
            UNFOLDED: export(UNFOLDED, "torch.onnx.export (dynamo)", []),
            SCRIPT: export(
                SCRIPT,
                "torch.onnx.export (TorchScript)",
                ["DeprecationWarning: You are using the legacy TorchScript-based ONNX export <see the docs>."],
            ),
        },
        "artifacts": {"data": "d4" * 32, "train": "e5" * 32},
        "probe": {"samples": PROBE_SAMPLES, "sha256": PROBE_SHA256},
        "cells": {cell.cell: cell.verdict.value for cell in results},
    }


SECONDS: dict[str, Any] = {
    "steps": {"data": 0.84, "train": 37.2, "source": 1.1, f"export {FOLDED}": 2.4},
    "workers": {"python/pytorch": {"start": 1.9, "useful": 41.0}, "r/base": {"start": 0.31, "useful": 6.25}},
}


def write_results(folder: Path, keep: tuple[Verdict, ...] | None = None) -> Path:
    """Write the result files of a made-up scenario; ``keep`` leaves only the cells of some verdicts."""
    results = [cell for cell in cells() if keep is None or cell.verdict in keep]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").write_text(json.dumps(manifest(results), indent=1, sort_keys=True))
    (folder / "cells.json").write_text(
        json.dumps([cell.model_dump(mode="json") for cell in results], indent=1, sort_keys=True)
    )
    (folder / "seconds.json").write_text(json.dumps(SECONDS, indent=1, sort_keys=True))
    log, timings = training(), ["iterations_per_second", "seconds"]
    log.drop(columns=timings).to_csv(folder / "training.csv", index=False, lineterminator="\n")
    log[["epoch", *timings]].to_csv(folder / "training_seconds.csv", index=False, lineterminator="\n")
    if any(cell.runtime_comparison for cell in results):
        for name, frame in (
            ("predictions.csv.gz", predictions(results)),
            ("outputs_probe.csv.gz", probe_outputs(results)),
        ):
            text = io.StringIO()
            frame.to_csv(text, index=False, lineterminator="\n", na_rep="nan")
            (folder / name).write_bytes(gzip.compress(text.getvalue().encode(), mtime=0))
    return folder
