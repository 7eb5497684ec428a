"""Julia on this machine: the version on the path, whether it works, and the packages of its environment."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import signal
import subprocess
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from harness.files.cache import cache_folder
from harness.runtimes.table import RUNTIMES

#: The oldest Julia that ``native/julia`` runs on, and the oldest that has package extensions.
OLDEST = (1, 5)
OLDEST_WITH_EXTENSIONS = (1, 9)

#: The message for an environment that Julia cannot read.
UNREADABLE = "does not tell what its environment holds"


@dataclass(frozen=True)
class Packages:
    """The environment that Julia starts in: versions by package, the folder of its ``Project.toml``, its manifest's hash.

    ``broken``: why Julia could not read it; empty where it could.
    """

    versions: dict[str, str] = field(default_factory=dict)
    project: str = ""
    manifest: str = ""
    broken: str = ""


def find() -> tuple[dict[str, str], str]:
    """The version of the Julia on the path, and why it cannot be used (empty where it can).

    Julia is started the first time only."""
    julia = shutil.which("julia")
    if julia is None:
        return {}, "julia is not on the path"
    said = version_line(julia)
    found = re.search(r"\b(\d+)\.(\d+)\.\d+\S*", said)
    if found is None:
        return {}, f"julia does not say its version but '{said}'"
    versions = {"julia": found[0]}
    if (int(found[1]), int(found[2])) < OLDEST:
        return versions, f"Julia {found[0]} is too old; {dotted(OLDEST)} or newer is needed"
    broken = _broken(julia)
    return versions, f"Julia {found[0]} {broken}" if broken else ""


def dotted(version: tuple[int, int]) -> str:
    """``1.9`` of (1, 9)."""
    return ".".join(str(part) for part in version)


def find_packages(wanted: tuple[str, ...]) -> tuple[dict[str, str], str]:
    """As :func:`find`, with the packages that an engine needs; the hash of ``Manifest.toml`` is among the versions."""
    versions, reason = find()
    if reason or not wanted:
        return versions, reason
    if tuple(int(part) for part in re.findall(r"\d+", versions["julia"])[:2]) < OLDEST_WITH_EXTENSIONS:
        needed = dotted(OLDEST_WITH_EXTENSIONS)
        return versions, f"Julia {versions['julia']} has no package extensions; {needed} or newer is needed"
    here = packages()
    if here.broken:
        return versions, f"Julia {versions['julia']} {UNREADABLE}: {here.broken}"
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


def wanted_packages() -> tuple[str, ...]:
    """All packages that rows of the table or juliacall need, so that Julia is started once for all of them."""
    rows = (row for row in RUNTIMES.values() if row.language == "julia")
    return tuple(sorted({"PythonCall", *(package for row in rows for package in row.packages)}))


def packages() -> Packages:
    """Those packages of the environment that Julia starts in that the harness can use."""
    julia = shutil.which("julia")
    return (
        _packages(julia, wanted_packages(), os.environ.get("JULIA_PROJECT", ""), os.environ.get("JULIA_DEPOT_PATH", ""))
        if julia
        else Packages()
    )


@cache
def _packages(julia: str, asked: tuple[str, ...], _project: str, _depots: str) -> Packages:
    try:
        done = subprocess.run(
            [julia, "--startup-file=no", "--history-file=no", "-e", _ASK, *asked],
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


@cache
def version_line(julia: str) -> str:
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
    """What is wrong with a Julia that prints its version; empty where it works, which is recorded on disk.

    Debian 11's Julia on a newer Debian finds a libunwind that does not fit it: it crashes when an exception is thrown.
    """
    binary = Path(julia).resolve()
    identity = f"{binary} {binary.stat().st_mtime_ns} {version_line(julia)} {os.environ.get('LD_LIBRARY_PATH')}"
    works = cache_folder() / f"julia-works-{short_hash(identity)}"
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


def short_hash(identity: str) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of a text."""
    return hashlib.sha256(identity.encode()).hexdigest()[:16]
