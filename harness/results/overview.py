"""A scenario with several frameworks: a source of its own from each, with results of its own, and an overview of all.

Weights that were trained in another framework are another training, so that nothing but verdicts may share a table.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.compare.records import CellResult
from harness.files.atomic import to_json, write_atomically
from harness.files.disk_errors import explained
from harness.report.overview import SOURCES, MissingPart, SourcePart, Sources, build_overview
from harness.scenario.sections import Scenario


def write_overview(folder: Path, scenario: Scenario, missing: Mapping[str, MissingPart]) -> list[CellResult]:
    """Write ``sources.json`` and the overview of the results below ``folder``; returns the cells of all sources."""
    sources = Sources(
        name=scenario.scenario,
        title=scenario.title,
        description=scenario.description,
        sources=tuple(
            SourcePart(framework=name, folder=name, missing=missing.get(name))
            for name in scenario.source.all_frameworks
        ),
    )
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / SOURCES, to_json(sources.model_dump(mode="json")))
    return build_overview(folder)
