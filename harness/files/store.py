"""Artifacts by content hash, shared by any number of runs."""

from __future__ import annotations

import contextlib
import errno
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.files.artifact import RECORD, Artifact, Damage, read_artifact, seal
from harness.files.disk_errors import explained
from harness.files.leftovers import ABANDONED_TRAINING, is_abandoned, last_change, sweep
from harness.files.locks import waiting
from harness.files.owner import owned_name

#: What renaming a folder says where the other name is taken.
_TAKEN = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)
#: What the name of an interrupted training's folder ends with, once its process has let it go.
INTERRUPTED = ".interrupted"


class Store:
    """Artifacts below one folder: ``<kind>-<first 16 digits of the key>/``, each complete or absent.

    An artifact is made in a folder of its maker's own, ``.partial/<artifact>.<owner>/<artifact>/``, and renamed when it is
    whole. Of two that are made at once the first one stays, so that locks only save work: runs whose mounts share none end
    well, too. What a file holds is checked against its digest when an artifact is first used.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._checked: dict[Path, Artifact] = {}
        self._marker: Path | None = None

    def folder(self, kind: str, key: str) -> Path:
        """Where the artifact lies or will lie."""
        return self.root / _name(kind, key)

    def find(self, kind: str, key: str) -> Artifact | Damage | None:
        """The artifact, checked file by file the first time; what is wrong with it; or None where there is none."""
        folder = self.folder(kind, key)
        if folder in self._checked:
            return self._checked[folder]
        if not folder.exists():
            return None
        found = read_artifact(folder, kind, key)
        if isinstance(found, Artifact):
            self._checked[folder] = found
        return found

    @contextlib.contextmanager
    def making(self, kind: str, key: str, *, resume: bool = False) -> Iterator[tuple[Path, dict[str, Any]]]:
        """A folder to make an artifact in, and the record that becomes its ``step.json``.

        The folder appears under its right name when the block ends without an error; where another run has made the
        artifact meanwhile, that one stays, and a damaged one is repaired. With ``resume`` what an interrupted attempt left
        is handed over again, if nobody works in it; otherwise an error leaves nothing behind.
        """
        name = _name(kind, key)
        with explained(self.root):
            if self._marker is not None:
                # Other hosts tell by its age whether the run goes on.
                self._marker.touch()
            own = self.root / ".partial" / owned_name(name)
            own.parent.mkdir(parents=True, exist_ok=True)
            if not (resume and self._taken_over(name, own)):
                own.mkdir()
            folder = own / name
            folder.mkdir(exist_ok=True)
            record: dict[str, Any] = {"kind": kind, "key": key}
            try:
                yield folder, record
                made = seal(folder, record)
                self._publish(made, kind, key)
                shutil.rmtree(own, ignore_errors=True)
            except BaseException:
                if resume:
                    # Without an owner in its name: the next attempt may go on from it, be it in this process.
                    with contextlib.suppress(OSError):
                        own.rename(own.with_name(_released(name)))
                else:
                    shutil.rmtree(own, ignore_errors=True)
                raise

    def lock(self, kind: str, key: str) -> contextlib.AbstractContextManager[None]:
        """Held while an artifact is made, so that a second run waits for it instead of making it too."""
        return waiting(self.root / ".locks" / _name(kind, key))

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Told to others while a run uses the store: until it ends, what it needs is not cleaned away."""
        marker = self.root / ".running" / owned_name("run")
        with explained(self.root):
            marker.parent.mkdir(parents=True, exist_ok=True)
            marker.touch()
        self._marker = marker
        try:
            yield
        finally:
            self._marker = None
            marker.unlink(missing_ok=True)

    def sweep(self) -> list[Path]:
        """Remove what killed runs left, but for trainings that can go on; returns what was removed."""
        partial = [path for path in (self.root / ".partial").glob("*") if not is_resumable(path)]
        return sweep([*partial, *(self.root / ".running").glob("*")])

    def _taken_over(self, name: str, own: Path) -> bool:
        """Make the latest of the folders that interrupted attempts left one's own; False where there is none."""
        partial = self.root / ".partial"
        left = partial.glob(f"{name}.*")
        free = [path for path in left if path.name == _released(name) or is_abandoned(path)]
        for path in sorted(free, key=last_change, reverse=True):
            # Renaming succeeds for one process only.
            with contextlib.suppress(FileNotFoundError):
                path.rename(own)
                for cut_off in (own / name).rglob(".*"):
                    cut_off.unlink(missing_ok=True)
                return True
        return False

    def _publish(self, made: Artifact, kind: str, key: str) -> None:
        final = self.folder(kind, key)
        try:
            made.folder.rename(final)
        except OSError as error:
            if error.errno not in _TAKEN:
                raise
            there = read_artifact(final, kind, key)
            if isinstance(there, Artifact):
                self._checked[final] = there
                return
            _repair(final, made.folder)
        self._checked[final] = Artifact(final, made.record)


def is_resumable(partial: Path) -> bool:
    """Whether a folder below ``.partial`` is an interrupted training that a run may still go on from."""
    return partial.name.startswith("train-") and time.time() - last_change(partial) < ABANDONED_TRAINING


def _repair(damaged: Path, whole: Path) -> None:
    """Put whole files over those of a damaged artifact, its record last.

    One by one, so that a run that reads the artifact meanwhile finds each of its files at every moment.
    """
    if not damaged.is_dir():
        damaged.unlink()
        damaged.mkdir()
    names = [path.relative_to(whole) for path in sorted(whole.rglob("*")) if path.is_file() and path != whole / RECORD]
    for name in [*names, Path(RECORD)]:
        target = damaged / name
        if target.is_dir():
            shutil.rmtree(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        (whole / name).replace(target)


def _name(kind: str, key: str) -> str:
    return f"{kind}-{key[:16]}"


def _released(name: str) -> str:
    return f"{name}{INTERRUPTED}"
