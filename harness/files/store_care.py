"""What lies in a store, whether it is whole, and the removal of what nobody needs."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.errors import StoreError
from harness.files.artifact import Damage, foreign_files, read_artifact
from harness.files.disk_errors import explained
from harness.files.leftovers import is_abandoned
from harness.files.locks import is_locked
from harness.files.owner import owned_name
from harness.files.store import INTERRUPTED

_ARTIFACT = re.compile(r"(?P<kind>[a-z]+)-(?P<key>[0-9a-f]{16})")
#: Folders of the store's own.
_PARTIAL, _LOCKS, _RUNNING = ".partial", ".locks", ".running"
#: Files of a repository that may lie beside artifacts.
_BESIDE = ("README.md", ".gitignore", ".gitkeep")

State = Literal["whole", "damaged", "foreign", "partial"]


@dataclass(frozen=True)
class Entry:
    """One thing in a store: its path within it, its bytes on the disk, and in words what is to be known of it.

    ``foreign``: no artifact, or a file in one that does not belong to it. ``partial``: in work, or left by a killed run.
    """

    name: str
    state: State
    bytes: int
    what: str = ""


@dataclass(frozen=True)
class Cleaned:
    """What was removed from a store, and what was left with the reason."""

    removed: tuple[Entry, ...]
    left: tuple[Entry, ...]

    @property
    def freed(self) -> int:
        """Bytes of what was removed."""
        return sum(entry.bytes for entry in self.removed)


def check_store(root: Path) -> list[Entry]:
    """Everything that lies in a store, by name; every file of every artifact is read. Raises StoreError without a store."""
    if not root.is_dir():
        raise StoreError("there is no store here", where=str(root), hint="name its folder with --store")
    found: list[Entry] = []
    with explained(root):
        for path in sorted(root.iterdir()):
            if path.name in (_LOCKS, _RUNNING, *_BESIDE):
                continue
            found += _partials(path) if path.name == _PARTIAL else _entries(path)
    return found


def clean_store(root: Path, needed: Collection[str] | None = None) -> Cleaned:
    """Remove what killed runs left, damaged artifacts, free locks and, with ``needed``, the artifacts of all other keys.

    ``needed``: keys of artifacts. While a run uses the store, only leftovers are
    removed. Raises StoreError without a store, and where something cannot be removed.
    """
    removed: list[Entry] = []
    left: list[Entry] = []
    unneeded = _unneeded(needed)
    busy = any(not is_abandoned(path) for path in (root / _RUNNING).glob("*"))
    for entry in check_store(root):
        path = root / entry.name
        if entry.state == "partial":
            free = path.name.endswith(INTERRUPTED) or is_abandoned(path)
            (removed if free and _remove(root, path) else left).append(entry)
        elif entry.state == "damaged" or (entry.state == "whole" and unneeded(entry)):
            if busy:
                left.append(Entry(entry.name, entry.state, entry.bytes, "a run uses the store now"))
            elif _remove(root, path):
                what = entry.what or "no results folder refers to it"
                removed.append(Entry(entry.name, entry.state, entry.bytes, what))
    if not busy:
        for lock in (root / _LOCKS).glob("*"):
            with contextlib.suppress(FileNotFoundError):
                if not is_locked(lock):
                    lock.unlink()
    for folder in (_PARTIAL, _LOCKS, _RUNNING):
        with contextlib.suppress(OSError):
            # Only where nothing is left in it.
            (root / folder).rmdir()
    return Cleaned(tuple(removed), tuple(left))


def _unneeded(needed: Collection[str] | None) -> Callable[[Entry], bool]:
    """Whether the key of an artifact, which its name ends with the beginning of, is none of those needed."""
    if needed is None:
        return lambda entry: False
    begin = {key[:16] for key in needed}
    return lambda entry: entry.name.rpartition("-")[2] not in begin


def _entries(path: Path) -> list[Entry]:
    named = _ARTIFACT.fullmatch(path.name)
    if named is None:
        return [Entry(path.name, "foreign", _bytes(path), "is no artifact")]
    found = read_artifact(path, named["kind"], named["key"])
    if isinstance(found, Damage):
        return [Entry(path.name, "damaged", _bytes(path), f"{found.file} {found.what}")]
    foreign = [
        Entry(f"{path.name}/{name}", "foreign", _bytes(path / name), "is no part of the artifact")
        for name in foreign_files(found)
    ]
    return [Entry(path.name, "whole", _bytes(path)), *foreign]


def _partials(folder: Path) -> list[Entry]:
    found = []
    for path in sorted(folder.iterdir()):
        what = "left by a killed run" if is_abandoned(path) else "in work"
        if path.name.endswith(INTERRUPTED):
            what = "an interrupted training, which a run goes on from"
        found.append(Entry(f"{folder.name}/{path.name}", "partial", _bytes(path), what))
    return found


def _remove(root: Path, path: Path) -> bool:
    """Remove a file or folder; renamed first, so that none half removed bears its name. False where it is gone already."""
    with explained(path):
        try:
            going = root / _PARTIAL / owned_name("removing")
            going.parent.mkdir(exist_ok=True)
            path.rename(going)
        except FileNotFoundError:
            return False
        if going.is_dir() and not going.is_symlink():
            shutil.rmtree(going)
        else:
            going.unlink()
    return True


def _bytes(path: Path) -> int:
    total = 0
    for one in (path, *(path.rglob("*") if path.is_dir() else ())):
        with contextlib.suppress(OSError):
            total += one.lstat().st_size if one.is_file() or one.is_symlink() else 0
    return total
