"""Paired predictions: McNemar's test of each runtime, or group of runtimes, that predicts other classes than the source."""

from __future__ import annotations

from typing import Any

from harness.compare.paired import FEW_PAIRS, holm, mcnemar
from harness.report.document import Column, Table
from harness.report.formatting import counted
from harness.report.read import SOURCE, Results
from harness.report.tables.task_tables import TaskResults
from harness.tasks.class_metrics import disagreement

_NOTES = (
    "McNemar's test asks whether source and runtime are right equally often: it rests on the samples on which only one of "
    f"them is right. Under {FEW_PAIRS} of these the p-value is the exact binomial one, else that of chi-square with continuity "
    "correction. A small p-value tells of a difference in accuracy, a large one does not show that there is none; whether "
    "the answers are the same is told by the gates. – nothing to test, as no sample has only one of them right.",
    "Adjusted: by Holm's method for the number of tests in this table. Runtimes with equal predictions are one test.",
)


def mcnemar_table(results: Results, task: TaskResults | None) -> Table:
    """One row per group of runtimes whose predictions differ from the source's; without such a group, a sentence."""
    rows: list[dict[str, Any]] = []
    if task is not None and task.runners[0].name == SOURCE:
        source = task.runners[0]
        for group in task.groups:
            if source in group.runners:
                continue
            found = disagreement(task.truth, source.labels, group.runners[0].labels, len(task.class_names) + 1)
            test = mcnemar(found.first_right, found.second_right)
            rows.append(
                {
                    "group": group.letter,
                    "runners": [runner.name for runner in group.runners],
                    "shown": "; ".join(results.display(runner.name) for runner in group.runners),
                    "n": len(task.truth),
                    "differ": found.count,
                    "source_right": test.first_only,
                    "target_right": test.second_only,
                    "method": test.method if test.discordant else None,
                    "statistic": test.statistic,
                    "p_value": test.p_value,
                }
            )
        tested = [row for row in rows if row["p_value"] is not None]
        for row, adjusted in zip(tested, holm([row["p_value"] for row in tested]), strict=True):
            row["p_adjusted"] = adjusted
    return Table(
        "mcnemar",
        "McNemar's test of runtimes that predict other classes than the source, same weights and same samples.",
        (
            Column("group", None),
            Column("runners", None),
            Column("shown", "Target and route"),
            Column("n", "n", "integer"),
            Column("differ", "Differ", "integer"),
            Column("source_right", "Only the source is right", "integer"),
            Column("target_right", "Only the target is right", "integer"),
            Column("method", "Test"),
            Column("statistic", "Chi-square", "number"),
            Column("p_value", "p", "number"),
            Column("p_adjusted", "p, adjusted", "number"),
        ),
        tuple(rows),
        notes=_NOTES,
        empty=_nothing(task),
    )


def _nothing(task: TaskResults | None) -> str:
    """Why there is no test."""
    if task is None:
        return "McNemar's test needs predictions of samples with known classes; there are none."
    if task.runners[0].name != SOURCE or len(task.runners) < 2:
        return "McNemar's test needs predictions of the source and of another runtime; there are no two."
    return (
        f"McNemar's test had nothing to test: every runtime predicts the source's class for all "
        f"{counted(len(task.truth), 'sample')}."
    )
