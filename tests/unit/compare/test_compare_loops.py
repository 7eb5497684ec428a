"""What is told of loops: kept, unrolled, and with how many copies of a weight."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from recurrent_graphs import draw_parameters, export, specification

from harness.compare.loops import in_words, loops_of

sys.path.append(str(Path(__file__).parents[1] / "report"))
from unrolled import unrolled

pytest.importorskip("onnx")
from harness.workers.onnx.structure import structure


def test_loops_that_are_kept_are_counted_with_what_they_hold() -> None:
    spec = specification()
    found = loops_of(structure(export(spec, draw_parameters(spec), inside=True), Path(__file__)))
    assert found["loops"] == {"Loop": 2}
    assert found["steps"] == 1
    assert found["nodes_inside"] > 60
    assert in_words(found["loops"], found["steps"]) == "2 × Loop"


@pytest.mark.parametrize("copies", [False, True])
def test_an_unrolled_loop_is_told_by_its_weights_whatever_they_are_called(copies: bool) -> None:
    graph = unrolled(steps=5, kernels=(3, 1), copies=copies)
    found = loops_of(graph)
    assert (found["loops"], found["nodes_inside"], found["steps"]) == ({}, 0, 5)
    assert in_words(found["loops"], found["steps"]) == "unrolled, 5 steps"


def test_copies_count_once_where_hashes_are_known() -> None:
    # Zeros, and weights of both layers.
    once = 8 * 4 * 4 + 32 * 16 * 3 * 3 + 32 * 16
    for copies in (False, True):
        graph = unrolled(steps=5, kernels=(3, 1), copies=copies)
        graph["initializers"] = [entry for entry in graph["initializers"] if entry["sha256"]]
        assert loops_of(graph)["distinct_parameters"] == once
    assert loops_of(unrolled(steps=5))["distinct_parameters"] is None
