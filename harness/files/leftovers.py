"""Temporary files and folders that a killed process left behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from harness.files.owner import Owner, OwnerState

#: Seconds after which what a process on another host has not touched counts as left behind.
ABANDONED = 2 * 86400.0
#: The same for the folder of an interrupted training, which the next run goes on from.
ABANDONED_TRAINING = 30 * 86400.0


def last_change(path: Path) -> float:
    """The latest time of change of a file, or of a folder and everything in it, in seconds since 1970 UTC."""
    latest = 0.0
    for one in (path, *(path.rglob("*") if path.is_dir() else ())):
        with contextlib.suppress(OSError):
            latest = max(latest, one.lstat().st_mtime)
    return latest


def is_abandoned(path: Path, *, after: float = ABANDONED) -> bool:
    """Whether the owner of a temporary file or folder is gone: dead on this host, or unknown and idle for ``after`` seconds.

    Never where the owner runs.
    """
    owner = Owner.in_name(path.name)
    state = OwnerState.ELSEWHERE if owner is None else owner.state()
    if state is OwnerState.ELSEWHERE:
        return time.time() - last_change(path) > after
    return state is OwnerState.DEAD


def sweep(paths: Iterable[Path]) -> list[Path]:
    """Remove those of some temporary files and folders that are this user's and whose owner is gone; returns them."""
    removed = []
    for path in paths:
        with contextlib.suppress(OSError):
            if path.lstat().st_uid != os.getuid() or not is_abandoned(path):
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
            removed.append(path)
    return removed


def sweep_temporary_folder() -> list[Path]:
    """Remove what killed runs left in the system's folder for temporary files; returns what was removed."""
    return sweep(_named(Path(tempfile.gettempdir()).glob("harness-*")))


def sweep_parts(folder: Path) -> list[Path]:
    """Remove what writes that were cut off left in a folder and below it; returns what was removed."""
    return sweep(_named(folder.rglob(".*.part")))


def _named(paths: Iterable[Path]) -> Iterator[Path]:
    """Those whose name tells an owner: others may be anything."""
    return (path for path in paths if Owner.in_name(path.name) is not None)
