"""A node at which oracles part: what is recorded, what is said, and whom a cell follows."""

from __future__ import annotations

import numpy as np
import pytest

from harness.compare.partings import decided, findings, followed, parting, sentence
from harness.compare.records import OracleAgreement, Parting, Verdict

NODE = {"name": "erf", "operator": "Erf", "attributes": {"alpha": 0.25, "long": "x" * 99}}
EXACT = np.array([[0.5, -0.25], [0.125, 1 / 3]])
SINGLE = EXACT.astype(np.float32).astype(np.float64)
A, B, C = "python/onnx-reference", "r/base", "julia/base"


def parted(**answers: np.ndarray) -> Parting:
    names = {"a": A, "b": B, "c": C}
    return parting({names[name]: {"y": array} for name, array in answers.items()}, {"x": "refused"}, node=NODE)


def test_the_place_where_they_lie_farthest_apart_is_kept_with_every_value() -> None:
    found = parted(a=SINGLE, b=EXACT, c=EXACT)
    assert (found.node, found.operator, found.tensor, found.refused) == ("erf", "Erf", "y", {"x": "refused"})
    assert found.attributes == {"alpha": "0.25", "long": "x" * 57 + "..."}
    assert found.groups == [[B, C], [A]]
    assert found.place == [1, 1]
    assert found.values == {A: float(np.float32(1 / 3)), B: 1 / 3, C: 1 / 3}
    assert found.distance == pytest.approx(np.abs(SINGLE - EXACT).max() / EXACT.std())


def test_where_all_agree_there_is_no_place() -> None:
    found = parted(a=EXACT, b=EXACT)
    assert (found.groups, found.place, found.tensor) == ([[A, B]], [], "")


def test_the_tensor_that_differs_is_found_among_several() -> None:
    found = parting({A: {"y": EXACT, "z": EXACT}, B: {"y": EXACT, "z": SINGLE}}, {})
    assert (found.tensor, found.operator) == ("z", "")


@pytest.mark.parametrize("other", [EXACT[:1], np.array([["a", "b"], ["c", "d"]])])
def test_other_shapes_and_texts_have_no_place(other: np.ndarray) -> None:
    found = parted(a=EXACT, b=other)
    assert (found.place, found.distance, found.values) == ([], None, {A: None, B: None})


def test_a_value_that_is_not_finite_is_the_place() -> None:
    sick = EXACT.copy()
    sick[0, 1] = np.nan
    found = parted(a=EXACT, b=sick, c=EXACT)
    assert (found.place, found.values, found.distance) == ([0, 1], {A: -0.25, B: None, C: -0.25}, None)
    both = sick.copy()
    both[1, 0] = 9.0
    assert parted(a=sick, b=both).place == [1, 0]


def test_the_odd_one_is_named_with_operator_attributes_and_both_values() -> None:
    said = sentence(parted(a=SINGLE, b=EXACT, c=EXACT))
    assert said.startswith(f"{A} computes Erf 'erf' (alpha 0.25, long {'x' * 57}...) in single precision here, ")
    assert said.endswith(
        "of the values' spread away: 0.33333334326744080 where r/base and julia/base give 0.33333333333333331; "
        "the reference is that of the majority".replace("0.33333334326744080", f"{float(np.float32(1 / 3)):.17g}")
    )
    assert "Erf 'erf' (alpha 0.25, long" in sentence(parted(a=EXACT + 1, b=EXACT, c=EXACT))
    assert " otherwise here, " in sentence(parted(a=EXACT + 1, b=EXACT, c=EXACT))
    right = {name: {"y": EXACT} for name in "abcd"}
    two = parting({**right, "e": {"y": EXACT + 1}, "f": {"y": EXACT - 1}}, {})
    assert sentence(two).startswith("e and f compute the graph otherwise here")
    sick = sentence(parted(a=EXACT[:1], b=EXACT, c=EXACT))
    assert (
        " otherwise here: another shape, or a value that is not finite where r/base and julia/base give another" in sick
    )


def test_without_a_majority_each_value_is_told() -> None:
    said = sentence(parted(a=EXACT + 1, b=EXACT))
    assert said.startswith("the references part at Erf 'erf'")
    assert said.endswith(f"and no majority tells which is right: {A} 1.5; {B} 0.5")


def test_what_was_replaced_is_told_and_calls_for_no_verdict() -> None:
    told = findings(
        OracleAgreement(replaced={"Erf": "computes Erf in single precision"}, partings=[parted(a=SINGLE, b=EXACT)])
    )
    assert [one.verdict for one in told] == [Verdict.EQUIVALENT, Verdict.EQUIVALENT]
    assert told[0].message == sentence(parted(a=SINGLE, b=EXACT))
    assert told[1].message == (
        "onnx.reference itself computes Erf in single precision; "
        "python/onnx-reference computes Erf by an operator of its own instead"
    )


def agreement(groups: list[list[str]], *nodes: list[list[str]]) -> OracleAgreement:
    return OracleAgreement(groups=groups, partings=[Parting(groups=node) for node in nodes])


ALL = [A, B, C]


@pytest.mark.parametrize(
    ("agreed", "own", "follows"),
    [
        (agreement([[A, B]]), A, [A, B]),
        (agreement([]), "", ALL),
        # The majority of whole graphs, and of the node that was found.
        (agreement([[B, C], [A]]), "", [B, C]),
        (agreement([[B, C], [A]], [[B, C], [A]]), "", [B, C]),
        (agreement([[B, C], [A]], [[B, C], [A]]), A, [B, C]),
        # Of two that are left one has no majority: all are shown, the cell's own last.
        (agreement([[B, C], [A]], [[B, C], [A]]), B, [A, C, B]),
        (agreement([[B, C], [A]]), B, [A, C, B]),
        # A fourth vote at the node decides it.
        (agreement([[B, C], [A]], [[B, C, "d"], [A]]), B, [C]),
        # The node speaks against the majority of whole graphs.
        (agreement([[B, C], [A]], [[A, "d"], [B]]), "", [A]),
        # No one is right everywhere.
        (agreement([[A], [B], [C]], [[A, B], [C]], [[B, C], [A]]), "", [B]),
        (agreement([[A], [B], [C]], [[A, B], [C]], [[C, "d"], [A, B]]), "", ALL),
    ],
)
def test_a_cell_follows_those_that_a_majority_is_for(agreed: OracleAgreement, own: str, follows: list[str]) -> None:
    computed = ALL if agreed.groups != [[A, B]] else [A, B]
    assert followed(agreed, computed, own) == follows


def test_a_graph_is_decided_where_every_node_is() -> None:
    assert decided(agreement([]))
    assert decided(agreement([], [[A, B], [C]]), C)
    assert not decided(agreement([], [[A, B], [C]]), A)
    assert not decided(agreement([], [[A, B], [C]], [[A], [B]]))
