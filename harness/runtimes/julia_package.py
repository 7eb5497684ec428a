"""The Julia package of ``native/julia``, compiled for workers, and the other Julia packages that a runtime needs."""

from __future__ import annotations

import os
import re
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
    """The folder of a copy of ``native/julia``, named by its hash, and the depot with its compiled files.

    ``extended``: packages that are loaded with it, so that its extensions for them are compiled. Both folders are made if
    they do not exist. Raises WorkerError with the last lines of Julia where that fails.
    """
    original = native_folder() / "julia"
    project, depot = _copied()
    beside = f"{extended} {packages().manifest} {packages().versions}" if extended else ""
    compiled = project.parent / (f"compiled-{short_hash(beside)}" if extended else "compiled")
    if compiled.exists():
        return project, depot

    # Compiled files record the path of their sources, so the copy has to be in its final folder first.
    done = subprocess.run(
        command(loading(extended)),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env=os.environ | variables(project, depot, extended),
    )
    if done.returncode != 0:
        lines = (done.stdout + done.stderr).splitlines()
        # Julia prints the reason first, then a long stack trace.
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


def _copied() -> tuple[Path, Path]:
    """The folder of the copy of ``native/julia``, made if it does not exist, and that of its compiled files, not made here."""
    original = native_folder() / "julia"
    julia = shutil.which("julia")
    if julia is None:
        raise WorkerError("julia is not on the path", hint="install Julia, or leave julia/... out of the targets")
    home = (
        cache_folder() / f"julia-{short_hash(f'{source_hash(original)} {Path(julia).resolve()} {version_line(julia)}')}"
    )
    project, depot = home / "PlainONNX", home / "depot"
    if not project.is_dir():
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home, prefix="making-") as scratch:
            # Compiled files belong to a copy, so that editing the original cannot change them.
            copy = Path(scratch) / "PlainONNX"
            shutil.copytree(original, copy, ignore=shutil.ignore_patterns("test", "Manifest.toml"))
            try:
                copy.rename(project)
            except OSError:
                # Another process made the same copy meanwhile; use that one.
                if not project.is_dir():
                    raise
    return project, depot


def command(code: str, optimisation: int | None = None) -> list[str]:
    """The command that runs Julia code without the user's start-up file; with Julia's own level of optimisation for None."""
    level = [] if optimisation is None else [f"-O{optimisation}"]
    return [
        shutil.which("julia") or "julia",
        "--startup-file=no",
        "--history-file=no",
        "--color=no",
        *level,
        "-e",
        code,
    ]


def loading(extended: tuple[str, ...]) -> str:
    """The code that loads PlainONNX, after the packages that it has extensions for."""
    return f"import {', '.join((*extended, 'PlainONNX'))}"


def variables(project: Path, depot: Path, extended: tuple[str, ...] = ()) -> dict[str, str]:
    """Environment variables by which Julia finds a package and its compiled files; nothing is downloaded.

    The user's own depots come after ``depot``. Only an engine that needs packages (``extended``) sees the user's
    environment. The package's own folder is always on the load path: Julia loads extensions from there.
    """
    inherited = os.environ.get("JULIA_DEPOT_PATH", "")
    depots = [str(depot), *(part for part in inherited.split(os.pathsep) if part)]
    return {
        "JULIA_LOAD_PATH": os.pathsep.join([str(project), *(["@", "@v#.#"] if extended else []), "@stdlib"]),
        # An empty last entry means Julia's own depots.
        "JULIA_DEPOT_PATH": os.pathsep.join([*depots, ""]),
        "JULIA_PKG_OFFLINE": "true",
    }


def julia_packages(names: Sequence[str]) -> list[Package]:
    """Julia packages and all they depend on, with the bytes of their folders and artifacts.

    They are looked up in the environment that Julia starts in, with PlainONNX added. Packages that come with Julia are left
    out, and so are those that only an extension needs. Empty where Julia cannot be run.
    """
    found = {OWN_PACKAGE: own} if OWN_PACKAGE in names and (own := _own_package()) else dict[str, Package]()
    # It takes Julia three seconds to look up others.
    rows = _ask_julia() if set(names) - set(found) else {}
    waiting = [name for name in names if name in rows]
    while waiting:
        name = waiting.pop(0)
        if name in found or name not in rows:
            continue
        version, size, below = rows[name]
        found[name] = Package(name, version, "julia", size, name in names)
        waiting += below
    return list(found.values())


def _own_package() -> Package | None:
    """PlainONNX, which needs nothing but what comes with Julia; None where Julia cannot be run."""
    if find()[1]:
        return None
    try:
        folder = _copied()[0]
        files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
        version = re.search(r'^version *= *"(.*)"', (folder / "Project.toml").read_text(), re.MULTILINE)
        size = sum(path.stat().st_size for path in files)
    except (OSError, HarnessError):
        return None
    return Package(OWN_PACKAGE, version[1] if version else "", "julia", size, direct=True)


def _ask_julia() -> dict[str, tuple[str, int, tuple[str, ...]]]:
    """Version, bytes and dependencies of all packages that any runtime in Julia needs, by name."""
    wanted = wanted_packages()
    executable = shutil.which("julia")
    if executable is None or find()[1]:
        return {}
    try:
        # What is installed is known without compiling, which takes a minute that a run without Julia would wait for.
        chosen = variables(*_copied(), wanted)
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
