"""What a report says of tasks whose result file is ``scores.csv``."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixture import write_results

from harness import tasks
from harness.errors import DataError
from harness.files.atomic import write_atomically
from harness.report.contents import Contents
from harness.report.draw_figures import draw_figures
from harness.report.drawing.style import report_style
from harness.report.figures import predicted_true, score_per_part
from harness.report.methods import methods
from harness.report.read import Results, everyone, read_results
from harness.report.tables import score_tables
from harness.report.task_reports import report_of, tables_of_task
from harness.results.publish import table_content
from harness.tasks.base import Problem
from tests.unit.tasks.problems import LABELS, PIXELS, VALUES, samples

RANDOM = np.random.default_rng(4)
LABELS_TARGET = {"y": (RANDOM.random((60, 3)) < (0.7, 0.7, 0.05)).astype(np.int64)}
PIXELS_TARGET = {"y": RANDOM.integers(0, 3, (40, 4, 5)), "mask": RANDOM.random((40, 4, 5)) < 0.7}
VALUES_TARGET = {"y": RANDOM.normal(size=(50, 2)).astype(np.float32)}
OUTPUTS = {
    "multi-label": np.clip(LABELS_TARGET["y"] * 0.5 + RANDOM.random((60, 3)) * 0.6, 0, 1),
    "segmentation": np.moveaxis(np.eye(3)[PIXELS_TARGET["y"]], -1, 1) + RANDOM.normal(size=(40, 3, 4, 5)) * 0.6,
    "regression": VALUES_TARGET["y"] + RANDOM.normal(size=(50, 2)).astype(np.float32) * 0.2,
}
KNOWN: dict[str, tuple[Problem, dict[str, Any]]] = {
    "multi-label": (LABELS, LABELS_TARGET),
    "segmentation": (PIXELS, PIXELS_TARGET),
    "regression": (VALUES, VALUES_TARGET),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A folder of results of a task, with two runtimes of which the second is worse."""

    def make(name: str) -> Path:
        folder = write_results(tmp_path_factory.mktemp(name) / "unit-test")
        for file in ("predictions.csv.gz", "outputs_probe.csv.gz"):
            (folder / file).unlink()
        problem, target = KNOWN[name]
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest["model"]["task"] = name
        manifest["data"] |= {"counts": {"test": {"samples": 60}}, **problem.record}
        (folder / "manifest.json").write_text(json.dumps(manifest))
        answers = [("source", OUTPUTS[name]), ("r/base", OUTPUTS[name]), ("julia/base", OUTPUTS[name][::-1])]
        for file, rows in tasks.task(name).result_tables(problem, samples(**target), answers).items():
            write_atomically(folder / file, table_content(file, rows))
        return folder

    return make


@pytest.fixture(scope="module")
def read(made: Callable[[str], Path]) -> dict[str, Results]:
    return {name: read_results(made(name)) for name in KNOWN}


@pytest.mark.parametrize("name", [*KNOWN])
def test_the_tables_are_those_that_the_task_names(read: dict[str, Results], name: str) -> None:
    results = read[name]
    known = results.task
    assert known.name == name
    tables = tables_of_task(results, None)
    assert [table.name for table in tables] == list(known.tables) == ["scores", "scores_per_part"]
    assert [row["runner"] for row in tables[0].rows] == ["source", "r/base", "julia/base"]
    problem, target = KNOWN[name]
    assert {row["part"] for row in tables[1].rows} == set(problem.names)
    assert problem.output in tables[0].caption
    assert problem.output in tables[1].caption
    assert results.evaluated == len(target["y"])


def test_runtimes_that_score_the_same_are_one_group(read: dict[str, Results]) -> None:
    first, second = score_tables.score_groups(read["segmentation"])
    assert (first.runners, second.runners) == (("source", "r/base"), ("julia/base",))
    assert first.scores["iou", "maize"]["value"] > second.scores["iou", "maize"]["value"]


def test_the_source_and_the_cells_that_score_the_same_are_counted_apart(read: dict[str, Results]) -> None:
    """A cell is a route and a runtime: 22 answers may be those of seven runtimes."""
    results = read["segmentation"]
    first, second = score_tables.score_groups(results)
    two, three = (replace(first, runners=("source", *names)) for names in (("r/base",), ("r/base", "julia/base")))
    assert score_tables.group_notes(results, (two,)) == ("The source and its cell score the same.",)
    assert score_tables.group_notes(results, (three,)) == ("The source and all 2 cells score the same.",)
    assert score_tables.group_label(results, (three,), three) == "the source and all 2 cells"
    assert score_tables.group_notes(results, (replace(first, runners=("source",)),)) == ()
    assert score_tables.group_notes(results, (first, second))[1] == "B: julia/base."
    assert everyone(("r/base", "julia/base")) == "all 2 cells"


