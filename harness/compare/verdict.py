"""From comparisons to one verdict, one plain sentence and one exit code: pure functions on records."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from harness.compare.records import (
    CellResult,
    Comparison,
    DecisionComparison,
    Finding,
    ParameterComparison,
    RouteComparison,
    RuntimeComparison,
    Verdict,
    in_floors,
    worst,
)
from harness.errors import ExitCode

#: Comparisons that answer "is it the same model": of their findings the first makes the sentence.
_CAUSES: tuple[Comparison, ...] = ("structure", "parameters", "route", "runtime", "end-to-end", "decisions")

Compared = TypeVar("Compared", RouteComparison, RuntimeComparison)

#: What a target was compared with: the model that a file was made from, or a file whose origin is not known.
Origin = Literal["source", "file"]


@dataclass(frozen=True)
class Judgement:
    """A cell's verdict, the sentence that says why, and every finding, in the order of the comparisons."""

    verdict: Verdict
    sentence: str
    findings: list[Finding]


def combine(
    *,
    parameters: ParameterComparison,
    route: RouteComparison,
    runtime: RuntimeComparison,
    end_to_end: RuntimeComparison | None = None,
    decisions: DecisionComparison | None = None,
    structure: Iterable[Finding] = (),
    origin: Origin = "source",
    far_off: Sequence[str] = (),
    said: str = "",
) -> Judgement:
    """The verdict of a cell: the worst of its comparisons, which are never merged.

    - ``identical``: parameters bit-equal, outputs bit-equal to the source's own float32 outputs, and the route within
      its limit (its float64 outputs may still differ in the order of summation).
    - ``equivalent``: all gates hold; flips are then within the noise of float32 itself.
    - ``undecided``: implementations of the route oracle part and no majority tells which is right, so that a gate that fails
      tells nothing (`without_reference`).
    - ``drifted``: a gate of route or runtime fails and no decision changed that counts.
    - ``divergent``: a gate fails and a decision changed that counts (or decisions were not compared), or a value is
      not finite, shapes differ, or parameters are unmatched or unequal, or the structure contradicts the source.

    ``far_off``: outputs beside the decided one that are so far off that whoever reads them would decide otherwise.
    ``said``: what the sentence ends with, whatever the verdict.
    """
    findings = sorted(
        [
            *structure,
            *parameters.findings,
            *route.findings,
            *runtime.findings,
            *(end_to_end.findings if end_to_end else []),
        ],
        key=lambda finding: (_CAUSES.index(finding.comparison), -finding.verdict.rank),
    )
    # What fails a comparison is a finding of it, and calls for the same verdict.
    verdict = worst([finding.verdict for finding in findings])
    if verdict is Verdict.DRIFTED:
        if decisions is None:
            verdict = Verdict.DIVERGENT
            findings.append(_decision_finding("a gate failed and decisions were not compared"))
        elif far_off:
            verdict = Verdict.DIVERGENT
            findings.append(_decision_finding(f"output {far_off[0]}, on which no decision is made, is far off"))
        elif decisions.counted_count:
            verdict = Verdict.DIVERGENT
            findings.append(_decision_finding(_changed(decisions)))
    if verdict.rank <= Verdict.EQUIVALENT.rank:
        same = parameters.verdict is Verdict.IDENTICAL and runtime.bit_equal_to_source
        verdict = Verdict.IDENTICAL if same else Verdict.EQUIVALENT
    sentence = _sentence(verdict, findings, parameters, runtime, decisions, origin)
    return Judgement(verdict, f"{sentence.removesuffix('.')}; {said}." if said else sentence, findings)


def without_reference(comparison: Compared) -> Compared:
    """A comparison with a route oracle whose implementations part: a gate that fails is ``undecided``, nobody's fault.

    What needs no oracle to be wrong stays: shapes that differ, and values that are not finite.
    """
    counted = bool(comparison.errors.differing)
    findings = [
        finding.model_copy(update={"verdict": Verdict.UNDECIDED})
        if finding.verdict is Verdict.DRIFTED or counted
        else finding
        for finding in comparison.findings
    ]
    if not findings:
        return comparison
    return comparison.model_copy(
        update={"findings": findings, "verdict": worst([finding.verdict for finding in findings])}
    )


