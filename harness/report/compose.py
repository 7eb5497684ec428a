"""The report as a document: which sections there are, and in which order."""

from __future__ import annotations

from collections.abc import Mapping

from harness.report import caption_facts
from harness.report.document import (
    Document,
    FigureBlock,
    FiguresHere,
    Paragraph,
    Section,
    Table,
    TableBlock,
    with_figures,
)
from harness.report.methods import methods
from harness.report.read import Results
from harness.report.sections.data_section import data_section, model_section
from harness.report.sections.findings_section import findings_section
from harness.report.sections.methods_section import methods_section
from harness.report.sections.port_section import port_section
from harness.report.sections.provenance_sections import (
    citing_section,
    exporters_section,
    provenance_section,
    timings_section,
    unavailable_section,
)
from harness.report.sections.timing_section import timing_section
from harness.report.sections.tooling_section import tooling_section
from harness.report.sections.verdicts_section import answer_section, comparisons_section
from harness.report.sections.versions_section import versions_section
from harness.report.sections.weights_section import weights_section


def compose(results: Results, tables: dict[str, Table], figures: Mapping[str, tuple[FigureBlock, ...]]) -> Document:
    """The whole report. ``tables``: those that also become CSV files, by name; ``figures``: those drawn, by section."""
    scenario = results.manifest.scenario
    data = results.manifest.data
    subtitle = f"Scenario {scenario.name} on {data.title or data.name}. "
    sections = (
        answer_section(results),
        comparisons_section(results),
        *versions_section(results, tables),
        weights_section(results, tables),
        *port_section(results),
        findings_section(results),
        _training_section(results, tables),
        model_section(results),
        data_section(results),
        exporters_section(results),
        unavailable_section(results),
        tooling_section(results),
        *timing_section(results, tables),
        timings_section(results),
        provenance_section(results),
        methods_section(methods(results)),
        citing_section(results),
        _appendix(tables),
    )
    return Document(
        title=scenario.title or scenario.name,
        subtitle=subtitle + caption_facts.line(results, with_versions=True),
        synthetic=data.synthetic,
        sections=tuple(with_figures(section, figures) for section in sections),
    )


def _training_section(results: Results, tables: dict[str, Table]) -> Section:
    text = Paragraph(
        "How the weights came about. This is another question than whether they survive a change of runtime: a second "
        "training would give other figures here, and none of them says anything about runtimes. "
        + caption_facts.line(results, samples=caption_facts.training_samples(results))
    )
    if results.manifest.source == "weights":
        given = Paragraph(
            f"Nothing was trained in this run. {caption_facts.imported(results)} How they were trained is not known here, "
            "nor how their data were normalised. Comparisons between runtimes hold all the same; scores hold for data that were "
            "prepared as theirs."
        )
        return Section("training", "Where the weights come from", (given,))
    if not tables["training"].rows:
        return Section("training", "Training of the source", (Paragraph("Nothing was trained in this run."),))
    return Section(
        "training", "Training of the source", (text, FiguresHere(), TableBlock(tables["training"], tall=True))
    )


def _appendix(tables: dict[str, Table]) -> Section:
    if "outputs_per_class" not in tables:
        return Section("appendix", "Appendix: every parameter", (TableBlock(tables["parameters"], tall=True),))
    return Section(
        "appendix",
        "Appendix: every parameter, errors by class",
        tuple(TableBlock(tables[name], tall=True) for name in ("parameters", "outputs_per_class")),
    )
