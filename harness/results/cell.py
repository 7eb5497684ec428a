"""From the artifacts of one cell to its result: its judgement, or why it could not be compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.compare.layers import compare_layers, explanation
from harness.compare.older_opsets import meanings
from harness.compare.placement import Placement, sentences
from harness.compare.records import CellResult, Finding, LayersComparison, RuntimeComparison
from harness.compare.structure import summarise
from harness.compare.verdict import describe_failure
from harness.pipeline.execution import Failure
from harness.pipeline.layers import read_layers
from harness.pipeline.plan import Cell
from harness.pipeline.steps.place import read_placement
from harness.pipeline.steps.weights import read_sampling
from harness.results.artifacts import SourceArtifacts, oracles_of, read_exported, read_target
from harness.results.evaluate import Source, judge


@dataclass(frozen=True)
class Labels:
    """What result tables say of the source of a cell, beside its comparisons."""

    model: str
    source: str
    head: str
    probe_sha256: str
    probe_samples: int

    @classmethod
    def of(cls, source: SourceArtifacts, framework: str) -> Labels:
        """Those of a model that was run in a framework."""
        return cls(source.spec.model, framework, source.spec.head, source.probe.sha256, source.probe.samples)


def evaluate(
    cell: Cell, source: Source, labels: Labels, folders: Mapping[str, Path], failures: Mapping[str, Failure]
) -> CellResult:
    """Compare one cell, or say why it could not be compared."""
    named: dict[str, Any] = {
        "cell": cell.id,
        "route": cell.route,
        "route_label": cell.route_label,
        "target": cell.target,
        **asdict(labels),
    }
    # The target's own failure says more of this cell than a missing oracle does.
    broken = failures.get(cell.step)
    if broken is None and not oracles_of(cell, folders):
        broken = failures[cell.oracles[0]]
    if broken is not None:
        return CellResult(
            **named,
            verdict=broken.verdict,
            sentence=describe_failure(broken.verdict, broken.error, broken.hint),
            error=broken.error,
            hint=broken.hint,
            log_tail=[*broken.log_tail],
        )
    exported = read_exported(cell, folders, failures)
    sampling = read_sampling(folders)
    target, versions = read_target(folders[cell.step], sampling, folders.get("given"))
    placement = placement_of(cell, folders, failures)
    judged = judge(source, exported, target, [] if placement is None else sentences(placement))
    layers = layers_of(cell, folders, failures)
    return CellResult(
        **named,
        verdict=judged.judgement.verdict,
        sentence=judged.judgement.sentence,
        findings=[
            *with_explanation(judged.judgement.findings, layers, judged.runtime),
            *meanings(exported.structure),
        ],
        structure=None if exported.structure is None else summarise(exported.structure),
        parameters=judged.parameters,
        floor=judged.floor,
        route_comparison=judged.route,
        runtime_comparison=judged.runtime,
        outputs=[row.with_axis(sampling.axes.get(row.name, 0)) for row in judged.outputs],
        end_to_end=judged.end_to_end,
        decisions=judged.decisions,
        layers=layers,
        placement=placement,
        versions=versions,
    )


def layers_of(cell: Cell, folders: Mapping[str, Path], failures: Mapping[str, Failure]) -> LayersComparison | None:
    """What was found node by node; without rows, and with the reason, where it could not be done. None: not asked for."""
    if cell.layers is None:
        return None
    if cell.layers in folders:
        return read_layers(folders[cell.layers])
    return compare_layers([], None, samples=0, notes=[f"Not examined: {failures[cell.layers].error}"])


def placement_of(cell: Cell, folders: Mapping[str, Path], failures: Mapping[str, Failure]) -> Placement | None:
    """Where a given file parts from its source, without the rows of its nodes; None where they agree or it was not asked for."""
    if cell.place is None:
        return None
    if cell.place not in folders:
        note = f"Where they part was not found: {failures[cell.place].error}"
        return Placement(reference="", samples=0, gap=None, notes=[note])
    found = read_placement(folders[cell.place])
    return found.model_copy(update={"nodes": []}) if found.samples else None


def with_explanation(
    findings: list[Finding], layers: LayersComparison | None, runtime: RuntimeComparison
) -> list[Finding]:
    """Findings with the culprit among the nodes, right after those of the runtime comparison that it explains.

    What the runtime makes of NaN is told, whatever came of it.
    """
    if layers is None:
        return findings
    culprit = explanation(layers, runtime.verdict)
    told = [] if culprit is None else [culprit]
    told += [Finding(comparison="runtime", verdict=runtime.verdict, message=message) for message in layers.nodata]
    place = max((index + 1 for index, old in enumerate(findings) if old.comparison == "runtime"), default=len(findings))
    return [*findings[:place], *told, *findings[place:]]
