"""What has to be installed for a runtime: its packages, those that they ask for, and what they take on the disk.

Facts of the machine, read from what package managers wrote down; no framework is imported, and nothing is downloaded.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.runtimes import julia
from harness.runtimes.environments import environment, julia_package
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
#: The packages of this repository, which serve every runtime in R and in Julia.
_OWN_R = "plainonnx"
_OWN_JULIA = "PlainONNX"


def packages(row: Runtime) -> list[Package]:
    """The packages of an installed runtime and, as far as they are installed, all that they depend on, by name.

    Languages themselves and what comes with them are left out, and so is what a system's package manager installed for
    them. Sizes of Python packages are those that their ``RECORD`` lists: compiled caches are not part of it.
    """
    if row.language == "python":
        # Of the distributions that bring a package, those that are not here are passed over.
        names = [name for package in row.packages for name in DISTRIBUTIONS.get(package, (package,))]
        return python_packages(names, None if row.environment is None else _site_packages(row.environment.python))
    if row.language == "julia":
        hosted = host_of(row) == "juliacall"
        found = julia_packages((_OWN_JULIA, *row.packages, *(("PythonCall",) if hosted else ())))
        if hosted:
            found += python_packages(("juliacall",))
        return _sorted(found)
    found = r_packages((_OWN_R, *row.packages))
    if host_of(row) == "rpy2":
        found += python_packages(_RPY2)
    elif (python := python_of(row)) is not None:
        found += python_packages((row.engine,), _site_packages(python))
    return _sorted(found)


def _sorted(found: Iterable[Package]) -> list[Package]:
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


#: A line for every package below those that are named: name, version, bytes of its folder and artifacts, dependencies, with
#: tabs between them. What comes with Julia is left out. An extension's packages are no dependencies.
_JULIA_CODE = r"""
const has_artifacts = VERSION >= v"1.6"
has_artifacts && @eval import Artifacts

text_of(folder) = read(joinpath(folder, "Project.toml"), String)

function dependencies(text)
    section = match(r"^\[deps\]\s*$(.*?)(?=^\[|\z)"ms, text)
    section === nothing && return Base.PkgId[]
    [Base.PkgId(Base.UUID(found[2]), String(found[1])) for found in eachmatch(r"^(\w+) *= *\"([^\"]+)\""m, section[1])]
end

function bytes_below(folder)
    total = 0
    for (place, folders, files) in walkdir(realpath(folder))
        filter!(name -> name != ".git", folders)
        total += sum(Int[filesize(joinpath(place, name)) for name in files if !islink(joinpath(place, name))])
    end
    total
end

# Only what is on the disk: asking for the rest would download it.
function artifact_folders(folder)
    file = joinpath(folder, "Artifacts.toml")
    (has_artifacts && isfile(file)) || return String[]
    chosen = Artifacts.select_downloadable_artifacts(file; include_lazy=true)
    hashes = [Base.SHA1(meta["git-tree-sha1"]) for meta in values(chosen)]
    unique(Artifacts.artifact_path(hash) for hash in hashes if Artifacts.artifact_exists(hash))
end

function walk(names)
    waiting = Base.PkgId[id for id in map(Base.identify_package, names) if id !== nothing]
    seen = Set{Base.PkgId}()
    while !isempty(waiting)
        id = popfirst!(waiting)
        id in seen && continue
        push!(seen, id)
        source = Base.locate_package(id)
        (source === nothing || startswith(source, Sys.STDLIB)) && continue
        folder = dirname(dirname(source))
        text = text_of(folder)
        below = dependencies(text)
        append!(waiting, below)
        version = match(r"^version *= *\"(.*)\""m, text)
        bytes = bytes_below(folder) + sum(Int[bytes_below(place) for place in artifact_folders(folder)])
        println(join((id.name, version === nothing ? "" : version[1], bytes, join((dep.name for dep in below), ',')), '\t'))
    end
end

walk(ARGS)
"""


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
    wanted = {package for row in RUNTIMES.values() if row.language == "julia" for package in row.packages}
    executable = shutil.which("julia")
    if executable is None or julia.find()[1]:
        return {}
    try:
        chosen = julia.variables(*julia_package(), tuple(wanted))
    except (OSError, HarnessError):
        return {}
    return _walk_julia(executable, (_OWN_JULIA, "PythonCall", *sorted(wanted)), tuple(sorted(chosen.items())))


@cache
def _walk_julia(
    executable: str, names: tuple[str, ...], variables: tuple[tuple[str, str], ...]
) -> dict[str, tuple[str, int, tuple[str, ...]]]:
    try:
        done = subprocess.run(
            [executable, "--startup-file=no", "--history-file=no", "-e", _JULIA_CODE, *names],
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
