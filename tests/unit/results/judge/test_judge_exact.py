"""Outputs of whole numbers and texts, outputs in steps of a scale, and decisions along another axis."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.compare.records import OutputResult, Verdict
from harness.results.evaluate import DecisionRule, Exported, SourceFile, Target, judge
from tests.unit.results.judge.judged_cells import (
    CLASSES,
    EXACT,
    FILE,
    FOLDED,
    HELD,
    HELD_FOLDED,
    IDS,
    KEPT,
    METADATA,
    SOURCE,
    TENSORS,
)

#: Classes that a graph gives itself, one per sample.
LABELS = np.argmax(EXACT, axis=1)


def other_class(*samples: int, of: np.ndarray = LABELS) -> np.ndarray:
    changed = of.copy()
    changed[list(samples)] = (changed[list(samples)] + 1) % 5
    return changed


@pytest.mark.parametrize("folded", [False, True])
def test_whole_numbers_are_compared_value_by_value(folded: bool) -> None:
    """The graph is off in sample 3, the source in float32 in sample 5, and the target in both."""
    structure, held = (FOLDED, HELD_FOLDED) if folded else (KEPT, HELD)
    source = replace(
        SOURCE,
        float32={"logits": other_class(5)},
        float64={"logits": LABELS},
        decision=DecisionRule("classes", CLASSES, IDS),
    )
    oracles = {"python/onnx-reference": {"logits": other_class(3)}, "r/base": {"logits": LABELS}}
    found = judge(
        source,
        Exported(structure, oracles, passed_over={"julia/base": "broke"}),
        Target(METADATA, held, {"logits": other_class(3, 5)}),
    )
    assert (found.floor.rms, found.floor.scale) == (0.0, 4.0)
    assert (found.route.errors.differing, found.route.folded, found.route.limit) == (
        1,
        folded,
        1e-6 if folded else 1e-8,
    )
    assert (found.route.oracles, found.route.passed_over) == ([*oracles], {"julia/base": "broke"})
    assert [finding.message for finding in found.route.findings] == [
        "in float64 1 of 64 values of the exported graph differ from the source",
        "two implementations of the route oracle, python/onnx-reference and r/base, differ in 1.56% of the values",
    ]
    # What the source in float32 does not keep is asked of nobody.
    assert (found.runtime.findings, found.runtime.errors.differing) == ([], 1)
    assert found.end_to_end is not None
    assert [finding.message for finding in found.end_to_end.findings] == [
        "1 of 64 values differ from the end-to-end oracle, the first in sample 3"
    ]
    assert found.decisions is not None
    assert (found.decisions.flip_count, found.decisions.rule) == (2, "classes")
    assert found.outputs == [
        OutputResult(
            name="logits",
            shape=(64,),
            dtype="int64",
            decided=True,
            verdict=Verdict.DIVERGENT,
            rms_ratio=None,
            max_ratio=None,
            end_to_end_ratio=None,
            route_error=None,
            differing=1,
        )
    ]
    clean = judge(
        replace(source, float32=source.float64),
        Exported(structure, {"r/base": {"logits": LABELS}}),
        Target(METADATA, held, {"logits": LABELS}),
    )
    assert (clean.runtime.verdict, clean.outputs[0].verdict) == (Verdict.IDENTICAL, Verdict.IDENTICAL)


def test_where_one_side_is_exact_both_are_compared_so() -> None:
    """A target that gives whole numbers for floating point, and the other way round."""
    for target, source in ((LABELS, LABELS.astype(float)), (LABELS.astype(np.float32), LABELS)):
        of_one = replace(FILE, float32={"y": source}, float64={"y": source}, decision=None)
        found = judge(of_one, Exported(None, {"r/base": {"y": source}}), Target({}, TENSORS, {"y": target}))
        assert (found.runtime.rms_ratio, found.runtime.errors.differing) == (None, 0)
    texts = np.array(["a", "b"])
    of_texts = replace(FILE, float32={"y": texts}, float64={"y": texts}, decision=None)
    told = judge(of_texts, Exported(None, {"r/base": {"y": texts}}), Target({}, TENSORS, {"y": texts}))
    assert (told.outputs[0].dtype, told.outputs[0].verdict) == ("string", Verdict.IDENTICAL)


def test_the_axis_of_a_decision_reaches_the_decisions() -> None:
    """Scores (sample, pixel, class): three pixels of four classes each, and not four of three."""
    values = np.random.default_rng(7).normal(size=(5, 3, 4))
    for axis, decisions in ((2, 15), (1, 20)):
        rule = DecisionRule("argmax-per-pixel", CLASSES, range(5), axis=axis)
        source = replace(FILE, float32={"y": values + 1e-6}, float64={"y": values}, decision=rule)
        found = judge(source, Exported(None, {"r/base": {"y": values}}), Target({}, TENSORS, {"y": values}))
        assert found.decisions is not None
        assert found.decisions.decisions == decisions


@pytest.mark.parametrize(
    ("steps", "verdict", "share"),
    [(0, Verdict.EQUIVALENT, 0.0), (1, Verdict.EQUIVALENT, 1 / 320), (3, Verdict.DRIFTED, 0.0)],
)
def test_an_output_that_was_just_dequantised_is_compared_in_steps_of_its_scale(
    steps: int, verdict: Verdict, share: float
) -> None:
    """In floors of single precision one step would be thousands."""
    step = 2.0**-6
    exact = np.rint(EXACT / step) * step
    structure = {
        "inputs": [{"name": "x", "dtype": "uint8"}],
        "outputs": [{"name": "y", "dtype": "float32"}],
        "initializers": [{"name": "scale", "dtype": "float32"}],
        "nodes": [
            {"operator": "DequantizeLinear", "domain": "", "inputs": ["x", "scale"], "outputs": ["y"], "attributes": {}}
        ],
    }
    held = {"scale": np.float32(step)}
    source = SourceFile(held, {"y": exact.astype(np.float32)}, {"y": exact}, None)
    target = exact.astype(np.float32) + np.float32(2.0**-20)
    target[7, 2] += steps * step
    found = judge(source, Exported(structure, {"r/base": {"y": exact}}), Target({}, held, {"y": target}))
    assert found.runtime.off_by_one_step == pytest.approx(share)
    assert found.runtime.verdict is verdict
    made_from_it = replace(source, expected=frozenset({"y"}))
    ends = judge(
        made_from_it, Exported(structure, {"r/base": {"y": exact}}), Target({}, held, {"y": target})
    ).end_to_end
    assert ends is not None
    assert (ends.off_by_one_step, ends.verdict) == (pytest.approx(share), verdict)
    assert [finding.comparison for finding in ends.findings] == ["end-to-end"]
