"""What a runtime asks of those who want to use it, in tables and pages."""

import json

import pytest
from fixture import FOLDED, SCRIPT, UNFOLDED

from harness.errors import DataError
from harness.report.build import build_report
from harness.report.read import read_results
from harness.report.tables.tooling_tables import tooling_page_table, tooling_seconds_table, tooling_table


def rows(table):
    return {row["runtime"]: row for row in table.rows}


def test_packages_sizes_conversions_and_warnings_are_counted(results):
    found = rows(tooling_table(results))
    torch = found["python/pytorch"]
    assert (torch["package_count"], torch["bytes"], torch["direct"]) == (2, 724_700_000, "torch 2.13.0")
    assert torch["dependencies"] == ["sympy 1.14.0"]
    # Only the source's own file was given to it.
    assert (torch["conversions"], torch["routes"], torch["exporter_warnings"]) == (0, "safetensors", None)
    base = found["r/base"]
    assert base["direct"] == "R: jsonlite 1.8.4; Python: rpy2-rinterface 3.6.5"
    # A size that is not known is not a size of nothing.
    assert base["bytes"] == 520_000
    assert (base["conversions"], base["routes"], base["exporter_warnings"]) == (1, "3 routes", 1)
    assert results.manifest.exports.keys() == {FOLDED, UNFOLDED, SCRIPT}


def test_what_is_not_known_is_left_open(results):
    found = rows(tooling_table(results))
    assert found["julia/base"]["installed"] is False
    assert found["python/onnx-reference"]["package_count"] is None
    assert found["python/onnx-reference"]["bytes"] is None


def test_what_differs_from_run_to_run_is_in_a_table_of_its_own(results):
    stable = {column.key for column in tooling_table(results).columns}
    assert not stable & {"start_seconds", "worker_warnings", "starts"}
    found = rows(tooling_seconds_table(results))
    assert found["python/pytorch"] == {
        "runtime": "python/pytorch",
        "starts": 2,
        "start_seconds": 1.5,
        "worker_warnings": 4,
    }
    page = rows(tooling_page_table(results))
    assert (page["python/pytorch"]["start_seconds"], page["python/pytorch"]["bytes"]) == (1.5, 724_700_000)
    assert "start_seconds" not in page["python/onnxruntime"]


def test_the_report_shows_them_and_every_warning_word_by_word(report):
    page = report.html.read_text()
    assert "Tooling effort by runtime." in page
    assert "725 MB" in page
    assert "UserWarning: &lt;deprecated&gt; &amp; gone (3 times)" in page
    assert "## Tooling effort" in report.markdown.read_text()
    latex = next(path for path in report.texts if path.name == "tooling.tex").read_text()
    assert "jsonlite 1.8.4" in latex
    assert "julia/base" not in latex
    assert (
        (report.html.parent / "tables" / "tooling_seconds.csv").read_text().startswith("runtime,starts,start_seconds")
    )


def test_damaged_files_are_refused_by_name(folder):
    (folder / "workers.json").write_text(json.dumps({"r/base": {"starts": "often"}}))
    with pytest.raises(DataError, match="was written by another version"):
        build_report(folder)
    (folder / "workers.json").unlink()
    with pytest.raises(DataError, match="result file is missing"):
        read_results(folder)
