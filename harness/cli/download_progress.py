"""How a download shows itself: a bar on a terminal, nothing elsewhere."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

from harness.data.transfer import Progress, Silent


class _Bar:
    """One bar per file, taken away when the file is there."""

    def __init__(self, bars: Any) -> None:
        self._bars = bars
        self._task: Any = None

    def began(self, name: str, done: int, total: int | None) -> None:
        """Draw the file's bar, or draw it anew."""
        self.ended()
        self._task = self._bars.add_task(name, completed=done, total=total)

    def advanced(self, done: int) -> None:
        """Move it on."""
        self._bars.update(self._task, completed=done)

    def ended(self) -> None:
        """Take it away."""
        if self._task is not None:
            self._bars.remove_task(self._task)
            self._task = None


@contextlib.contextmanager
def download_progress(*, quiet: bool) -> Iterator[Progress]:
    """The progress that fits where standard error goes."""
    if quiet or not sys.stderr.isatty():
        yield Silent()
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Bars(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bars:
        yield _Bar(bars)
