from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tempcnn_graphs import draw_parameters, export, specification

from harness.compare.decisions import compare_decisions
from harness.compare.outputs import compare_route, compare_runtime, noise_floor
from harness.compare.parameters import compare_parameters
from harness.compare.records import CellResult, Finding, Verdict, worst
from harness.compare.verdict import Judgement, combine, describe_failure, exit_code, expectation_met
from harness.errors import ExitCode

SPEC = specification()
SOURCE = draw_parameters(SPEC)


def judge(
    target_error: float = 1.0,
    route_error: float = 1e-10,
    *,
    style: str = "kept",
    flip: bool = False,
    with_decisions: bool = True,
    same_as_source: bool = False,
    **changes: Any,
) -> Judgement:
    """A cell whose target errs by so many floors and whose route errs by so much of the outputs' spread."""
    generator = np.random.default_rng(1)
    source64 = generator.normal(size=(64, 5)) * 3
    noise = 1e-6 * np.sign(generator.normal(size=source64.shape))
    source32 = (source64 + noise).astype(np.float32)
    floor = noise_floor(source32, source64)
    route64 = source64 + route_error * source64.std() * np.sign(noise)
    target = source32.copy() if same_as_source else (route64 + target_error * noise).astype(np.float32)
    if flip:
        target[9] = np.roll(target[9], 1)
    parts: dict[str, Any] = {
        "parameters": compare_parameters(SPEC, SOURCE, *export(SPEC, SOURCE, style=style)),
        "route": compare_route(route64, source64, style == "folded"),
        "runtime": compare_runtime(target, route64, floor, source32=source32),
        "end_to_end": compare_runtime(target, source64, floor, source32=source32, comparison="end-to-end"),
        "decisions": compare_decisions("argmax", target, source64, floor) if with_decisions else None,
    }
    return combine(**{**parts, **changes})


def test_equivalent_says_why() -> None:
    judgement = judge()
    assert judgement.verdict is Verdict.EQUIVALENT
    assert judgement.findings == []
    assert judgement.sentence.startswith("Equivalent: its parameters are the source's and its runtime error is 1 times")
    assert "none of 64 decisions changed" in judgement.sentence
    assert "folded in" in judge(style="folded").sentence


def test_identical_needs_parameters_and_outputs_bit_for_bit() -> None:
    assert judge(same_as_source=True).verdict is Verdict.IDENTICAL
    assert judge(same_as_source=True, style="folded").verdict is Verdict.EQUIVALENT
    assert judge(same_as_source=True, route_error=1e-7).verdict is Verdict.DRIFTED


@pytest.mark.parametrize("broken", [{"target_error": 8.0}, {"route_error": 2e-8}])
def test_a_failed_gate_without_a_changed_decision_is_drifted(broken: dict[str, float]) -> None:
    judgement = judge(**broken)
    assert judgement.verdict is Verdict.DRIFTED
    assert judgement.sentence.startswith("Drifted: ")
    assert "none of 64 decisions changed" in judgement.sentence


def test_a_failed_gate_with_a_changed_decision_is_divergent() -> None:
    judgement = judge(flip=True)
    assert judgement.verdict is Verdict.DIVERGENT
    assert judgement.findings[-1].comparison == "decisions"
    assert "1 of 64 decisions changed, for instance sample 9" in judgement.sentence


def test_a_failed_gate_without_decisions_is_not_given_the_benefit() -> None:
    assert judge(8.0, with_decisions=False).verdict is Verdict.DIVERGENT


def test_flips_alone_do_not_fail_a_cell_whose_gates_hold() -> None:
    generator = np.random.default_rng(1)
    source64 = generator.normal(size=(64, 5)) * 3
    source64[3, :2] = 20.0, 20.0 + 1e-6
    noise = 1e-6 * np.sign(generator.normal(size=source64.shape))
    noise[3, :2] = 1e-6, -1e-6
    floor = noise_floor(source64 + noise, source64)
    target = source64 + noise
    decisions = compare_decisions("argmax", target, source64, floor)
    assert (decisions.flip_count, decisions.counted_count) == (1, 0)
    runtime = compare_runtime(target, source64, floor)
    judgement = combine(runtime=runtime, decisions=decisions)
    assert judgement.verdict is Verdict.EQUIVALENT
    assert "1 decision flipped within that noise" in judgement.sentence
    within = combine(runtime=compare_runtime(source64 + 8 * noise, source64, floor), decisions=decisions)
    assert within.verdict is Verdict.DRIFTED
    assert "1 decision flipped, all within the noise floor" in within.sentence


