"""A report of forecasts: errors by step instead of everything that is said of classes."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from fixture import cells, write_results
from PIL import Image
from safetensors.numpy import save

from harness.errors import DataError
from harness.report.build import build_report
from harness.report.overview import build_overview
from harness.report.read import SOURCE, cell_label, read_results
from harness.report.tables import forecast_tables as tables
from harness.results.tables import as_csv
from harness.tasks.example_frames import ExampleFrames, sample_with_most_rain, visibly_different
from harness.tasks.forecast_frames import Forecast
from harness.tasks.frame_metrics import step_errors
from harness.tasks.frame_rows import forecast_tables

FORECAST = Forecast(
    history=2,
    horizon=3,
    rows=6,
    columns=5,
    interval=300,
    unit="mm/h",
    bottom=0.0,
    top=50.0,
    thresholds=(0.5, 5.0),
    resampling={"from": [12, 10], "to": [6, 5], "resampler": "bilinear-antialiased", "rounding": "each-pass"},
)
RANDOM = np.random.default_rng(2)
INPUTS = RANDOM.random((7, 1, 2, 6, 5)).astype(np.float32)
TRUTH = RANDOM.random((7, 1, 3, 6, 5)).astype(np.float32)
MASK = RANDOM.random(TRUTH.shape) < 0.8
SEEN = RANDOM.random(INPUTS.shape) < 0.8
SAME = (TRUTH * np.float32(0.9)).astype(np.float32)


def made() -> dict[str, object]:
    others = [(cell_label(cell), SAME) for cell in cells() if cell.decisions is not None]
    # One target forecasts something else.
    others[-1] = (others[-1][0], SAME * np.float32(1.1))
    return forecast_tables(FORECAST, INPUTS, TRUTH, MASK, [(SOURCE, SAME), *others])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_results(tmp_path_factory.mktemp("forecast") / "unit-test")
    for name in ("predictions.csv.gz", "outputs_probe.csv.gz"):
        (folder / name).unlink()
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["data"] |= {
        "forecast": FORECAST.model_dump(mode="json"),
        "class_names": [],
        "counts": {"train": {"sequences": 40}, "valid": {"sequences": 9}, "test": {"sequences": 7}},
        "dates": None,
    }
    manifest["model"]["task"] = "forecast"
    cells = json.loads((folder / "cells.json").read_text())
    for cell in cells:
        if cell["decisions"] is not None:
            cell["decisions"] |= {"rule": "exceedance", "unit": "decision"}
    (folder / "cells.json").write_text(json.dumps(cells))
    (folder / "manifest.json").write_text(json.dumps(manifest))
    epochs = len((folder / "training.csv").read_text().splitlines()) - 1
    log = ["epoch,loss,valid_loss,rmse,mae,skill,learning_rate"]
    log += [f"{epoch + 1},{0.1 / (epoch + 1)},0.2,3.5,1.5,-0.25,0.001" for epoch in range(epochs)]
    (folder / "training.csv").write_text("\n".join([*log, ""]))
    for name, rows in made().items():
        (folder / name).write_text(as_csv(rows))
    (folder / "frames.safetensors").write_bytes(
        save({k: np.ascontiguousarray(v) for k, v in example().tensors().items()})
    )
    return folder


def example(**changed: object) -> ExampleFrames:
    """The sample_with_most_rain sequence; one target forecasts more than the source, one the same."""
    index = sample_with_most_rain(TRUTH, MASK)
    forecasts = [(SOURCE, SAME[index, 0]), ("same", SAME[index, 0]), ("more", SAME[index, 0] * np.float32(1.1))]
    whole = ExampleFrames(
        INPUTS[index, 0], SEEN[index, 0], TRUTH[index, 0], MASK[index, 0], visibly_different(forecasts), 1_720_526_400
    )
    return dataclasses.replace(whole, **changed)  # type: ignore[arg-type]


def test_the_sequence_with_most_measured_rain_is_shown() -> None:
    sums = [float(TRUTH[index][MASK[index]].sum()) for index in range(len(TRUTH))]
    assert sample_with_most_rain(TRUTH, MASK) == int(np.argmax(sums))
    # Rain where nothing was measured does not count.
    truth, mask = np.zeros((2, 1, 1, 2, 2)), np.ones((2, 1, 1, 2, 2), dtype=bool)
    truth[0, 0, 0, 0, 0], truth[1, 0, 0, 0, 0], mask[0, 0, 0, 0, 0] = 9.0, 1.0, False
    assert sample_with_most_rain(truth, mask) == 1
    with pytest.raises(DataError, match="must be"):
        sample_with_most_rain(truth[:0], mask[:0])


def test_forecasts_that_look_alike_are_shown_once() -> None:
    assert list(example().forecasts) == [SOURCE, "more"]
    one = np.zeros((1, 2, 2), dtype=np.float32)
    broken = np.where(np.eye(2, dtype=bool)[None], np.nan, one)
    assert list(visibly_different([("a", one), ("b", one + 0.5 / 256), ("c", one + 1 / 255), ("d", broken)])) == [
        "a",
        "c",
        "d",
    ]


@pytest.mark.slow
def test_frames_are_drawn_and_move_and_are_the_same_bytes_again(folder: Path) -> None:
    files = build_report(folder)
    figures = {path.name: path for path in files.figures}
    assert {"frames.png", "frames.svg", "frames.gif"} <= set(figures)
    with Image.open(figures["frames.gif"]) as moving:
        assert moving.n_frames == FORECAST.history + FORECAST.horizon
        assert moving.info["loop"] == 0
        shades = set()
        for index in range(moving.n_frames):
            moving.seek(index)
            shades.add(moving.convert("RGB").tobytes())
        assert len(shades) == moving.n_frames
    text = files.markdown.read_text()
    assert "last seen at 2024-07-09 12:00 UTC" in text
    assert "figures/frames.gif" in text
    before = {name: path.read_bytes() for name, path in figures.items()}
    assert {path.name: path.read_bytes() for path in build_report(folder).figures} == before


@pytest.mark.parametrize("damage", ["cut", "without", "sizes"])
def test_frames_that_are_damaged_are_refused_in_one_line(folder: Path, tmp_path: Path, damage: str) -> None:
    for path in folder.iterdir():
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    path = tmp_path / "frames.safetensors"
    arrays = {name: np.ascontiguousarray(array) for name, array in example().tensors().items()}
    if damage == "without":
        del arrays["truth"]
    if damage == "sizes":
        arrays["truth"] = np.ascontiguousarray(arrays["truth"][:2])
    content = save(arrays)
    path.write_bytes(content[: len(content) // 2] if damage == "cut" else content)
    with pytest.raises(
        DataError, match=r"frames.safetensors: (is cut short|has no array 'truth'|holds frames of several)"
    ):
        read_results(tmp_path)


def test_tables_hold_everybody_by_step_in_both_aggregations() -> None:
    header, *rows = csv.reader(as_csv(made()["forecast.csv"]).splitlines())
    found = [dict(zip(header, row, strict=True)) for row in rows]
    assert found[0]["who"] == "persistence"
    assert {row["aggregation"] for row in found} == {"pooled", "mean-of-samples"}
    (one,) = (row for row in found if (row["who"], row["aggregation"], row["step"]) == (SOURCE, "pooled", "2"))
    expected = step_errors(SAME, TRUTH, MASK, "pooled")
    assert one["minutes"] == "10"
    assert float(one["rmse"]) == expected.rmse[1]
    assert float(one["rmse_physical"]) == pytest.approx(50 * expected.rmse[1])
    assert float(one["skill"]) > 0
    header, *rows = csv.reader(as_csv(made()["exceedance.csv"]).splitlines())
    (one,) = (row for row in rows if row[:4] == [SOURCE, "5", "mm/h", "all"])
    truth, forecast = TRUTH[MASK] >= np.float32(0.1), SAME[MASK] >= np.float32(0.1)
    assert [int(value) for value in one[5:9]] == [
        int((truth & forecast).sum()),
        int((truth & ~forecast).sum()),
        int((~truth & forecast).sum()),
        int((~truth & ~forecast).sum()),
    ]


def test_intervals_hold_the_pooled_errors_of_each_step() -> None:
    found = made()
    header, *rows = csv.reader(as_csv(found["forecast.csv"]).splitlines())
    errors = [dict(zip(header, row, strict=True)) for row in rows]
    pooled = {(row["who"], row["step"]): row for row in errors if row["aggregation"] == "pooled"}
    header, *rows = csv.reader(as_csv(found["forecast_intervals.csv"]).splitlines())
    intervals = [dict(zip(header, row, strict=True)) for row in rows]
    assert {(row["who"], row["step"]) for row in intervals} == set(pooled)
    for row in intervals:
        known = pooled[row["who"], row["step"]]
        column = "skill" if row["metric"] == "skill" else f"{row['metric']}_physical"
        assert float(row["value"]) == pytest.approx(float(known[column]), rel=1e-9, abs=1e-9)
        assert float(row["low"]) <= float(row["value"]) + 1e-9
        assert float(row["value"]) <= float(row["high"]) + 1e-9
        assert (row["pixels"], row["unit"]) == (known["pixels"], "" if row["metric"] == "skill" else known["unit"])


def test_the_overview_of_several_sources_has_one_line_per_framework(folder: Path, tmp_path: Path) -> None:
    sources = []
    for name, factor in (("pytorch", 0.9), ("keras-torch", 0.8)):
        shutil.copytree(folder, tmp_path / name)
        forecast = (TRUTH * np.float32(factor)).astype(np.float32)
        forecasts = [
            (SOURCE, forecast),
            *((cell_label(cell), forecast) for cell in cells() if cell.decisions is not None),
        ]
        for file, rows in forecast_tables(FORECAST, INPUTS, TRUTH, MASK, forecasts).items():
            (tmp_path / name / file).write_text(as_csv(rows))
        sources.append({"framework": name, "folder": name, "missing": None})
    document = {"name": "several", "title": "Two", "description": "", "sources": sources}
    (tmp_path / "sources.json").write_text(json.dumps(document))
    build_overview(tmp_path)
    page = (tmp_path / "report.md").read_text()
    assert "![Line charts of RMSE and MAE against the minutes ahead. persistence: RMSE" in page
    first, second = (
        [float(value) for value in re.search(rf"{name}: RMSE ([^a-z]*) mm/h", page).group(1).split(", ")]  # type: ignore[union-attr]
        for name in ("pytorch", "keras-torch")
    )
    assert len(first) == len(second) == 3
    # An error of a fifth is twice that of a tenth.
    assert second == pytest.approx([2 * value for value in first], rel=1e-2)
    before = [(tmp_path / "figures" / f"error_per_step.{suffix}").read_bytes() for suffix in ("png", "svg")]
    build_overview(tmp_path)
    assert [(tmp_path / "figures" / f"error_per_step.{suffix}").read_bytes() for suffix in ("png", "svg")] == before


def test_a_forecast_of_another_shape_is_left_out() -> None:
    found = forecast_tables(FORECAST, INPUTS, TRUTH, MASK, [("odd", SAME[:, :, :2])])
    assert {row[0] for row in found["forecast.csv"]} == {"who", "persistence"}


def test_runtimes_with_equal_errors_stand_together(folder: Path) -> None:
    results = read_results(folder)
    found = tables.groups(results)
    assert [group[0] for group in found][:2] == ["persistence", SOURCE]
    assert len(found) == 3
    page = tables.errors_page_table(results)
    assert [row["minutes"] for row in page.rows] == [5, 10, 15]
    assert page.rows[0]["rmse0"] > page.rows[0]["rmse1"]
    assert "skill0" not in [column.key for column in page.columns]


def test_the_report_speaks_of_frames_and_not_of_classes(folder: Path) -> None:
    files = build_report(folder)
    text = files.markdown.read_text()
    for said in (
        "### Forecasts",
        "Persistence, the forecast that nothing changes",
        "0.5 mm/h and 5 mm/h",
        "resampled from 12 x 10 (bilinear-antialiased, rounding each-pass)",
        "0 to 50 mm/h become 0 to 1",
        "Errors of forecasts are of 7 test samples",
        "each of 2 frames of 6 x 5 pixels and the 3 after them, 5 minutes apart",
    ):
        assert said in text, said
    for unsaid in ("Cohen", "confusion", "Confusion", "F1", "McNemar", "Top-1", "in 0 classes"):
        assert unsaid not in text, unsaid
    names = {path.name for path in files.tables}
    assert {"forecast.csv", "exceedance.csv"} <= names
    assert not {"metrics.csv", "confusion.csv", "outputs_per_class.csv"} & names
    assert "error_per_step.png" in {path.name for path in files.figures}
    assert "forecast_by_step.tex" in {path.name for path in files.texts}


def test_result_files_that_do_not_belong_together_are_refused(folder: Path, tmp_path: Path) -> None:
    for path in folder.iterdir():
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    lines = (tmp_path / "forecast.csv").read_text().splitlines(keepends=True)
    (tmp_path / "forecast.csv").write_text("".join(line for line in lines if not line.startswith(SOURCE)))
    with pytest.raises(DataError, match=r"forecast\.csv: holds nothing of 'source'"):
        read_results(tmp_path)
    (tmp_path / "forecast.csv").unlink()
    with pytest.raises(DataError, match=r"forecast\.csv: result file is missing"):
        read_results(tmp_path)
