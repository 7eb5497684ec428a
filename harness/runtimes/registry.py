"""Every runtime the harness knows, as rows of one table, and whether each is installed here."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from harness.errors import ScenarioError, UnavailableError
from harness.runtimes import julia, reticulate
from harness.runtimes.cache import cache_folder
from harness.runtimes.locked_environment import LockedEnvironment

Language = Literal["python", "r", "julia"]
FileFormat = Literal["onnx", "safetensors"]
Host = Literal["python", "rscript", "rpy2", "julia", "juliacall"]

#: Variable that names the host of the runtimes whose row says ``rpy2``: ``rpy2`` or ``rscript``.
HOST_VARIABLE = "HARNESS_R_HOST"


@dataclass(frozen=True)
class Runtime:
    """One row: what executes a model file and how it is reached.

    ``host`` is how it is reached; a row that says ``rpy2`` (R inside a Python process) can be reached by ``Rscript`` as
    well, one that says ``juliacall`` by a plain ``julia``, see :func:`host_of`. ``packages`` are the packages of its
    language it cannot do without; ``reads`` the file formats it loads; ``framework`` names the framework it trains with,
    where it can train; ``oracle`` marks those that can serve as a route oracle; ``environment`` is a Python of its own for
    one that R calls by reticulate, used where the harness's own does not fit.
    """

    name: str
    host: Host
    packages: tuple[str, ...]
    reads: tuple[FileFormat, ...]
    install: str
    framework: str | None = None
    oracle: bool = False
    environment: LockedEnvironment | None = None

    @property
    def language(self) -> Language:
        """The part of the name before the slash."""
        return self.name.partition("/")[0]  # type: ignore[return-value]

    @property
    def engine(self) -> str:
        """The part of the name after the slash."""
        return self.name.partition("/")[2]


@dataclass(frozen=True)
class Availability:
    """Whether a runtime can be started here; ``versions`` by package; ``reason`` and ``install`` where it cannot."""

    installed: bool
    versions: dict[str, str]
    reason: str = ""
    install: str = ""


_INSTALL_JULIA = "make setup, or the download of https://julialang.org/downloads/"
_DEBIAN_R = "apt-get install r-base-core r-cran-jsonlite libopenblas0"

RUNTIMES: dict[str, Runtime] = {
    row.name: row
    for row in (
        Runtime(
            "python/pytorch",
            host="python",
            packages=("torch",),
            reads=("safetensors",),
            install="pip install torch onnx onnxscript",
            framework="pytorch",
            oracle=True,
        ),
        Runtime(
            "python/keras-tensorflow",
            host="python",
            packages=("keras", "tensorflow"),
            reads=("safetensors",),
            install="pip install keras tensorflow tf2onnx onnx",
            framework="keras-tensorflow",
        ),
        Runtime(
            "python/keras-torch",
            host="python",
            packages=("keras", "torch"),
            reads=("safetensors",),
            install="pip install keras torch onnx onnxscript",
            framework="keras-torch",
        ),
        Runtime(
            "python/onnxruntime",
            host="python",
            packages=("onnxruntime", "onnx"),
            reads=("onnx",),
            install="pip install onnxruntime onnx",
        ),
        Runtime(
            "python/onnx-reference",
            host="python",
            packages=("onnx",),
            reads=("onnx",),
            install="pip install onnx",
            oracle=True,
        ),
        Runtime(
            "r/base",
            host="rscript",
            packages=("jsonlite",),
            reads=("onnx",),
            install=_DEBIAN_R,
            oracle=True,
        ),
        Runtime(
            "r/torch",
            host="rpy2",
            packages=("jsonlite", "torch"),
            reads=("onnx",),
            install="Rscript -e \"install.packages('torch'); torch::install_torch()\"",
        ),
        Runtime(
            "r/onnxruntime",
            host="rscript",
            packages=("jsonlite", "reticulate"),
            reads=("onnx",),
            install=f"{_DEBIAN_R} r-cran-reticulate",
            environment=LockedEnvironment("r_onnxruntime"),
        ),
        Runtime(
            "julia/base",
            host="julia",
            packages=(),
            reads=("onnx",),
            install=_INSTALL_JULIA,
            oracle=True,
        ),
        Runtime(
            "julia/flux",
            host="juliacall",
            packages=("Flux",),
            reads=("onnx",),
            install="julia -e 'using Pkg; Pkg.add(\"Flux\")'",
        ),
        Runtime(
            "julia/onnxruntime",
            host="julia",
            packages=("ONNXRunTime",),
            reads=("onnx",),
            install="julia -e 'using Pkg; Pkg.add(\"ONNXRunTime\")'",
        ),
    )
}

_INSTALL_JULIACALL = "pip install juliacall, and: julia -e 'using Pkg; Pkg.add(\"PythonCall\")'"
_INSTALL_RPY2 = "RPY2_CFFI_MODE=API pip install rpy2-rinterface==3.6.5 rpy2-robjects==3.6.6 (wants r-base-dev)"


def runtime(name: str) -> Runtime:
    """The runtime of that name. Raises ScenarioError with the nearest name where there is none."""
    if name in RUNTIMES:
        return RUNTIMES[name]
    near = difflib.get_close_matches(name, RUNTIMES, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"choose one of {', '.join(RUNTIMES)}"
    raise ScenarioError(f"there is no runtime '{name}'", hint=hint)


def framework_runtime(framework: str) -> Runtime:
    """The runtime that trains with a framework. Raises ScenarioError where there is none."""
    for row in RUNTIMES.values():
        if row.framework == framework:
            return row
    known = ", ".join(row.framework for row in RUNTIMES.values() if row.framework)
    raise ScenarioError(f"there is no framework '{framework}'", hint=f"choose one of {known}")


def availability(row: Runtime) -> Availability:
    """Whether a runtime's packages are there, found out without importing any of them into this process."""
    if row.host == "python":
        return _python_packages(row)
    if row.language == "julia":
        return _julia_packages(row)
    here = _r_packages(row)
    if here.installed and row.environment is not None:
        return _called_by_reticulate(row, here)
    if not here.installed or host_of(row) != "rpy2":
        return here
    if broken := _rpy2_broken():
        return Availability(False, here.versions, broken, _INSTALL_RPY2)
    return Availability(True, here.versions | {"rpy2": _rpy2_version()})


