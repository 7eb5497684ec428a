"""The overview of several sources, from made-up result files."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from harness.errors import DataError
from harness.report.overview import build_overview, read_sources
from harness.results.scenario_run import rebuild_report


@pytest.fixture
def several(written: Path, tmp_path: Path) -> Path:
    """Two sources with results, and one whose framework is not installed."""
    folder = tmp_path / "several"
    for name in ("pytorch", "keras-torch"):
        shutil.copytree(written, folder / name)
        cells: list[dict[str, Any]] = json.loads((folder / name / "cells.json").read_text())
        for cell in cells:
            cell["source"] = name
        (folder / name / "cells.json").write_text(json.dumps(cells))
    missing = {"error": "the package <keras> is missing", "hint": "install it with: pip", "unavailable": True}
    sources = [{"framework": name, "folder": name, "missing": None} for name in ("pytorch", "keras-torch")]
    sources.append({"framework": "keras-tensorflow", "folder": "keras-tensorflow", "missing": missing})
    document = {"name": "several", "title": "Three & more", "description": "", "sources": sources}
    (folder / "sources.json").write_text(json.dumps(document))
    return folder


def test_every_verdict_stands_in_one_table_and_every_report_is_linked(several: Path) -> None:
    cells = build_overview(several)
    with (several / "tables" / "verdicts.csv").open() as file:
        rows = list(csv.DictReader(file))
    found = {
        (row["source"], row["route"], target): verdict
        for row in rows
        for target, verdict in row.items()
        if target not in ("source", "route") and verdict
    }
    assert found == {(cell.source, cell.route_label, cell.target): cell.verdict.value for cell in cells}
    assert {source for source, _, _ in found} == {"pytorch", "keras-torch"}
    page = (several / "report.html").read_text()
    assert '<a href="keras-torch/report.html">' in page
    assert "keras-tensorflow/report.html" not in page
    assert "the package &lt;keras&gt; is missing; install it with: pip" in page
    assert "all others belong to the reports of the sources" in page
    assert not (several / "figures").exists()
    text = (several / "report.md").read_text()
    assert "Each source is a training of its own" in text
    with (several / "tables" / "trainings.csv").open() as file:
        assert [row["source"] for row in csv.DictReader(file)] == ["pytorch", "keras-torch"]


@pytest.mark.slow
def test_equal_files_give_equal_bytes_and_the_reports_below_are_made_again(several: Path) -> None:
    build_overview(several)
    before = [(several / name).read_bytes() for name in ("report.md", "report.html", "tables/cells.csv")]
    cells = rebuild_report(several)
    assert [(several / name).read_bytes() for name in ("report.md", "report.html", "tables/cells.csv")] == before
    assert (several / "pytorch" / "report.html").exists()
    assert len(cells) == 2 * len(json.loads((several / "pytorch" / "cells.json").read_text()))


def test_a_damaged_list_of_sources_is_told(several: Path) -> None:
    (several / "sources.json").write_text('{"name": "several"')
    with pytest.raises(DataError, match=r"sources.json: cannot be read; run the scenario again"):
        build_overview(several)


def test_a_folder_of_one_source_has_none(written: Path) -> None:
    assert read_sources(written) is None
