"""What a reader needs to repeat a number: versions, hardware, sources. No times, no dates, no user names, no paths."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

import harness
from harness.files.digests import file_hash
from harness.files.source_hash import source_hash

_PACKAGE = Path(__file__).resolve().parents[1]

#: Packages of the harness process itself that numbers depend on.
_LIBRARIES = ("h5py", "matplotlib", "numpy", "pandas", "pydantic", "safetensors")


def hardware() -> dict[str, Any]:
    """Processor, number of cores, memory in GiB (rounded) and operating system."""
    import psutil

    return {
        "processor": _processor(),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "operating_system": _operating_system(),
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _operating_system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return f"{platform.system()} {platform.release()}"


def library_versions() -> dict[str, str]:
    """Versions of Python and of the libraries that the harness process computes with."""
    versions = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def harness_version() -> dict[str, str]:
    """Version of the harness and the hash of its sources, so that a changed checkout shows."""
    return {"version": harness.__version__, "source_sha256": package_hash()}


def package_hash() -> str:
    """SHA-256 over all sources of the harness in Python, with the templates of its reports."""
    return source_hash(_PACKAGE, (".py", ".j2", ".html", ".md", ".css"))


def lock_hash() -> str | None:
    """SHA-256 of the lock file, where the harness runs from a checkout that has one."""
    lock = _PACKAGE.parent / "requirements.lock"
    return file_hash(lock) if lock.is_file() else None
