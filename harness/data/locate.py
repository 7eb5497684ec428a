"""Where a file that a scenario names lies on this machine."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from harness.errors import DataError

#: Names the folder of relative paths.
ENVIRONMENT_VARIABLE = "HARNESS_DATA"


def find(name: str, base: str | None) -> Path:
    """The file of a name: absolute, or below ``base``, or below the folder of HARNESS_DATA, or the current folder.

    Raises DataError, with the place that was looked at, where it does not exist.
    """
    path = Path(name).expanduser()
    folder = base or os.environ.get(ENVIRONMENT_VARIABLE) or "."
    found = path if path.is_absolute() else Path(folder).expanduser() / path
    if found.is_file():
        return found
    hint = None
    if not path.is_absolute() and base is None:
        hint = (
            f"set the environment variable {ENVIRONMENT_VARIABLE}, or the option base, to the folder that holds {name}"
        )
    raise DataError("the file does not exist", where=str(found), hint=hint)


def sha256(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
