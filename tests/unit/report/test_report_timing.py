"""The report's section on timing: only where something was timed, and in no other place."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from fixture import write_results

from harness.errors import DataError
from harness.report.build import build_report


def timings(scale: float = 1.0) -> dict:
    def process(seed: int, slow: float) -> dict:
        random = np.random.default_rng(seed)
        return {
            "start_seconds": 0.5 * slow,
            "load_seconds": 0.02,
            "resident_peak_bytes": 123_456_789,
            "threads": {"torch intra-op": 1},
            "echo": [{"bytes": 1000, "round_trips": [0.001]}, {"bytes": 8_000_000, "round_trips": [0.02]}],
            "batches": [
                {
                    "batch_size": size,
                    "calls": 2,
                    "first_seconds": 0.1,
                    "first_cpu_seconds": 0.1,
                    "seconds": (slow * scale * size * random.uniform(0.9e-3, 1.1e-3, 30)).tolist(),
                    "cpu_seconds": (slow * scale * size * random.uniform(0.9e-3, 1.1e-3, 30)).tolist(),
                }
                for size in (1, 64)
            ],
        }

    def timed(label: str, runtime: str, slow: float) -> dict:
        processes = [process(seed, slow) for seed in range(3)]
        return {"label": label, "runtime": runtime, "measurement": {"threads": 1, "processes": processes}}

    return {
        "reference": "the source in its own framework, pytorch",
        "timed": [
            timed("source (pytorch)", "python/pytorch", 1.0),
            timed("r/base via torch-script", "r/base", 3.0),
            {"label": "r/torch via torch-script", "runtime": "r/torch", "error": "r/torch: no such package"},
        ],
    }


@pytest.fixture
def timed_folder(tmp_path: Path) -> Path:
    folder = write_results(tmp_path / "timed")
    (folder / "timings.json").write_text(json.dumps(timings()))
    return folder


def test_the_table_sets_runtimes_beside_the_source_with_intervals(timed_folder, draw_only):
    draw_only()
    build_report(timed_folder)
    rows = list(csv.DictReader((timed_folder / "tables" / "timings.csv").open()))
    assert [(row["what"], row["batch_size"]) for row in rows] == [
        ("source (pytorch)", "1"),
        ("source (pytorch)", "64"),
        ("r/base via torch-script", "1"),
        ("r/base via torch-script", "64"),
    ]
    assert rows[0]["ratio"] == ""
    assert float(rows[2]["ratio_low"]) <= float(rows[2]["ratio"]) <= float(rows[2]["ratio_high"])
    assert float(rows[2]["ratio"]) == pytest.approx(3.0, rel=0.05)
    assert float(rows[1]["samples_per_second"]) == pytest.approx(1000, rel=0.05)
    assert {row["repeats"] for row in rows} == {"90"}
    assert {row["processes"] for row in rows} == {"3"}
    costs = list(csv.DictReader((timed_folder / "tables" / "timing_costs.csv").open()))
    assert float(costs[1]["start_seconds"]) == 1.5
    assert float(costs[0]["bridge_megabyte_seconds"]) == pytest.approx(0.019 / 7.999)


def test_the_section_says_under_what_conditions_and_that_it_differs_from_run_to_run(timed_folder, draw_only):
    draw_only("timing_by_batch_size")
    text = build_report(timed_folder).markdown.read_text()
    section = text.partition("\n## Timing\n")[2].partition("\n## ")[0]
    for said in ("3 fresh processes", "90 repeats", "1 thread", "cores", "differ from run to run", "95 %"):
        assert said in section, said
    assert "r/torch via torch-script was not timed: r/torch: no such package" in section
    assert "timing\\_by\\_batch\\_size" in section or "timing_by_batch_size.png" in section


@pytest.mark.slow
def test_timings_reach_nothing_but_their_own_tables_figure_and_the_pages(timed_folder):
    report = build_report(timed_folder)
    files = (*report.tables, *report.figures, *report.texts)
    before = {path: path.read_bytes() for path in files}
    (timed_folder / "timings.json").write_text(json.dumps(timings(2.0)))
    build_report(timed_folder)
    differ = {path.name for path, content in before.items() if path.read_bytes() != content}
    assert differ == {"timings.csv", "timing_by_batch_size.png", "timing_by_batch_size.svg"}


@pytest.mark.slow
def test_equal_timings_give_equal_bytes(timed_folder):
    report = build_report(timed_folder)
    before = {path: path.read_bytes() for path in (report.html, report.markdown, *report.tables, *report.figures)}
    build_report(timed_folder)
    assert before == {path: path.read_bytes() for path in before}


@pytest.mark.slow
def test_without_timings_there_is_no_section_and_nothing_is_left_of_an_earlier_one(timed_folder, draw_only):
    draw_only("timing_by_batch_size")
    build_report(timed_folder)
    (timed_folder / "timings.json").unlink()
    report = build_report(timed_folder)
    assert "\n## Timing\n" not in report.markdown.read_text()
    for left in ("tables/timings.csv", "tables/timing_costs.csv", "figures/timing_by_batch_size.png"):
        assert not (timed_folder / left).exists()


@pytest.mark.parametrize("content", ["[]", "{", '{"reference": "x", "timed": []}', '{"reference": "x"}'])
def test_damaged_timings_are_refused_by_file(timed_folder, content):
    (timed_folder / "timings.json").write_text(content)
    with pytest.raises(DataError) as error:
        build_report(timed_folder)
    assert "timings.json" in str(error.value.where)


def test_a_report_can_be_made_where_nothing_could_be_timed(timed_folder, draw_only):
    draw_only("timing_by_batch_size")
    document = timings()
    for part in document["timed"]:
        part.pop("measurement", None)
        part["error"] = "it hung"
    (timed_folder / "timings.json").write_text(json.dumps(document))
    text = build_report(timed_folder).markdown.read_text()
    assert "was not timed: it hung" in text
    assert not (timed_folder / "figures" / "timing_by_batch_size.png").exists()