def _julia_packages(row: Runtime) -> Availability:
    if row.host == "juliacall" and julia.resolves_by_itself():
        return Availability(True, julia.find()[0] | {"juliacall": julia.juliacall_version()})
    versions, reason = julia.find_packages(row.packages)
    if reason:
        # Without a Julia that serves, there is nothing to add packages to.
        return Availability(
            False, versions, reason, row.install if reason.startswith("Julia package") else _INSTALL_JULIA
        )
    if host_of(row) != "juliacall":
        return Availability(True, versions)
    if broken := julia.juliacall_broken():
        return Availability(False, versions, broken, _INSTALL_JULIACALL)
    return Availability(True, versions | {"juliacall": julia.juliacall_version()})


#: Why an environment could not be made, by its folder: tried once in a process.
_NOT_MADE: dict[Path, str] = {}


def lacks_environment(row: Runtime) -> bool:
    """Whether a runtime waits for nothing but its environment, which :func:`ready` would make."""
    return row.environment is not None and (found := _interpreter(row)) is not None and _is_missing(found)


def ready(row: Runtime) -> Availability:
    """As :func:`availability`, after making the environment that a runtime runs in where it is not there yet."""
    if lacks_environment(row) and row.environment is not None and row.environment.folder not in _NOT_MADE:
        try:
            row.environment.make()
        except UnavailableError as error:
            _NOT_MADE[row.environment.folder] = error.what
    return availability(row)


def python_of(row: Runtime) -> Path | None:
    """The Python that R calls in a runtime, or None where it calls none."""
    found = _interpreter(row)
    return None if found is None else found.python


def _is_missing(found: reticulate.Interpreter) -> bool:
    return found.environment is not None and not found.environment.made


