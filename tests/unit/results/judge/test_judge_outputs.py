"""Several outputs: the worst stands for the target, and each is shown."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from harness.compare.records import Verdict
from harness.results.evaluate import Exported, Target, _is_far_off, judge
from tests.unit.results.judge.judged_cells import (
    EXACT,
    HELD,
    KEPT,
    METADATA,
    NOISE,
    SOURCE,
    SPEC,
    TENSORS,
    TWO,
    WIDE,
    WIDE_NOISE,
    judged,
)


@pytest.mark.parametrize(
    ("first", "second", "shown"), [(1.5, 3.0, 3.0), (3.0, 1.5, 3.0), (1.5, 9.0, 9.0), (9.0, 1.5, 9.0)]
)
def test_of_several_outputs_the_worst_stands_for_the_target(first: float, second: float, shown: float) -> None:
    graph = Exported(None, {"python/onnx-reference": {"y": EXACT, "z": WIDE}})
    found = judge(TWO, graph, Target({}, TENSORS, {"y": EXACT + first * NOISE, "z": WIDE + second * WIDE_NOISE}))
    assert found.runtime.rms_ratio == pytest.approx(shown)
    assert found.floor.rms == pytest.approx(1e-3 if second > first else 1e-6)
    assert found.runtime.errors.count == (WIDE.size if second > first else EXACT.size)
    assert found.decisions is not None
    assert found.decisions.decisions == 64
    messages = [finding.message for finding in found.judgement.findings]
    name = "z" if second > first else "y"
    assert bool(messages) == (shown == 9.0)
    assert all(message.startswith(f"output {name}: ") for message in messages)
    assert found.judgement.verdict is (Verdict.EQUIVALENT if shown == 3.0 else Verdict.DRIFTED)


def test_an_output_that_is_not_finite_is_worse_than_one_past_its_gate() -> None:
    graph = Exported(None, {"python/onnx-reference": {"y": EXACT, "z": WIDE}})
    broken = WIDE.copy()
    broken[3, 2] = np.nan
    found = judge(TWO, graph, Target({}, TENSORS, {"y": EXACT + 9 * NOISE, "z": broken}))
    assert found.runtime.verdict is Verdict.DIVERGENT
    assert judge(TWO, graph, Target({}, TENSORS, {"y": broken, "z": broken})).runtime.verdict is Verdict.DIVERGENT
    assert found.judgement.sentence.startswith("Divergent: output z: ")


def test_a_decision_of_the_first_output_is_seen_against_the_floor_of_the_first() -> None:
    """The second output's floor is wide enough to excuse any flip."""
    close = EXACT.copy()
    close[5] = [4.0, 4.0 - 1e-4, 0, -1, -2]
    source = replace(TWO, float32={**TWO.float32, "y": close + NOISE}, float64={"y": close, "z": WIDE})
    graph = Exported(None, {"python/onnx-reference": {"y": close, "z": WIDE}})
    flipped = close + NOISE
    flipped[5, 1] += 2e-4
    found = judge(source, graph, Target({}, TENSORS, {"y": flipped, "z": WIDE + 200 * WIDE_NOISE}))
    assert found.decisions is not None
    assert (found.decisions.flip_count, found.decisions.counted_count) == (1, 1)
    # Decisions changed on the first output alone.
    found = judge(source, graph, Target({}, TENSORS, {"y": flipped, "z": WIDE + 9 * WIDE_NOISE}))
    assert [row.verdict for row in found.outputs] == [Verdict.DIVERGENT, Verdict.DRIFTED]


def test_oracles_must_agree_on_every_output() -> None:
    first, second = {"y": EXACT, "z": WIDE}, {"y": EXACT, "z": WIDE + WIDE_NOISE}
    graph = Exported(None, {"python/onnx-reference": first, "r/base": second})
    found = judge(TWO, graph, Target({}, TENSORS, {"y": EXACT + NOISE, "z": WIDE + WIDE_NOISE}))
    assert found.judgement.verdict is Verdict.UNDECIDED
    assert found.judgement.sentence.startswith("Undecided: output z: two implementations")


def test_the_worst_output_end_to_end_stands_for_a_model_too() -> None:
    source = replace(SOURCE, float32=TWO.float32, float64=TWO.float64)
    graph = Exported(KEPT, {"r/base": {"y": EXACT, "z": WIDE}})
    found = judge(source, graph, Target(METADATA, HELD, {"y": EXACT + NOISE, "z": WIDE + 9 * WIDE_NOISE}))
    assert found.end_to_end is not None
    assert found.end_to_end.rms_ratio == pytest.approx(9)
    assert [one.comparison for one in found.judgement.findings] == ["runtime", "end-to-end"]
    assert all(one.message.startswith("output z: ") for one in found.judgement.findings)


