"""The judgement of one cell: what a target holds and answers, compared with a source and with what was exported of it.

Everything here works on arrays; `harness.results.artifacts` reads them from the folders of a run's steps.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from harness.compare import gates, partings
from harness.compare.decisions import compare_decisions
from harness.compare.exact_outputs import compare_exact_route, compare_exact_runtime, is_exact, no_floor
from harness.compare.expected_outputs import (
    compare_expected_route,
    floor_of_both,
    is_measured,
)
from harness.compare.file_parameters import compare_file_parameters
from harness.compare.half_precision import Precision, computes_in
from harness.compare.not_finite import parted
from harness.compare.output_ends import output_end
from harness.compare.outputs import compare_route, compare_runtime, noise_floor
from harness.compare.parameters import compare_parameters
from harness.compare.quantised import compare_steps, step_of
from harness.compare.records import (
    DecisionComparison,
    Finding,
    Floor,
    OracleAgreement,
    OutputResult,
    ParameterComparison,
    RouteComparison,
    RuntimeComparison,
    Verdict,
    worst,
)
from harness.compare.structure import compare_structure
from harness.compare.verdict import Compared, Judgement, Origin, combine, without_reference
from harness.files.arrays import Array
from harness.models.spec import ModelSpec
from harness.tasks.decision_rule import DecisionRule as DecisionRule

#: Outputs over the probe by name, each with the sample as axis 0.
Outputs = Mapping[str, Array]
Structure = Mapping[str, Any]
#: What is told of a target where NaN and infinities are meant.
SAME_PLACES = "positions of NaN are equal everywhere"


@dataclass(frozen=True)
class Exported:
    """What was exported of a source.

    ``structure``: the graph (worker contract), or None for a plain table of weights. ``oracles``: its float64 outputs by
    the runtime that computed them; the first is the route oracle, the others must agree with it. ``passed_over``:
    runtimes that could not compute it, with the reason. ``agreement``: how all that were asked agree. ``own``: the runtime among
    them that computes with the target's engine, whose vote does not count.
    """

    structure: Structure | None
    oracles: Mapping[str, Outputs]
    passed_over: Mapping[str, str] = field(default_factory=dict)
    agreement: OracleAgreement = field(default_factory=OracleAgreement)
    own: str = ""


@dataclass(frozen=True)
class Target:
    """What a runtime made of a file: the metadata it read, the tensors it holds by name, its float32 outputs by name."""

    metadata: Mapping[str, str]
    parameters: Mapping[str, Array]
    outputs: Outputs


class Source(Protocol):
    """What a target is compared with, and how: a model whose parameters are known, or a file alone."""

    @property
    def origin(self) -> Origin:
        """What sentences call the source."""

    @property
    def float32(self) -> Outputs:
        """The source's own float32 outputs, by the names of the outputs that are compared; the noise floor is theirs."""

    @property
    def float64(self) -> Outputs:
        """The source oracle: the same outputs in float64."""

    @property
    def own64(self) -> Outputs:
        """What of float64 the outputs of ``float32`` are the rounding of."""

    @property
    def called(self) -> str:
        """What findings of the route call it."""

    @property
    def expected(self) -> Collection[str]:
        """Outputs whose source oracle a user's own framework gave, and of which nothing else is known."""

    @property
    def decision(self) -> DecisionRule | None:
        """How decisions are made on the first output; None where it has none."""

    @property
    def allow_nan(self) -> bool:
        """Whether NaN and infinities are meant: the same ones everywhere are no fault."""

    @property
    def converted(self) -> bool:
        """Whether the file was made from the source, so that a target has an error end to end, too."""

    def output(self, name: str, outputs: Outputs, structure: Structure | None) -> Array:
        """The output of that name among those that a reader of the file gives."""

    def compare_parameters(self, structure: Structure | None, parameters: Mapping[str, Array]) -> ParameterComparison:
        """What a target holds against what the source holds."""

    def compare_structure(self, structure: Structure | None, target: Target) -> list[Finding]:
        """What the file says of itself against what is known of the source."""


