"""Runtimes in Julia, hosted by a plain ``julia`` process or by juliacall."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import shutil
import sys

from harness.runtimes.julia_installation import (
    OLDEST_WITH_EXTENSIONS,
    UNREADABLE,
    dotted,
    find,
    find_packages,
    packages,
)
from harness.runtimes.julia_package import OWN_PACKAGE, command, julia_packages, loading, package, variables
from harness.runtimes.language import Language, Sources, asked_host
from harness.runtimes.python import search_path
from harness.runtimes.row import Availability, Runtime
from harness.runtimes.tooling import Package, python_packages, sorted_packages

#: Variable that names the host of the runtimes whose row says ``juliacall``: ``juliacall`` or ``julia``.
HOST_VARIABLE = "HARNESS_JULIA_HOST"

_INSTALL_JULIACALL = "pip install juliacall, and: julia -e 'using Pkg; Pkg.add(\"PythonCall\")'"


class Julia(Language):
    """Engines of the Julia package in ``native/julia`` and of its extensions."""

    name = "julia"
    compiled_first = True

    def availability(self, row: Runtime) -> Availability:
        """See Language; looks at the Julia on the path and the packages of its environment."""
        if row.host == "juliacall" and resolves_by_itself():
            return Availability(True, find()[0] | {"juliacall": juliacall_version()})
        versions, reason = find_packages(row.packages)
        if reason:
            return Availability(False, versions, reason, _remedy(row, reason))
        if self.host_of(row) != "juliacall":
            return Availability(True, versions)
        if broken := juliacall_broken():
            return Availability(False, versions, broken, _INSTALL_JULIACALL)
        return Availability(True, versions | {"juliacall": juliacall_version()})

    def host_of(self, row: Runtime) -> str:
        """``juliacall`` where the row says so and it works, unless ``HARNESS_JULIA_HOST`` asks for another; else ``julia``."""
        if row.host != "juliacall":
            return row.host
        return asked_host(HOST_VARIABLE, "juliacall", "julia") or ("julia" if juliacall_broken() else "juliacall")

    def lacks_environment(self, row: Runtime) -> bool:
        """Never: the environment of Julia is the user's."""
        return False

    def command(self, row: Runtime) -> list[str]:
        """See Language."""
        if self.host_of(row) == "juliacall":
            return [sys.executable, "-m", "harness.workers.juliacall_host", row.name, *row.packages]
        return command(f'{loading(row.packages)}; {OWN_PACKAGE}.serve("{row.engine}")', row.optimisation)

    def variables(self, row: Runtime, inherited: dict[str, str], threads: int) -> dict[str, str]:
        """See Language; the Julia package of ``native/julia`` is compiled first where it is not yet."""
        host = self.host_of(row)
        # Where juliacall resolves its packages itself, they are not installed yet, so nothing can be compiled with them.
        beside = () if host == "juliacall" and resolves_by_itself() else row.packages
        found = inherited | variables(*package(beside), row.packages) | {"HARNESS_HOST": host}
        if host == "juliacall":
            found |= {"PYTHONPATH": search_path(inherited)} | juliacall_variables(threads)
            if row.optimisation is not None:
                found |= {"PYTHON_JULIACALL_OPTIMIZE": str(row.optimisation)}
        return found

    def packages(self, row: Runtime) -> list[Package]:
        """See Language."""
        hosted = self.host_of(row) == "juliacall"
        found = julia_packages((OWN_PACKAGE, *row.packages, *(("PythonCall",) if hosted else ())))
        return sorted_packages(found + (python_packages(("juliacall",)) if hosted else []))

    def sources(self, row: Runtime) -> Sources:
        """See Language; hand-written models are for runtimes that read weights alone."""
        written = ("flux",) if "safetensors" in row.reads else ()
        return Sources(("harness.workers.juliacall_host",) if row.host == "juliacall" else (), ("julia", *written))


def _remedy(row: Runtime, reason: str) -> str:
    """What to do so that a runtime becomes available that is not for that reason."""
    if not row.packages or reason.startswith("Julia package"):
        return row.install
    if UNREADABLE in reason:
        return "julia -e 'using Pkg; Pkg.resolve(); Pkg.instantiate()'"
    # The Julia that set-up installs from Debian has no package extensions.
    return f"Julia {dotted(OLDEST_WITH_EXTENSIONS)} or newer from https://julialang.org/downloads/, then: {row.install}"


def resolves_by_itself() -> bool:
    """Whether juliacall was asked for and has to resolve its Julia packages itself.

    It does so in a project of the user (``PYTHON_JULIACALL_PROJECT``), and where the active project has no PythonCall:
    then it makes a project from ``harness/juliapkg.json``, which needs a network and takes minutes the first time. It
    reports missing packages itself.
    """
    if os.environ.get(HOST_VARIABLE) != "juliacall" or importlib.util.find_spec("juliacall") is None:
        return False
    return bool(os.environ.get("PYTHON_JULIACALL_PROJECT")) or "PythonCall" not in packages().versions


def juliacall_broken() -> str:
    """Why juliacall cannot host the Julia on the path; empty where it can."""
    if importlib.util.find_spec("juliacall") is None:
        return "the Python package juliacall is not installed"
    ours, theirs = juliacall_version(), packages().versions.get("PythonCall")
    if theirs is None:
        return "the Julia package PythonCall is not installed"
    if ours != theirs:
        return f"the Python package juliacall {ours} wants the Julia package PythonCall {ours}, not {theirs}"
    return ""


def juliacall_version() -> str:
    """The version of the Python package juliacall."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version("juliacall")
    return "unknown"


def juliacall_variables(threads: int) -> dict[str, str]:
    """Environment variables of juliacall: the Julia on the path and its project, so that nothing is resolved or downloaded."""
    chosen = {"PYTHON_JULIACALL_HANDLE_SIGNALS": "yes", "PYTHON_JULIACALL_STARTUP_FILE": "no"}
    chosen |= {"PYTHON_JULIACALL_THREADS": str(threads), "PYTHON_JULIACALL_AUTOLOAD_IPYTHON_EXTENSION": "no"}
    if not resolves_by_itself():
        chosen |= {
            "PYTHON_JULIACALL_EXE": shutil.which("julia") or "julia",
            "PYTHON_JULIACALL_PROJECT": packages().project,
        }
        # PythonCall would otherwise look for a Python of its own.
        chosen |= {"JULIA_CONDAPKG_BACKEND": "Null"}
    return chosen
