"""Runtimes in Python: the harness's own interpreter, or that of an environment of the runtime."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import os
import sys
from pathlib import Path

from harness.files.cache import cache_folder
from harness.runtimes.language import Language, Sources
from harness.runtimes.locked_environment import LOCK_NAME, LockedEnvironment
from harness.runtimes.resolution import CUDA_VARIABLE
from harness.runtimes.reticulate import without_search_paths
from harness.runtimes.row import Availability, Runtime
from harness.runtimes.tooling import Package, python_packages, site_packages

#: Distributions that bring a module under other names than its own.
DISTRIBUTIONS = {"tensorflow": ("tensorflow", "tensorflow-cpu")}

_PACKAGE = Path(__file__).resolve().parents[1]


class Python(Language):
    """Engines whose worker is :mod:`harness.workers.serve`."""

    name = "python"

    def availability(self, row: Runtime) -> Availability:
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

    def host_of(self, row: Runtime) -> str:
        """See Language."""
        return row.host

    def lacks_environment(self, row: Runtime) -> bool:
        """See Language."""
        return row.environment is not None and not row.environment.made

    def command(self, row: Runtime) -> list[str]:
        """See Language."""
        if row.environment is not None:
            # -P: what lies in the current folder is not the environment's.
            return [interpreter(row), "-P", "-m", "harness.workers.serve", row.base, row.worker]
        return [interpreter(row), "-m", "harness.workers.serve", row.name, row.worker]

    def variables(self, row: Runtime, inherited: dict[str, str], threads: int) -> dict[str, str]:
        """See Language."""
        if row.environment is not None:
            return without_search_paths(inherited) | {"PYTHONPATH": str(package_alone())}
        return inherited | {"PYTHONPATH": search_path(inherited)}

    def packages(self, row: Runtime) -> list[Package]:
        """See Language."""
        # Of the distributions that bring a package, those that are not here are passed over.
        names = [name for package in row.packages for name in DISTRIBUTIONS.get(package, (package,))]
        return python_packages(names, None if row.environment is None else site_packages(row.environment.python))

    def sources(self, row: Runtime) -> Sources:
        """See Language."""
        native = () if row.framework is None else (row.framework.native,)
        return Sources(("harness.workers.serve", row.worker), native)


def interpreter(row: Runtime) -> str:
    """The Python that runs a worker: that of the runtime's environment, or the harness's own."""
    return sys.executable if row.environment is None else str(row.environment.python)


def search_path(variables: dict[str, str]) -> str:
    """``PYTHONPATH`` for a worker of the harness's own Python: the harness, then what is inherited."""
    inherited = variables.get("PYTHONPATH")
    return os.pathsep.join([str(_PACKAGE.parent), inherited] if inherited else [str(_PACKAGE.parent)])


def package_alone() -> Path:
    """A folder that holds the harness and nothing else: another Python must not see the packages installed beside it."""
    folder = cache_folder() / f"package-{hashlib.sha256(str(_PACKAGE).encode()).hexdigest()[:16]}"
    link = folder / _PACKAGE.name
    if not link.is_symlink():
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            link.symlink_to(_PACKAGE, target_is_directory=True)
    return folder


def distribution_version(package: str) -> str | None:
    """The version of the installed distribution that brings a module, or None."""
    for distribution in DISTRIBUTIONS.get(package, (package,)):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return importlib.metadata.version(distribution)
    return None


def _in_environment(row: Runtime, environment: LockedEnvironment) -> Availability:
    if not environment.made:
        not_yet = "its environment is not made yet, which the first run that names it does"
        consent = f"python -m harness prepare --allow-cuda {row.name}"
        install = consent if CUDA_VARIABLE in environment.not_made else row.install
        return Availability(False, {}, environment.not_made or not_yet, install)
    locked = environment.packages
    versions = {"python": ".".join(str(part) for part in sys.version_info[:3])}
    for package in row.packages:
        names = DISTRIBUTIONS.get(package, (package,))
        versions[package] = next((locked[name] for name in names if name in locked), "unknown")
    return Availability(True, versions | {LOCK_NAME: environment.lock_hash})