@dataclass(frozen=True)
class SourceModel:
    """A model with its canonical parameters: the file was exported from it, or its weights were handed over.

    ``metadata`` is what every exported file must carry; ``file_spec`` the specification with the axes of its inputs in
    the order of the file, where that differs.
    """

    spec: ModelSpec
    parameters: Mapping[str, Array]
    float32: Outputs
    float64: Outputs
    metadata: Mapping[str, str]
    decision: DecisionRule | None
    file_spec: ModelSpec | None = None
    origin: Origin = "source"
    converted: bool = True
    allow_nan: bool = False
    expected: Collection[str] = ()
    called: str = "the source"

    @property
    def own64(self) -> Outputs:
        """The same model's outputs in float64."""
        return self.float64

    def output(self, name: str, outputs: Outputs, structure: Structure | None) -> Array:
        """The output of that name; else the only one or the graph's at its place; else an empty one. Another name is a finding."""
        if name in outputs:
            return outputs[name]
        if len(outputs) == 1:
            return next(iter(outputs.values()))
        place = next((place for place, tensor in enumerate(self.spec.outputs) if tensor.name == name), 0)
        there = [*outputs] if structure is None else [str(entry["name"]) for entry in structure["outputs"]]
        return outputs.get(there[place] if place < len(there) else "", np.empty((0,), np.float32))

    def compare_parameters(self, structure: Structure | None, parameters: Mapping[str, Array]) -> ParameterComparison:
        """Canonical parameters, paired with the target's by the part they play in the graph."""
        return compare_parameters(self.spec, self.parameters, structure, parameters)

    def compare_structure(self, structure: Structure | None, target: Target) -> list[Finding]:
        """The file's metadata and graph against the specification."""
        spec = self.file_spec or self.spec
        return compare_structure(spec, target.metadata, self.metadata, structure, target.parameters)


@dataclass(frozen=True)
class SourceFile:
    """A model file alone: its tensors, and its graph by a reference implementation in float32 and in float64.

    ``expected``: outputs of which ``float64`` holds what the framework gave which the file was made from, in whatever precision;
    ``file64`` has the file's own.
    """

    parameters: Mapping[str, Array]
    float32: Outputs
    float64: Outputs
    decision: DecisionRule | None
    origin: Origin = "file"
    allow_nan: bool = False
    expected: Collection[str] = ()
    file64: Outputs = field(default_factory=dict)
    called: str = "the expected outputs"

    @property
    def own64(self) -> Outputs:
        """The file's own outputs in float64."""
        return {**self.float64, **self.file64}

    @property
    def converted(self) -> bool:
        """Whether anything is known of what the file was made from."""
        return bool(self.expected)

    def output(self, name: str, outputs: Outputs, structure: Structure | None) -> Array:
        """The output of that name; empty where there is none: all readers have the names from the same file."""
        return outputs.get(name, np.empty((0,), np.float32))

    def compare_parameters(self, structure: Structure | None, parameters: Mapping[str, Array]) -> ParameterComparison:
        """The file's tensors, paired by name."""
        return compare_file_parameters(self.parameters, parameters)

    def compare_structure(self, structure: Structure | None, target: Target) -> list[Finding]:
        """Nothing: a file does not contradict itself."""
        return []


@dataclass(frozen=True)
class Judged:
    """The comparisons of one cell and what follows from them. ``floor``: of the output that ``runtime`` is of."""

    parameters: ParameterComparison
    floor: Floor
    route: RouteComparison
    runtime: RuntimeComparison
    end_to_end: RuntimeComparison | None
    decisions: DecisionComparison | None
    judgement: Judgement
    outputs: list[OutputResult] = field(default_factory=list)


@dataclass(frozen=True)
class _Output:
    """One output of a target, compared."""

    shown: OutputResult
    floor: Floor
    route: RouteComparison
    runtime: RuntimeComparison
    end_to_end: RuntimeComparison | None
    decisions: DecisionComparison | None
    #: Whether NaN and infinities stand in the same places in the target's output and in those that it is compared with.
    same_places: bool


