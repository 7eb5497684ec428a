"""Julia on this machine: whether it serves, and where the package of ``native/julia`` and what Julia compiles of it lie."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from harness.errors import WorkerError
from harness.files.native import native_folder
from harness.runtimes.cache import cache_folder
from harness.runtimes.row import Availability, Host, Runtime, asked_host

#: The oldest Julia that ``native/julia`` runs on, and the oldest that has package extensions.
OLDEST = (1, 5)
OLDEST_WITH_EXTENSIONS = (1, 9)

#: Variable that names the host of the runtimes whose row says ``juliacall``: ``juliacall`` or ``julia``.
HOST_VARIABLE = "HARNESS_JULIA_HOST"

INSTALL = "make setup, or the download of https://julialang.org/downloads/"
_UNTOLD = "does not tell what its environment holds"
_INSTALL_JULIACALL = "pip install juliacall, and: julia -e 'using Pkg; Pkg.add(\"PythonCall\")'"


@dataclass(frozen=True)
class Packages:
    """The environment that Julia starts in: versions by package, the folder of its ``Project.toml``, its manifest's hash.

    ``broken``: why Julia could not tell, or nothing.
    """

    versions: dict[str, str] = field(default_factory=dict)
    project: str = ""
    manifest: str = ""
    broken: str = ""


def availability(row: Runtime) -> Availability:
    """Whether a runtime can be started with the Julia on the path and the packages of its environment."""
    if row.host == "juliacall" and resolves_by_itself():
        return Availability(True, find()[0] | {"juliacall": juliacall_version()})
    versions, reason = find_packages(row.packages)
    if reason:
        return Availability(False, versions, reason, _remedy(row, reason))
    if host_of(row) != "juliacall":
        return Availability(True, versions)
    if broken := juliacall_broken():
        return Availability(False, versions, broken, _INSTALL_JULIACALL)
    return Availability(True, versions | {"juliacall": juliacall_version()})


def _remedy(row: Runtime, reason: str) -> str:
    """What makes a runtime available that is not, for that reason."""
    if not row.packages or reason.startswith("Julia package"):
        return row.install
    if _UNTOLD in reason:
        return "julia -e 'using Pkg; Pkg.resolve(); Pkg.instantiate()'"
    # What set-up takes from Debian has no package extensions.
    return (
        f"Julia {_dotted(OLDEST_WITH_EXTENSIONS)} or newer from https://julialang.org/downloads/, then: {row.install}"
    )


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(str(part) for part in version)


def host_of(row: Runtime) -> Host:
    """``juliacall`` where the row says so and it works, unless ``HARNESS_JULIA_HOST`` asks for another; else ``julia``."""
    if row.host != "juliacall":
        return row.host
    return asked_host(HOST_VARIABLE, "juliacall", "julia") or ("julia" if juliacall_broken() else "juliacall")


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
        return versions, f"Julia {found[0]} is too old; {_dotted(OLDEST)} or newer is needed"
    broken = _broken(julia)
    return versions, f"Julia {found[0]} {broken}" if broken else ""


def find_packages(wanted: tuple[str, ...]) -> tuple[dict[str, str], str]:
    """As :func:`find`, with the packages that an engine is an extension for; ``Manifest.toml`` stands among the versions."""
    versions, reason = find()
    if reason or not wanted:
        return versions, reason
    if tuple(int(part) for part in re.findall(r"\d+", versions["julia"])[:2]) < OLDEST_WITH_EXTENSIONS:
        needed = _dotted(OLDEST_WITH_EXTENSIONS)
        return versions, f"Julia {versions['julia']} has no package extensions; {needed} or newer is needed"
    here = packages()
    if here.broken:
        return versions, f"Julia {versions['julia']} {_UNTOLD}: {here.broken}"
    missing = [name for name in wanted if name not in here.versions]
    if missing:
        return versions, f"Julia package {' and '.join(missing)} not installed"
    versions |= {name: here.versions[name] for name in wanted}
    return versions | ({"Manifest.toml": here.manifest} if here.manifest else {}), ""


#: Prints the folder of the active project, a hash of its manifest, and the versions of the packages named by the arguments.
_ASK = r"""
project = Base.active_project()
project === nothing || println("project ", dirname(project))
for name in ARGS
    found = Base.find_package(name)
    found === nothing && continue
    text = read(joinpath(dirname(dirname(found)), "Project.toml"), String)
    version = match(r"^version *= *\"(.*)\""m, text)
    println("package ", name, " ", version === nothing ? "unknown" : version.captures[1])
end
"""

#: All that anything here asks for, so that one start of Julia answers for all of its runtimes.
_ASKED = ("Flux", "ONNXRunTime", "PythonCall")


def packages() -> Packages:
    """What the environment that Julia starts in holds of what the harness can use."""
    julia = shutil.which("julia")
    return (
        _packages(julia, os.environ.get("JULIA_PROJECT", ""), os.environ.get("JULIA_DEPOT_PATH", ""))
        if julia
        else Packages()
    )


@cache
def _packages(julia: str, _project: str, _depots: str) -> Packages:
    try:
        done = subprocess.run(
            [julia, "--startup-file=no", "--history-file=no", "-e", _ASK, *_ASKED],
            capture_output=True,
            text=True,
            timeout=60,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Packages(broken=str(error))
    if done.returncode:
        return Packages(broken=(done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[0])
    project, versions = "", {}
    for line in done.stdout.splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "project":
            project = rest
        elif kind == "package":
            name, _, version = rest.partition(" ")
            versions[name] = version
    manifest = ""
    with contextlib.suppress(OSError):
        manifest = "sha256:" + hashlib.sha256((Path(project) / "Manifest.toml").read_bytes()).hexdigest()[:16]
    return Packages(versions, project, manifest)


def resolves_by_itself() -> bool:
    """Whether juliacall was asked for where it has to find its Julia packages itself.

    That is a project of the user's own (``PYTHON_JULIACALL_PROJECT``), or none with PythonCall: then juliacall makes one
    of what ``harness/juliapkg.json`` declares, which takes a network and minutes the first time. What it lacks, it says
    itself.
    """
    if os.environ.get(HOST_VARIABLE) != "juliacall" or importlib.util.find_spec("juliacall") is None:
        return False
    return bool(os.environ.get("PYTHON_JULIACALL_PROJECT")) or "PythonCall" not in packages().versions


def juliacall_broken() -> str:
    """Why juliacall cannot host the Julia on the path, or nothing."""
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
    """What juliacall reads: the Julia on the path and its environment, so that nothing is resolved or downloaded."""
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


def package(sources: str, extended: tuple[str, ...] = ()) -> tuple[Path, Path]:
    """A copy of ``native/julia``, whose hash is ``sources``, and the depot of what Julia compiled of it.

    ``extended``: packages that it is compiled beside, for its extensions. Both are made first where they are not there
    yet. Raises WorkerError with the last lines of Julia where that fails.
    """
    original = native_folder() / "julia"
    julia = shutil.which("julia")
    if julia is None:
        raise WorkerError("julia is not on the path", hint="install Julia, or leave julia/... out of the targets")
    home = cache_folder() / f"julia-{_short_hash(f'{sources} {Path(julia).resolve()} {_version(julia)}')}"
    project, depot = home / "PlainONNX", home / "depot"
    beside = f"{extended} {packages().manifest} {packages().versions}" if extended else ""
    compiled = home / (f"compiled-{_short_hash(beside)}" if extended else "compiled")
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


def _short_hash(identity: str) -> str:
    return hashlib.sha256(identity.encode()).hexdigest()[:16]
