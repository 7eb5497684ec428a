"""Error node by node in tables, figures and pages."""

import csv
import json

import pytest
from fixture import UNFOLDED, cell_name

from harness.compare.layers import compare_layers
from harness.compare.records import LayerError, LayerRow
from harness.report.build import build_report
from harness.report.read import read_results
from harness.report.tables.layer_tables import layers_summary

STRUCTURE = {
    "nodes": [
        {"name": "shape", "operator": "Shape", "inputs": ["x"], "outputs": ["s"]},
        {"name": "conv", "operator": "Conv", "inputs": ["x", "w"], "outputs": ["c"]},
        {"name": "act $1", "operator": "LeakyRelu", "inputs": ["c"], "outputs": ["a"], "attributes": {"alpha": 0.01}},
        {"name": "head", "operator": "Gemm", "inputs": ["a"], "outputs": ["y"]},
    ],
    "initializers": [{"name": "w"}],
    "inputs": [{"name": "x"}],
    "outputs": [{"name": "y"}],
}


def rows(local: float) -> list[LayerRow]:
    def row(tensor, node, operator, ratio, accumulated):
        return LayerRow(
            tensor=tensor,
            node=node,
            operator=operator,
            shape=(8, 4),
            exact=ratio is None,
            floor_rms=None if ratio is None else 1e-7,
            floor_max=None if ratio is None else 3e-7,
            local=LayerError(rms_ratio=ratio, max_ratio=ratio),
            accumulated=LayerError(rms_ratio=accumulated, max_ratio=accumulated),
        )

    return [
        row("s", "shape", "Shape", None, None),
        row("c", "conv", "Conv", 0.9, 0.9),
        row("a", "act $1", "LeakyRelu", local, local),
        row("y", "head", "Gemm", 1.2, 2 * local),
    ]


@pytest.fixture
def followed(folder):
    """Result files with one clean and one faulty cell among them."""
    cells = json.loads((folder / "cells.json").read_text())
    for cell in cells:
        if cell["cell"] == cell_name(UNFOLDED, "python/onnxruntime"):
            found = compare_layers(
                rows(700.0), STRUCTURE, samples=8, not_examined=["Bernoulli 'l': it draws at random"]
            )
        elif cell["route_label"] == UNFOLDED:
            found = compare_layers(rows(0.5), STRUCTURE, samples=8)
        else:
            continue
        cell["layers"] = found.model_dump(mode="json")
    (folder / "cells.json").write_text(json.dumps(cells))
    return folder


def test_tables_name_the_worst_node_and_the_culprit(followed):
    summary = {row["cell"]: row for row in layers_summary(read_results(followed)).rows}
    faulty = summary[f"python/onnxruntime via {UNFOLDED}"]
    assert (faulty["nodes"], faulty["exact"], faulty["past_gate"]) == (4, 1, 1)
    assert (faulty["local"], faulty["where"], faulty["accumulated"]) == (700.0, "LeakyRelu", 1400.0)
    assert faulty["culprit"] == "LeakyRelu act $1: 700 times its floor (largest 700 times)"
    clean = [row for label, row in summary.items() if row is not faulty]
    assert clean
    assert {row["culprit"] for row in clean} == {"none"}
    assert any("it draws at random" in note for note in layers_summary(read_results(followed)).notes)


@pytest.mark.slow
def test_the_report_shows_them_and_the_same_bytes_twice(followed):
    files = build_report(followed)
    with (followed / "tables" / "layers.csv").open(newline="") as file:
        found = [row for row in csv.DictReader(file) if row["cell"] == f"python/onnxruntime via {UNFOLDED}"]
    assert [(row["tensor"], row["exact"], row["past_gate"]) for row in found] == [
        ("s", "true", "false"),
        ("c", "false", "false"),
        ("a", "false", "true"),
        ("y", "false", "false"),
    ]
    assert float(found[2]["local_rms_ratio"]) == 700.0
    assert {"layers", "culprit"} <= {path.stem for path in files.figures}
    page = files.markdown.read_text()
    assert "## Error per layer" in page
    assert "LeakyRelu act $1, after Conv, before Gemm" in page.replace("\\", "")
    before = {path.name: path.read_bytes() for path in files.figures}
    assert {path.name: path.read_bytes() for path in build_report(followed).figures} == before


def test_without_a_culprit_there_is_no_graph_of_it(followed, draw_only):
    draw_only("layers", "culprit")
    cells = json.loads((followed / "cells.json").read_text())
    for cell in cells:
        if cell.get("layers") and cell["layers"]["culprit"]:
            cell["layers"] = None
    build_report(followed)
    (followed / "cells.json").write_text(json.dumps(cells))
    files = build_report(followed)
    stems = {path.stem for path in files.figures}
    assert "layers" in stems
    assert "culprit" not in stems
    # Nor one of an earlier report.
    assert not list((followed / "figures").glob("culprit.*"))
