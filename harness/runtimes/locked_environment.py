"""Python environments for runtimes that the harness's own Python cannot host: locked versions, made once, never in part."""

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

#: The file in an environment that lists what was installed.
LOCK_NAME = "environment.lock"

#: Why an environment could not be made, by its folder. Each is tried once per process.
_NOT_MADE: dict[Path, str] = {}

#: Receives a short message about what is being done.
Tell = Callable[[str], None]


def environments_folder() -> Path:
    """The folder of all environments."""
    return cache_folder() / "environments"


@dataclass(frozen=True)
class LockedEnvironment:
    """A named environment for the version of Python that runs the harness.

    If ``locks/<name>.lock`` is shipped with this file, it gets the versions of that lock; otherwise those that pip chooses
    for the requirements ``asked``. What was installed is written to a lock in the environment itself. Its folder in the
    cache is named by a hash of the requirements, the shipped lock and the Python: another lock is another environment.
    """

    name: str
    asked: tuple[str, ...] = ()

    @property
    def shipped_lock(self) -> Path:
        """The path of the lock that the harness ships, if it ships one."""
        return Path(__file__).parent / "locks" / f"{self.name}.lock"

    @property
    def lock(self) -> Path:
        """The lock file: that of the environment, or before it is made, the shipped one."""
        return self.folder / LOCK_NAME if self.made else self.shipped_lock

    @property
    def pins(self) -> list[Pin]:
        """The versions in the lock; empty where there is none yet."""
        return read_pins(self.lock)

    @property
    def packages(self) -> dict[str, str]:
        """Versions by package, from the lock."""
        return {pin.name: pin.version for pin in self.pins}

    @property
    def lock_hash(self) -> str:
        """``sha256:`` and the first 16 digits of the SHA-256 of the lock's versions."""
        return "sha256:" + _hash("\n".join(sorted(pin.line for pin in self.pins)))

    @property
    def folder(self) -> Path:
        """Its folder, whether it exists or not."""
        pinned = " ".join(sorted(f"{pin.name}=={pin.version}" for pin in read_pins(self.shipped_lock)))
        identity = f"{pinned} {self.asked} {sys.version} {Path(sys.executable).resolve()}"
        return environments_folder() / f"{self.name}-{_hash(identity)}"

    @property
    def python(self) -> Path:
        """The path of its Python."""
        return self.folder / "bin" / "python"

    @property
    def made(self) -> bool:
        """Whether it exists. It is moved to its folder when it is complete."""
        return self.python.exists()

    @property
    def not_made(self) -> str:
        """Why it could not be made in this process; empty where it was not tried or could."""
        return _NOT_MADE.get(self.folder, "")

    def try_to_make(self, tell: Tell = lambda text: None) -> None:
        """As :meth:`make`, once per process; the error is kept in :attr:`not_made`."""
        if self.not_made:
            return
        try:
            self.make(tell)
        except UnavailableError as error:
            _NOT_MADE[self.folder] = error.what

    def make(self, tell: Tell = lambda text: None) -> None:
        """Make it if it does not exist; waits for another process that is making it.

        Raises UnavailableError, in one line, where no set of packages fits, packages cannot be fetched, the disk has too
        little room, or CUDA would be fetched without permission.
        """
        if self.made:
            return
        folder = self.folder
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with being_made(folder, lambda: tell("waiting for another process that makes it")):
                if self.made:
                    return
                # An environment without its Python, and what a killed process left.
                for left in (folder, *folder.parent.glob(f"making-{folder.name}-*")):
                    shutil.rmtree(left, ignore_errors=True)
                with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"making-{folder.name}-") as scratch:
                    made = Path(scratch) / "environment"
                    self._fill(made, Path(scratch), tell)
                    # A virtual environment is found through its Python, so it may be moved.
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
        # pip takes hashes for all lines of a file or for none.
        for hashed in (True, False):
            some = [pin.line for pin in pins if bool(pin.sha256) is hashed]
            if some:
                listed = scratch / f"{'hashed' if hashed else 'named'}.txt"
                listed.write_text("\n".join(some) + "\n", encoding="utf-8")
                # The pip of the harness's Python installs into it, so it needs none of its own.
                into = ["--python", str(made / "bin" / "python"), "install"]
                strict = ["--require-hashes"] if hashed else []
                pip([*into, "--quiet", "--no-deps", *strict, f"--requirement={listed}"], f"{what} made")
        lines = [f"# for {platform()}", *(pin.line for pin in pins)]
        (made / LOCK_NAME).write_text("\n".join(lines) + "\n", encoding="utf-8")

    def _shipped_pins(self) -> list[Pin] | None:
        """The versions of the shipped lock where it is for this platform; None where pip has to resolve the requirements."""
        pins = read_pins(self.shipped_lock)
        if not self.asked:
            return pins
        if pins and all(pin.sha256 for pin in pins) and f"# for {platform()}" in _read_lines(self.shipped_lock):
            return pins
        return None


@contextmanager
def being_made(folder: Path, waiting: Callable[[], None], *, every: float = 0.2) -> Iterator[None]:
    """A lock for making or removing an environment; a second process waits for it and calls ``waiting`` once."""
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
    """The versions in a lock file; empty where there is no file."""
    lines = (line.partition("#")[0].strip() for line in _read_lines(lock))
    return [Pin.read(line) for line in lines if line]


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
