"""Every runtime the harness knows, as rows of one table, and whether each is installed here."""

from __future__ import annotations

import difflib
import importlib.metadata
import importlib.util
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from typing import Literal

from harness.errors import ScenarioError

Language = Literal["python", "r", "julia"]
FileFormat = Literal["onnx", "safetensors"]


@dataclass(frozen=True)
class Runtime:
    """One row: what executes a model file and how it is reached.

    ``packages`` are the packages of its language it cannot do without; ``reads`` the file formats it loads;
    ``framework`` names the framework it trains with, where it can train; ``oracle`` marks those that can serve as a
    route oracle.
    """

    name: str
    host: Literal["python", "rscript"]
    packages: tuple[str, ...]
    reads: tuple[FileFormat, ...]
    install: str
    framework: str | None = None
    oracle: bool = False

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
    )
}


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
    """Whether a runtime's packages are there, found out without importing any of them."""
    return _python_packages(row) if row.host == "python" else _r_packages(row)


def _python_packages(row: Runtime) -> Availability:
    versions = {"python": ".".join(str(part) for part in sys.version_info[:3])}
    missing = []
    for package in row.packages:
        try:
            versions[package] = importlib.metadata.version(package)
            found = importlib.util.find_spec(package) is not None
        except importlib.metadata.PackageNotFoundError:
            found = False
        if not found:
            missing.append(package)
    if missing:
        return Availability(False, versions, f"Python package {' and '.join(missing)} not installed", row.install)
    return Availability(True, versions)


def _r_packages(row: Runtime) -> Availability:
    rscript = shutil.which("Rscript")
    if rscript is None:
        return Availability(False, {}, "Rscript is not on the path", row.install)
    found = _r_versions(rscript, row.packages)
    missing = [package for package in ("R", *row.packages) if package not in found]
    if missing:
        return Availability(False, found, f"R package {' and '.join(missing)} not installed", row.install)
    return Availability(True, found)


@cache
def _r_versions(rscript: str, packages: tuple[str, ...]) -> dict[str, str]:
    names = ", ".join(f"'{package}'" for package in packages)
    code = (
        "cat('R', as.character(getRversion()), '\\n');"
        f"for (p in c({names})) if (nzchar(system.file(package = p)))"
        " cat(p, as.character(utils::packageVersion(p)), '\\n')"
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
