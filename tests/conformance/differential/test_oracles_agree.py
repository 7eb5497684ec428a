"""Every oracle computes every operator of the R and Julia tables as the others do, in float64 to 1e-12 of the largest value.

`make test` asks a fixed sample, `make test-long` every opset with at least twenty cases each, in which all pairs of choices
(attributes, shapes, padding modes) meet.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

pytest.importorskip("onnx", reason="the files of cases are written with the onnx package: pip install onnx")
torch_kernels = pytest.importorskip(
    "tests.conformance.differential.torch_kernels", reason="PyTorch is one of those asked: pip install torch"
)

from harness.runtimes.registry import RUNTIMES, ready  # noqa: E402
from tests.conformance.differential import (  # noqa: E402
    aggregating,
    chosen,
    classical,
    elementwise,
    quantised,
    recurring,
    signals,
    structural,
    windowed,
)
from tests.conformance.differential.conftest import ALL, Agreement  # noqa: E402
from tests.conformance.differential.oracles import Answer, Oracle, parted  # noqa: E402
from tests.conformance.differential.partings import known_partings  # noqa: E402
from tests.conformance.differential.recipe import Case, Recipe, cases  # noqa: E402

RECIPES: dict[str, Recipe] = {
    recipe.operator: recipe
    for kind in (aggregating, chosen, classical, elementwise, quantised, recurring, signals, structural, windowed)
    for recipe in kind.RECIPES
}
ORDER = sorted(RECIPES)
PYTHON = "python/onnx-reference"
TABLES = ("r/base", "julia/base")
#: Operators that hold graphs, and those that only ONNX's node cases ask for so far.
_BY_NODE_CASES = (
    "If Loop Scan Attention NonMaxSuppression MaxUnpool Scatter TensorScatter BitCast STFT DeformConv RoiAlign"
)
#: Those whose inputs or outputs are sequences and optionals, which do not travel.
_WITHIN_GRAPHS = (
    "SequenceEmpty SequenceConstruct SequenceAt SequenceInsert SequenceErase SequenceLength SequenceMap SplitToSequence"
    " ConcatFromSequence Optional OptionalHasElement OptionalGetElement"
)
WITHOUT_RECIPE = frozenset((_BY_NODE_CASES + " " + _WITHIN_GRAPHS).split())
#: Cases of the sample: the newest opset of an operator, and so many of its first cases.
SAMPLE = 3
#: Julia compiles for every type and rank that it meets: in the sample it is asked for every so many-th operator, and for those
#: that it alone has.
JULIA_EACH = 4
PARTINGS = known_partings()


@pytest.fixture(scope="module")
def oracles(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Oracle]]:
    """The oracles that are installed."""
    found = {
        name: Oracle(name, tmp_path_factory.mktemp("oracle"))
        for name in (PYTHON, *TABLES)
        if ready(RUNTIMES[name]).installed
    }
    yield found
    for oracle in found.values():
        oracle.close()


@pytest.fixture(scope="module")
def tables(oracles: dict[str, Oracle]) -> dict[str, dict[str, set[int]]]:
    """By operator: for every oracle with a table the opsets that it claims."""
    found: dict[str, dict[str, set[int]]] = {}
    for name in TABLES:
        if name in oracles:
            for operator, since in oracles[name].operators.items():
                # Those are defined by onnxruntime alone, whose own answers they are held against (test_fused_models).
                if operator.startswith("com.microsoft."):
                    continue
                # Opsets of other domains count by themselves.
                first = 1 if "." in operator else 7
                found.setdefault(operator, {})[name] = {max(first, version) for version in since}
    if not found:
        pytest.skip("neither R nor Julia is installed")
    return found


def test_every_claimed_operator_has_a_recipe(
    oracles: dict[str, Oracle], tables: dict[str, dict[str, set[int]]]
) -> None:
    assert set(tables) <= set(RECIPES) | WITHOUT_RECIPE
    if oracles.keys() >= set(TABLES):
        # What no table has is skipped below: that must not hide a recipe.
        assert set(RECIPES) | WITHOUT_RECIPE <= set(tables)


@pytest.mark.parametrize("operator", ORDER)
def test_oracles_agree(
    operator: str,
    oracles: dict[str, Oracle],
    tables: dict[str, dict[str, set[int]]],
    agreements: dict[str, Agreement],
) -> None:
    claims = tables.get(operator)
    if claims is None:
        pytest.skip(f"none of the oracles that are installed ({', '.join(oracles)}) has {operator} in its table")
    opsets = sorted(set().union(*claims.values()))
    tally = agreements.setdefault(operator, Agreement())
    complaints: list[str] = []
    covering: set[int] = set()
    for opset in opsets if ALL else opsets[-1:]:
        drawn = cases(RECIPES[operator], opset)[: None if ALL else SAMPLE]
        asked = {PYTHON: oracles[PYTHON].answers(drawn)}
        for name in claims:
            sampled = name != "julia/base" or ORDER.index(operator) % JULIA_EACH == 0 or len(claims) == 1
            if opset in claims[name] and (ALL or sampled):
                asked[name] = oracles[name].answers(drawn)
        for place, case in enumerate(drawn):
            answers: dict[str, Answer] = {name: given[place] for name, given in asked.items()}
            torch_answer = torch_kernels.answer(case)
            if torch_answer is not None:
                answers["python/pytorch"] = torch_answer
            complaints += _complaints(case, answers, tally, covering)
    assert not complaints, "\n".join([f"{len(complaints)} partings", *complaints[:20]])
    if ALL:
        idle = [entry for k, entry in enumerate(PARTINGS) if entry.operator == operator and k not in covering]
        assert not idle, f"entries of known_partings.yaml that cover nothing: {idle}"


def _complaints(case: Case, answers: dict[str, Answer], tally: Agreement, covering: set[int]) -> list[str]:
    """Two by two; the entries of the list that were met are added to ``covering``."""
    found, known = [], False
    tally.asked.update(answers.keys())
    for one, other in itertools.combinations(answers, 2):
        difference = parted(answers[one], answers[other])
        if difference is None:
            continue
        entry = next((k for k, entry in enumerate(PARTINGS) if entry.covers(case, one, other)), None)
        if entry is None:
            found.append(f"{case.name}: {one} and {other}: {difference}")
        else:
            covering.add(entry)
            known = True
    tally.known += known and not found
    tally.agreed += not known and not found
    return found
