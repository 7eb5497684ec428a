"""The question, the answer for every cell, and what was compared with what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.compare.records import Verdict
from harness.report.document import Answers, Definitions, Note, Paragraph, Section
from harness.report.formatting import VERDICT_MARKS, counted, listed
from harness.report.read import Results
from harness.report.tables.outcome_tables import verdict_counts
from harness.report.task_reports import report_of

_MEANINGS: dict[Verdict, str] = {
    Verdict.IDENTICAL: "parameters and outputs are bit-equal to the source's.",
    Verdict.EQUIVALENT: "all gates hold.",
    Verdict.UNDECIDED: "the implementations that compute the reference part, and no majority of them tells which is right.",
    Verdict.DRIFTED: "a gate fails, and no decision on the probe changed.",
    Verdict.DIVERGENT: "a gate fails and a decision changed, or a value is not finite, or parameters are unmatched or unequal.",
    Verdict.UNAVAILABLE: "the runtime is not installed here; nothing is said about it.",
    Verdict.UNSUPPORTED: "the runtime or route refused by name what it does not support.",
    Verdict.FAILED: "the worker broke; its log is quoted under Findings.",
}


def answer_section(results: Results) -> Section:
    """What was asked and one verdict per cell, first of all."""
    data = results.manifest.data
    model = results.manifest.model
    name = model.model if model else (results.cells[0].model if results.cells else "the model")
    sources = sorted({cell.source for cell in results.cells})
    trained = f", trained with {listed(sources)} on {data.name}," if sources else ""
    if results.manifest.source == "file":
        trained = ", as it was given,"
    if results.manifest.source == "weights":
        given = f"with weights given as {results.manifest.imported.get('file', 'a file')} and run in {listed(sources)}"
        trained = f", {given}," if results.manifest.probe_given else f", {given} on {data.name},"
    counts = [f"{count} {verdict.value}" for verdict, count in verdict_counts(results.cells).items()]
    blocks: list[Note | Paragraph | Answers] = []
    if data.synthetic:
        blocks.append(synthetic_note(results))
    blocks.append(
        Paragraph(
            f"Asked: does {name}{trained} load in another runtime, does it hold the same parameters there, and does it "
            f"give the same answers? {counted(len(results.cells), 'cell').capitalize()} were asked for"
            f"{': ' + listed(counts) if counts else ''}."
            if len(results.cells) != 1
            else f"Asked: does {name}{trained} load in another runtime, does it hold the same parameters there, and does "
            f"it give the same answers? One cell was asked for: {counts[0]}."
        )
    )
    if lost := results.manifest.accidents:
        what = "; ".join(f"{step}: {how}" for step, how in sorted(lost.items()))
        blocks.append(
            Note("Lost by accident", f"{what}. What needs it is missing here; the same command tries it again.")
        )
    blocks.append(Answers(results.cells))
    return Section("verdicts", "Verdicts", tuple(blocks))


def synthetic_note(results: Results) -> Note:
    """Says that no number says anything about real fields, or real rain."""
    data = results.manifest.data
    return Note(
        "Synthetic data",
        f"The data of this report are made by a formula, not observed: {data.title or data.name}. "
        f"Comparisons between runtimes hold for any data; {report_of(results).synthetic}",
    )


def comparisons_section(results: Results) -> Section:
    """The three comparisons, the noise floor and the words for verdicts."""
    compared = next((cell.runtime_comparison for cell in results.cells if cell.runtime_comparison), None)
    gates = (
        f" The gates are {compared.rms_limit:g}× for the root mean square and {compared.max_limit:g}× for the "
        "largest error."
        if compared
        else ""
    )
    given = results.manifest.source == "file"
    made = _comparisons(gates)
    if given:
        expected = results.manifest.expected
        made = _expected_comparisons(gates, expected) if expected else _given_comparisons(gates)
    blocks = (*made, meanings())
    return Section("comparisons", "What was compared with what", blocks)


def meanings() -> Definitions:
    """The words for verdicts and what they mean."""
    return Definitions(
        tuple((f"{VERDICT_MARKS[verdict]} {verdict.value}", text) for verdict, text in _MEANINGS.items())
    )


def _comparisons(gates: str) -> tuple[Paragraph, Paragraph]:
    return (
        Paragraph(
            "Three comparisons are made and never merged, so that no candidate can change the reference that it is judged by. "
            "Parameters: what the target really holds after loading, against the source's canonical parameters, bit for bit; "
            "where an exporter folded batch normalisation into a layer, against that fold computed in float64. "
            "Route: the exported graph in float64 (the route oracle) against the source model in float64 (the source "
            "oracle); what differs here, the export changed. "
            "Runtime: the target's float32 outputs against the route oracle and, end to end, against the source oracle."
        ),
        Paragraph(
            "Runtime errors are multiples of the noise floor, which is the source's own float32 error against the source "
            f"oracle over the probe: at 1× a target is as exact as the source itself.{gates} A cell's verdict is the worst "
            "of its comparisons."
        ),
    )


def _expected_comparisons(gates: str, expected: Mapping[str, Any]) -> tuple[Paragraph, Paragraph]:
    if expected["kind"] == "model":
        return _whole_comparisons(gates, expected)
    said = "".join(f" {sentence[0].upper()}{sentence[1:]}." for sentence in expected["said"])
    return (
        Paragraph(
            "The file was given with the outputs of the framework that it was made from, for the same probe "
            f"({expected['file']}, SHA-256 {expected['sha256']}). Parameters: what the target really holds after loading, against "
            "the tensors of the file, bit for bit. Route: the exported graph in float64 (the route oracle) against the expected "
            "outputs; what differs here, the export changed. Runtime: the target's float32 outputs against the route oracle "
            "and, end to end, against the expected outputs."
        ),
        Paragraph(
            "Runtime errors are multiples of the noise floor, which is the float32 error of the ONNX reference "
            f"implementation against the graph in float64 over the probe.{gates} A cell's verdict is the worst of its "
            f"comparisons.{said}"
        ),
    )


def _whole_comparisons(gates: str, expected: Mapping[str, Any]) -> tuple[Paragraph, Paragraph]:
    said = "".join(f" {sentence[0].upper()}{sentence[1:]}." for sentence in expected["said"])
    return (
        Paragraph(
            f"The file was given with the model that it was made from ({expected['file']}, SHA-256 {expected['sha256']}), which "
            "was run in its own framework. Parameters: what the target really holds after loading, against the tensors of the "
            "file, bit for bit. Route: the exported graph in float64 (the route oracle) against the source in float64; what "
            "differs here, the export changed. Runtime: the target's float32 outputs against the route oracle and, end to end, "
            f"against the source in float64.{said}"
        ),
        Paragraph(
            "Runtime errors are multiples of the noise floor, which is the source's own float32 error against itself in float64 "
            f"over the probe.{gates} A cell's verdict is the worst of its comparisons."
        ),
    )


def _given_comparisons(gates: str) -> tuple[Paragraph, Paragraph]:
    return (
        Paragraph(
            "The file was given, and what it was made from is not known here: whether an exporter changed the model is not "
            "asked. The file itself is the reference. Parameters: what the target really holds after loading, against the "
            "tensors of the file, bit for bit. Runtime: the target's float32 outputs against the file's graph in float64 "
            "(the route oracle, which stands for the source oracle too); implementations of that graph in float64 must agree."
        ),
        Paragraph(
            "Runtime errors are multiples of the noise floor, which is the float32 error of the ONNX reference "
            f"implementation against the graph in float64 over the probe.{gates} A cell's verdict is the worst of its "
            "comparisons."
        ),
    )
