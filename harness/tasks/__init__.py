"""What a model's output is for, one file per task: a file that says ``NAME = "<name>"`` is a task, and nothing else lists it.

The file is named as the task, with ``_`` for ``-``, and offers ``TASK``, a `harness.tasks.base.Task`: what a target looks like,
losses, decision rule, metrics on arrays, and the names of its tables and figures.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import ModelError

if TYPE_CHECKING:
    from harness.tasks.base import Task


def _tasks() -> tuple[str, ...]:
    """Names of the tasks, sorted, found without importing any of them."""
    found = {path.stem.replace("_", "-"): path for path in Path(__file__).parent.glob("*.py")}
    return tuple(
        sorted(name for name, path in found.items() if f'\nNAME = "{name}"\n' in path.read_text(encoding="utf-8"))
    )


#: Names of the tasks.
TASKS = _tasks()


def task(name: str) -> Task:
    """The task of a name. Raises ModelError where there is none of that name."""
    if name not in TASKS:
        raise ModelError(f"there is no task '{name}'", hint=f"choose one of {', '.join(TASKS)}")
    file = name.replace("-", "_")
    found: Task = import_module(f"harness.tasks.{file}").TASK
    return found


#: The task where nothing tells one.
DEFAULT = "classification"


def all_losses() -> tuple[str, ...]:
    """Names of the losses of all tasks, sorted, then the other names that are accepted for them."""
    # Imported here: a scenario without a loss is read without NumPy.
    from harness.tasks.losses import OTHER_NAMES

    return (*sorted({loss for name in TASKS for loss in task(name).losses}), *OTHER_NAMES)


def all_result_files() -> tuple[str, ...]:
    """Result files of all tasks, sorted."""
    return tuple(sorted({file for name in TASKS for file in task(name).result_files}))


def all_tables() -> tuple[str, ...]:
    """Tables of the reports of all tasks, sorted."""
    return tuple(sorted({table for name in TASKS for table in task(name).tables}))


def all_figures() -> tuple[str, ...]:
    """Figures that only some tasks have, sorted."""
    return tuple(sorted({figure for name in TASKS for figure in task(name).figures}))
