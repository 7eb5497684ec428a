"""What figures of predicted classes share: F1 per class and runtime, and which runtimes are drawn as one."""

from __future__ import annotations

from dataclasses import dataclass

from harness.report.contents import Contents
from harness.report.document import Table
from harness.report.drawing.style import wrapped
from harness.report.read import Results
from harness.report.tables.task_tables import group_notes
from harness.tasks.class_metrics import FEW_SAMPLES


@dataclass(frozen=True)
class PerClass:
    """``f1[runner][class]`` and its interval (low, high); None where a class has no samples and no predictions."""

    runners: tuple[str, ...]
    classes: tuple[str, ...]
    support: tuple[int, ...]
    f1: tuple[tuple[float | None, ...], ...]
    intervals: tuple[tuple[tuple[float, float] | None, ...], ...]

    @property
    def ticks(self) -> list[str]:
        """Class names with their number of samples; those with few samples are marked."""
        return [_tick(name, count) for name, count in zip(self.classes, self.support, strict=True)]


def per_class(results: Results, table: Table, runners: tuple[str, ...]) -> PerClass | None:
    """The rows of the table for some runtimes by class, or None where there are none."""
    rows = {(row["runner"], row["class"]): row for row in table.rows}
    if not rows or not runners:
        return None
    classes = results.class_names
    cells = [[rows[runner, name] for name in classes] for runner in runners]
    return PerClass(
        runners=runners,
        classes=classes,
        support=tuple(int(row["support"]) for row in cells[0]),
        f1=tuple(tuple(row["f1"] for row in line) for line in cells),
        intervals=tuple(
            tuple(
                None if row["f1_low"] is None or row["f1_high"] is None else (row["f1_low"], row["f1_high"])
                for row in line
            )
            for line in cells
        ),
    )


def equal_predictions(contents: Contents) -> str:
    """Which runtimes predict the same and are therefore drawn as one, in words; empty where nothing was predicted."""
    return " ".join(group_notes(contents.results, contents.task)) if contents.task else ""


def _tick(name: str, count: int) -> str:
    mark = " †" if count < FEW_SAMPLES else ""
    # Hard spaces, so that no line is broken inside of the number.
    number = f"(n = {count:,}{mark})".replace(" ", "\u00a0")
    return wrapped(f"{name} {number}", 34)