def test_a_label_of_few_samples_is_marked(read: dict[str, Results]) -> None:
    rows = {row["part"]: row for row in score_tables.per_part_page_table(read["multi-label"]).rows}
    assert set(rows) == {"oak", "pine", "birch †"}
    assert rows["birch †"]["support"] == LABELS_TARGET["y"][:, 2].sum()


def test_errors_are_told_in_the_unit_of_their_variable(read: dict[str, Results]) -> None:
    row = score_tables.per_part_page_table(read["regression"]).rows[0]
    assert row["part"] == "nitrogen"
    assert row["rmse"].endswith(" g/kg")
    assert "g/kg" not in row["r2"]
    assert read["regression"].task.curve_unit(read["regression"].manifest.data.model_dump()) == ""


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("multi-label", "with 3 labels (oak, pine, birch)"),
        ("segmentation", "with 3 classes (soil, maize, water)"),
        ("regression", "with 2 variables (nitrogen, water)"),
    ],
)
def test_methods_name_what_is_told_apart(read: dict[str, Results], name: str, said: str) -> None:
    text = methods(read[name]).plain()
    assert said in text
    assert f"Scores ({name}) are of" in text
    assert "McNemar" not in text
    rows = report_of(read[name]).data_table(read[name]).rows
    assert [row["part"] for row in rows] == list(KNOWN[name][0].names)


@pytest.mark.parametrize(("name", "title"), [("multi-label", "F1"), ("segmentation", "IoU")])
def test_bars_are_of_the_first_metric_of_each_part(read: dict[str, Results], name: str, title: str) -> None:
    contents = Contents(read[name], None, {})
    with report_style():
        drawing = score_per_part.draw(contents)
    assert drawing is not None
    assert drawing.alternative.startswith(f"Bar chart of {title} of the output {KNOWN[name][0].output} ")
    (axes,) = drawing.figure.axes
    assert len(axes.patches) == 2 * len(KNOWN[name][0].names)
    value = score_tables.score_groups(read[name])[0].scores[read[name].task.of_parts[0].key, KNOWN[name][0].names[0]]
    assert axes.patches[0].get_width() == pytest.approx(value["value"])
    assert predicted_true.draw(contents) is None


def test_points_are_the_estimates_of_runtimes_that_can_be_told_apart(read: dict[str, Results]) -> None:
    with report_style():
        drawing = predicted_true.draw(Contents(read["regression"], None, {}))
    assert drawing is not None
    for index, axes in enumerate(drawing.figure.axes):
        source, other = axes.collections
        assert np.allclose(source.get_offsets()[:, 0], VALUES_TARGET["y"][:, index])
        assert np.allclose(source.get_offsets()[:, 1], OUTPUTS["regression"][:, index])
        assert np.allclose(other.get_offsets()[:, 1], OUTPUTS["regression"][::-1, index])
    assert drawing.figure.axes[0].get_xlabel() == "True (g/kg)"


def test_figures_of_other_tasks_are_not_drawn(read: dict[str, Results], tmp_path: Path) -> None:
    results = read["segmentation"]
    tables = {table.name: table for table in tables_of_task(results, None)}
    (tmp_path / "predicted_true.png").write_bytes(b"of an earlier report")
    drawn = draw_figures(tmp_path, Contents(results, None, tables), pdf=False)
    names = {path.stem for path in drawn.paths}
    assert "score_per_part" in names
    assert not names & (set(tasks.all_figures()) - set(results.task.figures))
    assert not (tmp_path / "predicted_true.png").exists()


def test_scores_without_the_source_are_refused(made: Callable[[str], Path]) -> None:
    folder = made("regression")
    lines = (folder / "scores.csv").read_text().splitlines()
    (folder / "scores.csv").write_text("\n".join([lines[0], *(line for line in lines if "r/base" in line), ""]))
    with pytest.raises(DataError, match=r"scores\.csv: holds nothing of 'source'"):
        read_results(folder)
    (folder / "scores.csv").unlink()
    with pytest.raises(DataError, match=r"scores\.csv: result file is missing"):
        read_results(folder)
