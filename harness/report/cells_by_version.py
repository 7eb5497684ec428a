"""Which cells differ in nothing but a version: of the runtime that opened a file, or of the framework that exported it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from harness.compare.records import CellResult
from harness.report.read import Results
from harness.report.result_files.timings import Timings
from harness.version_names import sort_key, split

#: A route's label with a version: ``torch-script@2.8-opset17-folded``.
_ROUTE = re.compile(r"([^@]+)@([a-z0-9.+]+)(.*)")


@dataclass(frozen=True)
class Place:
    """Where something stands among versions.

    ``software``: what the version is of; ``line``: what is the same for all its versions, in words for legends.
    """

    software: str
    version: str
    line: str


def place(target: str, route_label: str, source: str) -> Place | None:
    """The place of a cell or a timing; None where nothing in it has a version. That of a target goes before a route's."""
    base, version = split(target)
    if version:
        return Place(base, version, f"via {route_label}" if route_label else base)
    if (found := _ROUTE.fullmatch(route_label)) is not None:
        return Place(f"{split(source)[0]}, exporting", found[2], f"{target} via {found[1]}{found[3]}")
    return None


def placed(results: Results) -> list[tuple[Place, CellResult]]:
    """The cells that have a place, ordered by software, line and version."""
    found = [(where, cell) for cell in results.cells if (where := place(cell.target, cell.route_label, cell.source))]
    return sorted(found, key=lambda pair: (pair[0].software, pair[0].line, sort_key(pair[0].version)))


def timed(timings: Timings | None, source: str) -> list[tuple[Place, str]]:
    """Places and labels of what was timed, in the same order."""
    parts = () if timings is None else timings.timed
    found = [(where, part.label) for part in parts if (where := place(part.runtime, part.route_label, source))]
    return sorted(found, key=lambda pair: (pair[0].software, pair[0].line, sort_key(pair[0].version)))


def of_software(places: Iterable[Place]) -> dict[str, list[str]]:
    """Versions by software, both in order."""
    everything = list(places)
    return {
        software: sorted({where.version for where in everything if where.software == software}, key=sort_key)
        for software in sorted({where.software for where in everything})
    }


def lines_of(places: Iterable[Place], software: str) -> list[str]:
    """The lines of one software, in order."""
    return sorted({where.line for where in places if where.software == software})
