"""Artifacts by content hash, and files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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


def content_hash(value: Any) -> str:
    """SHA-256 of a JSON value in canonical form (sorted keys, no spaces)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a file whole or not at all: beside it first, then renamed over it."""
    data = content.encode() if isinstance(content, str) else content
    scratch = path.with_name(f".{path.name}.{os.getpid()}.part")
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with scratch.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            scratch.replace(path)
        finally:
            scratch.unlink(missing_ok=True)


def to_json(value: Any) -> str:
    """Readable JSON with sorted keys and a final newline: equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


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
