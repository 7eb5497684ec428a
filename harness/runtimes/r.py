"""Runtimes in R, hosted by ``Rscript`` or by rpy2, and the Python that R calls by reticulate."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from harness.files.cache import cache_folder
from harness.runtimes import reticulate
from harness.runtimes.language import Language, Sources, asked_host
from harness.runtimes.python import search_path
from harness.runtimes.r_package import library, r_packages
from harness.runtimes.row import Availability, Runtime
from harness.runtimes.table import RUNTIMES
from harness.runtimes.tooling import Package, python_packages, site_packages, sorted_packages

#: Variable that names the host of the runtimes whose row says ``rpy2``: ``rpy2`` or ``rscript``.
HOST_VARIABLE = "HARNESS_R_HOST"

_INSTALL_RPY2 = "RPY2_CFFI_MODE=API pip install rpy2-rinterface==3.6.5 rpy2-robjects==3.6.6 (wants r-base-dev)"

#: The R package of this project.
_OWN = "plainonnx"

#: The distributions of rpy2; up to 3.5 there was one.
_RPY2 = ("rpy2-rinterface", "rpy2-robjects", "rpy2")


class R(Language):
    """Engines of the R package in ``native/r``."""

    name = "r"

    def availability(self, row: Runtime) -> Availability:
        """See Language; no environment is made for the Python that R calls."""
        here = packages(row)
        if here.installed and row.environment is not None:
            return _called_by_reticulate(row, here)
        if not here.installed or self.host_of(row) != "rpy2":
            return here
        if broken := rpy2_broken():
            return Availability(False, here.versions, broken, _INSTALL_RPY2)
        return Availability(True, here.versions | {"rpy2": _rpy2_version()})

    def host_of(self, row: Runtime) -> str:
        """``rpy2`` where the row says so and it works, unless ``HARNESS_R_HOST`` asks for another; else ``rscript``."""
        if row.host != "rpy2":
            return row.host
        return asked_host(HOST_VARIABLE, "rpy2", "rscript") or ("rscript" if rpy2_broken() else "rpy2")

    def lacks_environment(self, row: Runtime) -> bool:
        """Whether the Python that R would call is to be made first."""
        found = interpreter(row)
        return found is not None and found.environment is not None and not found.environment.made

    def command(self, row: Runtime) -> list[str]:
        """See Language."""
        if self.host_of(row) == "rpy2":
            return [sys.executable, "-m", "harness.workers.rpy2_host", row.name]
        return [shutil.which("Rscript") or "Rscript", "--vanilla", "-e", f"plainonnx::onnx_serve('{row.engine}')"]

    def variables(self, row: Runtime, inherited: dict[str, str], threads: int) -> dict[str, str]:
        """See Language; the R package of ``native/r`` is installed first where it is not there yet."""
        host = self.host_of(row)
        variables = inherited | {"R_LIBS": str(library()), "HARNESS_HOST": host}
        # R torch would otherwise load libtorch twice, the first time in a child process; and it must not download anything.
        variables |= {"TORCH_VERIFY_LOAD": "FALSE", "TORCH_INSTALL": "0", "RPY2_CFFI_MODE": "API"}
        if host == "rpy2":
            variables["PYTHONPATH"] = search_path(inherited)
        if (found := interpreter(row)) is not None:
            variables = reticulate.without_search_paths(variables) | reticulate.variables(found.python)
        return variables

    def packages(self, row: Runtime) -> list[Package]:
        """See Language."""
        found = r_packages((_OWN, *row.packages))
        if self.host_of(row) == "rpy2":
            found += python_packages(_RPY2)
        elif (called := interpreter(row)) is not None:
            found += python_packages((row.engine,), site_packages(called.python))
        return sorted_packages(found)

    def sources(self, row: Runtime) -> Sources:
        """See Language; hand-written models are for runtimes that read weights alone."""
        written = ("rtorch",) if "safetensors" in row.reads else ()
        return Sources(("harness.workers.rpy2_host",) if row.host == "rpy2" else (), ("r", *written))


def interpreter(row: Runtime) -> reticulate.Interpreter | None:
    """The Python that R calls in a runtime, or None where it calls none."""
    if row.environment is None or "reticulate" not in (found := packages(row).versions):
        return None
    return reticulate.interpreter(found["reticulate"], row.engine, row.environment)


def _called_by_reticulate(row: Runtime, here: Availability) -> Availability:
    found = interpreter(row)
    rscript = shutil.which("Rscript")
    if found is None or rscript is None or row.environment is None:
        return Availability(False, here.versions, "the R package reticulate is not installed", row.install)
    make = f"python -m harness prepare {row.name}"
    if found.environment is not None and not found.environment.made:
        not_yet = "its Python environment is not made yet, which the first run that names it does"
        return Availability(False, here.versions, row.environment.not_made or not_yet, make)
    if broken := reticulate.broken(rscript, here.versions["reticulate"], found.python, row.engine):
        return Availability(False, here.versions, broken, "a newer R package reticulate: " + row.install)
    return Availability(True, here.versions | found.versions)


def packages(row: Runtime) -> Availability:
    """Whether R is installed with a runtime's packages; R torch needs its libtorch too."""
    rscript = shutil.which("Rscript")
    if rscript is None:
        return Availability(False, {}, "Rscript is not on the path", row.install)
    # R is started once for the packages of all rows.
    asked = {package for other in (*RUNTIMES.values(), row) if other.language == R.name for package in other.packages}
    everything = _versions(rscript, tuple(sorted(asked)))
    wanted = {"R", *row.packages} | ({"libtorch"} if "torch" in row.packages else set())
    found = {package: version for package, version in everything.items() if package in wanted}
    missing = [package for package in ("R", *row.packages) if package not in found]
    if missing:
        return Availability(False, found, f"R package {' and '.join(missing)} not installed", row.install)
    if "torch" in row.packages and "libtorch" not in found:
        return Availability(False, found, "R package torch has no libtorch here", 'Rscript -e "torch::install_torch()"')
    found.pop("libtorch", None)
    return Availability(True, found)


