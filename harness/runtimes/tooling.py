"""What has to be installed for a runtime: its packages, those that they ask for, and what they take on the disk.

Facts of the machine, read from what package managers wrote down; no framework is imported, and nothing is downloaded.
"""

from __future__ import annotations

import importlib.metadata
import json
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.runtimes.environments import environment
from harness.runtimes.python import DISTRIBUTIONS
from harness.runtimes.registry import RUNTIMES, host_of, python_of
from harness.runtimes.row import Runtime


@dataclass(frozen=True)
class Package:
    """One installed package; ``bytes`` is None where its files are not listed. ``direct``: asked for by the runtime itself."""

    name: str
    version: str
    language: str
    bytes: int | None
    direct: bool


#: What brings R into a Python process; up to rpy2 3.5 it was one distribution.
_RPY2 = ("rpy2-rinterface", "rpy2-robjects", "rpy2")
#: The R package of this repository, which serves every runtime in R.
_OWN_R = "plainonnx"


def packages(row: Runtime) -> list[Package]:
    """The packages of an installed runtime and, as far as they are installed, all that they depend on, by name.

    Languages themselves and what comes with them are left out, and so is what a system's package manager installed for
    them. Sizes of Python packages are those that their ``RECORD`` lists: compiled caches are not part of it. Empty for a
    language whose packages nobody here can list.
    """
    if row.language == "python":
        # Of the distributions that bring a package, those that are not here are passed over.
        names = [name for package in row.packages for name in DISTRIBUTIONS.get(package, (package,))]
        return python_packages(names, None if row.environment is None else _site_packages(row.environment.python))
    if row.language != "r":
        return []
    found = r_packages((_OWN_R, *row.packages))
    if host_of(row) == "rpy2":
        found += python_packages(_RPY2)
    elif (python := python_of(row)) is not None:
        found += python_packages((row.engine,), _site_packages(python))
    return sorted(found, key=lambda package: (package.language, package.name.lower()))


def _site_packages(python: Path) -> list[str] | None:
    """Where a Python has its packages; None for the harness's own."""
    if python.absolute() == Path(sys.executable).absolute():
        return None
    return [str(folder) for folder in sorted(python.absolute().parent.parent.glob("lib/python3*/site-packages"))]


def python_packages(names: Iterable[str], path: Sequence[str] | None = None) -> list[Package]:
    """Python distributions and all they require here, without extras; ``path``: where, by default on the search path."""
    found: dict[str, Package] = {}
    waiting = [(name, True) for name in names]
    while waiting:
        name, direct = waiting.pop(0)
        key = _normalised(name)
        distribution = None if key in found else _distribution(key, None if path is None else tuple(path))
        if distribution is None:
            continue
        files = distribution.files
        sizes = None if files is None else [file.size for file in files if file.size is not None]
        size = None if sizes is None else sum(sizes)
        found[key] = Package(str(distribution.metadata["Name"]), distribution.version, "python", size, direct)
        waiting += [(required, False) for required in _required(distribution)]
    return sorted(found.values(), key=lambda package: package.name.lower())


def _normalised(name: str) -> str:
    """A distribution's name as all its spellings have in common (PEP 503)."""
    return name.replace("_", "-").replace(".", "-").lower()


def _distribution(key: str, path: tuple[str, ...] | None) -> importlib.metadata.Distribution | None:
    if path is None:
        try:
            return importlib.metadata.distribution(key)
        except importlib.metadata.PackageNotFoundError:
            return None
    distributions = importlib.metadata.distributions(path=list(path))
    return next((one for one in distributions if _normalised(str(one.metadata["Name"])) == key), None)


def _required(distribution: importlib.metadata.Distribution) -> list[str]:
    """Names of the requirements that hold here; those of extras are not asked for."""
    from packaging.requirements import InvalidRequirement, Requirement

    names = []
    for line in distribution.requires or ():
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            names.append(requirement.name)
    return names


#: Packages, what they depend on, and the bytes of their folders, one line each; packages that come with R are left out.
_R_CODE = """
wanted <- commandArgs(trailingOnly = TRUE)
all <- installed.packages(fields = c("Depends", "Imports", "LinkingTo", "Priority"))
all <- all[!duplicated(all[, "Package"]), , drop = FALSE]
names_in <- function(text) {
  if (is.na(text)) return(character())
  found <- trimws(sub("\\\\(.*", "", strsplit(text, ",")[[1]]))
  found[nzchar(found)]
}
seen <- character()
waiting <- wanted
while (length(waiting) > 0) {
  package <- waiting[1]
  waiting <- waiting[-1]
  row <- match(package, all[, "Package"])
  if (package %in% seen || is.na(row) || all[row, "Priority"] %in% "base") next
  seen <- c(seen, package)
  for (field in c("Depends", "Imports", "LinkingTo")) waiting <- c(waiting, names_in(all[row, field]))
  folder <- file.path(all[row, "LibPath"], package)
  files <- list.files(folder, recursive = TRUE, all.files = TRUE, full.names = TRUE)
  if (package == "torch" && nzchar(home <- Sys.getenv("TORCH_HOME"))) {
    files <- c(files, list.files(home, recursive = TRUE, full.names = TRUE))
  }
  size <- sum(file.info(unique(normalizePath(files)))$size)
  cat(sprintf('{"name": "%s", "version": "%s", "bytes": %.0f}\\n', package, all[row, "Version"], size))
}
"""


def r_packages(names: Sequence[str]) -> list[Package]:
    """R packages and all they depend on (Depends, Imports, LinkingTo), with the bytes of their folders, libtorch included.

    Those that come with R are left out. Empty where R cannot be asked.
    """
    rows = _ask_r(tuple(names))
    return [Package(row["name"], row["version"], "r", row["bytes"], row["name"] in names) for row in rows]


@cache
def _ask_r(names: tuple[str, ...]) -> list[dict[str, Any]]:
    rscript = shutil.which("Rscript")
    if rscript is None:
        return []
    try:
        done = subprocess.run(
            [rscript, "--vanilla", "-e", _R_CODE, *names],
            capture_output=True,
            text=True,
            timeout=120,
            stdin=subprocess.DEVNULL,
            # The library of a worker, which holds this repository's own package.
            env=environment(RUNTIMES["r/base"], 1),
        )
        return [json.loads(line) for line in done.stdout.splitlines()] if done.returncode == 0 else []
    except (OSError, ValueError, subprocess.TimeoutExpired, HarnessError):
        return []
