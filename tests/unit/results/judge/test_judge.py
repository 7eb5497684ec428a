"""The one wiring of comparisons to a judgement: what each comparison is given, and that each of them counts."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from harness.compare.records import Finding, OracleAgreement, Parting, Verdict
from harness.results.evaluate import DecisionRule, Exported, Target, judge
from tests.unit.results.judge.judged_cells import (
    CLASSES,
    EXACT,
    FOLDED,
    HELD,
    HELD_FOLDED,
    IDS,
    KEPT,
    METADATA,
    NOISE,
    SOURCE,
    SPEC,
    WEIGHTS,
    judged,
    objecting,
)


def test_where_nothing_is_wrong_nobody_objects() -> None:
    found = judged(1.5)
    assert (found.judgement.verdict, objecting(found)) == (Verdict.EQUIVALENT, [])
    assert found.floor.rms == pytest.approx(1e-6)
    assert found.route.verdict is Verdict.IDENTICAL
    assert found.route.oracles == ["python/onnx-reference"]
    assert found.runtime.rms_ratio == pytest.approx(1.5)
    assert found.end_to_end is not None
    assert found.end_to_end.rms_ratio == pytest.approx(1.5)
    assert found.decisions is not None
    assert (found.decisions.decisions, found.decisions.flip_count) == (64, 0)
    assert found.judgement.sentence == (
        "Equivalent: its parameters are the source's and its runtime error is 1.5 times the noise floor; "
        "0 of 64 samples change class."
    )


def test_parameters_count() -> None:
    held = {name: value.copy() for name, value in HELD.items()}
    held["conv1.weight"][0, 0, 0] = np.nextafter(held["conv1.weight"][0, 0, 0], np.float32(9))
    found = judged(held=held)
    assert (found.judgement.verdict, objecting(found)) == (Verdict.DIVERGENT, ["parameters"])
    assert found.parameters.verdict is Verdict.DIVERGENT


def test_the_route_counts() -> None:
    found = judged(1.0, 0.1)
    assert (found.judgement.verdict, objecting(found)) == (Verdict.DRIFTED, ["route"])
    assert (found.route.limit, found.route.folded) == (1e-8, False)


def test_the_runtime_counts_alone() -> None:
    """On the other side of the source than the graph is: near the source, far from the graph."""
    found = judged(-2.5, 2.5, folded=True)
    assert (found.judgement.verdict, objecting(found)) == (Verdict.DRIFTED, ["runtime"])
    assert found.runtime.rms_ratio == pytest.approx(5)
    assert found.judgement.sentence == (
        "Drifted: the runtime error is 5 times the noise floor, the limit is 4; 0 of 64 samples change class."
    )
    assert (found.route.limit, found.route.folded) == (1e-6, True)


def test_end_to_end_counts_alone() -> None:
    """Near the graph, which is near the source; and farther from the source than either."""
    found = judged(5.0, 2.5, folded=True)
    assert (found.judgement.verdict, objecting(found)) == (Verdict.DRIFTED, ["end-to-end"])
    assert found.runtime.rms_ratio == pytest.approx(2.5)
    assert found.end_to_end is not None
    assert found.end_to_end.rms_ratio == pytest.approx(5)


def test_a_changed_decision_counts_where_a_gate_fails() -> None:
    error = np.zeros_like(EXACT)
    error[7] = (np.roll(EXACT[7], 1) - EXACT[7]) / NOISE[7]
    found = judged(error)
    assert (found.judgement.verdict, found.judgement.findings[-1].comparison) == (Verdict.DIVERGENT, "decisions")
    assert found.decisions is not None
    (flip,) = found.decisions.flips
    first, second = (CLASSES[int(np.argmax(values))] for values in (EXACT[7], np.roll(EXACT[7], 1)))
    assert (flip.sample, flip.id, flip.source, flip.target) == (7, 1007, first, second)
    assert flip.margin == pytest.approx(EXACT[7].max() - np.roll(EXACT[7], -1)[np.argmax(EXACT[7]) - 1], abs=9)


def test_what_the_file_says_of_itself_counts() -> None:
    found = judged(metadata={"harness.classes": json.dumps(["b", "a", "c", "d", "e"])})
    assert (found.judgement.verdict, objecting(found)) == (Verdict.DIVERGENT, ["structure"])
    assert "exchanged" in found.judgement.sentence


def test_metadata_are_not_asked_of_a_source_that_has_none() -> None:
    source = replace(SOURCE, metadata={})
    assert "structure" not in objecting(judged(source=source))


def test_a_constant_input_that_a_target_holds_is_no_parameter_of_the_structure() -> None:
    """What the graph is checked for needs the values that the target holds."""
    structure = {**KEPT, "nodes": [*KEPT["nodes"][:-1], *dropout(KEPT["nodes"][-1])]}
    held = {**HELD, "mode": np.array(True)}
    found = judged(structure=structure, held=held)
    assert objecting(found) == ["structure"]
    assert "dropout is left on" in found.judgement.sentence


def dropout(last: dict[str, Any]) -> list[dict[str, Any]]:
    """The last node of a graph, and a dropout after it whose mode is a stored tensor."""
    node = {"name": "d", "operator": "Dropout", "domain": "", "inputs": ["s", "", "mode"], "outputs": ["logits"]}
    return [{**last, "outputs": ["s"]}, {**node, "attributes": {}}]


def test_identical_is_of_the_sources_own_bits() -> None:
    single = (EXACT + NOISE).astype(np.float32)
    source = replace(SOURCE, float32={"logits": single})
    graph = Exported(KEPT, {"r/base": {"logits": EXACT}})
    assert judge(source, graph, Target(METADATA, HELD, {"logits": single})).judgement.verdict is Verdict.IDENTICAL
    other = np.nextafter(single, np.float32(9))
    assert judge(source, graph, Target(METADATA, HELD, {"logits": other})).judgement.verdict is Verdict.EQUIVALENT
    # A graph of its own rounding: the target has the source's bits end to end.
    moved = Exported(KEPT, {"r/base": {"logits": EXACT + 1e-9 * NOISE}})
    found = judge(source, moved, Target(METADATA, HELD, {"logits": single}))
    assert found.judgement.verdict is Verdict.IDENTICAL
    assert found.end_to_end is not None
    assert found.end_to_end.bit_equal_to_source


def test_other_oracles_must_agree_with_the_first_and_refusals_are_recorded() -> None:
    oracles = {"r/base": {"logits": EXACT}, "julia/base": {"logits": EXACT + 0.001 * NOISE}}
    found = judged(oracles=oracles, passed_over={"python/onnx-reference": "operator Loop is not supported"})
    assert objecting(found) == ["route"]
    assert "two implementations of the route oracle, r/base and julia/base, differ by" in found.judgement.sentence
    assert found.route.oracles == ["r/base", "julia/base"]
    assert found.route.passed_over == {"python/onnx-reference": "operator Loop is not supported"}


@pytest.mark.parametrize("outputs", [("logits", "other"), ("other", "t10"), ("other",)])
def test_the_output_is_found_by_name_else_as_the_graphs_first_else_alone(outputs: tuple[str, ...]) -> None:
    wanted = "logits" if "logits" in outputs else outputs[-1]
    structure = {**KEPT, "outputs": [{**KEPT["outputs"][0], "name": "t10"}, {"name": "other", "shape": [64]}]}
    answers = {name: EXACT + NOISE if name == wanted else np.zeros((3, 2)) for name in outputs}
    found = judge(
        replace(SOURCE, metadata={}), Exported(structure, {"r/base": answers}), Target(METADATA, HELD, answers)
    )
    assert found.runtime.errors.count == EXACT.size
    assert found.route.errors.count == EXACT.size


def test_a_table_of_weights_has_no_graph() -> None:
    found = judge(
        SOURCE, Exported(None, {"python/pytorch": {"y": EXACT}}), Target(METADATA, WEIGHTS, {"z": EXACT + 2 * NOISE})
    )
    assert (found.judgement.verdict, objecting(found)) == (Verdict.EQUIVALENT, [])
    assert found.parameters.verdict is Verdict.IDENTICAL


def test_other_shapes_leave_no_decisions_and_are_divergent() -> None:
    found = judge(
        SOURCE,
        Exported(KEPT, {"r/base": {"logits": EXACT}}),
        Target(METADATA, HELD, {"logits": EXACT[:, :4]}),
    )
    assert found.decisions is None
    assert found.judgement.verdict is Verdict.DIVERGENT


def test_a_source_without_decisions_gets_no_benefit() -> None:
    source = replace(SOURCE, decision=None)
    assert judged(2.0, source=source).decisions is None
    assert judged(2.0, source=source).judgement.verdict is Verdict.EQUIVALENT
    assert judged(8.0).judgement.verdict is Verdict.DRIFTED
    assert judged(8.0, source=source).judgement.verdict is Verdict.DIVERGENT


def test_thresholds_and_mask_of_a_forecast_reach_the_decisions() -> None:
    counted = np.zeros(EXACT.shape, dtype=bool)
    counted[:, 0] = True
    rule = DecisionRule("exceedance", ("2 mm/h", "4 mm/h"), IDS, thresholds=(1.0, 4.0), mask=counted)
    found = judged(source=replace(SOURCE, decision=rule))
    assert found.decisions is not None
    assert (found.decisions.rule, found.decisions.decisions) == ("exceedance", 2 * 64)
    error = np.zeros_like(EXACT)
    place = int(np.argmax(EXACT[:, 0] > 4))
    error[place, 0] = -1 / NOISE[place, 0]
    changed = judged(error, source=replace(SOURCE, decision=rule)).decisions
    assert changed is not None
    assert [(flip.id, flip.source, flip.target) for flip in changed.flips] == [
        (1000 + place, "at or above 4 mm/h", "below 4 mm/h")
    ]


def test_the_order_of_axes_in_the_file_is_that_of_its_own_specification() -> None:
    turned = SPEC.model_copy(update={"inputs": tuple(tensor.arranged((0, 2, 1)) for tensor in SPEC.inputs)})
    batch, bands, dates = KEPT["inputs"][0]["shape"]
    structure = {**KEPT, "inputs": [{**KEPT["inputs"][0], "shape": [batch, dates, bands]}]}
    of_source, of_file = (judged(structure=structure, source=replace(SOURCE, file_spec=one)) for one in (None, turned))
    assert objecting(of_file) == []
    assert set(objecting(of_source)) == {"structure"}


PLACED = ("Conv 'conv1': strides 2, the source has 1", "Gemm 'dense': another bias")


def test_known_causes_stand_before_the_difference_that_they_make() -> None:
    graph = Exported(KEPT, {"python/onnx-reference": {"logits": EXACT + 0.1 * NOISE}})
    target = Target(METADATA, HELD, {"logits": EXACT + NOISE})
    found, plain = judge(SOURCE, graph, target, PLACED), judge(SOURCE, graph, target)
    assert found.route.findings == [
        *(Finding(comparison="route", verdict=Verdict.DRIFTED, message=cause) for cause in PLACED),
        *plain.route.findings,
    ]
    assert len(plain.route.findings) == 1
    assert found.judgement.sentence.startswith(f"Drifted: {PLACED[0]}")


def test_causes_of_no_difference_are_not_told() -> None:
    """Two floating-point orders of one sum: placed, and within the limit."""
    target = Target(METADATA, HELD_FOLDED, {"logits": EXACT + NOISE})
    for off, verdict in ((0.0, Verdict.IDENTICAL), (1e-3, Verdict.EQUIVALENT)):
        graph = Exported(FOLDED, {"python/onnx-reference": {"logits": EXACT + off * NOISE}})
        found = judge(SOURCE, graph, target, PLACED)
        assert (found.route.verdict, found.route.findings) == (verdict, [])


def test_the_vote_of_the_targets_own_engine_is_told_to_be_missing() -> None:
    agreement = OracleAgreement(partings=[Parting(groups=[["r/base", "julia/base"], ["python/onnx-reference"]])])
    for own, told in (("", False), ("r/base", True)):
        found = judged(agreement=agreement, own=own).route.findings[-1].message
        assert ("without the vote of r/base, which is asked about" in found) is told
