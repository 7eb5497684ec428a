"""A model that one already has: a file and a probe, without a scenario.

Alone, the file itself is the yardstick. With the weights that it was made from, these are its source, and a comparison
is a cell of a scenario.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from harness.compare.decisions import compare_decisions
from harness.compare.held import compare_held
from harness.compare.outputs import compare_route, compare_runtime, noise_floor
from harness.compare.records import (
    CellResult,
    DecisionComparison,
    Floor,
    ParameterComparison,
    RouteComparison,
    RuntimeComparison,
    Verdict,
)
from harness.compare.structure import head_of, summarise
from harness.compare.verdict import combine, describe_failure
from harness.errors import DataError
from harness.files.arrays import load_arrays
from harness.models.spec import Head
from harness.pipeline.execution import Failure, Finished
from harness.pipeline.given_plan import Given
from harness.pipeline.plan import Cell
from harness.pipeline.source import input_orders
from harness.results.evaluate import Probe, Source, evaluate, layers_of, with_explanation

Array = NDArray[Any]


@dataclass(frozen=True)
class Yardstick:
    """What the targets are compared with: outputs of the file in float64 and, for the noise floor, in float32."""

    structure: dict[str, Any]
    metadata: dict[str, str]
    parameters: dict[str, Array]
    probe_sha256: str
    samples: int
    float32: dict[str, Array]
    float64: dict[str, Array]
    others: dict[str, dict[str, Array]]
    oracle: str
    ids: NDArray[np.int64]
    source: Source | None = None

    @property
    def output(self) -> str:
        """Name of the output that decisions are made on: the graph's first."""
        return str(self.structure["outputs"][0]["name"])

    @property
    def head(self) -> Head:
        """What the file says of its head, else what its last operators tell."""
        if self.source is not None:
            return self.source.spec.head
        stated = self.metadata.get("harness.head")
        return stated if stated in get_args(Head) else head_of(self.structure)  # type: ignore[return-value]

    @property
    def class_names(self) -> list[str]:
        """Names of the classes where the file has them, else their numbers; empty where there are no classes."""
        first = self.float64[self.output]
        if first.ndim != 2 or first.shape[1] < 2:
            return []
        try:
            named = json.loads(self.metadata.get("harness.classes", "[]"))
        except ValueError:
            named = []
        if isinstance(named, list) and len(named) == first.shape[1]:
            return [str(name) for name in named]
        return [str(index) for index in range(first.shape[1])]


def read_yardstick(given: Given, finished: Finished) -> Yardstick:
    """From the artifacts. Raises the failure of the first step without which nothing can be compared."""
    folders = finished.folders
    oracles = [name for name in finished.folders if name.startswith("oracle ")]
    for step in ("structure", "reference", "import", "source"):
        if step in finished.failures:
            raise finished.failures[step].of_the_run()
    if not oracles:
        raise next(iter(finished.failures.values())).of_the_run()
    load = json.loads((folders["structure"] / "load.json").read_text())
    probe = json.loads((folders["probe"] / "probe.json").read_text())
    ids = np.arange(probe["samples"])
    if given.ids is not None:
        ids = read_column(given.ids, probe["samples"])
    structure = json.loads((folders["structure"] / "structure.json").read_text())
    float32 = load_arrays(folders["source" if given.weights else "reference"] / "probe.float32.safetensors")
    float64 = load_arrays(folders[oracles[0]] / "probe.float64.safetensors")
    yardstick = Yardstick(
        structure=structure,
        metadata=load.get("metadata", {}),
        parameters=load_arrays(folders["structure"] / "parameters.safetensors"),
        probe_sha256=probe["sha256"],
        samples=probe["samples"],
        float32=float32,
        float64=float64,
        others={
            name.partition(" ")[2]: load_arrays(folders[name] / "probe.float64.safetensors") for name in oracles[1:]
        },
        oracle=oracles[0].partition(" ")[2],
        ids=ids,
    )
    return yardstick if given.weights is None else _with_source(yardstick, load["inputs"], folders)


def _with_source(yardstick: Yardstick, inputs: list[dict[str, Any]], folders: Mapping[str, Path]) -> Yardstick:
    """The yardstick of a file whose weights are known: the source's own answers, under the name of the file's output."""
    probe = Probe(yardstick.probe_sha256, yardstick.samples, yardstick.ids, yardstick.class_names)
    source = Source(folders["import"], folders["source"], probe)
    arrays = load_arrays(folders["probe"] / "probe.safetensors")
    orders = input_orders(source.spec, [arrays[str(entry["name"])].shape for entry in inputs])
    turned = tuple(tensor.arranged(order) for tensor, order in zip(source.spec.inputs, orders, strict=True))
    if turned != source.spec.inputs:
        source = replace(source, arranged=source.spec.model_copy(update={"inputs": turned}))
    output = yardstick.output
    return replace(
        yardstick,
        metadata={**source.metadata, **yardstick.metadata},
        float32={output: source.probe32},
        float64={output: source.probe64},
        source=source,
    )


