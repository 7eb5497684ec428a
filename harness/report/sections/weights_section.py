"""Same weights in another runtime: outputs, decisions, parameters, graphs and task metrics."""

from __future__ import annotations

from harness.report import caption_facts
from harness.report.document import Block, FiguresHere, Paragraph, Section, Table, TableBlock
from harness.report.read import Results
from harness.report.sections.forecast_section import forecast_section
from harness.report.sections.layers_section import layers_section
from harness.report.tables import outcome_tables, parameter_tables, structure_table, task_tables
from harness.report.tables.backend_swap_table import swap_table


def weights_section(results: Results, tables: dict[str, Table]) -> Section:
    """Everything that follows from the same weights being run elsewhere; no figure here comes from another training."""
    return Section(
        "weights",
        "Same weights in another runtime",
        (
            Paragraph(
                "Every figure in this section comes from one set of weights. Where runtimes differ here, they differ in what "
                f"they load and how they compute, not in what was learnt. {caption_facts.line(results)}"
            ),
        ),
        (
            _outputs(results),
            *layers_section(results),
            _decisions(results, tables),
            _parameters(results),
            Section(
                "structure",
                "Exported files",
                (
                    TableBlock(structure_table.structure_table(results)),
                    FiguresHere(),
                ),
            ),
            *_swaps(results),
            *_task(results, tables),
        ),
    )


def _swaps(results: Results) -> tuple[Section, ...]:
    table = swap_table([results])
    return (Section("backends", "Backends of Keras", (TableBlock(table),)),) if table.rows else ()


def _outputs(results: Results) -> Section:
    ratios, absolute = outcome_tables.errors_tables(results)
    blocks: list[Block] = [FiguresHere(), TableBlock(ratios)]
    if absolute.rows:
        blocks.append(TableBlock(absolute))
    blocks.append(TableBlock(outcome_tables.routes_table(results)))
    return Section("outputs", "Outputs", tuple(blocks))


def _decisions(results: Results, tables: dict[str, Table]) -> Section:
    given = results.manifest.decision
    said = (Paragraph(f"{given.sentence[:1].upper()}{given.sentence[1:]}."),) if given is not None else ()
    return Section(
        "decisions",
        "Decisions",
        (*said, TableBlock(outcome_tables.decisions_table(results)), TableBlock(tables["flips"], tall=True)),
    )


def _parameters(results: Results) -> Section:
    note = structure_table.copies_note(results)
    return Section(
        "parameters",
        "Parameters",
        (
            *((Paragraph(note),) if note else ()),
            TableBlock(parameter_tables.parameter_summary(results)),
            TableBlock(parameter_tables.parameter_findings(results)),
        ),
    )


def _task(results: Results, tables: dict[str, Table]) -> tuple[Section, ...]:
    if results.forecasts is not None:
        return forecast_section(results)
    found = task_tables.task_results(results)
    if found is None:
        return (Section("task", "Task metrics", (Paragraph(task_tables.nothing_scored(results)),)),)
    note = Paragraph(
        "How well the model does its task, by runtime. Intervals tell how much of a figure is owed to the draw of test samples; "
        "they do not tell runtimes apart, which saw the same samples. "
        f"{caption_facts.line(results, samples=caption_facts.test_samples(results))}"
    )
    matrices = tuple(TableBlock(task_tables.confusion_page_table(results, found, group)) for group in found.groups)
    return (
        Section(
            "task",
            "Task metrics",
            (
                note,
                TableBlock(tables["metrics"]),
                TableBlock(task_tables.per_class_page_table(results, found, tables["metrics_per_class"])),
                FiguresHere(),
            ),
        ),
        Section(
            "disagreement",
            "Disagreement",
            (
                TableBlock(tables["disagreement_summary"]),
                TableBlock(tables["disagreement"], tall=True),
                TableBlock(tables["mcnemar"]),
            ),
        ),
        Section(
            "confidence",
            "Confidence",
            (TableBlock(task_tables.confidence_page_table(results, found, tables["confidence"])),),
        ),
        Section("confusion", "Confusion", (FiguresHere(), *matrices)),
    )
