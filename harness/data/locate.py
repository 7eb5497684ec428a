"""Where a file that a scenario names lies on this machine."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from harness.errors import DataError

#: Names the folder of relative paths.
ENVIRONMENT_VARIABLE = "HARNESS_DATA"


def find(name: str, base: str | None) -> Path:
    """The file of a name: absolute, or below ``base``; without a base, in the current folder or below HARNESS_DATA.

    Raises DataError, with the place that was looked at last, where it does not exist.
    """
    return _find(name, base, Path.is_file, "file", "the option base")


def find_folder(name: str) -> Path:
    """The folder of a name: absolute, in the current folder, or below HARNESS_DATA; raises DataError as :func:`find` does."""
    return _find(name, None, Path.is_dir, "folder", "the option root")


def _find(name: str, base: str | None, there: Callable[[Path], bool], kind: str, option: str) -> Path:
    path = Path(name).expanduser()
    if path.is_absolute():
        folders = [Path("/")]
    elif base is not None:
        folders = [Path(base).expanduser()]
    else:
        # What lies here is meant before what lies in the folder of all data.
        named = os.environ.get(ENVIRONMENT_VARIABLE)
        folders = [Path(), *([Path(named).expanduser()] if named else [])]
    for folder in folders:
        if there(folder / path):
            return folder / path
    hint = None
    if not path.is_absolute() and base is None:
        hint = (
            f"set the environment variable {ENVIRONMENT_VARIABLE}, or {option}, to the folder that holds {name}"
            if kind == "file"
            else f"set {option}, or the environment variable {ENVIRONMENT_VARIABLE} to the folder that holds {name}"
        )
    raise DataError(f"the {kind} does not exist", where=str(folders[-1] / path), hint=hint)