def read_column(path: Path, samples: int) -> NDArray[np.int64]:
    """Labels or ids: a ``.npy`` file of whole numbers (sample,). Raises DataError on anything else."""
    from harness.data.probe import read_array

    column = read_array(path)
    if column.dtype.kind not in "iu" or column.ndim != 1:
        raise DataError(
            f"holds {column.dtype.name} of {column.ndim} axes", where=str(path), hint="save whole numbers (sample,)"
        )
    if len(column) != samples:
        raise DataError(
            f"holds {len(column)} numbers for {samples} samples", where=str(path), hint="give one for each sample"
        )
    return column.astype(np.int64)


def evaluate_given(given: Given, cell: Cell, yardstick: Yardstick, finished: Finished) -> CellResult:
    """Compare one target with the source or else the file itself, or say why it could not be compared."""
    if yardstick.source is not None:
        return evaluate(cell, yardstick.source, finished.folders, finished.failures, given.framework)
    named: dict[str, Any] = {
        "cell": cell.id,
        "model": given.model.name,
        "source": "file",
        "route": cell.route,
        "route_label": cell.route_label,
        "target": cell.target,
        "head": yardstick.head,
        "probe_sha256": yardstick.probe_sha256,
        "probe_samples": yardstick.samples,
    }
    broken = finished.failures.get(cell.step)
    if broken is not None:
        return failed_cell(named, broken)
    folder = finished.folders[cell.step]
    record = json.loads((folder / "target.json").read_text())
    outputs = load_arrays(folder / "probe.float32.safetensors")
    parameters = compare_held(yardstick.parameters, load_arrays(folder / "parameters.safetensors"))
    floor, runtime_comparison = _worst_output(yardstick, outputs)
    oracle = _oracle_agreement(yardstick)
    decisions = _decisions(yardstick, outputs, floor)
    judgement = combine(parameters=parameters, route=oracle, runtime=runtime_comparison, decisions=decisions)
    layers = layers_of(cell, finished.folders, finished.failures)
    return CellResult(
        **named,
        verdict=judgement.verdict,
        sentence=_sentence(judgement.verdict, judgement.sentence, parameters, runtime_comparison, decisions),
        findings=with_explanation(judgement.findings, layers, runtime_comparison),
        structure=summarise(yardstick.structure),
        parameters=parameters,
        floor=floor,
        route_comparison=oracle,
        runtime_comparison=runtime_comparison,
        decisions=decisions,
        layers=layers,
        versions=record["describe"].get("versions", {}),
    )


def failed_cell(named: dict[str, Any], failure: Failure) -> CellResult:
    """The result of a cell that could not be compared."""
    return CellResult(
        **named,
        verdict=failure.verdict,
        sentence=describe_failure(failure.verdict, failure.error, failure.hint),
        error=failure.error,
        hint=failure.hint,
        log_tail=[*failure.log_tail],
    )


def _worst_output(yardstick: Yardstick, outputs: dict[str, Array]) -> tuple[Floor, RuntimeComparison]:
    """Every output against its own floor; the worst of them stands for the target."""
    compared = []
    for entry in yardstick.structure["outputs"]:
        name = str(entry["name"])
        reference = yardstick.float64[name]
        floor = noise_floor(yardstick.float32[name], reference)
        empty = np.empty((0,), np.float32)
        found = compare_runtime(outputs.get(name, empty), reference, floor, source32=yardstick.float32[name])
        if len(yardstick.structure["outputs"]) > 1:
            for finding in found.findings:
                finding.message = f"output {name}: {finding.message}"
        compared.append((floor, found))
    return max(compared, key=lambda pair: (pair[1].verdict.rank, pair[1].rms_ratio or 0.0))


def _oracle_agreement(yardstick: Yardstick) -> RouteComparison:
    """The file in float64 by every implementation that can: nothing was converted, so they must simply agree."""
    name = yardstick.output
    reference = yardstick.float64[name]
    others = {runtime: arrays[name] for runtime, arrays in yardstick.others.items() if name in arrays}
    return compare_route(reference, reference, False, others, oracle=yardstick.oracle)


def _decisions(yardstick: Yardstick, outputs: dict[str, Array], floor: Floor) -> DecisionComparison | None:
    reference, target = yardstick.float64[yardstick.output], outputs.get(yardstick.output)
    names = yardstick.class_names
    if not names or target is None or target.shape != reference.shape:
        return None
    return compare_decisions("argmax", target, reference, floor, names=names, ids=yardstick.ids)


def _sentence(
    verdict: Verdict,
    sentence: str,
    parameters: ParameterComparison,
    runtime_comparison: RuntimeComparison,
    decisions: DecisionComparison | None,
) -> str:
    """Without a source the usual words would say too much: here the file itself is the yardstick."""
    if verdict is Verdict.IDENTICAL:
        return "Identical: it holds the file's parameters and answers as the reference implementation, bit for bit."
    if verdict is not Verdict.EQUIVALENT:
        return sentence
    text = "Equivalent: it holds the file's parameters"
    if runtime_comparison.rms_ratio is not None:
        text += f", and its error is {runtime_comparison.rms_ratio:.2g} times that of the reference implementation in float32"
    if decisions is not None:
        flips = decisions.flip_count
        text += f"; {flips or 'none'} of {decisions.decisions} decisions changed" + (
            " within that noise" if flips else ""
        )
    return text + "."
