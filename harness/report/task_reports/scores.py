"""Scores with intervals, over all and by class, label or variable, as the task names them."""

from __future__ import annotations

from dataclasses import replace

from harness.report import bibliography, caption_facts
from harness.report.document import Column, FiguresHere, Paragraph, Section, Table, TableBlock
from harness.report.formatting import counted
from harness.report.read import Results
from harness.report.tables import score_tables, task_tables
from harness.report.tables.task_tables import TaskResults
from harness.report.task_reports.task_report import Sentence, TaskReport
from harness.tasks.class_metrics import FEW_SAMPLES

_PARTS = {"train": "Training", "valid": "Validation", "test": "Test"}


def printed(results: Results, tables: dict[str, Table], found: TaskResults | None) -> tuple[Table, ...]:
    """Scores over all, and by class, label or variable."""
    return tables["scores"], replace(score_tables.per_part_page_table(results), name="scores_per_part")


def sections(results: Results, tables: dict[str, Table]) -> tuple[Section, ...]:
    """Scores, and how each class, label or variable fares."""
    if results.scores is None:
        return (Section("task", "Task metrics", (Paragraph(task_tables.nothing_scored(results)),)),)
    note = Paragraph(
        f"How well the model does its task ({results.task.name}), by runtime, from its output "
        f"{score_tables.output_of(results)}. Intervals tell how much of a figure is owed to the draw of test samples; they do "
        f"not tell runtimes apart, which saw the same samples. "
        f"{caption_facts.line(results, samples=caption_facts.test_samples(results))}"
    )
    blocks = (
        note,
        TableBlock(tables["scores"]),
        TableBlock(score_tables.per_part_page_table(results)),
        FiguresHere(),
    )
    return (Section("task", "Task metrics", blocks),)


def statistics(results: Results) -> list[Sentence]:
    """What scores are of, and how intervals were computed."""
    return [
        (
            f"Scores ({results.task.name}) are of {counted(results.evaluated, 'test sample')}, with 95 % percentile bootstrap "
            "intervals of 1,000 resamples of samples",
            bibliography.BOOTSTRAP,
            f"; what rests on fewer than {FEW_SAMPLES} is marked.",
        )
    ]


def samples(results: Results) -> str:
    """The classes, labels or variables by name."""
    names = _names(results)
    return f" with {counted(len(names), *score_tables.scored_task(results).part)} ({', '.join(names)})"


def _names(results: Results) -> tuple[str, ...]:
    data = results.manifest.data
    return data.class_names or tuple(variable.name for variable in data.variables)


def parts_table(results: Results) -> Table:
    """Classes, labels or variables in the order of the output, and samples per part."""
    data, (singular, plural) = results.manifest.data, score_tables.scored_task(results).part
    units = {variable.name: variable.unit for variable in data.variables}
    descriptions = {variable.name: variable.description for variable in data.variables}
    rows = tuple(
        {"part": name, "index": index, "unit": units.get(name, ""), "description": descriptions.get(name, "")}
        for index, name in enumerate(_names(results))
    )
    counts = ", ".join(
        f"{name.lower()} {sum(data.counts[part].values()):,}" for part, name in _PARTS.items() if part in data.counts
    )
    columns = [Column("part", singular.capitalize()), Column("index", "Index", "integer")]
    if units:
        columns += [Column("unit", "Unit"), Column("description", "Description")]
    return Table(
        "parts",
        f"{plural.capitalize()} in the order of the model's output. Samples: {counts or 'not stated'}.",
        tuple(columns),
        rows,
    )


REPORT = TaskReport(
    tables={"scores": score_tables.scores_table, "scores_per_part": score_tables.scores_per_part_table},
    printed=printed,
    sections=sections,
    statistics=statistics,
    samples=samples,
    data_table=parts_table,
    synthetic="the scores below say nothing about real land or sensors.",
)