def _sentence(
    verdict: Verdict,
    findings: list[Finding],
    parameters: ParameterComparison,
    runtime: RuntimeComparison,
    decisions: DecisionComparison | None,
    origin: Origin,
) -> str:
    """One plain sentence for a verdict that was reached by comparing (`describe_failure` for the others)."""
    if verdict is Verdict.IDENTICAL:
        if origin == "file":
            return "Identical: parameters are equal to the file's and outputs to the reference's, bit for bit."
        return "Identical: parameters and outputs are equal to the source's bit for bit."
    if verdict is Verdict.EQUIVALENT:
        how = f"its parameters are the {origin}'s"
        if parameters.folded:
            how += " with batch normalisation folded in"
        if runtime.off_by_one_step is not None:
            how += f" and {runtime.off_by_one_step:.2%} of its values are off by one step of the scale"
        elif runtime.rms_ratio is not None:
            how += f" and its runtime error is {in_floors(runtime.rms_ratio)} times the noise floor"
        if decisions is not None:
            how += f"; {decision_changes(decisions)}"
            if decisions.flip_count:
                how += " within that noise"
        return f"Equivalent: {how}."
    # What is merely told of a cell is no cause.
    causes = [finding for finding in findings if finding.verdict.rank > Verdict.EQUIVALENT.rank]
    cause = causes[0].message
    more = f" ({_plural(len(findings) - 1, 'further finding')})" if len(findings) > 1 else ""
    if decisions is None:
        changed = ""
    elif verdict is Verdict.DRIFTED:
        changed = f"; {decision_changes(decisions)}"
        if decisions.flip_count:
            changed += ", all within the noise floor"
    else:
        changed = f"; {_changed(decisions)}" if decisions.counted_count else ""
    return f"{verdict.value.capitalize()}: {cause}{changed}{more}."


def runtime_error(cell: CellResult) -> str:
    """The error that a cell's sentence names, for the column beside it; empty where there is none."""
    compared = cell.runtime_comparison
    return "" if compared is None or compared.rms_ratio is None else in_floors(compared.rms_ratio)


def describe_failure(verdict: Verdict, error: str, hint: str | None = None) -> str:
    """The sentence of a cell that could not be compared: ``failed``, ``unsupported`` or ``unavailable``."""
    text = " ".join(error.split()).rstrip(".")
    lead = {
        Verdict.FAILED: "Failed",
        Verdict.UNSUPPORTED: "Not supported",
        Verdict.UNAVAILABLE: "Not available",
    }[verdict]
    return f"{lead}: {text}" + (f"; {' '.join(hint.split()).rstrip('.')}" if hint else "") + "."


def expectation_met(verdict: Verdict, expected: Verdict) -> bool:
    """Whether a verdict is as good as expected.

    The five verdicts reached by comparing are ordered, and a better one always meets the expectation. Where
    ``unsupported``, ``unavailable`` or ``failed`` is expected, that one meets it, and so does an equivalent cell: a
    refusal that is gone is good news, but answers that then turn out wrong are not.
    """
    if verdict is expected:
        return True
    if expected.rank > Verdict.DIVERGENT.rank:
        return verdict.rank <= Verdict.EQUIVALENT.rank
    return verdict.rank < expected.rank


def exit_code(
    results: Iterable[CellResult],
    expect: Mapping[str, Verdict] | Verdict = Verdict.EQUIVALENT,
    require: Collection[str] = (),
) -> ExitCode:
    """The exit code that some cells call for.

    ``expect``: the worst verdict accepted, for all cells or by cell name (``equivalent`` where a cell is not named).
    ``require``: runtimes (`CellResult.target`) that must be available. 3 where a cell failed and was not expected to;
    1 where one is worse than expected or a required runtime is unavailable; else 0. ``unavailable`` does not count
    otherwise; ``unsupported`` counts as worse than expected unless it is expected.
    """
    code = ExitCode.OK
    for result in results:
        wanted = expect if isinstance(expect, Verdict) else expect.get(result.cell, Verdict.EQUIVALENT)
        unavailable = result.verdict is Verdict.UNAVAILABLE
        if (unavailable and result.target not in require) or (
            not unavailable and expectation_met(result.verdict, wanted)
        ):
            continue
        if result.verdict is Verdict.FAILED:
            return ExitCode.CELL_FAILED
        code = ExitCode.WORSE_THAN_EXPECTED
    return code


def _decision_finding(message: str) -> Finding:
    return Finding(comparison="decisions", verdict=Verdict.DIVERGENT, message=message)


def decision_changes(decisions: DecisionComparison, count: int | None = None) -> str:
    """How many decisions changed, in words of the task: ``0 of 4,455 pixels change class``, ``3 of 258 labels change``.

    ``count``: of which flips; of all of them where it is None. Where outputs are not finite no decision is made, which is told.
    """
    number = decisions.flip_count if count is None else count
    unit = decisions.unit if decisions.decisions == 1 else f"{decisions.unit}s"
    verb = "changes" if number == 1 or decisions.decisions == 1 else "change"
    what = f"{verb} class" if decisions.unit in ("sample", "pixel") else verb
    none = f" ({decisions.without:,} more: no decision, outputs are not finite)" if decisions.without else ""
    return f"{number:,} of {decisions.decisions:,} {unit} {what}{none}"


def _changed(decisions: DecisionComparison) -> str:
    text = decision_changes(decisions, decisions.counted_count)
    if decisions.counted:
        flip = decisions.counted[0]
        text += f", for instance sample {flip.sample} from {flip.source} to {flip.target}"
    return text


def _plural(count: int, word: str) -> str:
    return f"{count} {word}" + ("" if count == 1 else "s")
