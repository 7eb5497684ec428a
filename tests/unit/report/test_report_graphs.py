"""Graphs in brief, beside each other, and drawn."""

import json

import pytest
from fixture import FOLDED, SCRIPT, UNFOLDED
from made_graphs import GRAPHS
from unrolled import unrolled

from harness.errors import DataError
from harness.report.alignment import align
from harness.report.build import build_report
from harness.report.contents import Contents
from harness.report.drawing import style
from harness.report.figures import graphs as graphs_figure
from harness.report.outline import Block, Line, outline
from harness.report.read import read_results
from harness.report.repeats import Repeat, repeats
from harness.report.result_files.structures import Structure


def brief(graph, folds=None, limit=36):
    return outline(Structure.model_validate(graph), folds or {}, limit=limit)


def test_repeats_are_told_once_with_those_inside_of_them():
    steps = "a" + "bcccccd" * 3 + "e"
    assert repeats(steps) == (
        Repeat(0),
        Repeat(1, 7, 3, (Repeat(1), Repeat(2, 1, 5, (Repeat(2),)), Repeat(7))),
        Repeat(22),
    )


@pytest.mark.parametrize("tokens", ["", "a", "ab", "abcab", "aab"])
def test_what_saves_no_lines_is_no_repeat(tokens):
    assert repeats(tokens) == tuple(Repeat(place) for place in range(len(tokens)))


def test_thousands_of_entries_side_by_side_take_no_recursion():
    tokens = [place * place % 5003 if place % 3 else -place for place in range(6000)]
    assert sum(found.period * found.times for found in repeats(tokens)) == len(tokens)


def test_an_unrolled_recurrence_is_a_block_of_its_steps():
    graph = unrolled()
    assert len(graph["nodes"]) > 900
    told = brief(graph)
    assert told.nodes == len(graph["nodes"])
    assert told.short
    assert len(told.lines) <= 36
    blocks = [item for item in told.items if isinstance(item, Block)]
    assert {block.times for block in blocks} == {18}
    cells = [line for line in told.lines if line.operator == "Conv"]
    assert [line.attributes for line in cells] == ["kernel 7", "kernel 5", "kernel 3", "kernel 1"]
    assert [(line.weight, line.readers) for line in cells] == [(f"cell{layer}.weight", 18) for layer in range(4)]
    # Every node is in a line, or counted in one.
    assert counted(told.items) == len(graph["nodes"])


def counted(items):
    total = 0
    for item in items:
        if isinstance(item, Block):
            total += item.times * counted(item.items)
        elif item.nodes:
            total += sum(number for _, number in item.nodes)
        else:
            total += item.kind != "end"
    return total


def test_weights_that_are_copied_at_every_step_are_told_as_several_with_equal_bytes():
    line = next(line for line in brief(unrolled(copies=True)).lines if line.operator == "Conv")
    assert (line.weight, line.readers) == ("cell0.weight.0, …", 18)


def test_a_graph_without_repeats_is_cut_in_its_middle_and_says_so():
    operators = [f"Op{place * place % 997}{place}" for place in range(200)]
    nodes = [
        {"operator": name, "inputs": [f"t{place}"], "outputs": [f"t{place + 1}"], "attributes": {}}
        for place, name in enumerate(operators)
    ]
    told = brief({"inputs": [{"name": "t0"}], "outputs": [{"name": "t200"}], "nodes": nodes, "initializers": []})
    assert len(told.lines) <= 36
    gap = next(line for line in told.lines if line.kind == "left out")
    assert counted(told.items) == 200
    assert gap.operator == f"{200 - (len(told.lines) - 3)} nodes"


def test_the_body_of_a_loop_is_a_block_that_reads_weights_from_around_it():
    inner = {
        "inputs": [{"name": "h"}, {"name": "xt"}],
        "outputs": [{"name": "h2"}],
        "nodes": [
            {"operator": "Add", "inputs": ["h", "xt"], "outputs": ["s"], "attributes": {}},
            {"operator": "MatMul", "inputs": ["s", "W"], "outputs": ["h2"], "attributes": {}},
        ],
        "initializers": [],
    }
    scan = {
        "operator": "Scan",
        "inputs": ["h0", "x"],
        "outputs": ["hn"],
        "attributes": {"body": {"graph": inner}, "num_scan_inputs": 1},
    }
    held = [{"name": "W", "dtype": "float32", "shape": [8, 8], "sha256": "w"}, {"name": "h0", "shape": [1, 8]}]
    told = brief({"inputs": [{"name": "x"}], "outputs": [{"name": "hn"}], "nodes": [scan], "initializers": held})
    start, loop, body, end = told.items
    assert isinstance(loop, Line)
    assert (loop.operator, loop.kind, loop.attributes) == ("Scan", "control", "scanned 1")
    assert isinstance(body, Block)
    assert body.kind == "body"
    assert [(line.operator, line.weight) for line in told.lines[2:4]] == [("Add", ""), ("MatMul", "W")]
    assert (start.operator, end.operator) == ("input", "output")


