"""From the artifacts of one cell to its result: the three comparisons, kept apart, and what follows from them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.compare.decisions import compare_decisions
from harness.compare.layers import compare_layers, explanation
from harness.compare.outputs import compare_route, compare_runtime, noise_floor
from harness.compare.parameters import compare_parameters
from harness.compare.records import CellResult, Finding, Floor, LayersComparison, RuntimeComparison, Verdict
from harness.compare.structure import compare_structure, summarise
from harness.compare.verdict import combine, describe_failure
from harness.data.prepared_frames import Forecast
from harness.files.arrays import Array, load_arrays
from harness.models.spec import ModelSpec
from harness.pipeline.execution import Failure
from harness.pipeline.layers import read_layers
from harness.pipeline.plan import Cell


@dataclass(frozen=True)
class Probe:
    """The fixed inputs on which a source and its targets are compared, as far as comparisons and tables name them."""

    sha256: str
    samples: int
    ids: NDArray[np.int64]
    class_names: list[str]
    #: What is forecast, where the data are frames, and which pixels of its targets count.
    forecast: Forecast | None = None
    mask: Array | None = None

    @property
    def decided(self) -> dict[str, Any]:
        """What decisions are made of, by the names that `compare_decisions` takes: choices, thresholds, what counts."""
        if self.forecast is None:
            return {"names": self.class_names}
        return {
            "names": self.forecast.threshold_names,
            "thresholds": self.forecast.scaled_thresholds,
            "mask": self.mask,
        }


@dataclass(frozen=True)
class Source:
    """A source as artifacts: the folder of its weights, that of its answers, and the probe they are answers to.

    ``arranged``: the specification with the axes of its inputs in the order of a given file, where that differs.
    """

    weights: Path
    predictions: Path
    probe: Probe
    arranged: ModelSpec | None = None

    @cached_property
    def spec(self) -> ModelSpec:
        """The model specification."""
        return ModelSpec.from_json((self.weights / "model.json").read_text())

    @cached_property
    def metadata(self) -> dict[str, str]:
        """The metadata that every exported file must carry; none where nobody has said anything of the weights."""
        path = self.weights / "metadata.json"
        metadata: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        return metadata

    @cached_property
    def parameters(self) -> dict[str, Array]:
        """Canonical parameters by canonical name, canonical layout."""
        return load_arrays(self.weights / "weights.safetensors")

    @property
    def imported(self) -> dict[str, Any] | None:
        """``import.json`` where the weights were given as a file."""
        path = self.weights / "import.json"
        return json.loads(path.read_text()) if path.exists() else None

    @property
    def output(self) -> str:
        """Name of the model's first output, on which runtimes are compared."""
        return self.spec.outputs[0].name

    @cached_property
    def probe32(self) -> Array:
        """The source's own float32 outputs on the probe, axis 0 the sample."""
        return load_arrays(self.predictions / "probe.float32.safetensors")[self.output]

    @cached_property
    def probe64(self) -> Array:
        """The source oracle: the same model's float64 outputs on the probe, axis 0 the sample."""
        return load_arrays(self.predictions / "probe.float64.safetensors")[self.output]

    @cached_property
    def floor(self) -> Floor:
        """The noise floor of the source."""
        return noise_floor(self.probe32, self.probe64)


def only_output(path: Path, name: str, first: str | None = None) -> Array:
    """The output of that name; else the one called ``first``; else, where a file names its only output otherwise, that one.

    That it is called otherwise is a finding of its own.
    """
    arrays = load_arrays(path)
    return arrays.get(name, arrays.get(first or "", next(iter(arrays.values()))))


