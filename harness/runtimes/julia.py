"""Julia on this machine: whether it serves, and where the package of ``native/julia`` and what Julia compiles of it lie."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from harness.errors import WorkerError
from harness.native import native_folder
from harness.runtimes.cache import cache_folder

#: The oldest Julia that ``native/julia`` runs on.
OLDEST = (1, 5)


def find() -> tuple[dict[str, str], str]:
    """The version of the Julia on the path, and why it cannot be used, or nothing; starts no Julia but the first time."""
    julia = shutil.which("julia")
    if julia is None:
        return {}, "julia is not on the path"
    said = _version(julia)
    found = re.search(r"\b(\d+)\.(\d+)\.\d+\S*", said)
    if found is None:
        return {}, f"julia does not say its version but '{said}'"
    versions = {"julia": found[0]}
    if (int(found[1]), int(found[2])) < OLDEST:
        wanted = ".".join(str(part) for part in OLDEST)
        return versions, f"Julia {found[0]} is too old; {wanted} or newer is needed"
    broken = _broken(julia)
    return versions, f"Julia {found[0]} {broken}" if broken else ""


@cache
def _version(julia: str) -> str:
    """The last line of ``julia --version``, which takes a few hundredths of a second."""
    try:
        done = subprocess.run(
            [julia, "--version"], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    lines = (done.stdout.strip() or done.stderr.strip()).splitlines()
    return lines[-1] if lines else f"nothing (it ended with {done.returncode})"


@cache
def _broken(julia: str) -> str:
    """What is wrong with a Julia that tells its version, or nothing; that it works is remembered on disk.

    Debian 11's Julia on a newer Debian finds an unwinder that it does not fit: it runs well until something throws.
    """
    binary = Path(julia).resolve()
    identity = f"{binary} {binary.stat().st_mtime_ns} {_version(julia)} {os.environ.get('LD_LIBRARY_PATH')}"
    works = cache_folder() / f"julia-works-{_short_hash(identity)}"
    if works.exists():
        return ""
    code = "f(x) = x > 0 ? error(string(x)) : x; try; f(1); catch; end"
    try:
        done = subprocess.run(
            [julia, "--startup-file=no", "-e", code],
            capture_output=True,
            text=True,
            timeout=60,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"does not run: {error}"
    if done.returncode < 0:
        return f"crashes at its first error ({signal.Signals(-done.returncode).name}): it does not fit this system"
    if done.returncode > 0:
        last = (done.stderr.strip().splitlines() or ["nothing said"])[-1]
        return f"does not run (it ended with {done.returncode}): {last}"
    with contextlib.suppress(OSError):
        works.parent.mkdir(parents=True, exist_ok=True)
        works.touch()
    return ""


def package(sources: str) -> tuple[Path, Path]:
    """A copy of ``native/julia``, whose hash is ``sources``, and the depot of what Julia compiled of it.

    Both are made first where they are not there yet. Raises WorkerError with the last lines of Julia where that fails.
    """
    original = native_folder() / "julia"
    julia = shutil.which("julia")
    if julia is None:
        raise WorkerError("julia is not on the path", hint="install Julia, or leave julia/... out of the targets")
    home = cache_folder() / f"julia-{_short_hash(f'{sources} {Path(julia).resolve()} {_version(julia)}')}"
    project, depot, compiled = home / "PlainONNX", home / "depot", home / "compiled"
    if compiled.exists():
        return project, depot
    if not project.is_dir():
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home, prefix="making-") as scratch:
            # A copy stays what it was compiled from while the original is being edited.
            copy = Path(scratch) / "PlainONNX"
            shutil.copytree(original, copy, ignore=shutil.ignore_patterns("test", "Manifest.toml"))
            try:
                copy.rename(project)
            except OSError:
                # Another process made the same copy meanwhile: theirs is as good.
                if not project.is_dir():
                    raise
    # Julia keeps the place of the sources with what it compiles, so this comes after the copy has its place.
    done = subprocess.run(
        command("using PlainONNX"),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env=os.environ | variables(project, depot),
    )
    if done.returncode != 0:
        raise WorkerError(
            f"the Julia package could not be loaded (julia ended with {done.returncode})",
            where=str(original),
            hint="the worker's log has its last lines",
            log_tail=(done.stdout + done.stderr).splitlines()[-12:],
        )
    compiled.touch()
    return project, depot


def command(code: str) -> list[str]:
    """The command that runs some code, whatever the user's start-up file says."""
    return [shutil.which("julia") or "julia", "--startup-file=no", "--history-file=no", "--color=no", "-e", code]


def variables(project: Path, depot: Path) -> dict[str, str]:
    """Where Julia finds a package and its compiled files; the user's own depots come after, and nothing is downloaded."""
    inherited = os.environ.get("JULIA_DEPOT_PATH", "")
    depots = [str(depot), *(part for part in inherited.split(os.pathsep) if part)]
    return {
        "JULIA_LOAD_PATH": os.pathsep.join([str(project), "@stdlib"]),
        # An empty last entry stands for Julia's own depots.
        "JULIA_DEPOT_PATH": os.pathsep.join([*depots, ""]),
        "JULIA_PKG_OFFLINE": "true",
    }


def _short_hash(identity: str) -> str:
    return hashlib.sha256(identity.encode()).hexdigest()[:16]