def test_constants_have_no_line_and_attributes_are_those_that_matter():
    told = brief(GRAPHS[FOLDED])
    assert (told.nodes, told.stored) == (11, 1)
    first = told.lines[1]
    assert (first.operator, first.attributes, first.weight, first.weight_shape) == (
        "Conv",
        "kernel 7, pad 3",
        "conv1.weight",
        (128, 13, 7),
    )
    assert first.shape == ("batch", 128, 45)
    assert (
        next(line for line in brief(GRAPHS[UNFOLDED]).lines if line.operator.startswith("Batch")).attributes
        == "eps 1e-05"
    )


def test_lines_that_do_the_same_stand_in_one_row():
    graphs = [brief(GRAPHS[route]).lines for route in (FOLDED, UNFOLDED, SCRIPT)]
    rows = align(graphs)
    for number, lines in enumerate(graphs):
        assert [row[number] for row in rows if number in row] == list(lines)
    together = [{number: line.operator for number, line in row.items()} for row in rows]
    assert {1: "BatchNormalization"} in together
    assert {1: "BatchNormalization", 2: "BatchNormalization"} in together
    assert together.count({0: "Conv", 1: "Conv", 2: "Conv"}) == 3
    # Another operator for the same end.
    assert {0: "Reshape", 1: "Reshape", 2: "Flatten"} in together
    assert all(len(set(row.values())) == 1 for row in together if "Flatten" not in row.values())


@pytest.fixture
def folded(folder):
    """Result files whose cells say into which tensors batch normalisations were folded, as real ones do."""
    cells = json.loads((folder / "cells.json").read_text())
    for cell in cells:
        for row in (cell["parameters"] or {"rows": []})["rows"]:
            if row["relation"] == "folded" and row["target_name"] is None:
                row["target_name"] = f"{row['note'].removeprefix('folded into ')}.weight"
    (folder / "cells.json").write_text(json.dumps(cells))
    return folder


def test_folded_normalisations_are_named_in_the_layer_that_took_them(folded):
    found = graphs_figure.folds_by_route(read_results(folded))
    assert found[FOLDED] == {
        "conv1.weight": ("norm1",),
        "conv2.weight": ("norm2",),
        "conv3.weight": ("norm3",),
        "dense.weight": ("dense_norm",),
    }
    assert not found[UNFOLDED]
    with style.report_style():
        drawing = graphs_figure.draw(Contents(read_results(folded), None, {}))
    assert f"{FOLDED}: Conv with norm1 folded in, Relu, Conv" in drawing.alternative
    assert f"{UNFOLDED}: Conv, BatchNormalization, Relu" in drawing.alternative


def test_no_text_of_the_figure_runs_into_another_or_off_the_page(folded):
    graphs = json.loads((folded / "structures.json").read_text())
    graphs["a-route-with-a-name-that-is-longer-than-its-column-is-wide"] = unrolled()
    (folded / "structures.json").write_text(json.dumps(graphs))
    with style.report_style():
        figure = graphs_figure.draw(Contents(read_results(folded), None, {})).figure
        figure.set_dpi(style.DPI)
        figure.draw_without_rendering()
        boxes = [(text.get_text(), text.get_window_extent()) for axes in figure.axes for text in axes.texts]
    boxes = [(words, box) for words, box in boxes if words]
    assert len(boxes) > 100
    width, height = figure.get_size_inches() * style.DPI
    for place, (words, box) in enumerate(boxes):
        assert box.x0 >= 0, words
        assert box.x1 <= width, words
        assert box.y0 >= 0, words
        assert box.y1 <= height, words
        for others, other in boxes[:place]:
            across = min(box.x1, other.x1) - max(box.x0, other.x0)
            # Lines of text may touch by their ascenders' room, not by letters.
            along = min(box.y1, other.y1) - max(box.y0, other.y0)
            assert across <= 1 or along <= 0.35 * min(box.height, other.height), (words, others)


def test_equal_graphs_of_two_routes_are_drawn_once(folder):
    graphs = json.loads((folder / "structures.json").read_text())
    graphs["torch-dynamo-opset20-folded"] = graphs[FOLDED]
    (folder / "structures.json").write_text(json.dumps(graphs))
    with style.report_style():
        drawing = graphs_figure.draw(Contents(read_results(folder), None, {}))
    assert f"{FOLDED} and torch-dynamo-opset20-folded: Conv" in drawing.alternative


@pytest.mark.slow
def test_the_figure_is_in_the_report_and_has_the_same_bytes_twice(folder):
    files = build_report(folder)
    assert "![" in files.markdown.read_text()
    assert "figures/graphs.png" in files.markdown.read_text()
    before = {path.name: path.read_bytes() for path in files.figures if path.stem == "graphs"}
    assert set(before) == {"graphs.png", "graphs.svg"}
    again = {path.name: path.read_bytes() for path in build_report(folder).figures if path.stem == "graphs"}
    assert again == before


def test_structures_of_other_routes_are_refused_by_name(folder):
    graphs = json.loads((folder / "structures.json").read_text())
    del graphs[SCRIPT]
    (folder / "structures.json").write_text(json.dumps(graphs))
    with pytest.raises(DataError, match=f"holds no graph of route '{SCRIPT}'"):
        read_results(folder)
    (folder / "structures.json").write_text('{"a": {"nodes": 3}}')
    with pytest.raises(DataError, match="was written by another version"):
        read_results(folder)
