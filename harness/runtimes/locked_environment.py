"""A Python environment for a runtime that the harness's own Python cannot host: locked, made once, never half made."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from harness.errors import UnavailableError
from harness.runtimes.cache import cache_folder

#: Seconds that making one may take: some 40 MB are fetched where they are not kept already.
LIMIT = 300.0

#: Why an environment could not be made, by its folder: tried once in a process.
_NOT_MADE: dict[Path, str] = {}


@dataclass(frozen=True)
class LockedEnvironment:
    """The environment of ``<name>.lock`` beside this file, for the version of Python that runs the harness.

    It lies in the cache folder, named by the hash of the lock and of that Python: another lock is another environment.
    """

    name: str

    @property
    def lock(self) -> Path:
        """The pinned requirements, dependencies included."""
        return Path(__file__).with_name(f"{self.name}.lock")

    @cached_property
    def packages(self) -> dict[str, str]:
        """Versions by package, as the lock pins them."""
        lines = (line.partition("#")[0].strip() for line in self.lock.read_text(encoding="utf-8").splitlines())
        return {name: version for name, _, version in (line.partition("==") for line in lines if line)}

    @property
    def folder(self) -> Path:
        """Where it lies, or would."""
        pinned = " ".join(f"{name}=={version}" for name, version in sorted(self.packages.items()))
        identity = f"{pinned} {sys.version} {Path(sys.executable).resolve()}"
        return cache_folder() / f"{self.name}-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"

    @property
    def python(self) -> Path:
        """Its Python."""
        return self.folder / "bin" / "python"

    @property
    def made(self) -> bool:
        """Whether it is there."""
        return self.python.exists()

    @property
    def not_made(self) -> str:
        """Why it could not be made in this process, or nothing."""
        return _NOT_MADE.get(self.folder, "")

    def try_to_make(self) -> None:
        """As :meth:`make`, once in a process; what went wrong is told by :attr:`not_made`."""
        if self.not_made:
            return
        try:
            self.make()
        except UnavailableError as error:
            _NOT_MADE[self.folder] = error.what

    def make(self) -> None:
        """Make it, unless it is there. Raises UnavailableError with pip's own words where that cannot be done."""
        if self.made:
            return
        folder = self.folder
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"making-{self.name}-") as scratch:
                made = Path(scratch) / "environment"
                self._run([sys.executable, "-m", "venv", "--without-pip", str(made)])
                # Another Python's pip installs into it, which spares it one of its own.
                asked = ["--no-deps", "--only-binary=:all:", "--requirement", str(self.lock)]
                patience = ["--no-input", "--disable-pip-version-check", "--quiet", "--timeout=15", "--retries=1"]
                python = str(made / "bin" / "python")
                self._run([sys.executable, "-m", "pip", "--python", python, "install", *patience, *asked])
                try:
                    # A virtual environment finds itself by where its Python lies, and may be moved.
                    made.rename(folder)
                except OSError:
                    # Another process made the same one meanwhile: theirs is as good.
                    if not self.made:
                        raise
        except OSError as error:
            raise UnavailableError(f"the Python environment {folder} cannot be made: {error}") from error

    def _run(self, command: list[str]) -> None:
        what = f"the Python environment of {self.lock.name} cannot be made"
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            raise UnavailableError(f"{what}: {command[2]} took over {LIMIT:.0f} s") from None
        if done.returncode != 0:
            lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
            said = next(
                (line for line in reversed(lines) if line.startswith("ERROR")), (lines or ["no reason given"])[-1]
            )
            raise UnavailableError(f"{what}: {said}")
