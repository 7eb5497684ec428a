"""The environments in the cache folder: their list, packages and sizes, and their removal."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import ScenarioError
from harness.files.disk_errors import explained
from harness.runtimes.locked_environment import LOCK_NAME, environments_folder, read_pins
from harness.runtimes.registry import runtime
from harness.runtimes.row import Runtime


@dataclass(frozen=True)
class MadeEnvironment:
    """An environment on the disk; ``complete`` is False where the process that made it was killed, or is still at work."""

    name: str
    folder: Path
    bytes: int
    packages: dict[str, str]
    complete: bool


def made_environments() -> list[MadeEnvironment]:
    """All environments, by name."""
    folder = environments_folder()
    if not folder.is_dir():
        return []
    found = []
    for path in sorted(path for path in folder.iterdir() if path.is_dir()):
        lock = path / LOCK_NAME
        packages = {pin.name: pin.version for pin in read_pins(lock)}
        found.append(MadeEnvironment(path.name.rpartition("-")[0], path, _bytes(path), packages, lock.exists()))
    return found


def runtimes_in_versions() -> list[Runtime]:
    """The rows of versioned runtimes whose environment exists and still fits its row."""
    rows = []
    for one in made_environments():
        with contextlib.suppress(ScenarioError):
            row = runtime(one.name.replace("-", "/", 1))
            if one.complete and row.environment is not None and row.environment.folder == one.folder:
                rows.append(row)
    return rows


def clean(names: Sequence[str] = ()) -> tuple[list[MadeEnvironment], list[MadeEnvironment]]:
    """Remove environments, named as runtimes or as :func:`made_environments` lists them; all where ``names`` is empty.

    Incomplete ones are removed only with all of them. Returns the removed ones, and those that another process is making.
    Raises ScenarioError for an unknown name, before anything is removed; StoreError where one cannot be removed.
    """
    wanted = {name.replace("/", "-") for name in names}
    everything = made_environments()
    if missing := sorted(wanted - {one.name for one in everything if one.complete}):
        there = ", ".join(one.name for one in everything if one.complete) or "none at all"
        raise ScenarioError(f"there is no environment {missing[0]}", where="envs clean", hint=f"there is {there}")
    removed: list[MadeEnvironment] = []
    left: list[MadeEnvironment] = []
    for one in everything:
        if wanted and one.name not in wanted:
            continue
        with explained(one.folder), _locked_for_removal(one) as free:
            if free:
                # Renamed first, so that an environment removed in part is never used.
                going = one.folder.with_name(f"removing-{one.folder.name.removeprefix('removing-')}")
                if going != one.folder:
                    one.folder.rename(going)
                shutil.rmtree(going)
            (removed if free else left).append(one)
    return removed, left


@contextlib.contextmanager
def _locked_for_removal(one: MadeEnvironment) -> Iterator[bool]:
    """Whether no process is making it; none can begin to within the block."""
    # making-<folder>-<random> becomes <folder> when it is complete.
    name = one.folder.name if one.complete else one.folder.name.partition("-")[2].rpartition("-")[0]
    with one.folder.with_name(f"{name}.lock").open("a+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def _bytes(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            total += path.lstat().st_size
    return total
