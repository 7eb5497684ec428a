"""How a run shows itself: a progress bar on a terminal, a line per finished step elsewhere, nothing with ``--json``."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

from harness.pipeline.execution import Listener


class _Quiet:
    def planned(self, steps: int) -> None:
        """Say nothing."""

    def began(self, step: str) -> None:
        """Say nothing."""

    def progressed(self, progress: dict[str, Any]) -> None:
        """Say nothing."""

    def ended(self, step: str, state: str, seconds: float) -> None:
        """Say nothing."""

    def noticed(self, text: str) -> None:
        """Say nothing."""


class _Lines(_Quiet):
    """One line per step that did something: enough for a log, not too much for one."""

    def ended(self, step: str, state: str, seconds: float) -> None:
        """Print the step, what became of it and its seconds."""
        if state != "kept":
            print(f"{state:>11} {seconds:7.1f} s  {step}", file=sys.stderr, flush=True)

    def noticed(self, text: str) -> None:
        """Print it."""
        print(text, file=sys.stderr, flush=True)


class _Bar(_Quiet):
    """Two bars: all steps, and the progress that the present one's worker tells."""

    def __init__(self, progress: Any) -> None:
        self._progress = progress
        self._steps = progress.add_task("steps", total=None)
        self._inner: Any = None

    def planned(self, steps: int) -> None:
        """Set the length of the bar of steps."""
        self._progress.update(self._steps, total=steps, completed=0)

    def began(self, step: str) -> None:
        """Show the step's name."""
        self._progress.update(self._steps, description=step)

    def progressed(self, progress: dict[str, Any]) -> None:
        """Draw the worker's own progress below."""
        if self._inner is None:
            self._inner = self._progress.add_task("", total=None)
        self._progress.update(
            self._inner,
            completed=progress.get("done"),
            total=progress.get("total"),
            description=str(progress.get("text", ""))[:60],
        )

    def ended(self, step: str, state: str, seconds: float) -> None:
        """Count the step; name those that did not end well."""
        if self._inner is not None:
            self._progress.remove_task(self._inner)
            self._inner = None
        if state not in ("done", "kept"):
            self._progress.console.print(f"{state}: {step}")
        self._progress.advance(self._steps)

    def noticed(self, text: str) -> None:
        """Print it above the bars."""
        self._progress.console.print(text, markup=False, highlight=False)


@contextlib.contextmanager
def listener(*, quiet: bool) -> Iterator[Listener]:
    """The listener that fits where standard error goes."""
    if quiet:
        yield _Quiet()
        return
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield _Bar(progress)