def judge(source: Source, exported: Exported, target: Target, placed: Sequence[str] = ()) -> Judged:
    """Make all comparisons of a cell and their judgement: the only place where they are put together.

    Of several outputs the worst stands for the target in each comparison; decisions are made on the first. ``placed``: what is
    known of where the file parts from its source, in sentences; they say why the route differs, where it does.
    """
    parameters = source.compare_parameters(exported.structure, target.parameters)
    names = [*source.float64]
    # What a file was made from has a floor of its own, whatever the file computes in.
    computed_in = computes_in(exported.structure) if source.origin == "file" else "float32"
    outputs = [
        _compare_output(source, exported, target, name, computed_in, folded=parameters.folded, decided=name == names[0])
        for name in names
    ]
    if len(names) > 1:
        outputs = [_with_name(name, output) for name, output in zip(names, outputs, strict=True)]
    worst = max(outputs, key=lambda output: _badness(output.runtime))
    route = explained(max((output.route for output in outputs), key=lambda found: found.verdict.rank), placed)
    route = route.model_copy(
        update={
            "findings": [*route.findings, *partings.findings(exported.agreement, exported.own)],
            "partings": exported.agreement.partings,
        }
    )
    end_to_end = max((output.end_to_end for output in outputs if output.end_to_end), key=_badness, default=None)
    decisions = outputs[0].decisions
    far_off = [output.shown.name for output in outputs[1:] if _is_far_off(output)]
    said = [] if computed_in == "float32" else [f"the floor is that of {computed_in}"]
    if source.allow_nan and all(output.same_places for output in outputs):
        said.append(SAME_PLACES)
    return Judged(
        parameters=parameters,
        floor=worst.floor,
        route=route,
        runtime=worst.runtime,
        end_to_end=end_to_end,
        decisions=decisions,
        judgement=combine(
            parameters=parameters,
            route=route,
            runtime=worst.runtime,
            end_to_end=end_to_end,
            decisions=decisions,
            structure=source.compare_structure(exported.structure, target),
            origin=source.origin,
            far_off=far_off,
            said="; ".join(said),
        ),
        outputs=[_row(output.shown, decisions, far_off) for output in outputs],
    )


def explained(route: RouteComparison, placed: Sequence[str]) -> RouteComparison:
    """The comparison with the causes of its difference before the difference itself, and with the verdict that it has."""
    if route.verdict.rank <= Verdict.EQUIVALENT.rank:
        return route
    causes = [Finding(comparison="route", verdict=route.verdict, message=sentence) for sentence in placed]
    return route.model_copy(update={"findings": [*causes, *route.findings]})


def compare_by_rule(rule: DecisionRule, target32: Array, source64: Array, floor: Floor) -> DecisionComparison:
    """The decisions of a rule on a target's output, and on that of the source oracle of the same shape."""
    return compare_decisions(
        rule.rule,
        target32,
        source64,
        floor,
        names=rule.names,
        ids=rule.ids,
        thresholds=rule.thresholds,
        mask=rule.mask,
        class_axis=rule.axis,
    )


