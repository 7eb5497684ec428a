"""The files of a data source, in a folder of the user's."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from harness.data.sources import source
from harness.errors import DataError
from harness.store import explained


def get(name: str, folder: Path, seed: int) -> list[Path]:
    """Put the files of a data source into a new folder; returns them, sorted.

    Raises DataError where there is no such source, where it cannot make its files (the hint says how to come by them), or
    where the folder holds something already.
    """
    row = source(name)
    if row.write is None:
        raise DataError(f"the files of {name} cannot be made here", where=name, hint=row.obtain)
    with explained(folder):
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise DataError("is not an empty folder", where=str(folder), hint="name another one with --folder")
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            row.write(scratch, seed)
            scratch.chmod(0o755)
            if folder.exists():
                folder.rmdir()
            scratch.rename(folder)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return sorted(path for path in folder.rglob("*") if path.is_file())
