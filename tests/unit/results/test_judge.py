"""The one wiring of comparisons to a judgement: what each comparison is given, and that each of them counts."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from harness.compare.records import OutputResult, Verdict
from harness.results.evaluate import DecisionRule, Exported, Judged, SourceFile, SourceModel, Target, _is_far_off, judge
from tests.unit.compare.tempcnn_graphs import draw_parameters, export, specification

SPEC = specification()
WEIGHTS = draw_parameters(SPEC)
CLASSES = ["a", "b", "c", "d", "e"]
RANDOM = np.random.default_rng(3)
#: Outputs (sample, class) of spread 3; the nearest two classes of a sample are 0.1 apart at least.
EXACT = np.stack([RANDOM.permutation([-4.0, -1.9, 0.3, 2.1, 4.2]) for _ in range(64)])
#: One noise floor, with the sign of each error.
NOISE = 1e-6 * np.sign(RANDOM.normal(size=EXACT.shape))
IDS = np.arange(1000, 1064)
METADATA = {"harness.classes": json.dumps(CLASSES)}


def graph_of(style: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """An exported graph whose output has the name that it has in the specification, and what it holds."""
    structure, held = export(SPEC, WEIGHTS, style=style)
    structure["nodes"][-1]["outputs"] = ["logits"]
    structure["outputs"][0]["name"] = "logits"
    return structure, held


#: The route may be off by 1e-6 of the spread where batch normalisation is folded, by 1e-8 elsewhere.
FOLDED, HELD_FOLDED = graph_of("folded")
KEPT, HELD = graph_of("kept")

SOURCE = SourceModel(
    spec=SPEC,
    parameters=WEIGHTS,
    float32={"logits": EXACT + NOISE},
    float64={"logits": EXACT},
    metadata=METADATA,
    decision=DecisionRule("argmax", CLASSES, IDS),
)


def judged(
    target: float | np.ndarray = 1.0,
    route: float = 0.0,
    *,
    source: SourceModel = SOURCE,
    folded: bool = False,
    held: dict[str, np.ndarray] | None = None,
    metadata: dict[str, str] | None = None,
    **exported: Any,
) -> Judged:
    """A cell whose target and whose graph in float64 are off by so many noise floors (or by an array)."""
    structure, own = (FOLDED, HELD_FOLDED) if folded else (KEPT, HELD)
    graph = Exported(structure, {"python/onnx-reference": {"logits": EXACT + route * NOISE}})
    return judge(
        source,
        replace(graph, **exported),
        Target(METADATA if metadata is None else metadata, held or own, {"logits": EXACT + target * NOISE}),
    )


def objecting(found: Judged) -> list[str]:
    return [one.comparison for one in found.judgement.findings if one.verdict.rank > Verdict.EQUIVALENT.rank]


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


# A file alone.

TENSORS = {"w": np.arange(6, dtype=np.float32).reshape(2, 3)}
FILE = SourceFile(
    parameters=TENSORS,
    float32={"y": EXACT + NOISE},
    float64={"y": EXACT},
    decision=DecisionRule("argmax", CLASSES, IDS),
)
GRAPH = Exported(None, {"python/onnx-reference": {"y": EXACT}})


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


#: A second output, of another size, whose noise floor is a thousand times that of the first.
WIDE = RANDOM.normal(size=(64, 7))
WIDE_NOISE = 1e-3 * np.sign(RANDOM.normal(size=WIDE.shape))
TWO = SourceFile(
    parameters=TENSORS,
    float32={"y": EXACT + NOISE, "z": WIDE + WIDE_NOISE},
    float64={"y": EXACT, "z": WIDE},
    decision=DecisionRule("argmax", CLASSES, IDS),
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


def test_the_axis_of_a_decision_reaches_the_decisions() -> None:
    """Scores (sample, pixel, class): three pixels of four classes each, and not four of three."""
    values = RANDOM.normal(size=(5, 3, 4))
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