def _compare_output(
    source: Source,
    exported: Exported,
    target: Target,
    name: str,
    computed_in: Precision,
    *,
    folded: bool,
    decided: bool,
) -> _Output:
    source32, source64 = source.float32[name], source.float64[name]
    target32 = source.output(name, target.outputs, exported.structure)
    (oracle, route64), *others = (
        (runtime, source.output(name, outputs, exported.structure)) for runtime, outputs in exported.oracles.items()
    )
    named: dict[str, Any] = {"oracle": oracle, "passed_over": exported.passed_over}
    same_places = True
    foreign = name in source.expected
    if source.origin == "file" and not foreign:
        # A file alone is its own source: by the oracles that this cell follows, whomever others follow.
        source64 = route64
    if is_exact(source64) or is_exact(target32):
        floor = no_floor(source64)
        route = compare_exact_route(route64, source64, folded, dict(others), **named, called=source.called)
        runtime = compare_exact_runtime(target32, route64, source=source32)
        ends = compare_exact_runtime(target32, source64, source=source32, comparison="end-to-end")
    else:
        last = _last_operator(exported.structure, name, [*source.float64].index(name), source64.ndim)
        floor = floor_of_ends = noise_floor(source32, source.own64[name], computed_in, operator=last)
        meant = source.allow_nan
        if foreign:
            half = computes_in(exported.structure) != "float32"
            named |= {"allow_nan": meant, "source": source.called}
            route = compare_expected_route(route64, source64, floor, dict(others), half=half, **named)
            floor_of_ends = floor_of_both(floor) if half or is_measured(source64) else floor
        else:
            route = compare_route(route64, source64, folded, dict(others), **named, allow_nan=meant)
        runtime = compare_runtime(target32, route64, floor, source32=source32, allow_nan=meant)
        ends = compare_runtime(
            target32, source64, floor_of_ends, source32=source32, comparison="end-to-end", allow_nan=meant
        )
        same_places = all(
            array.shape == target32.shape and not parted(target32, array).any()
            for array in (route64, source64, *(other for _, other in others))
        )
    if (step := step_of(exported.structure, target.parameters, name)) is not None:
        runtime = compare_steps(runtime, target32, route64, step)
        ends = compare_steps(ends, target32, source64, step, "end-to-end")
    if route.parts:
        route, runtime = without_reference(route), without_reference(runtime)
    end_to_end = ends if foreign or (source.converted and not source.expected) else None
    rule = source.decision if decided and target32.shape == source64.shape else None
    decisions = None if rule is None else compare_by_rule(rule, target32, source64, floor)
    compared = [route, runtime] if end_to_end is None else [route, runtime, end_to_end]
    failing = worst([finding.verdict for one in compared for finding in one.findings])
    shown = OutputResult(
        name=name,
        shape=target32.shape,
        dtype=target32.dtype.name if target32.dtype.kind in "biuf" else "string",
        decided=decided,
        verdict=failing if failing.rank > Verdict.EQUIVALENT.rank else runtime.verdict,
        rms_ratio=runtime.rms_ratio,
        max_ratio=runtime.max_ratio,
        end_to_end_ratio=None if end_to_end is None else end_to_end.rms_ratio,
        route_error=route.errors.relative_rms,
        differing=runtime.errors.differing,
    )
    return _Output(shown, floor, route, runtime, end_to_end, decisions, same_places)


def _last_operator(structure: Structure | None, name: str, place: int, axes: int) -> str:
    """ "Sigmoid" where the output of that name, or else at that place, ends in one; "" for other ends and without a graph."""
    names = [] if structure is None else [str(entry["name"]) for entry in structure["outputs"]]
    own = name if name in names else next(iter(names[place : place + 1]), "")
    return "Sigmoid" if structure is not None and output_end(structure, own, axes).kind == "sigmoid" else ""


def _row(shown: OutputResult, decisions: DecisionComparison | None, far_off: Sequence[str]) -> OutputResult:
    """The row of an output: `divergent` where a gate failed and more than its numbers changed, as for the cell."""
    changed = decisions is None or (decisions.counted_count > 0 if shown.decided else shown.name in far_off)
    if shown.verdict is not Verdict.DRIFTED or not changed:
        return shown
    return shown.model_copy(update={"verdict": Verdict.DIVERGENT})


def _is_far_off(output: _Output) -> bool:
    """Whether an output on which no decision is made is so far off that whoever reads it would decide otherwise."""
    compared = [output.runtime] if output.end_to_end is None else [output.runtime, output.end_to_end]
    far = [
        (one.rms_ratio or 0.0) > gates.FAR_OFF_RATIO and (one.errors.relative_rms or 0.0) > gates.FAR_OFF_RELATIVE
        for one in compared
    ]
    return output.shown.verdict is Verdict.DRIFTED and (
        any(far) or (output.shown.route_error or 0.0) > gates.FAR_OFF_RELATIVE
    )


def _badness(comparison: RuntimeComparison) -> tuple[int, float]:
    """What makes one output's comparison worse than another's."""
    return comparison.verdict.rank, comparison.rms_ratio or 0.0


def _with_name(name: str, output: _Output) -> _Output:
    """The same with the name of the output in every finding."""

    def named(comparison: Compared) -> Compared:
        findings = [
            finding.model_copy(update={"message": f"output {name}: {finding.message}"})
            for finding in comparison.findings
        ]
        return comparison.model_copy(update={"findings": findings})

    end_to_end = None if output.end_to_end is None else named(output.end_to_end)
    return replace(output, route=named(output.route), runtime=named(output.runtime), end_to_end=end_to_end)
