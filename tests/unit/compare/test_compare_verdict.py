"""From comparisons to a verdict, a sentence and an exit code. The comparisons are made by hand here; `test_judge` makes them."""

from __future__ import annotations

from typing import Any

import pytest

from harness.compare.records import (
    CellResult,
    Comparison,
    DecisionComparison,
    ErrorStatistics,
    Finding,
    Flip,
    ParameterComparison,
    RouteComparison,
    RuntimeComparison,
    Verdict,
    worst,
)
from harness.compare.verdict import (
    Judgement,
    combine,
    decision_changes,
    describe_failure,
    exit_code,
    expectation_met,
    runtime_error,
    without_reference,
)
from harness.errors import ExitCode

ERRORS = ErrorStatistics(
    count=320,
    non_finite=0,
    max_abs=1e-6,
    mean_abs=1e-7,
    rms=1e-7,
    relative_rms=1e-8,
    max_ulp=1,
    one_minus_cosine=0.0,
    reference_min=-1.0,
    reference_max=1.0,
)


def finding(comparison: Comparison, verdict: Verdict = Verdict.DRIFTED, message: str | None = None) -> Finding:
    return Finding(comparison=comparison, verdict=verdict, message=message or f"{comparison} objects")


def parameters(*findings: Finding, folded: bool = False) -> ParameterComparison:
    return ParameterComparison(
        verdict=worst([Verdict.EQUIVALENT if folded else Verdict.IDENTICAL, *(one.verdict for one in findings)]),
        rows=[],
        source_count=1,
        target_count=1,
        folded=folded,
        findings=[*findings],
    )


def route(*findings: Finding) -> RouteComparison:
    verdict = worst([Verdict.EQUIVALENT, *(one.verdict for one in findings)])
    return RouteComparison(verdict=verdict, errors=ERRORS, limit=1e-8, folded=False, findings=[*findings])


def outputs(*findings: Finding, ratio: float | None = 1.25, same: bool = False) -> RuntimeComparison:
    return RuntimeComparison(
        verdict=worst([Verdict.IDENTICAL if same else Verdict.EQUIVALENT, *(one.verdict for one in findings)]),
        errors=ERRORS,
        rms_ratio=ratio,
        max_ratio=ratio,
        rms_limit=4,
        max_limit=16,
        bit_equal_to_source=same,
        findings=[*findings],
    )


def decisions(flips: int = 0, counted: int = 0, of: int = 64) -> DecisionComparison:
    listed = [
        Flip(sample=9 + index, id=index, source="a", target="b", margin=1.0, within_floor=index >= counted)
        for index in range(flips)
    ]
    return DecisionComparison(
        rule="argmax",
        unit="sample",
        samples=of,
        decisions=of,
        agreement=1 - flips / of,
        flip_count=flips,
        counted_count=counted,
        flips=listed[::-1],
    )


def judgement(**changes: Any) -> Judgement:
    parts: dict[str, Any] = {
        "parameters": parameters(),
        "route": route(),
        "runtime": outputs(),
        "end_to_end": outputs(ratio=2.5),
        "decisions": decisions(),
    }
    return combine(**{**parts, **changes})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {},
            "its parameters are the source's and its runtime error is 1.25 times the noise floor; 0 of 64 samples change class",
        ),
        ({"decisions": None}, "its parameters are the source's and its runtime error is 1.25 times the noise floor"),
        ({"decisions": None, "runtime": outputs(ratio=None)}, "its parameters are the source's"),
        (
            {"parameters": parameters(folded=True), "decisions": decisions(of=1)},
            "its parameters are the source's with batch normalisation folded in and its runtime error is 1.25 times the noise "
            "floor; 0 of 1 sample changes class",
        ),
        (
            {"decisions": decisions(1)},
            "its parameters are the source's and its runtime error is 1.25 times the noise floor; "
            "1 of 64 samples changes class within that noise",
        ),
        (
            {"decisions": decisions(2, 2)},
            "its parameters are the source's and its runtime error is 1.25 times the noise floor; "
            "2 of 64 samples change class within that noise",
        ),
        (
            {"origin": "file", "end_to_end": None, "decisions": None, "runtime": outputs(ratio=0.17012)},
            "its parameters are the file's and its runtime error is 0.17 times the noise floor",
        ),
    ],
)
def test_equivalent_says_why(changes: dict[str, Any], sentence: str) -> None:
    found = judgement(**changes)
    assert (found.verdict, found.findings) == (Verdict.EQUIVALENT, [])
    assert found.sentence == f"Equivalent: {sentence}."


