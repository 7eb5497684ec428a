"""Resolution of requirements by pip: versions with their hashes, or one line that says why none fit."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UnavailableError

#: Seconds that one call of pip may take: PyTorch with CUDA has several gigabytes.
LIMIT = 3600.0

#: Environment variable that allows packages with CUDA in environments, if it is ``1``.
CUDA_VARIABLE = "HARNESS_ALLOW_CUDA"

_QUIETLY = ("--no-input", "--disable-pip-version-check", "--only-binary=:all:", "--timeout=15", "--retries=1")

#: Approximate bytes on the disk of large packages; every other package counts as ``_OTHER``.
_LARGE = {"torch": 0.9e9, "tensorflow": 1.9e9, "tensorflow-cpu": 1.2e9, "jaxlib": 0.4e9, "scipy": 0.1e9}
_OTHER = 0.02e9
#: Bytes on the disk of PyTorch with the CUDA libraries that its Linux builds require (2.8: 6.9 GB).
_WITH_CUDA = 7.0e9


@dataclass(frozen=True)
class Pin:
    """One distribution in one version; ``sha256`` of the file chosen for this platform, where pip reports it."""

    name: str
    version: str
    sha256: str = ""

    @property
    def line(self) -> str:
        """The line of a requirements file."""
        return f"{self.name}=={self.version}" + (f" --hash=sha256:{self.sha256}" if self.sha256 else "")

    @classmethod
    def read(cls, line: str) -> Pin:
        """From a line of a requirements file."""
        requirement, _, found = line.partition(" --hash=sha256:")
        name, _, version = requirement.partition("==")
        return cls(name.strip(), version.strip(), found.strip())


def platform() -> str:
    """The platform that files are chosen for: ``cp311 linux-x86_64``."""
    return f"cp{sys.version_info[0]}{sys.version_info[1]} {sysconfig.get_platform()}"


def resolve(asked: Sequence[str], constraints: Path | None, scratch: Path, what: str) -> list[Pin]:
    """The versions that pip chooses for requirements, by name; nothing is installed.

    ``what`` names the environment in errors. Raises UnavailableError where there is no such set.
    """
    report = scratch / "report.json"
    limited = [] if constraints is None else [f"--constraint={constraints}"]
    pip(["install", "--dry-run", "--ignore-installed", f"--report={report}", *limited, *asked], f"{what} resolved")
    chosen = json.loads(report.read_text(encoding="utf-8"))["install"]
    pins = [
        Pin(
            re.sub(r"[-_.]+", "-", entry["metadata"]["name"]).lower(),
            entry["metadata"]["version"],
            entry["download_info"].get("archive_info", {}).get("hashes", {}).get("sha256", ""),
        )
        for entry in chosen
    ]
    return sorted(pins, key=lambda pin: pin.name)


def pip(arguments: Sequence[str], what: str) -> None:
    """Run pip. Raises UnavailableError with ``what`` (subject and participle) and the useful line of pip's output."""
    command = [sys.executable, "-m", "pip", *arguments[:1], *_QUIETLY, *arguments[1:]]
    if arguments[0].startswith("-"):
        command = [sys.executable, "-m", "pip", *arguments[:3], *_QUIETLY, *arguments[3:]]
    run(command, what)


def run(command: Sequence[str], what: str) -> None:
    """Run a command that makes part of an environment. Raises UnavailableError with the useful line of its output."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"{_cannot(what)}: it took over {LIMIT:.0f} s") from None
    if done.returncode != 0:
        raise UnavailableError(f"{_cannot(what)}: {reason((done.stdout + done.stderr).splitlines())}")


def _cannot(what: str) -> str:
    subject, _, verb = what.rpartition(" ")
    return f"{subject} cannot be {verb}"


_NO_VERSION = re.compile(r"satisfies the requirement ([^ ]+).*\(from versions: (.*)\)")


def reason(lines: Iterable[str]) -> str:
    """The useful part of pip's output, as one line."""
    said = [line.strip() for line in lines if line.strip()]
    python = f"Python {sys.version_info[0]}.{sys.version_info[1]}"
    for line in said:
        if (found := _NO_VERSION.search(line)) is None:
            continue
        package, versions = found[1].removesuffix(".*").replace("==", " "), found[2].split(", ")
        if versions == ["none"]:
            return f"no package index that can be reached has {package} for {python} here"
        return f"there is no {package} for {python} here; there are {_span(versions)}"
    if any("ResolutionImpossible" in line for line in said) and "The conflict is caused by:" in said:
        start = said.index("The conflict is caused by:") + 1
        asked = [line.replace("The user requested ", "asked for ") for line in said[start : start + 12]]
        conflict = [line for line in asked if line.startswith("asked for ") or " depends on " in line]
        if conflict:
            return f"no set of versions fits: {'; '.join(dict.fromkeys(conflict))}"
    return next((line for line in reversed(said) if line.startswith("ERROR")), (said or ["no reason given"])[-1])


def _span(versions: Sequence[str]) -> str:
    return ", ".join(versions) if len(versions) < 9 else f"{', '.join(versions[:3])}, ... {', '.join(versions[-4:])}"


def check_size(pins: Sequence[Pin], folder: Path, what: str) -> None:
    """Raises UnavailableError where CUDA would be fetched without permission, or the disk has too little room."""
    cuda = [pin for pin in pins if pin.name.startswith(("nvidia-", "cuda-"))]
    if cuda and os.environ.get(CUDA_VARIABLE) != "1":
        raise UnavailableError(
            f"{_cannot(f'{what} made')}: its PyTorch comes with CUDA here (packages of NVIDIA: {len(cuda)}; "
            f"gigabytes to fetch and about {_WITH_CUDA / 1e9:.0f} GB on the disk), and nothing of it was installed; "
            f"let PIP_EXTRA_INDEX_URL name an index of CPU builds, or allow it by {CUDA_VARIABLE}=1"
        )
    needed = _WITH_CUDA if cuda else sum(_LARGE.get(pin.name, _OTHER) for pin in pins)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UnavailableError(
            f"{_cannot(f'{what} made')}: it takes about {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free at {folder}"
        )
