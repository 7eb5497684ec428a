"""Artifacts by content hash."""

from __future__ import annotations

import contextlib
import fcntl
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.files.atomic import to_json, write_atomically
from harness.files.disk_errors import explained


class Store:
    """Artifacts below one folder: ``<kind>-<first 16 digits of the key>/``, each complete or absent.

    ``step.json`` is written last inside a folder of another name, which is then renamed: a folder of the right name is
    whole. It records the sizes of all files, so that one cut short later is noticed and made anew.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, kind: str, key: str) -> Path:
        """Where the artifact lies or will lie."""
        return self.root / f"{kind}-{key[:16]}"

    def has(self, kind: str, key: str) -> bool:
        """Whether the artifact is there, with every file at its recorded size."""
        folder = self.folder(kind, key)
        try:
            record = json.loads((folder / "step.json").read_text())
            return record["key"] == key and all(
                (folder / name).stat().st_size == size for name, size in record["files"].items()
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return False

    def record(self, kind: str, key: str) -> dict[str, Any]:
        """What ``step.json`` says of an artifact."""
        record: dict[str, Any] = json.loads((self.folder(kind, key) / "step.json").read_text())
        return record

    @contextlib.contextmanager
    def making(self, kind: str, key: str, *, resume: bool = False) -> Iterator[tuple[Path, dict[str, Any]]]:
        """A folder to make an artifact in, and the record that becomes its ``step.json``.

        The folder appears under its right name when the block ends without an error. With ``resume`` what an
        interrupted attempt left is kept and handed over again; otherwise it is deleted.
        """
        final = self.folder(kind, key)
        partial = self.root / ".partial" / final.name
        with explained(self.root):
            if partial.exists() and not resume:
                shutil.rmtree(partial)
            partial.mkdir(parents=True, exist_ok=True)
            record: dict[str, Any] = {"kind": kind, "key": key}
            try:
                yield partial, record
                files = [path for path in sorted(partial.rglob("*")) if path.is_file() and path.name != "step.json"]
                record["files"] = {path.relative_to(partial).as_posix(): path.stat().st_size for path in files}
                write_atomically(partial / "step.json", to_json(record))
                if final.exists():
                    shutil.rmtree(final)
                partial.rename(final)
            except BaseException:
                if not resume:
                    shutil.rmtree(partial, ignore_errors=True)
                raise

    @contextlib.contextmanager
    def lock(self, kind: str, key: str) -> Iterator[None]:
        """Held while an artifact is made, so that two runs never make the same one; the second waits."""
        path = self.root / ".locks" / f"{kind}-{key[:16]}"
        with explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = path.open("w")
        with handle:
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    time.sleep(0.2)
            yield
