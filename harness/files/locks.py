"""Locks that processes of one machine, or of a file system with locks, keep each other out by."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from harness.errors import StoreError
from harness.files.disk_errors import explained


@contextlib.contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold a results folder for one run. Raises StoreError where another run holds it or it cannot be written."""
    path = folder / ".lock"
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle = path.open("a+")
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            handle.seek(0)
            owner = handle.read().strip() or "unknown"
            raise StoreError(
                f"another run of this scenario is writing here (process {owner})",
                where=str(folder),
                hint="wait for it, or name another folder with --output",
            ) from error
        with explained(folder):
            handle.seek(0)
            handle.truncate()
            handle.write(str(os.getpid()))
            handle.flush()
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                path.unlink()