def evaluate(
    cell: Cell, source: Source, folders: dict[str, Path], failures: dict[str, Failure], framework: str
) -> CellResult:
    """Compare one cell, or say why it could not be compared."""
    named: dict[str, Any] = {
        "cell": cell.id,
        "model": source.spec.model,
        "source": framework,
        "route": cell.route,
        "route_label": cell.route_label,
        "target": cell.target,
        "head": source.spec.head,
        "probe_sha256": source.probe.sha256,
        "probe_samples": source.probe.samples,
    }
    oracles = [name for name in cell.oracles if name in folders]
    # The target's own failure says more of this cell than a missing oracle does.
    broken = failures.get(cell.step) or (None if oracles else failures[cell.oracles[0]])
    if broken is not None:
        return CellResult(
            **named,
            verdict=broken.verdict,
            sentence=describe_failure(broken.verdict, broken.error, broken.hint),
            error=broken.error,
            hint=broken.hint,
            log_tail=[*broken.log_tail],
        )
    oracle, others = oracles[0], oracles[1:]
    target = folders[cell.step]
    record = json.loads((target / "target.json").read_text())
    structure_file = folders[oracle] / "structure.json"
    structure = json.loads(structure_file.read_text()) if structure_file.exists() else None

    first = None if structure is None else str(structure["outputs"][0]["name"])
    route64 = only_output(folders[oracle] / "probe.float64.safetensors", source.output, first)
    target32 = only_output(target / "probe.float32.safetensors", source.output, first)
    held = load_arrays(target / "parameters.safetensors")
    parameters = compare_parameters(source.spec, source.parameters, structure, held)
    route = compare_route(
        route64,
        source.probe64,
        parameters.folded,
        {
            name.rpartition(" ")[2]: only_output(folders[name] / "probe.float64.safetensors", source.output, first)
            for name in others
        },
        oracle=oracle.rpartition(" ")[2],
        passed_over={
            name.rpartition(" ")[2]: failures[name].error
            for name in cell.oracles
            if name in failures and failures[name].verdict is not Verdict.UNAVAILABLE
        },
    )
    runtime = compare_runtime(target32, route64, source.floor, source32=source.probe32)
    end_to_end = compare_runtime(
        target32, source.probe64, source.floor, source32=source.probe32, comparison="end-to-end"
    )
    decisions = (
        compare_decisions(
            source.spec.decision,
            target32,
            source.probe64,
            source.floor,
            ids=source.probe.ids,
            **source.probe.decided,
        )
        if target32.shape == source.probe64.shape
        else None
    )
    found: list[Finding] = compare_structure(
        source.arranged or source.spec, record["load"].get("metadata", {}), source.metadata, structure, held
    )
    judgement = combine(
        parameters=parameters,
        route=route,
        runtime=runtime,
        end_to_end=end_to_end,
        decisions=decisions,
        structure=found,
    )
    layers = layers_of(cell, folders, failures)
    return CellResult(
        **named,
        verdict=judgement.verdict,
        sentence=judgement.sentence,
        findings=with_explanation(judgement.findings, layers, runtime),
        structure=None if structure is None else summarise(structure),
        parameters=parameters,
        floor=source.floor,
        route_comparison=route,
        runtime_comparison=runtime,
        end_to_end=end_to_end,
        decisions=decisions,
        layers=layers,
        versions=record["describe"].get("versions", {}),
    )


def layers_of(cell: Cell, folders: dict[str, Path], failures: dict[str, Failure]) -> LayersComparison | None:
    """What was found node by node; without rows, and with the reason, where it could not be done. None: not asked for."""
    if cell.layers is None:
        return None
    if cell.layers in folders:
        return read_layers(folders[cell.layers])
    return compare_layers([], None, samples=0, notes=[f"Not examined: {failures[cell.layers].error}"])


def with_explanation(
    findings: list[Finding], layers: LayersComparison | None, runtime: RuntimeComparison
) -> list[Finding]:
    """Findings with the culprit among the nodes, right after those of the runtime comparison that it explains."""
    found = None if layers is None else explanation(layers, runtime.verdict)
    if found is None:
        return findings
    place = max((index + 1 for index, old in enumerate(findings) if old.comparison == "runtime"), default=len(findings))
    return [*findings[:place], found, *findings[place:]]


def export_record(folder: Path) -> dict[str, Any] | None:
    """``export.json`` of an export, without what differs from run to run; None for a route that exports nothing."""
    path = folder / "export.json"
    if not path.exists():
        return None
    record: dict[str, Any] = json.loads(path.read_text())
    record.pop("seconds", None)
    return record