@cache
def _versions(rscript: str, packages: tuple[str, ...]) -> dict[str, str]:
    names = ", ".join(f"'{package}'" for package in packages)
    code = (
        "cat('R', as.character(getRversion()), '\\n');"
        f"for (p in c({names})) if (nzchar(system.file(package = p)))"
        " cat(p, as.character(utils::packageVersion(p)), '\\n')"
    )
    if "torch" in packages:
        # Asking the package itself would load libtorch, which takes a second.
        code += (
            ";home <- Sys.getenv('TORCH_HOME', file.path(system.file(package = 'torch'), 'lib'));"
            "if (length(list.files(c(home, file.path(home, 'lib')), 'lantern'))) cat('libtorch', 'found', '\\n')"
        )
    try:
        done = subprocess.run(
            [rscript, "--vanilla", "-e", code],
            capture_output=True,
            text=True,
            timeout=60,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return {}
    rows = (line.split() for line in done.stdout.splitlines())
    return {row[0]: row[1] for row in rows if len(row) == 2}


@cache
def rpy2_broken() -> str:
    """Why rpy2 cannot be used; empty where it can. A version that does not fit R fails only when it is loaded.

    That it works is recorded on disk for this Python, rpy2 and R, since starting R takes a second.
    """
    if importlib.util.find_spec("rpy2") is None:
        return "the Python package rpy2-rinterface is not installed"
    works = cache_folder() / f"rpy2-works-{_rpy2_identity()}"
    if works.exists():
        return ""
    if not (broken := _try_rpy2()):
        with contextlib.suppress(OSError):
            works.parent.mkdir(parents=True, exist_ok=True)
            works.touch()
    return broken


def _rpy2_identity() -> str:
    """A hash of what decides whether rpy2 starts R: the Python, the version of rpy2, and R's own library."""
    rscript = shutil.which("Rscript") or ""
    binary = Path(rscript).resolve()
    changed = binary.stat().st_mtime_ns if rscript else 0
    identity = f"{sys.executable} {sys.version} {_rpy2_version()} {binary} {changed}"
    return hashlib.sha256(identity.encode()).hexdigest()[:16]


def _rpy2_version() -> str:
    """The version of the distribution with rpy2.rinterface, which up to 3.5 was rpy2 itself."""
    for distribution in ("rpy2-rinterface", "rpy2"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return importlib.metadata.version(distribution)
    return "unknown"


def _try_rpy2() -> str:
    try:
        done = subprocess.run(
            [sys.executable, "-c", "import rpy2.rinterface as r; r.initr()"],
            capture_output=True,
            text=True,
            timeout=60,
            stdin=subprocess.DEVNULL,
            env=os.environ | {"RPY2_CFFI_MODE": "API"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"rpy2 does not start R: {error}"
    if done.returncode == 0:
        return ""
    last = (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1]
    return f"rpy2 does not start R: {last}"
