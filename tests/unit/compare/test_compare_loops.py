"""What is told of loops: kept, unrolled, and with how many copies of a weight."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

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


@pytest.mark.parametrize(
    ("loops", "steps", "words"),
    [
        ({}, 1, None),
        ({}, 2, "unrolled, 2 steps"),
        ({"Scan": 4}, 9, "4 × Scan"),
        ({"Scan": 4, "If": 1}, 1, "1 × If, 4 × Scan"),
    ],
)
def test_loops_in_words(loops: dict[str, int], steps: int, words: str | None) -> None:
    assert in_words(loops, steps) == words


def plain(*nodes: tuple[str, list[str], list[str]], hashes: dict[str, str], shape: tuple[int, ...] = (4, 3)) -> Any:
    return {
        "nodes": [
            {"name": "", "operator": operator, "inputs": inputs, "outputs": outputs, "attributes": {}}
            for operator, inputs, outputs in nodes
        ],
        "initializers": [
            {"name": name, "dtype": "float32", "shape": list(shape), "sha256": value} for name, value in hashes.items()
        ],
        "inputs": [{"name": "x", "dtype": "float32", "shape": [1, 4]}],
        "outputs": [{"name": "y", "dtype": "float32", "shape": [1, 4]}],
    }


def test_a_weight_is_followed_through_layouts_and_its_parts_are_told_apart() -> None:
    graph = plain(
        ("Transpose", ["w"], ["w1"]),
        ("Identity", ["w1"], ["w2"]),
        ("Split", ["v"], ["v0", "v1"]),
        ("Neg", ["u"], ["u1"]),
        ("MatMul", ["x", "w"], ["a"]),
        ("MatMul", ["a", "w2"], ["b"]),
        ("MatMul", ["b", "w1"], ["c"]),
        ("MatMul", ["c", "v0"], ["d"]),
        ("MatMul", ["d", "v1"], ["e"]),
        ("MatMul", ["e", "u1"], ["f"]),
        ("MatMul", ["f", "a"], ["g"]),
        ("Add", ["g", "v"], ["y"]),
        hashes={"w": "1", "v": "2", "u": "3", "k": "1"},
    )
    found = loops_of(graph)
    assert found == {"nodes_inside": 0, "loops": {}, "steps": 3, "distinct_parameters": 36}
    graph["initializers"][0]["sha256"] = ""
    assert loops_of(graph) == {"nodes_inside": 0, "loops": {}, "steps": 3, "distinct_parameters": None}
    del graph["initializers"][0]["sha256"]
    assert loops_of(graph)["distinct_parameters"] is None
    assert loops_of(plain(("Relu", ["x"], ["y"]), hashes={}))["steps"] == 1
