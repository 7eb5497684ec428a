"""What has to be installed for a runtime: Python distributions, those that they require, and their size on the disk.

Facts of the machine, read from what package managers wrote down; no framework is imported, and nothing is downloaded.
Packages of other languages are listed by the file of their language.
"""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Package:
    """One installed package; ``bytes`` is None where its files are not listed. ``direct``: asked for by the runtime itself."""

    name: str
    version: str
    language: str
    bytes: int | None
    direct: bool


def sorted_packages(found: Iterable[Package]) -> list[Package]:
    """By language, then by name without regard to case."""
    return sorted(found, key=lambda package: (package.language, package.name.lower()))


def site_packages(python: Path) -> list[str] | None:
    """The folders that hold the packages of a Python; None for the harness's own."""
    if python.absolute() == Path(sys.executable).absolute():
        return None
    return [str(folder) for folder in sorted(python.absolute().parent.parent.glob("lib/python3*/site-packages"))]


def python_packages(names: Iterable[str], path: Sequence[str] | None = None) -> list[Package]:
    """Python distributions and all they require here, without extras; ``path``: where, by default on the search path.

    Sizes are those that their ``RECORD`` lists: compiled caches are not part of it.
    """
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
