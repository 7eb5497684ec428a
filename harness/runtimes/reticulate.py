"""The Python that the R package reticulate uses, and whether R can use it."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from harness.files.cache import cache_folder
from harness.runtimes.locked_environment import LockedEnvironment

#: The first version of reticulate that works with NumPy 2 in all its minor versions (see its NEWS).
WITH_NUMPY_2 = (1, 39)

_TRIAL = """
module <- reticulate::import(commandArgs(TRUE)[1])
numbers <- reticulate::py_to_r(reticulate::np_array(c(1, 2)))
if (!identical(as.vector(numbers), c(1, 2))) stop("NumPy arrays do not arrive in R")
"""


@dataclass(frozen=True)
class Interpreter:
    """A Python with a package, and the environment that it is from (None: the harness's own)."""

    python: Path
    environment: LockedEnvironment | None
    versions: dict[str, str]


def interpreter(reticulate: str, package: str, environment: LockedEnvironment) -> Interpreter:
    """The harness's own Python where it has ``package`` and ``reticulate`` (a version) can use it; else the environment's."""
    numbers = tuple(int(number) for number in re.findall(r"\d+", reticulate)[:2])
    if numbers >= WITH_NUMPY_2 and importlib.util.find_spec(package) is not None:
        names = (package, "numpy")
        versions = {name: importlib.metadata.version(name) for name in names}
        return Interpreter(Path(sys.executable), None, versions)
    versions = {name: environment.packages[name] for name in (package, "numpy")}
    return Interpreter(environment.python, environment, versions)


def variables(python: Path) -> dict[str, str]:
    """Environment variables by which reticulate uses that Python, and never looks for, makes or fetches another."""
    return {
        "RETICULATE_PYTHON": str(python),
        "RETICULATE_MINICONDA_ENABLED": "FALSE",
        "RETICULATE_AUTOCONFIGURE": "FALSE",
        "RETICULATE_USE_MANAGED_VENV": "no",
    }


def without_search_paths(environment: dict[str, str]) -> dict[str, str]:
    """The environment variables without those by which one Python would find the packages of another."""
    return {name: value for name, value in environment.items() if name not in ("PYTHONPATH", "PYTHONHOME")}


@cache
def broken(rscript: str, reticulate: str, python: Path, package: str) -> str:
    """Why R cannot use a package of that Python; empty where it can.

    Faults (a Python without a shared library, an array interface of another version) show only when it is tried. That it
    works is recorded on disk, since starting R and Python takes seconds.
    """
    binary = Path(rscript).resolve()
    identity = f"{binary} {binary.stat().st_mtime_ns} {reticulate} {python} {python.resolve()} {sys.version} {package}"
    works = cache_folder() / f"reticulate-works-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"
    if works.exists():
        return ""
    try:
        done = subprocess.run(
            [rscript, "--vanilla", "-e", _TRIAL, package],
            capture_output=True,
            text=True,
            timeout=120,
            stdin=subprocess.DEVNULL,
            env=without_search_paths(dict(os.environ)) | variables(python),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"R cannot use Python's {package}: {error}"
    if done.returncode != 0:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip() and "halted" not in line]
        return f"R cannot use Python's {package}: {' '.join(lines[-2:]) or f'it ended with {done.returncode}'}"
    with contextlib.suppress(OSError):
        works.parent.mkdir(parents=True, exist_ok=True)
        works.touch()
    return ""
