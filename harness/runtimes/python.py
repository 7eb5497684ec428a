"""Runtimes in Python: which distributions bring their packages, and in which versions those are installed."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import sys

from harness.runtimes.locked_environment import LOCK_NAME, LockedEnvironment
from harness.runtimes.resolution import CUDA_VARIABLE
from harness.runtimes.row import Availability, Runtime

#: Distributions that bring a module under other names than its own.
DISTRIBUTIONS = {"tensorflow": ("tensorflow", "tensorflow-cpu")}


def distribution_version(package: str) -> str | None:
    """The version of the installed distribution that brings a module, or None."""
    for distribution in DISTRIBUTIONS.get(package, (package,)):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return importlib.metadata.version(distribution)
    return None


def availability(row: Runtime) -> Availability:
    """Whether a runtime's packages are there, found out without importing any of them; no environment is made."""
    if row.environment is not None:
        return _in_environment(row, row.environment)
    versions = {"python": ".".join(str(part) for part in sys.version_info[:3])}
    missing = []
    for package in row.packages:
        version = distribution_version(package)
        if version is None or importlib.util.find_spec(package) is None:
            missing.append(package)
        else:
            versions[package] = version
    if missing:
        return Availability(False, versions, f"Python package {' and '.join(missing)} not installed", row.install)
    return Availability(True, versions)


def _in_environment(row: Runtime, environment: LockedEnvironment) -> Availability:
    if not environment.made:
        not_yet = "its environment is not made yet, which the first run that names it does"
        consent = f"python -m harness prepare --allow-cuda {row.name}"
        install = consent if CUDA_VARIABLE in environment.not_made else row.install
        return Availability(False, {}, environment.not_made or not_yet, install)
    held = environment.packages
    versions = {"python": ".".join(str(part) for part in sys.version_info[:3])}
    for package in row.packages:
        names = DISTRIBUTIONS.get(package, (package,))
        versions[package] = next((held[name] for name in names if name in held), "unknown")
    return Availability(True, versions | {LOCK_NAME: environment.lock_hash})
