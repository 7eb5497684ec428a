"""Same weights in another runtime: outputs, decisions, parameters, graphs and task metrics."""

from __future__ import annotations

from harness.report import facts
from harness.report.document import Block, FiguresHere, Paragraph, Section, Table, TableBlock
from harness.report.read import Results
from harness.report.sections.forecast import forecast_section
from harness.report.sections.layers import layers_section
from harness.report.tables import graphs, outcomes, parameters, task
from harness.report.tables.swaps import swap_table


def weights_section(results: Results, tables: dict[str, Table]) -> Section:
    """Everything that follows from the same weights being run elsewhere; no figure here comes from another training."""
    return Section(
        "weights",
        "Same weights in another runtime",
        (
            Paragraph(
                "Every figure in this section comes from one set of weights. Where runtimes differ here, they differ in what "
                f"they load and how they compute, not in what was learnt. {facts.line(results)}"
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
                    TableBlock(graphs.structure_table(results)),
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
    ratios, absolute = outcomes.errors_tables(results)
    blocks: list[Block] = [FiguresHere(), TableBlock(ratios)]
    if absolute.rows:
        blocks.append(TableBlock(absolute))
    blocks.append(TableBlock(outcomes.routes_table(results)))
    return Section("outputs", "Outputs", tuple(blocks))


def _decisions(results: Results, tables: dict[str, Table]) -> Section:
    return Section(
        "decisions",
        "Decisions",
        (TableBlock(outcomes.decisions_table(results)), TableBlock(tables["flips"], tall=True)),
    )


def _parameters(results: Results) -> Section:
    note = graphs.copies_note(results)
    return Section(
        "parameters",
        "Parameters",
        (
            *((Paragraph(note),) if note else ()),
            TableBlock(parameters.parameter_summary(results)),
            TableBlock(parameters.parameter_findings(results)),
        ),
    )


def _task(results: Results, tables: dict[str, Table]) -> tuple[Section, ...]:
    if results.forecasts is not None:
        return forecast_section(results)
    found = task.task_results(results)
    if found is None:
        return (Section("task", "Task metrics", (Paragraph("No runtime predicted the test samples."),)),)
    note = Paragraph(
        "How well the model does its task, by runtime. Intervals tell how much of a figure is owed to the draw of test samples; "
        f"they do not tell runtimes apart, which saw the same samples. {facts.line(results, samples=facts.test_samples(results))}"
    )
    matrices = tuple(TableBlock(task.confusion_page_table(results, found, group)) for group in found.groups)
    return (
        Section(
            "task",
            "Task metrics",
            (
                note,
                TableBlock(tables["metrics"]),
                TableBlock(task.per_class_page_table(results, found, tables["metrics_per_class"])),
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
            (TableBlock(task.confidence_page_table(results, found, tables["confidence"])),),
        ),
        Section("confusion", "Confusion", (FiguresHere(), *matrices)),
    )