def test_identical_needs_parameters_and_outputs_bit_for_bit() -> None:
    same = outputs(same=True)
    found = judgement(runtime=same)
    assert found.verdict is Verdict.IDENTICAL
    assert found.sentence == "Identical: parameters and outputs are equal to the source's bit for bit."
    assert judgement(runtime=same, origin="file").sentence == (
        "Identical: parameters are equal to the file's and outputs to the reference's, bit for bit."
    )
    assert judgement(runtime=same, parameters=parameters(folded=True)).verdict is Verdict.EQUIVALENT
    assert judgement(runtime=same, route=route(finding("route"))).verdict is Verdict.DRIFTED
    note = finding("structure", Verdict.EQUIVALENT)
    assert judgement(runtime=same, structure=[note]).verdict is Verdict.IDENTICAL


EACH: list[tuple[str, Comparison, Any]] = [
    ("parameters", "parameters", parameters),
    ("route", "route", route),
    ("runtime", "runtime", outputs),
    ("end_to_end", "end-to-end", outputs),
    ("structure", "structure", lambda *findings: findings),
]


@pytest.mark.parametrize(("argument", "comparison", "make"), EACH)
def test_a_failed_gate_without_a_changed_decision_is_drifted(argument: str, comparison: Comparison, make: Any) -> None:
    found = judgement(**{argument: make(finding(comparison))})
    assert found.verdict is Verdict.DRIFTED
    assert found.sentence == f"Drifted: {comparison} objects; 0 of 64 samples change class."
    within = judgement(**{argument: make(finding(comparison)), "decisions": decisions(1)})
    assert within.verdict is Verdict.DRIFTED
    assert (
        within.sentence == f"Drifted: {comparison} objects; 1 of 64 samples changes class, all within the noise floor."
    )


@pytest.mark.parametrize(("argument", "comparison", "make"), EACH)
def test_a_failed_gate_with_a_changed_decision_is_divergent(argument: str, comparison: Comparison, make: Any) -> None:
    found = judgement(**{argument: make(finding(comparison)), "decisions": decisions(3, 1)})
    assert found.verdict is Verdict.DIVERGENT
    said = "1 of 64 samples changes class, for instance sample 9 from a to b"
    assert found.findings == [finding(comparison), finding("decisions", Verdict.DIVERGENT, said)]
    assert found.sentence == f"Divergent: {comparison} objects; {said} (1 further finding)."


def test_a_failed_gate_without_decisions_is_not_given_the_benefit() -> None:
    found = judgement(runtime=outputs(finding("runtime")), decisions=None)
    assert found.verdict is Verdict.DIVERGENT
    said = "a gate failed and decisions were not compared"
    assert found.findings == [finding("runtime"), finding("decisions", Verdict.DIVERGENT, said)]
    assert found.sentence == "Divergent: runtime objects (1 further finding)."


@pytest.mark.parametrize(("argument", "comparison", "make"), EACH)
def test_a_finding_that_calls_for_divergent_decides_alone(argument: str, comparison: Comparison, make: Any) -> None:
    worse = finding(comparison, Verdict.DIVERGENT)
    found = judgement(**{argument: make(worse)})
    assert (found.verdict, found.findings) == (Verdict.DIVERGENT, [worse])
    assert found.sentence == f"Divergent: {comparison} objects."
    changed = judgement(**{argument: make(worse), "decisions": decisions(2, 2, of=2)})
    assert changed.findings == [worse]
    assert changed.sentence == (
        f"Divergent: {comparison} objects; 2 of 2 samples change class, for instance sample 10 from a to b."
    )


