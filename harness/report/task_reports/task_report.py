"""What a file of this package offers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from harness.report.bibliography import Reference
from harness.report.document import Section, Table
from harness.report.read import Results
from harness.report.tables.task_tables import TaskResults

#: One sentence of the paragraph on methods: plain text and citations in their places.
Sentence = tuple[str | Reference, ...]
#: Makes a table; the second argument is who predicted which class, None where no classes were predicted.
MakeTable = Callable[[Results, TaskResults | None], Table]


@dataclass(frozen=True)
class TaskReport:
    """How a report tells how well a task is done.

    ``tables``: those that become CSV files, by the names under which tasks ask for them. ``printed``: those that become LaTeX.
    ``sections``: what the page says, below "Same weights in another runtime". ``statistics``: sentences on methods.
    ``samples``: what samples are samples of, in words, after their number; ``data_table``: the same as a table of the data card.
    ``synthetic``: what numbers from synthetic data say nothing about.
    """

    tables: Mapping[str, MakeTable]
    printed: Callable[[Results, dict[str, Table], TaskResults | None], tuple[Table, ...]]
    sections: Callable[[Results, dict[str, Table]], tuple[Section, ...]]
    statistics: Callable[[Results], list[Sentence]]
    samples: Callable[[Results], str]
    data_table: Callable[[Results], Table]
    synthetic: str
