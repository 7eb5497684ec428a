"""What figures are drawn from: the result files as they were read, and what was computed from them once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.report.document import Table
from harness.report.read import Results
from harness.report.tables.task_tables import TaskResults


@dataclass(frozen=True)
class Contents:
    """The contents of one report.

    ``task``: the predicted classes of the test samples, None where no classes were predicted. ``tables``: the tables that
    become CSV files, by name.
    """

    results: Results
    task: TaskResults | None
    tables: Mapping[str, Table]
