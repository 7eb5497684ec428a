"""Errors of the file system that a user can mend, told in one line."""

from __future__ import annotations

import contextlib
import errno
import re
from collections.abc import Iterator
from pathlib import Path

from harness.errors import StoreError

#: Errors of the file system that a user can mend, and how.
_REMEDIES = {
    errno.ENOSPC: ("the disk is full", "free some space, then run the same command again: it goes on from here"),
    errno.EDQUOT: (
        "the disk quota is used up",
        "free some space, then run the same command again: it goes on from here",
    ),
    errno.EACCES: ("may not be written", "name a folder of your own with --output and --store"),
    errno.EPERM: ("may not be written", "name a folder of your own with --output and --store"),
    errno.EROFS: ("lies on a read-only file system", "name another folder with --output and --store"),
    errno.ENOTDIR: ("cannot be made: part of its path is a file", "name another folder with --output and --store"),
    errno.EEXIST: (
        "cannot be made: a file of that name is in the way",
        "name another folder with --output and --store",
    ),
    errno.EFBIG: ("a file grew past the limit of this file system or shell", "raise the limit (ulimit -f), run again"),
}


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn the file-system errors that a user can mend into a StoreError that says how."""
    try:
        yield
    except Exception as error:
        number = _error_number(error)
        if number not in _REMEDIES:
            raise
        what, hint = _REMEDIES[number]
        raise StoreError(what, where=str(getattr(error, "filename", None) or path), hint=hint) from error


def _error_number(error: Exception) -> int | None:
    """The system's number of an error; libraries written in Rust give it in the text alone."""
    if isinstance(error, OSError):
        return error.errno
    found = re.search(r"\(os error (\d+)\)", str(error))
    return int(found.group(1)) if found else None
