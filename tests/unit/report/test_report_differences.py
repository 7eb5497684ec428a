"""Distribution of differences, confusion by name and paired tests: that they show what the result files hold."""

import dataclasses
import gzip
import io

import numpy as np
import pandas as pd
import pytest
from fixture import CLASSES, cell_name
from scipy.stats import chi2

from harness.report.contents import Contents
from harness.report.drawing import style
from harness.report.figures import confusion, differences
from harness.report.read import read_results
from harness.report.tables import mcnemar_table, outcome_tables, task_tables

UNFOLDED = "python/onnxruntime via torch-dynamo-opset18-unfolded"
BROKEN = "python/onnxruntime via torch-script-opset11-folded"


@pytest.fixture(scope="module")
def found(results):
    return task_tables.task_results(results)


def test_differences_are_multiples_of_the_floor(results):
    by_cell = {cell.cell: errors for cell, errors in differences.differences(results)}
    assert len(by_cell) == 6
    name = cell_name("torch-dynamo-opset18-folded", "r/base")
    frame = results.probe_outputs[results.probe_outputs["cell"] == name]
    expected = np.sort(np.abs(frame["target"] - frame["route_oracle"]) / 2.0e-6)
    assert by_cell[name] == pytest.approx(expected, rel=1e-12)
    broken = by_cell[cell_name("torch-script-opset11-folded", "python/onnxruntime")]
    assert np.isnan(broken[-18:]).all()
    assert np.isfinite(broken[:-18]).all()


def test_float32_is_read_back_exactly(folder):
    """0.1 as float32 is 1.5e-9 more than 0.1: a decimal that is taken for a double would tell of an error."""
    path = folder / "outputs_probe.csv.gz"
    frame = pd.read_csv(io.BytesIO(gzip.decompress(path.read_bytes())))
    frame["target"], frame["route_oracle"] = 0.1, float(np.float32(0.1))
    text = frame.to_csv(index=False, lineterminator="\n")
    path.write_bytes(gzip.compress(text.encode(), mtime=0))
    results = read_results(folder)
    assert all((errors == 0).all() for _, errors in differences.differences(results))
    assert {row["route_max"] for row in outcome_tables.outputs_per_class_table(results).rows} == {0.0}


def test_curves_are_shares_and_miss_what_is_not_finite(results):
    with style.report_style():
        drawing = differences.draw(Contents(results, None, {}))
    panels = {axes.get_title(loc="left"): axes for axes in drawing.figure.axes if axes.get_visible()}
    assert sorted(panels) == ["python/onnx-reference", "python/onnxruntime", "python/pytorch", "r/base"]
    ends = []
    for axes in panels.values():
        # The last line marks the floor.
        for line in axes.lines[:-1]:
            shares = line.get_ydata()
            assert (np.diff(shares) >= 0).all()
            ends.append(round(float(shares[-1]), 4))
    assert sorted(ends) == [round(1 - 18 / 576, 4), 1.0, 1.0, 1.0, 1.0, 1.0]
    assert "18 not finite" in drawing.alternative
    styles = [(line.get_color(), line.get_linewidth()) for line in panels["python/onnxruntime"].lines[:-1]]
    assert len(set(styles)) == len(styles) == 3


def test_only_differing_runtimes_get_a_matrix_of_their_own(results, found):
    with style.report_style():
        drawing = confusion.draw(Contents(results, found, {}))
    panels = [axes for axes in drawing.figure.axes if axes.images]
    assert [axes.get_title(loc="left")[0] for axes in panels] == ["A", "B", "C"]
    shown = panels[1].images[0].get_array()
    group = found.groups[1]
    assert shown[0, 0] == pytest.approx(group.confusion[0, 0] / group.confusion[0].sum())
    texts = {
        (round(text.get_position()[0]), round(text.get_position()[1])): text.get_text() for text in panels[1].texts
    }
    count = int(group.confusion[0, 0])
    assert texts[0, 0].split("\n")[0] == str(count)
    assert sum(int(text.split("\n")[0]) for text in texts.values()) == len(found.truth)
    assert panels[2].images[0].get_array().shape == (len(CLASSES), len(CLASSES) + 1), "no decision is a column"
    same = dataclasses.replace(found, groups=found.groups[:1])
    with style.report_style():
        assert sum(bool(axes.images) for axes in confusion.draw(Contents(results, same, {})).figure.axes) == 1


def test_groups_that_are_not_drawn_are_named_in_the_caption(results, found):
    remarks = confusion.FIGURE.remarks
    assert "groups are drawn" not in remarks(Contents(results, found, {}))
    many = dataclasses.replace(found, groups=found.groups * 2)
    assert remarks(Contents(results, many, {})).endswith(" Only the first 4 of 6 groups are drawn.")


@pytest.mark.parametrize(("value", "text"), [(0.001, "<1 %"), (0.999, ">99 %"), (1.0, "100 %"), (0.345, "34 %")])
def test_shares_are_never_rounded_to_all_or_none(value, text):
    assert confusion._percent(value) == text


def test_paired_tests_rest_on_discordant_pairs(results, found):
    rows = {row["runners"][0]: row for row in mcnemar_table.mcnemar_table(results, found).rows}
    assert set(rows) == {UNFOLDED, BROKEN}
    frame = results.predictions
    source = frame["source.prediction"] == frame["truth"]
    target = frame[f"{UNFOLDED}.prediction"] == frame["truth"]
    row = rows[UNFOLDED]
    b, c = int((source & ~target).sum()), int((~source & target).sum())
    assert (row["source_right"], row["target_right"]) == (b, c)
    assert b + c >= 25
    assert row["p_value"] == pytest.approx(chi2.sf((abs(b - c) - 1) ** 2 / (b + c), 1), rel=1e-9)
    assert row["p_adjusted"] == pytest.approx(2 * row["p_value"])
    assert (rows[BROKEN]["method"], rows[BROKEN]["statistic"]) == ("exact binomial", None)


def test_equal_predictions_leave_nothing_to_test(results, found):
    same = dataclasses.replace(found, groups=found.groups[:1], runners=found.groups[0].runners)
    table = mcnemar_table.mcnemar_table(results, same)
    assert table.rows == ()
    assert table.empty == (
        "McNemar's test had nothing to test: every runtime predicts the source's class for all 447 samples."
    )
    assert "there are none" in mcnemar_table.mcnemar_table(results, None).empty


def test_differing_but_equally_wrong_predictions_are_no_pair(results, found):
    """Where both are wrong, or nothing but wrong classes change, there is no p-value."""
    source = found.runners[0]
    wrong = np.flatnonzero(source.labels != found.truth)
    place = next(index for index in wrong if 0 not in (source.labels[index], found.truth[index]))
    labels = source.labels.copy()
    labels[place] = 0
    other = dataclasses.replace(source, name="other", labels=labels)
    groups = tuple(
        task_tables.Group((runner,), found.groups[0].confusion, letter)
        for runner, letter in ((source, "A"), (other, "B"))
    )
    (row,) = mcnemar_table.mcnemar_table(
        results, dataclasses.replace(found, runners=(source, other), groups=groups)
    ).rows
    assert (row["differ"], row["source_right"], row["target_right"]) == (1, 0, 0)
    assert row["p_value"] is None
    assert "p_adjusted" not in row
