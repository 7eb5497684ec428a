"""The Julia package of ``native/julia``, compiled for workers, and the Julia packages that a runtime needs beside it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from harness.errors import HarnessError, WorkerError
from harness.files.cache import cache_folder
from harness.files.native import native_folder
from harness.files.source_hash import source_hash
from harness.runtimes.julia_installation import find, packages, short_hash, version_line, wanted_packages
from harness.runtimes.tooling import Package

#: The Julia package of this project.
OWN_PACKAGE = "PlainONNX"

_LIST_PACKAGES = Path(__file__).with_name("julia_packages.jl")


def package(extended: tuple[str, ...] = ()) -> tuple[Path, Path]:
    """A copy of ``native/julia``, named by its hash, and the depot of what Julia compiled of it.

    ``extended``: packages that it is compiled beside, for its extensions. Both are made first where they are not there
    yet. Raises WorkerError with the last lines of Julia where that fails.
    """
    original = native_folder() / "julia"
    julia = shutil.which("julia")
    if julia is None:
        raise WorkerError("julia is not on the path", hint="install Julia, or leave julia/... out of the targets")
    home = (
        cache_folder() / f"julia-{short_hash(f'{source_hash(original)} {Path(julia).resolve()} {version_line(julia)}')}"
    )
    project, depot = home / "PlainONNX", home / "depot"
    beside = f"{extended} {packages().manifest} {packages().versions}" if extended else ""
    compiled = home / (f"compiled-{short_hash(beside)}" if extended else "compiled")
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
        command(loading(extended)),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env=os.environ | variables(project, depot, extended),
    )
    if done.returncode != 0:
        lines = (done.stdout + done.stderr).splitlines()
        # Julia says why first, and then where at length.
        said = next((line for line in lines if line.startswith("ERROR: ")), "").removeprefix("ERROR: ").rstrip(":")
        what = "the Julia package PlainONNX" + (f" beside {' and '.join(extended)}" if extended else "")
        raise WorkerError(
            f"{what} could not be loaded (julia ended with {done.returncode})" + (f": {said}" if said else ""),
            where=str(original),
            hint="the worker's log has its last lines",
            log_tail=lines[-12:],
        )
    compiled.touch()
    return project, depot


def command(code: str) -> list[str]:
    """The command that runs some code, whatever the user's start-up file says."""
    return [shutil.which("julia") or "julia", "--startup-file=no", "--history-file=no", "--color=no", "-e", code]


def loading(extended: tuple[str, ...]) -> str:
    """The line that loads PlainONNX, after the packages that it is extended for."""
    return f"import {', '.join((*extended, 'PlainONNX'))}"


def variables(project: Path, depot: Path, extended: tuple[str, ...] = ()) -> dict[str, str]:
    """Where Julia finds a package and its compiled files; the user's own depots come after, and nothing is downloaded.

    Only an engine that is ``extended`` by packages sees the environment of the user. The package's own folder stands on the
    load path in any case: Julia loads extensions from there.
    """
    inherited = os.environ.get("JULIA_DEPOT_PATH", "")
    depots = [str(depot), *(part for part in inherited.split(os.pathsep) if part)]
    return {
        "JULIA_LOAD_PATH": os.pathsep.join([str(project), *(["@", "@v#.#"] if extended else []), "@stdlib"]),
        # An empty last entry stands for Julia's own depots.
        "JULIA_DEPOT_PATH": os.pathsep.join([*depots, ""]),
        "JULIA_PKG_OFFLINE": "true",
    }


def julia_packages(names: Sequence[str]) -> list[Package]:
    """Julia packages and all they depend on in the environment that Julia starts in, PlainONNX beside it, with the bytes of
    their folders and artifacts.

    Those that come with Julia are left out, and so are packages that only an extension asks for. Empty where Julia cannot be
    asked.
    """
    rows = _ask_julia()
    found: dict[str, Package] = {}
    waiting = [name for name in names if name in rows]
    while waiting:
        name = waiting.pop(0)
        if name in found or name not in rows:
            continue
        version, size, below = rows[name]
        found[name] = Package(name, version, "julia", size, name in names)
        waiting += below
    return list(found.values())


def _ask_julia() -> dict[str, tuple[str, int, tuple[str, ...]]]:
    """Version, bytes and dependencies by package, of all that any runtime in Julia asks for: one start for all of them."""
    wanted = wanted_packages()
    executable = shutil.which("julia")
    if executable is None or find()[1]:
        return {}
    try:
        chosen = variables(*package(), wanted)
    except (OSError, HarnessError):
        return {}
    return _walk_julia(executable, (OWN_PACKAGE, *wanted), tuple(sorted(chosen.items())))


@cache
def _walk_julia(
    executable: str, names: tuple[str, ...], variables: tuple[tuple[str, str], ...]
) -> dict[str, tuple[str, int, tuple[str, ...]]]:
    try:
        done = subprocess.run(
            [executable, "--startup-file=no", "--history-file=no", str(_LIST_PACKAGES), *names],
            capture_output=True,
            text=True,
            timeout=120,
            stdin=subprocess.DEVNULL,
            env=os.environ | dict(variables),
        )
        if done.returncode:
            return {}
        lines = (line.split("\t") for line in done.stdout.splitlines())
        return {
            name: (version, int(size), tuple(below.split(",")) if below else ()) for name, version, size, below in lines
        }
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return {}