def _interpreter(row: Runtime) -> reticulate.Interpreter | None:
    if row.environment is None or "reticulate" not in (found := _r_packages(row).versions):
        return None
    return reticulate.interpreter(found["reticulate"], row.engine, row.environment)


def _called_by_reticulate(row: Runtime, here: Availability) -> Availability:
    found = _interpreter(row)
    rscript = shutil.which("Rscript")
    if found is None or rscript is None or row.environment is None:
        return Availability(False, here.versions, "the R package reticulate is not installed", row.install)
    make = f"python -m harness prepare {row.name}"
    if _is_missing(found):
        not_yet = "its Python environment is not made yet, which the first run that names it does"
        return Availability(False, here.versions, _NOT_MADE.get(row.environment.folder, not_yet), make)
    if broken := reticulate.broken(rscript, here.versions["reticulate"], found.python, row.engine):
        return Availability(False, here.versions, broken, "a newer R package reticulate: " + row.install)
    return Availability(True, here.versions | found.versions)


def host_of(row: Runtime) -> Host:
    """The host that a runtime is started in here.

    A row that says ``rpy2`` is hosted by rpy2 where that works, and by ``Rscript`` otherwise: both run the same R code.
    ``HARNESS_R_HOST`` (``rpy2`` or ``rscript``) asks for one of them; its being broken then costs the runtime.
    In the same way ``HARNESS_JULIA_HOST`` (``juliacall`` or ``julia``) chooses for a row that says ``juliacall``. Raises
    ScenarioError on another value.
    """
    if row.host == "rpy2":
        return _asked_host(HOST_VARIABLE, "rpy2", "rscript") or ("rscript" if _rpy2_broken() else "rpy2")
    if row.host == "juliacall":
        return _asked_host(julia.HOST_VARIABLE, "juliacall", "julia") or (
            "julia" if julia.juliacall_broken() else "juliacall"
        )
    return row.host


def _asked_host(variable: str, embedded: Host, apart: Host) -> Host | None:
    """The host that a variable of the environment asks for, None where it asks for none."""
    asked = os.environ.get(variable, "")
    for host in (embedded, apart):
        if asked == host:
            return host
    if asked:
        raise ScenarioError(f"{variable} is '{asked}'", hint=f"set it to {embedded} or {apart}, or not at all")
    return None


@cache
def _rpy2_broken() -> str:
    """Why rpy2 cannot be used, or nothing. A version that does not fit R only says so when it is loaded.

    That it works is remembered on disk for this Python, rpy2 and R: starting R to find out takes a second.
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
    """The version of the distribution that brings rpy2.rinterface; up to 3.5 that was rpy2 itself."""
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


#: Distributions that bring a module under other names than its own.
DISTRIBUTIONS = {"tensorflow": ("tensorflow", "tensorflow-cpu")}


def _distribution_version(package: str) -> str | None:
    """The version of the installed distribution that brings a module, or None."""
    for distribution in DISTRIBUTIONS.get(package, (package,)):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return importlib.metadata.version(distribution)
    return None


def _python_packages(row: Runtime) -> Availability:
    versions = {"python": ".".join(str(part) for part in sys.version_info[:3])}
    missing = []
    for package in row.packages:
        version = _distribution_version(package)
        if version is None or importlib.util.find_spec(package) is None:
            missing.append(package)
        else:
            versions[package] = version
    if missing:
        return Availability(False, versions, f"Python package {' and '.join(missing)} not installed", row.install)
    return Availability(True, versions)


def _r_packages(row: Runtime) -> Availability:
    rscript = shutil.which("Rscript")
    if rscript is None:
        return Availability(False, {}, "Rscript is not on the path", row.install)
    # One start of R answers for all of its runtimes.
    named = {package for other in (row, *RUNTIMES.values()) if other.language == "r" for package in other.packages}
    everything = _r_versions(rscript, tuple(sorted(named)))
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
def _r_versions(rscript: str, packages: tuple[str, ...]) -> dict[str, str]:
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
