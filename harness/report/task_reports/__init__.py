"""How a report tells how well a task is done, one file per way of telling it; tasks name the file (``Task.report``).

A file offers ``REPORT``, a `harness.report.task_reports.task_report.TaskReport`. Several tasks may share one.
"""

from __future__ import annotations

import importlib

from harness.report.document import Table
from harness.report.read import Results
from harness.report.tables.task_tables import TaskResults
from harness.report.task_reports.task_report import TaskReport


def report_of(results: Results) -> TaskReport:
    """How the report of these results tells of their task."""
    found: TaskReport = importlib.import_module(f"{__name__}.{results.task.report}").REPORT
    return found


def tables_of_task(results: Results, found: TaskResults | None) -> tuple[Table, ...]:
    """The tables that the task names, in its order."""
    make = report_of(results).tables
    return tuple(make[name](results, found) for name in results.task.tables)
