"""ONNX's own node cases, in every opset from 7, on every installed runtime that loads ONNX.

What a runtime claims it computes correctly; what it does not claim it refuses by name when the model is loaded. What
is known to deviate stands in ``known_deviations.yaml`` with its reason, and strictly so: a deviation that is gone
fails here until its entry is gone too.

Two variants of a case whose operators have the same schemas differ by the number of the opset alone. The quick part
runs every case once per distinct set of schemas; the part marked ``slow`` runs all the rest. A runtime without an
operator table of its own dispatches by ONNX's schemas, not by this project's code, and has no rest. All cases of some
runtimes are slow, see SLOW.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from harness.conformance.bench import Bench, Ending
from tests.conformance.conftest import HERE, ONNX_RUNTIMES, OPSETS
from tests.conformance.running import Tally, claimed, known_deviations, unclaimed_names
from tests.conformance.schedule import Done

if TYPE_CHECKING:
    from harness.workers.case_pack import Pack

Table = dict[str, list[int]] | None

DEVIATIONS = HERE / "known_deviations.yaml"
#: As many failures of one opset as a reader can use.
SHOWN = 25

#: Flux compiles for every type and rank of tensor that it meets, and R torch has the most calls to make of all: minutes each,
#: where plain R and plain Julia run the same graphs in the quick part. The others hand the file to an engine of
#: somebody else's, which the worker contract asks for whole models in the quick part: onnxruntime behind R and Julia is the one
#: that python/onnxruntime runs case by case.
SLOW = ("julia/flux", "julia/onnxruntime", "python/onnx2torch", "r/onnxruntime", "r/torch")

case_by_case = pytest.mark.parametrize(
    "runtime", [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in ONNX_RUNTIMES]
)
runtimes = pytest.mark.parametrize("runtime", ONNX_RUNTIMES)
opsets = pytest.mark.parametrize("opset", OPSETS)


def quick(records: list[dict[str, Any]], operators: Table, opset: int | None) -> list[dict[str, Any]]:
    """Of one opset: every claimed case that meets new schemas here."""
    return [
        record
        for record in records
        if record["opset"] == opset and record["first_of_signature"] and claimed(record, operators)
    ]


def rest(records: list[dict[str, Any]], operators: Table, opset: int | None) -> list[dict[str, Any]]:
    """Of one opset: the claimed cases that the quick part leaves out; none where there is no operator table."""
    if operators is None:
        return []
    return [
        record
        for record in records
        if record["opset"] == opset and not record["first_of_signature"] and claimed(record, operators)
    ]


def not_claimed(records: list[dict[str, Any]], operators: Table, _: int | None) -> list[dict[str, Any]]:
    """The cases that hold an operator which is not claimed, once per distinct set of schemas."""
    return [record for record in records if record["first_of_signature"] and not claimed(record, operators)]


def run(bench: Bench, pack: Pack, record: dict[str, Any]) -> Ending:
    """Load, predict and compare."""
    return bench.run(pack, record)


def refusal(bench: Bench, pack: Pack, record: dict[str, Any]) -> Ending:
    """Load only; ``refused`` if that names an operator which is not claimed."""
    ending = bench.load(pack, record)
    if ending is None:
        return Ending(record["case"], record["opset"], "failed", "was loaded")
    if ending.outcome == "refused" and not any(n in ending.detail for n in unclaimed_names(record, bench.operators)):
        return Ending(record["case"], record["opset"], "failed", f"refused for another reason: {ending.detail}")
    return ending


@opsets
@case_by_case
@pytest.mark.node_cases(select=quick, act=run)
def test_claimed_operators_compute_what_the_standard_says(
    runtime: str, opset: int, bench: Bench, done: Done, tallies: dict[str, Tally]
) -> None:
    judge(runtime, opset, bench.operators, done, tallies.setdefault(runtime, Tally()))


@pytest.mark.slow
@opsets
@runtimes
@pytest.mark.node_cases(select=rest, act=run)
def test_every_case_in_every_opset(
    runtime: str, opset: int, bench: Bench, done: Done, tallies: dict[str, Tally]
) -> None:
    judge(runtime, opset, bench.operators, done, tallies.setdefault(runtime, Tally()))


def judge(runtime: str, opset: int, operators: Table, done: Done, tally: Tally) -> None:
    """Hold the endings of one opset against the known deviations, and count them."""
    known = known_deviations(DEVIATIONS, runtime)
    complaints = []
    for _, ending in done.endings:
        entry = next((d for d in known if d.covers(ending.case, opset)), None)
        if entry is not None:
            if ending.outcome == entry.outcome:
                tally.ended["known deviation"] += 1
                tally.reasons[f"{entry.outcome}: {entry.reason}"] += 1
            else:
                complaints.append(f"{ending.line()} - but known as {entry.outcome}: {entry.reason}")
        elif ending.outcome == "passed" or (ending.outcome == "refused" and operators is None):
            tally.ended[ending.outcome] += 1
        else:
            complaints.append(ending.line())
    tally.seconds += done.seconds
    tally.ended["not as claimed"] += len(complaints)
    assert not complaints, summary(f"{runtime}, opset {opset}", complaints)


@case_by_case
@pytest.mark.node_cases(select=not_claimed, act=refusal)
def test_operators_that_are_not_claimed_are_refused_by_name(
    runtime: str, bench: Bench, done: Done, tallies: dict[str, Tally]
) -> None:
    if bench.operators is None:
        pytest.skip(f"{runtime} has no operator table of its own")
    complaints = [ending.line() for _, ending in done.endings if ending.outcome != "refused"]
    tally = tallies.setdefault(runtime, Tally())
    tally.seconds += done.seconds
    tally.ended["not claimed, refused by name"] += len(done.endings) - len(complaints)
    tally.ended["not as claimed"] += len(complaints)
    assert not complaints, summary(f"{runtime}: not refused by the name of the operator", complaints)


@runtimes
def test_every_known_deviation_speaks_of_a_case(runtime: str, pack: Pack) -> None:
    pairs = [(record["case"], record["opset"]) for record in pack.records]
    idle = [d for d in known_deviations(DEVIATIONS, runtime) if not any(d.covers(*pair) for pair in pairs)]
    assert not idle, f"entries that cover no case: {idle}"


def summary(title: str, complaints: list[str]) -> str:
    """The complaints as the text of a failure, cut to a readable length."""
    more = [f"... and {len(complaints) - SHOWN} more"] if len(complaints) > SHOWN else []
    return "\n".join([f"{title}: {len(complaints)} cases", *complaints[:SHOWN], *more])
