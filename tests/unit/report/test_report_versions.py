"""The report of one thing in several versions: from result files alone, and only where a cell names a version."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import fixture
import pytest
from fixture import SCRIPT, cell_name, cells, write_results
from test_report_timing import timings

from harness.compare.records import Verdict
from harness.report.build import build_report
from harness.report.cells_by_version import Place, of_software, place

VERSIONS = ("1.9", "1.15", "1.31")


@pytest.mark.parametrize(
    ("target", "route", "expected"),
    [
        ("python/onnxruntime@1.15", SCRIPT, Place("python/onnxruntime", "1.15", f"via {SCRIPT}")),
        (
            "python/onnxruntime",
            "torch-script@2.8-opset17-folded",
            Place("pytorch, exporting", "2.8", "python/onnxruntime via torch-script-opset17-folded"),
        ),
        (
            "python/onnxruntime@1.15",
            "torch-script@2.8-opset17-folded",
            Place("python/onnxruntime", "1.15", "via torch-script@2.8-opset17-folded"),
        ),
        ("r/base", SCRIPT, None),
        ("python/onnxruntime@1.15", "", Place("python/onnxruntime", "1.15", "python/onnxruntime")),
    ],
)
def test_what_is_the_same_and_what_varies(target: str, route: str, expected: Place | None) -> None:
    assert place(target, route, "pytorch@2.9") == expected


def test_versions_stand_in_the_order_of_their_numbers() -> None:
    places = [Place("a", "1.31", "x"), Place("a", "1.9", "x"), Place("a", "1.15", "y"), Place("b", "2", "x")]
    assert of_software(places) == {"a": ["1.9", "1.15", "1.31"], "b": ["2"]}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The made-up results with one of their cells in three versions more: refused, drifted and fine."""
    model = next(cell for cell in cells() if cell.runtime_comparison and cell.decisions)
    refused = next(cell for cell in cells() if cell.verdict is Verdict.UNSUPPORTED)
    some = []
    for version, like in zip(VERSIONS, (refused, model, model), strict=True):
        target = f"python/onnxruntime@{version}"
        some.append(like.model_copy(update={"target": target, "cell": cell_name(like.route_label, target)}))
    some[1] = some[1].model_copy(update={"verdict": Verdict.DRIFTED, "versions": {"onnxruntime": "1.15.1"}})
    monkeypatch.setattr(fixture, "cells", lambda: [*cells(), *some])
    return write_results(tmp_path / "versions")


def test_the_table_and_the_figure_tell_verdict_and_error_by_version(
    folder: Path, draw_only: Callable[..., None]
) -> None:
    draw_only("versions", "timing_by_version")
    build_report(folder)
    rows = list(csv.DictReader((folder / "tables" / "versions.csv").open()))
    assert {(row["version"], row["verdict"]) for row in rows} == {
        ("1.9", "unsupported"),
        ("1.15", "drifted"),
        ("1.31", "identical"),
    }
    by_version = {row["version"]: row for row in rows}
    assert by_version["1.9"]["rms_ratio"] == ""
    assert by_version["1.9"]["reason"]
    assert float(by_version["1.15"]["rms_ratio"]) > 0
    assert by_version["1.15"]["installed"] == "onnxruntime 1.15.1"
    assert (folder / "figures" / "versions.png").stat().st_size > 5000
    assert not (folder / "figures" / "timing_by_version.png").exists()
    page = (folder / "report.md").read_text()
    assert "## Versions" in page
    assert "3 versions of python/onnxruntime" in page


def test_timings_are_drawn_by_version_where_there_are_some(folder: Path, draw_only: Callable[..., None]) -> None:
    draw_only("timing_by_version")
    found = timings()
    named = {"label": "python/onnxruntime@1.15 via x", "runtime": "python/onnxruntime@1.15", "route_label": "x"}
    found["timed"].append({**found["timed"][1], **named})
    (folder / "timings.json").write_text(json.dumps(found))
    build_report(folder)
    assert (folder / "figures" / "timing_by_version.png").exists()
    assert "python/onnxruntime, 64 samples per call" not in (folder / "report.md").read_text()


@pytest.mark.slow
def test_two_builds_give_the_same_bytes(folder: Path, draw_only: Callable[..., None]) -> None:
    draw_only("versions")
    build_report(folder)
    first = [(folder / "figures" / f"versions.{suffix}").read_bytes() for suffix in ("png", "svg")]
    build_report(folder)
    assert [(folder / "figures" / f"versions.{suffix}").read_bytes() for suffix in ("png", "svg")] == first


@pytest.mark.slow
def test_without_versions_there_is_neither_section_nor_table_nor_figure(
    tmp_path: Path, draw_only: Callable[..., None]
) -> None:
    draw_only("versions")
    plain = write_results(tmp_path / "plain")
    (plain / "tables").mkdir()
    (plain / "tables" / "versions.csv").write_text("left by an earlier run")
    build_report(plain)
    assert not (plain / "tables" / "versions.csv").exists()
    assert not (plain / "figures" / "versions.png").exists()
    assert "## Versions" not in (plain / "report.md").read_text()