def test_changed_decisions_that_are_counted_but_not_listed_are_told_by_their_number() -> None:
    many = decisions(2, 2).model_copy(update={"flips": []})
    found = judgement(runtime=outputs(finding("runtime")), decisions=many)
    assert found.findings[-1].message == "2 of 64 samples change class"


def test_findings_stand_in_the_order_of_causes_and_the_worst_of_each_first() -> None:
    note = finding("structure", Verdict.EQUIVALENT, "the batch is fixed")
    fault = finding("structure", Verdict.DIVERGENT, "the graph ends in softmax")
    found = judgement(
        end_to_end=outputs(finding("end-to-end")),
        runtime=outputs(finding("runtime"), finding("runtime", Verdict.DIVERGENT, "not finite")),
        route=route(finding("route")),
        parameters=parameters(finding("parameters")),
        structure=[note, fault],
    )
    assert [one.message for one in found.findings] == [
        "the graph ends in softmax",
        "the batch is fixed",
        "parameters objects",
        "route objects",
        "not finite",
        "runtime objects",
        "end-to-end objects",
    ]
    assert found.sentence == "Divergent: the graph ends in softmax (6 further findings)."
    assert judgement(structure=[note]).verdict is Verdict.EQUIVALENT


@pytest.mark.parametrize(("ratio", "shown"), [(0.17012, "0.17"), (12.3456, "12.3"), (3.996, "4")])
def test_the_sentence_and_the_column_beside_it_show_one_number(ratio: float, shown: str) -> None:
    found = judgement(runtime=outputs(ratio=ratio), end_to_end=outputs(ratio=0.31))
    one = cell("a", "equivalent").model_copy(
        update={"runtime_comparison": outputs(ratio=ratio), "end_to_end": outputs(ratio=0.31)}
    )
    assert runtime_error(one) == shown
    assert f"its runtime error is {shown} times the noise floor" in found.sentence
    assert "0.31" not in found.sentence


def test_where_no_error_is_known_the_column_is_empty() -> None:
    assert runtime_error(cell("a", "failed")) == ""
    broken = cell("a", "divergent").model_copy(update={"runtime_comparison": outputs(ratio=None)})
    assert runtime_error(broken) == ""


@pytest.mark.parametrize("verdict", [Verdict.DRIFTED, Verdict.DIVERGENT])
def test_a_comparison_cannot_object_without_a_finding(verdict: Verdict) -> None:
    fields = route().model_dump()
    with pytest.raises(ValueError, match="no finding explains the verdict"):
        RouteComparison.model_validate(fields | {"verdict": verdict})


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
        ("drifted", "divergent", True),
        ("equivalent", "drifted", True),
        ("divergent", "drifted", False),
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


@pytest.mark.parametrize(
    ("verdict", "error", "hint", "sentence"),
    [
        (
            Verdict.UNAVAILABLE,
            "R is not\n installed.",
            "apt-get install\n r-base-core.",
            "Not available: R is not installed; apt-get install r-base-core.",
        ),
        (Verdict.FAILED, "the worker of X died", None, "Failed: the worker of X died."),
        (Verdict.UNSUPPORTED, "operator .X", "take .X.", "Not supported: operator .X; take .X."),
    ],
)
def test_failures_are_one_sentence(verdict: Verdict, error: str, hint: str | None, sentence: str) -> None:
    assert describe_failure(verdict, error, hint) == sentence


@pytest.mark.parametrize(
    ("unit", "of", "flips", "said"),
    [
        ("pixel", 4455, 0, "0 of 4,455 pixels change class"),
        ("pixel", 4455, 1, "1 of 4,455 pixels changes class"),
        ("label", 258, 2, "2 of 258 labels change"),
        ("sample", 1, 0, "0 of 1 sample changes class"),
        ("value", 12, 0, "0 of 12 values change"),
        ("decision", 12, 3, "3 of 12 decisions change"),
    ],
)
def test_changes_are_told_in_the_words_of_the_task(unit: Any, of: int, flips: int, said: str) -> None:
    assert decision_changes(decisions(flips, of=of).model_copy(update={"unit": unit})) == said


