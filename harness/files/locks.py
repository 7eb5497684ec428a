"""Locks by which runs wait for each other, or refuse to write to one folder at once.

They are a courtesy that saves work: on a file system whose hosts share no locks, runs of one store do work twice, and end
well. A results folder is for one run at a time.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from harness.errors import StoreError
from harness.files.disk_errors import explained
from harness.files.leftovers import sweep_parts
from harness.files.owner import Owner, OwnerState, owned_name

#: What a file system says that knows no locks: then there is nothing to wait for.
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
#: Seconds between two tries to get a lock.
_EVERY = 0.2


def is_locked(path: Path) -> bool:
    """Whether another process holds the lock of that file."""
    with path.open("a+") as handle:
        return not _locked(handle)


@contextlib.contextmanager
def waiting(path: Path) -> Iterator[None]:
    """Hold the lock of a file, which is made where it is not there; waits for another process that holds it."""
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = _open(path)
        while not (_locked(handle) and _still_there(handle, path)):
            time.sleep(_EVERY)
            if not _still_there(handle, path):
                handle.close()
                handle = _open(path)
    with handle:
        yield


@contextlib.contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold a results folder for one run. Raises StoreError where another run holds it or it cannot be written."""
    path = folder / ".lock"
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle = _open(path)
    with handle:
        free = _locked(handle)
        handle.seek(0)
        written = handle.read().strip()
        owner = Owner.in_name(written)
        # Where mounts share no locks, a run through the other one is known by what it wrote.
        if not free or (owner is not None and owner != Owner.current() and owner.state() is OwnerState.ALIVE):
            raise StoreError(
                f"another run of this scenario is writing here (process {owner.pid if owner else 'unknown'})",
                where=str(folder),
                hint="wait for it, or name another folder with --output",
            )
        with explained(folder):
            handle.seek(0)
            handle.truncate()
            handle.write(owned_name("run"))
            handle.flush()
            sweep_parts(folder)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                path.unlink()


def _open(path: Path) -> IO[str]:
    return path.open("a+")


def _locked(handle: IO[str]) -> bool:
    """Take the lock of an open file; False where another process holds it."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    return True


def _still_there(handle: IO[str], path: Path) -> bool:
    """Whether an open file is the one that lies at a path: another process may have removed it meanwhile."""
    try:
        return os.path.samestat(os.fstat(handle.fileno()), path.stat())
    except FileNotFoundError:
        return False