def test_parameters_decide_alone() -> None:
    changed = {name: value.copy() for name, value in SOURCE.items()}
    changed["conv1.weight"][0, 0, 0] = np.nextafter(changed["conv1.weight"][0, 0, 0], np.float32(9))
    judgement = judge(parameters=compare_parameters(SPEC, SOURCE, *export(SPEC, changed)))
    assert judgement.verdict is Verdict.DIVERGENT
    assert [finding.comparison for finding in judgement.findings] == ["parameters"]
    assert judgement.sentence.startswith("Divergent: parameter conv1.weight differs from the source: 1 of 120 values")


def test_notes_of_the_structure_do_not_spoil_a_verdict_and_contradictions_do() -> None:
    note = Finding(comparison="structure", verdict=Verdict.EQUIVALENT, message="the batch is fixed")
    fault = Finding(comparison="structure", verdict=Verdict.DIVERGENT, message="the graph ends in softmax")
    assert judge(structure=[note]).verdict is Verdict.EQUIVALENT
    assert judge(same_as_source=True, structure=[note]).verdict is Verdict.IDENTICAL
    judgement = judge(8.0, structure=[note, fault])
    assert judgement.verdict is Verdict.DIVERGENT
    assert judgement.sentence.startswith("Divergent: the graph ends in softmax")


def test_order_of_verdicts() -> None:
    assert worst([Verdict.DRIFTED, Verdict.IDENTICAL, Verdict.EQUIVALENT]) is Verdict.DRIFTED
    assert worst([Verdict.DIVERGENT, Verdict.FAILED]) is Verdict.FAILED


@pytest.mark.parametrize(
    ("verdict", "expected", "met"),
    [
        ("identical", "equivalent", True),
        ("equivalent", "equivalent", True),
        ("drifted", "equivalent", False),
        ("equivalent", "identical", False),
        ("divergent", "divergent", True),
        ("failed", "divergent", False),
        ("unsupported", "equivalent", False),
        ("unsupported", "unsupported", True),
        ("equivalent", "unsupported", True),
        ("divergent", "unsupported", False),
        ("failed", "unsupported", False),
        ("unsupported", "failed", False),
    ],
)
def test_expectations(verdict: str, expected: str, met: bool) -> None:
    assert expectation_met(Verdict(verdict), Verdict(expected)) is met


def cell(name: str, verdict: str, target: str = "r/base") -> CellResult:
    return CellResult(
        cell=name,
        model="tempcnn",
        source="pytorch",
        route="torch-dynamo",
        route_label="torch-dynamo",
        target=target,
        verdict=Verdict(verdict),
        sentence=".",
    )


@pytest.mark.parametrize(
    ("verdicts", "expect", "require", "code"),
    [
        ([], "equivalent", (), ExitCode.OK),
        (["identical", "equivalent"], "equivalent", (), ExitCode.OK),
        (["equivalent", "drifted"], "equivalent", (), ExitCode.WORSE_THAN_EXPECTED),
        (["drifted"], "drifted", (), ExitCode.OK),
        (["drifted", "failed", "divergent"], "equivalent", (), ExitCode.CELL_FAILED),
        (["unsupported"], "equivalent", (), ExitCode.WORSE_THAN_EXPECTED),
        (["unsupported"], "unsupported", (), ExitCode.OK),
        (["failed"], "failed", (), ExitCode.OK),
        (["unavailable"], "equivalent", (), ExitCode.OK),
        (["unavailable"], "equivalent", ("r/base",), ExitCode.WORSE_THAN_EXPECTED),
        (["unavailable"], "equivalent", ("python/pytorch",), ExitCode.OK),
    ],
)
def test_exit_codes(verdicts: list[str], expect: str, require: tuple[str, ...], code: ExitCode) -> None:
    results = [cell(str(index), verdict) for index, verdict in enumerate(verdicts)]
    assert exit_code(results, Verdict(expect), require) is code


def test_expectations_by_cell() -> None:
    results = [cell("a", "drifted"), cell("b", "equivalent")]
    assert exit_code(results, {"a": Verdict.DRIFTED}) is ExitCode.OK
    assert exit_code(results, {"b": Verdict.DRIFTED}) is ExitCode.WORSE_THAN_EXPECTED


def test_failures_are_one_sentence() -> None:
    text = describe_failure(Verdict.UNAVAILABLE, "R is not\n installed.", "apt-get install r-base-core")
    assert text == "Not available: R is not installed; apt-get install r-base-core."