def in_doubt(*findings: Finding) -> RouteComparison:
    return route(finding("route", Verdict.UNDECIDED, "r/base and julia/base part"), *findings)


def test_where_oracles_part_no_gate_condemns() -> None:
    doubtful = without_reference(in_doubt(finding("route")))
    target = without_reference(outputs(finding("runtime"), finding("runtime")))
    assert [one.verdict for one in (*doubtful.findings, *target.findings)] == [Verdict.UNDECIDED] * 4
    assert (doubtful.verdict, target.verdict) == (Verdict.UNDECIDED, Verdict.UNDECIDED)
    # Decisions that changed were made on outputs of which nobody knows how they should be.
    found = judgement(route=doubtful, runtime=target, decisions=decisions(3, 3))
    assert found.verdict is Verdict.UNDECIDED
    assert found.sentence.startswith(
        "Undecided: r/base and julia/base part; 3 of 64 samples change class, for instance"
    )
    assert found.sentence.endswith("(3 further findings).")
    # The source oracle is another than the route's: what it condemns stays condemned.
    ends = outputs(finding("end-to-end"))
    assert judgement(route=doubtful, runtime=target, end_to_end=ends).verdict is Verdict.DRIFTED


def test_where_oracles_part_shapes_and_values_that_are_not_finite_still_condemn() -> None:
    sick = finding("runtime", Verdict.DIVERGENT, "not finite")
    found = without_reference(outputs(sick, finding("runtime")))
    assert [one.verdict for one in found.findings] == [Verdict.DIVERGENT, Verdict.UNDECIDED]
    assert found.verdict is Verdict.DIVERGENT
    clean = outputs(same=True)
    assert without_reference(clean) is clean


def test_where_oracles_part_whole_numbers_that_differ_condemn_nobody() -> None:
    for differing, verdict in ((2, Verdict.UNDECIDED), (0, Verdict.DIVERGENT), (None, Verdict.DIVERGENT)):
        counted = outputs(finding("runtime", Verdict.DIVERGENT)).model_copy(
            update={"errors": ERRORS.model_copy(update={"differing": differing})}
        )
        assert without_reference(counted).verdict is verdict


def test_what_is_merely_told_is_no_cause() -> None:
    told = finding("route", Verdict.EQUIVALENT, "python/onnx-reference computes Erf in single precision here")
    drifted = judgement(route=route(told), runtime=outputs(finding("runtime", message="too far")))
    assert drifted.sentence == "Drifted: too far; 0 of 64 samples change class (1 further finding)."
    fine = judgement(route=route(told))
    assert (fine.verdict, fine.findings) == (Verdict.EQUIVALENT, [told])


def test_of_quantised_outputs_the_share_that_is_off_by_one_step_is_told() -> None:
    quantised = outputs(ratio=5e3).model_copy(update={"off_by_one_step": 0.0125})
    found = judgement(runtime=quantised)
    assert found.sentence == (
        "Equivalent: its parameters are the source's and 1.25% of its values are off by one step of the scale; "
        "0 of 64 samples change class."
    )


def test_undecided_is_worse_than_equivalent_and_better_than_drifted() -> None:
    assert Verdict.EQUIVALENT.rank < Verdict.UNDECIDED.rank < Verdict.DRIFTED.rank
    assert exit_code([cell("a", "undecided")]) is ExitCode.WORSE_THAN_EXPECTED
    assert exit_code([cell("a", "undecided")], Verdict.UNDECIDED) is ExitCode.OK
    assert exit_code([cell("a", "undecided")], Verdict.DRIFTED) is ExitCode.OK
    assert exit_code([cell("a", "drifted")], Verdict.UNDECIDED) is ExitCode.WORSE_THAN_EXPECTED
