"""A file alone: compared by its own tensors and graph, and with what it must answer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from harness.compare.records import Verdict
from harness.results.evaluate import Exported, Judged, SourceFile, Target, judge
from tests.unit.results.judge.judged_cells import EXACT, FILE, GRAPH, NOISE, TENSORS, objecting


def of_file(answers: np.ndarray, *, source: SourceFile = FILE, held: dict[str, np.ndarray] = TENSORS) -> Judged:
    return judge(source, GRAPH, Target({}, held, {"y": answers}))


def test_a_file_alone_is_compared_by_its_own_tensors_and_graph() -> None:
    found = of_file(EXACT + 2 * NOISE)
    assert found.judgement.verdict is Verdict.EQUIVALENT
    assert found.end_to_end is None
    assert found.route.verdict is Verdict.IDENTICAL
    assert found.judgement.sentence == (
        "Equivalent: its parameters are the file's and its runtime error is 2 times the noise floor; "
        "0 of 64 samples change class."
    )
    assert of_file(EXACT + 5 * NOISE).judgement.verdict is Verdict.DRIFTED
    other = of_file(EXACT, held={"w": TENSORS["w"] + np.float32(1)})
    assert (other.judgement.verdict, objecting(other)) == (Verdict.DIVERGENT, ["parameters"])
    single = replace(FILE, float32={"y": (EXACT + NOISE).astype(np.float32)})
    same = of_file(single.float32["y"], source=single)
    assert same.judgement.verdict is Verdict.IDENTICAL
    assert same.judgement.sentence == (
        "Identical: parameters are equal to the file's and outputs to the reference's, bit for bit."
    )


def test_a_target_without_the_files_output_is_divergent() -> None:
    found = judge(FILE, GRAPH, Target({}, TENSORS, {"z": EXACT}))
    assert found.judgement.sentence == "Divergent: the target's outputs have shape 0, the oracle's 64 x 5."
    assert (found.judgement.verdict, objecting(found)) == (Verdict.DIVERGENT, ["runtime"])
    assert found.decisions is None


@pytest.mark.parametrize(("operator", "verdict"), [("Sigmoid", Verdict.EQUIVALENT), ("Tanh", Verdict.DRIFTED)])
def test_small_values_of_a_sigmoid_are_as_exact_as_one_half(operator: str, verdict: Verdict) -> None:
    small = 0.01 * np.abs(EXACT)
    nodes = [
        {"name": "n", "operator": operator, "inputs": ["x"], "outputs": ["h"], "attributes": {}},
        {"name": "m", "operator": "Identity", "inputs": ["h"], "outputs": ["y"], "attributes": {}},
    ]
    values = [{"name": name, "dtype": "float32", "shape": [64, 5]} for name in ("x", "y")]
    structure = {"inputs": values[:1], "outputs": values[1:], "initializers": [], "nodes": nodes, "opsets": {"": 17}}
    source = replace(FILE, float32={"y": small.astype(np.float32)}, float64={"y": small})
    graph = Exported(structure, {"python/onnx-reference": {"y": small}})
    target = Target({}, TENSORS, {"y": small + 3 * 2.0**-25 * np.sign(NOISE)})
    assert judge(source, graph, target).judgement.verdict is verdict


def ending(order: str, **operators: str) -> dict[str, Any]:
    """A graph whose outputs, in this order, each end in an operator on ``x``."""
    nodes = [
        {"name": name, "operator": operator, "inputs": ["x"], "outputs": [name], "attributes": {}}
        for name, operator in operators.items()
    ]
    values = [{"name": name, "dtype": "float32", "shape": [64, 5]} for name in ("x", *order)]
    return {"inputs": values[:1], "outputs": values[1:], "initializers": [], "nodes": nodes, "opsets": {"": 17}}


SMALL = 0.01 * np.abs(EXACT)
#: Three floors of a sigmoid, and many of small values.
OFF = SMALL + 3 * 2.0**-25 * np.sign(NOISE)


@pytest.mark.parametrize("order", ["yz", "zy"])
def test_the_operator_at_the_end_is_that_of_the_output_of_that_name(order: str) -> None:
    structure = ending(order, z="Tanh", y="Sigmoid")
    source = replace(
        FILE, float32=dict.fromkeys("yz", SMALL.astype(np.float32)), float64=dict.fromkeys("yz", SMALL), decision=None
    )
    graph = Exported(structure, {"r/base": dict.fromkeys("yz", SMALL)})
    found = judge(source, graph, Target({}, TENSORS, dict.fromkeys("yz", OFF))).outputs
    assert [row.rms_ratio is not None and row.rms_ratio <= 4 for row in found] == [True, False]


def test_the_operator_at_the_end_is_that_at_the_place_where_a_file_has_another_name() -> None:
    source = replace(FILE, float32={"p": SMALL.astype(np.float32)}, float64={"p": SMALL}, decision=None)
    for operator, near in (("Sigmoid", True), ("Tanh", False)):
        graph = Exported(ending("y", y=operator), {"r/base": {"p": SMALL}})
        ratio = judge(source, graph, Target({}, TENSORS, {"p": OFF})).runtime.rms_ratio
        assert ratio is not None
        assert (ratio <= 4) is near


def test_a_file_alone_is_its_own_source_by_the_oracle_that_the_cell_follows() -> None:
    """Another oracle gave the source's outputs; nothing of the route is amiss."""
    moved = EXACT + 5 * NOISE
    found = judge(FILE, Exported(None, {"r/base": {"y": moved}}), Target({}, TENSORS, {"y": moved + NOISE}))
    assert (found.route.verdict, found.runtime.rms_ratio) == (Verdict.IDENTICAL, pytest.approx(1.0))
    of_source = judge(
        replace(FILE, origin="source"), Exported(None, {"r/base": {"y": moved}}), Target({}, TENSORS, {"y": moved})
    )
    assert of_source.route.verdict is Verdict.DRIFTED
