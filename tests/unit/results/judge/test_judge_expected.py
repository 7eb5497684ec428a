"""A file against the outputs that the framework gave which it was made from: route, runtime and end to end."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from harness.compare.records import Verdict
from harness.results.evaluate import DecisionRule, Exported, Judged, SourceFile, Target, judge
from tests.unit.results.judge.judged_cells import EXACT, NOISE

#: One noise floor with other signs.
OTHER = 1e-6 * np.sign(np.random.default_rng(4).normal(size=EXACT.shape))


def judged(
    expected: np.ndarray, target: float = 1.5, structure: dict[str, Any] | None = None, **exported: Any
) -> Judged:
    """A target so many floors off the graph, where the framework gave ``expected``."""
    source = SourceFile(
        parameters={},
        float32={"y": EXACT + NOISE},
        float64={"y": expected},
        decision=DecisionRule("argmax", list("abcde"), np.arange(64)),
        expected=["y"],
        file64={"y": EXACT},
    )
    graph = Exported(structure, {"python/onnx-reference": {"y": EXACT}})
    return judge(source, replace(graph, **exported), Target({}, {}, {"y": EXACT + target * NOISE}))


def test_in_float64_they_are_an_oracle_of_the_route() -> None:
    found = judged(EXACT * (1 + 1e-9))
    assert (found.judgement.verdict, found.route.limit) == (Verdict.EQUIVALENT, 1e-6)
    assert found.end_to_end is not None
    found = judged(EXACT + 20 * NOISE)
    assert found.judgement.verdict is Verdict.DRIFTED
    assert found.judgement.sentence.startswith(
        "Drifted: in float64 the exported graph differs from the expected outputs by "
    )
    assert [one.comparison for one in found.judgement.findings] == ["route", "end-to-end", "end-to-end"]
    # The file is compared with itself in its targets all the same: they cannot help it.
    assert (found.runtime.verdict, found.runtime.rms_ratio) == (Verdict.EQUIVALENT, pytest.approx(1.5))
    assert found.floor.rms == pytest.approx(1e-6)


def test_an_export_that_decides_otherwise_is_divergent() -> None:
    found = judged(EXACT[:, ::-1])
    assert found.judgement.verdict is Verdict.DIVERGENT
    assert found.decisions is not None
    assert found.decisions.counted_count > 0


@pytest.mark.parametrize(("floors", "verdict"), [(3.0, Verdict.EQUIVALENT), (6.0, Verdict.DRIFTED)])
def test_in_float32_they_are_a_measurement(floors: float, verdict: Verdict) -> None:
    # A framework that rounds to the other side than a target does is no more wrong than the target.
    found = judged((EXACT - floors * NOISE).astype(np.float32), target=3.0)
    assert found.judgement.verdict is verdict
    assert found.route.limit == pytest.approx(4e-6 / EXACT.std(), rel=1e-3)
    if verdict is Verdict.DRIFTED:
        assert "times the noise floor (largest" in found.judgement.sentence
        assert "float32 as they are" in found.judgement.sentence


def test_a_graph_in_half_precision_is_a_measurement_too() -> None:
    weights = [{"name": "w", "dtype": "float16", "shape": [1]}]
    node = {"operator": "Mul", "name": "m", "inputs": ["x", "w"], "outputs": ["y"], "attributes": {}}
    structure = {"initializers": weights, "nodes": [node], "inputs": [], "outputs": [], "metadata": {}, "opsets": {}}
    assert judged(EXACT + 3 * OTHER).route.verdict is Verdict.DRIFTED
    found = judged(EXACT + 3 * OTHER, structure=structure)
    assert found.route.verdict is Verdict.EQUIVALENT


def test_whole_numbers_must_be_those_that_were_expected() -> None:
    classes = EXACT.argmax(1)
    source = SourceFile({}, {"y": classes}, {"y": classes}, None, expected=["y"], file64={"y": classes})
    graph = Exported(None, {"python/onnx-reference": {"y": classes}})
    same = judge(source, graph, Target({}, {}, {"y": classes}))
    assert same.judgement.verdict is Verdict.IDENTICAL
    other = judge(replace(source, float64={"y": (classes + 1) % 5}), graph, Target({}, {}, {"y": classes}))
    assert other.judgement.verdict is Verdict.DIVERGENT
    assert "64 of 64 values of the exported graph differ from the expected outputs" in other.judgement.sentence


def test_outputs_that_were_not_expected_are_those_of_the_file() -> None:
    source = SourceFile(
        {},
        {"y": EXACT + NOISE, "z": EXACT + NOISE},
        {"y": EXACT + 20 * NOISE, "z": EXACT},
        None,
        expected=["y"],
        file64={"y": EXACT},
    )
    graph = Exported(None, {"python/onnx-reference": {"y": EXACT, "z": EXACT}})
    found = judge(source, graph, Target({}, {}, {"y": EXACT, "z": EXACT}))
    assert [row.end_to_end_ratio is None for row in found.outputs] == [False, True]
    assert all(one.message.startswith("output y: ") for one in found.judgement.findings if one.comparison == "route")


def test_oracles_are_named_and_must_agree_where_outputs_are_expected_too() -> None:
    oracles = {"r/base": {"y": EXACT}, "julia/base": {"y": EXACT + 0.01 * NOISE}}
    found = judged(EXACT, oracles=oracles, passed_over={"python/onnx-reference": "operator Loop is not supported"})
    assert found.judgement.verdict is Verdict.UNDECIDED
    assert found.route.oracles == ["r/base", "julia/base"]
    assert found.route.passed_over == {"python/onnx-reference": "operator Loop is not supported"}
    assert "implementations of the route oracle, r/base and julia/base, differ by" in found.judgement.sentence


def test_nan_that_is_meant_may_stand_in_expected_outputs() -> None:
    holed, noise = EXACT.copy(), NOISE.copy()
    holed[4, 1] = np.nan
    source = SourceFile(
        {}, {"y": holed + noise}, {"y": holed}, None, allow_nan=True, expected=["y"], file64={"y": holed}
    )
    graph = Exported(None, {"python/onnx-reference": {"y": holed}})
    found = judge(source, graph, Target({}, {}, {"y": holed + 1.5 * noise}))
    assert (found.judgement.verdict, found.route.verdict) == (Verdict.EQUIVALENT, Verdict.IDENTICAL)
    assert found.end_to_end is not None
    assert (found.end_to_end.verdict, found.end_to_end.rms_ratio) == (Verdict.EQUIVALENT, pytest.approx(1.5))