@pytest.mark.parametrize(
    ("floor", "error", "route", "verdict"),
    [
        (1e-6, 2e-4, 0.0, Verdict.DRIFTED),
        (1e-3, 9e-3, 0.0, Verdict.DRIFTED),
        (1e-5, 2e-3, 0.0, Verdict.DIVERGENT),
        (1e-3, 3e-3, 1e-4, Verdict.DRIFTED),
        (1e-3, 3e-3, 3e-3, Verdict.DIVERGENT),
    ],
)
def test_an_output_beside_the_decided_one_that_is_far_off_is_divergent(
    floor: float, error: float, route: float, verdict: Verdict
) -> None:
    """Past a hundred floors and a thousandth of its spread, or by its route past the latter."""
    sign = WIDE_NOISE / 1e-3
    source = replace(TWO, origin="source", float32={**TWO.float32, "z": WIDE + floor * sign})
    graph = Exported(None, {"python/onnx-reference": {"y": EXACT, "z": WIDE + route * sign}})
    found = judge(source, graph, Target({}, TENSORS, {"y": EXACT + NOISE, "z": WIDE + error * sign}))
    assert found.judgement.verdict is verdict
    # Its row says the same, and that of the decided output what is true of that.
    assert [row.verdict for row in found.outputs] == [Verdict.IDENTICAL, verdict]
    told = [finding.message for finding in found.judgement.findings if finding.comparison == "decisions"]
    assert told == (["output z, on which no decision is made, is far off"] if verdict is Verdict.DIVERGENT else [])


def compared(ratio: float | None, relative: float | None) -> SimpleNamespace:
    return SimpleNamespace(rms_ratio=ratio, errors=SimpleNamespace(relative_rms=relative))


@pytest.mark.parametrize(
    ("runtime", "end_to_end", "route", "spoiled"),
    [
        ((101, 2e-3), None, None, True),
        ((100, 2e-3), None, None, False),
        ((101, 1e-3), None, None, False),
        ((None, 2e-3), None, None, False),
        ((101, None), None, None, False),
        ((1, 1e-9), (101, 2e-3), None, True),
        ((101, 2e-3), (1, 1e-9), None, True),
        ((1, 1e-9), (1, 1e-9), 2e-3, True),
        ((1, 1e-9), (1, 1e-9), 1e-3, False),
        ((101, 2e-3), None, 1e-9, True),
    ],
)
def test_limits_past_which_an_output_is_far_off(runtime: Any, end_to_end: Any, route: Any, spoiled: bool) -> None:
    for verdict in Verdict:
        output: Any = SimpleNamespace(
            shown=SimpleNamespace(verdict=verdict, route_error=route),
            runtime=compared(*runtime),
            end_to_end=None if end_to_end is None else compared(*end_to_end),
        )
        # What is past no gate is no finding, and what is worse is so already.
        assert _is_far_off(output) is (spoiled and verdict is Verdict.DRIFTED)


def test_outputs_of_a_model_are_found_by_name_or_else_by_place() -> None:
    first = SPEC.outputs[0]
    named = tuple(first.model_copy(update={"name": name}) for name in ("a", "b", "c"))
    source = replace(SOURCE, spec=SPEC.model_copy(update={"outputs": named}))
    p, q = np.ones(2), np.zeros(2)
    graph = {"outputs": [{"name": "p"}, {"name": "q"}]}
    assert source.output("b", {"a": p, "b": q}, None) is q
    assert source.output("b", {"z": p}, graph) is p
    # Where neither has a name of the other's, the place in graph and specification counts, or that in what was given.
    assert source.output("a", {"q": q, "p": p}, graph) is p
    assert source.output("b", {"q": q, "p": p}, graph) is q
    assert source.output("b", {"q": q, "p": p}, None) is p
    assert source.output("unknown", {"q": q, "p": p}, graph) is p
    for missing in (source.output("c", {"p": p, "q": q}, graph), source.output("a", {"y": q, "z": p}, graph)):
        assert (missing.shape, missing.dtype) == ((0,), np.float32)


def test_what_is_shown_of_each_output() -> None:
    (shown,) = judged(-2.0, 1.0, folded=True).outputs
    assert (shown.name, shown.shape, shown.dtype, shown.decided) == ("logits", (64, 5), "float64", True)
    assert (shown.verdict, shown.differing) == (Verdict.EQUIVALENT, None)
    assert shown.rms_ratio == pytest.approx(3.0)
    assert shown.max_ratio == pytest.approx(3.0)
    assert shown.end_to_end_ratio == pytest.approx(2.0)
    assert shown.route_error == pytest.approx(1e-6 / EXACT.std(), rel=1e-2)
    assert judged(5.0).outputs[0].verdict is Verdict.DRIFTED
    assert judged(5.0, 2.5, folded=True).outputs[0].verdict is Verdict.DRIFTED
    graph = Exported(None, {"r/base": {"y": EXACT, "z": WIDE}})
    found = judge(TWO, graph, Target({}, TENSORS, {"y": EXACT + NOISE, "z": WIDE + 9 * WIDE_NOISE})).outputs
    assert [(one.name, one.decided, one.verdict, one.end_to_end_ratio) for one in found] == [
        ("y", True, Verdict.IDENTICAL, None),
        ("z", False, Verdict.DRIFTED, None),
    ]
