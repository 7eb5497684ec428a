"""A Python environment for a runtime that the harness's own Python cannot host: locked, made once, never half made."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UnavailableError
from harness.files.cache import cache_folder
from harness.runtimes.resolution import Pin, check_size, pip, platform, resolve, run

#: The lock that lies in an environment: what was installed, whatever it was made from.
LOCK_NAME = "environment.lock"

#: Why an environment could not be made, by its folder: tried once in a process.
_NOT_MADE: dict[Path, str] = {}

#: Hears, in a few words, what is being done.
Tell = Callable[[str], None]


def environments_folder() -> Path:
    """Where all of them lie."""
    return cache_folder() / "environments"


@dataclass(frozen=True)
class LockedEnvironment:
    """An environment of a name, for the version of Python that runs the harness.

    Where ``locks/<name>.lock`` is shipped beside this file it holds those versions, everywhere; else those that pip chooses
    for the requirements ``asked``. What was installed is written to a lock in the environment itself. It lies in the cache
    folder, named by the hash of what it is made from and of that Python: another lock is another environment.
    """

    name: str
    asked: tuple[str, ...] = ()

    @property
    def shipped_lock(self) -> Path:
        """Where its lock lies if the harness brings one."""
        return Path(__file__).parent / "locks" / f"{self.name}.lock"

    @property
    def lock(self) -> Path:
        """The pinned requirements, dependencies included: those of the environment, or before it is made, those shipped."""
        return self.folder / LOCK_NAME if self.made else self.shipped_lock

    @property
    def pins(self) -> list[Pin]:
        """What the lock pins; nothing where there is none yet."""
        return read_pins(self.lock)

    @property
    def packages(self) -> dict[str, str]:
        """Versions by package, as the lock pins them."""
        return {pin.name: pin.version for pin in self.pins}

    @property
    def lock_hash(self) -> str:
        """The beginning of the SHA-256 of what the lock pins."""
        return "sha256:" + _hash("\n".join(sorted(pin.line for pin in self.pins)))

    @property
    def folder(self) -> Path:
        """Where it lies, or would."""
        pinned = " ".join(sorted(f"{pin.name}=={pin.version}" for pin in read_pins(self.shipped_lock)))
        identity = f"{pinned} {self.asked} {sys.version} {Path(sys.executable).resolve()}"
        return environments_folder() / f"{self.name}-{_hash(identity)}"

    @property
    def python(self) -> Path:
        """Its Python."""
        return self.folder / "bin" / "python"

    @property
    def made(self) -> bool:
        """Whether it is there, whole: it gets its place last."""
        return self.python.exists()

    @property
    def not_made(self) -> str:
        """Why it could not be made in this process, or nothing."""
        return _NOT_MADE.get(self.folder, "")

    def try_to_make(self, tell: Tell = lambda text: None) -> None:
        """As :meth:`make`, once in a process; what went wrong is told by :attr:`not_made`."""
        if self.not_made:
            return
        try:
            self.make(tell)
        except UnavailableError as error:
            _NOT_MADE[self.folder] = error.what

    def make(self, tell: Tell = lambda text: None) -> None:
        """Make it, unless it is there; waits for another process that does.

        Raises UnavailableError, in one line, where there is no such set of packages, none can be fetched, the disk has not
        room enough, or CUDA would be fetched that nobody allowed.
        """
        if self.made:
            return
        folder = self.folder
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with being_made(folder, lambda: tell("waiting for another process that makes it")):
                if self.made:
                    return
                # One whose Python is gone, and what was left by a process that was killed.
                for left in (folder, *folder.parent.glob(f"making-{folder.name}-*")):
                    shutil.rmtree(left, ignore_errors=True)
                with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"making-{folder.name}-") as scratch:
                    made = Path(scratch) / "environment"
                    self._fill(made, Path(scratch), tell)
                    # A virtual environment finds itself by where its Python lies, and may be moved.
                    made.rename(folder)
        except OSError as error:
            raise UnavailableError(f"the Python environment {folder} cannot be made: {error}") from error

    def _fill(self, made: Path, scratch: Path, tell: Tell) -> None:
        what = f"the Python environment {self.name}"
        pins = self._shipped_pins()
        if pins is None:
            tell("asking pip which versions fit")
            constraints = scratch / "constraints.txt"
            constraints.write_text("".join(f"{pin.name}=={pin.version}\n" for pin in read_pins(self.shipped_lock)))
            pins = resolve(self.asked, constraints, scratch, what)
        check_size(pins, scratch, what)
        tell(f"fetching and installing {len(pins)} packages")
        run([sys.executable, "-m", "venv", "--without-pip", str(made)], f"{what} made")
        # pip takes hashes for a whole file or not at all.
        for hashed in (True, False):
            some = [pin.line for pin in pins if bool(pin.sha256) is hashed]
            if some:
                listed = scratch / f"{'hashed' if hashed else 'named'}.txt"
                listed.write_text("\n".join(some) + "\n", encoding="utf-8")
                # Another Python's pip installs into it, which spares it one of its own.
                into = ["--python", str(made / "bin" / "python"), "install"]
                strict = ["--require-hashes"] if hashed else []
                pip([*into, "--quiet", "--no-deps", *strict, f"--requirement={listed}"], f"{what} made")
        lines = [f"# for {platform()}", *(pin.line for pin in pins)]
        (made / LOCK_NAME).write_text("\n".join(lines) + "\n", encoding="utf-8")

    def _shipped_pins(self) -> list[Pin] | None:
        """What the shipped lock holds, where that is all there is to install here; else pip is asked within its bounds."""
        pins = read_pins(self.shipped_lock)
        if not self.asked:
            return pins
        if pins and all(pin.sha256 for pin in pins) and f"# for {platform()}" in _read_lines(self.shipped_lock):
            return pins
        return None


@contextmanager
def being_made(folder: Path, waiting: Callable[[], None], *, every: float = 0.2) -> Iterator[None]:
    """Held while an environment is made or removed; a second process waits, and is told once that it does."""
    with folder.with_name(f"{folder.name}.lock").open("a+") as handle:
        told = False
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not told:
                    waiting()
                told = True
                time.sleep(every)
        yield


def _read_lines(lock: Path) -> list[str]:
    try:
        return lock.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []


def read_pins(lock: Path) -> list[Pin]:
    """What a lock pins; nothing where there is none."""
    lines = (line.partition("#")[0].strip() for line in _read_lines(lock))
    return [Pin.read(line) for line in lines if line]


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
