"""The files of a data source, in a folder of the user's."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from harness.data.dataset import Wanted
from harness.data.sources import source
from harness.data.transfer import Progress, Silent
from harness.errors import DataError, StoreError
from harness.files.disk_errors import explained


def get(
    name: str, folder: Path, seed: int, wanted: Wanted | None = None, progress: Progress | None = None
) -> list[Path]:
    """Put the files of a data source into a folder; returns them, sorted.

    A source that makes its files wants a new or empty folder; one that fetches them goes on in the folder it began.
    Raises DataError where there is no such source, where it has no files to give (the hint says how to come by them), or
    where it cannot use what is wanted of it; StoreError where the folder cannot be written.
    """
    row = source(name)
    wanted = wanted or Wanted()
    if row.download is not None:
        with _explained(folder):
            return row.download(folder, wanted, progress or Silent())
    if row.write is None:
        raise DataError(f"the files of {name} cannot be made here", where=name, hint=row.obtain)
    if wanted != Wanted():
        raise DataError("makes its files itself: there are no regions, levels or addresses to choose", where=name)
    with _explained(folder):
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


@contextlib.contextmanager
def _explained(folder: Path) -> Iterator[None]:
    """As the store explains errors of the file system, with the option that names the folder here."""
    try:
        with explained(folder):
            yield
    except StoreError as error:
        if error.hint is None or "--output" not in error.hint:
            raise
        raise StoreError(error.what, where=error.where, hint="name another folder with --folder") from error
