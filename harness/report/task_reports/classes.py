"""One class per sample: metrics with intervals, disagreement with the source, confidence and confusion."""

from __future__ import annotations

from dataclasses import replace

from harness.compare.paired import FEW_PAIRS
from harness.report import bibliography, caption_facts
from harness.report.document import FiguresHere, Paragraph, Section, Table, TableBlock
from harness.report.formatting import counted
from harness.report.read import Results
from harness.report.sections.classes_table import classes_table
from harness.report.tables import mcnemar_table, outcome_tables, task_tables
from harness.report.tables.task_tables import TaskResults
from harness.report.task_reports.task_report import Sentence, TaskReport
from harness.tasks.class_metrics import FEW_SAMPLES


def printed(results: Results, tables: dict[str, Table], found: TaskResults | None) -> tuple[Table, ...]:
    """Metrics, and metrics per class."""
    per_class = (
        replace(task_tables.per_class_page_table(results, found, tables["metrics_per_class"]), name="metrics_per_class")
        if found
        else replace(tables["metrics_per_class"], rows=(), empty=tables["metrics"].empty)
    )
    return _metrics(tables["metrics"]), per_class


def _metrics(table: Table) -> Table:
    """Without the column of samples without a decision where there are none."""
    if any(row["undecided"] for row in table.rows):
        return table
    return replace(table, columns=tuple(column for column in table.columns if column.key != "undecided"))


def sections(results: Results, tables: dict[str, Table]) -> tuple[Section, ...]:
    """Task metrics, disagreement, confidence and confusion."""
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


def statistics(results: Results) -> list[Sentence]:
    """How metrics and their intervals were computed, and differences tested."""
    return [
        (
            f"Task metrics are of {counted(results.evaluated, 'test sample')}, with 95 % percentile bootstrap intervals of "
            "1,000 resamples",
            bibliography.BOOTSTRAP,
            f"; classes of fewer than {FEW_SAMPLES} samples are marked.",
        ),
        _paired(results),
    ]


def _paired(results: Results) -> Sentence:
    found = task_tables.task_results(results)
    if found is None or len(found.groups) < 2:
        return ("All runtimes predicted the same class for each of them, so that there was no difference to test.",)
    return (
        "Where a runtime predicted other classes than the source, accuracies were compared by McNemar's test",
        bibliography.MCNEMAR,
        f", exact under {FEW_PAIRS} discordant pairs and continuity-corrected otherwise, with p-values adjusted by Holm's "
        "method.",
    )


def samples(results: Results) -> str:
    """The classes by name."""
    names = results.class_names
    return f" in {counted(len(names), 'class', 'classes')} ({', '.join(names)})"


REPORT = TaskReport(
    tables={
        "outputs_per_class": lambda results, _: outcome_tables.outputs_per_class_table(results),
        "metrics": task_tables.metrics_table,
        "metrics_per_class": task_tables.metrics_per_class_table,
        "confusion": lambda _, found: task_tables.confusion_table(found),
        "disagreement_summary": lambda results, found: task_tables.disagreement_tables(results, found)[0],
        "disagreement": lambda results, found: task_tables.disagreement_tables(results, found)[1],
        "mcnemar": mcnemar_table.mcnemar_table,
        "confidence": lambda _, found: task_tables.confidence_table(found),
    },
    printed=printed,
    sections=sections,
    statistics=statistics,
    samples=samples,
    data_table=classes_table,
    synthetic="accuracy, kappa and F1 below say nothing about real crops, sensors or regions.",
)
