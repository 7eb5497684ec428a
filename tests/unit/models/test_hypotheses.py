"""Hypotheses about what implementations of a model disagree on."""

from __future__ import annotations

import numpy as np
import pytest

from harness.errors import ModelError
from harness.models import convlstm
from harness.models.hypotheses import applied, combinations, hypotheses_of
from harness.models.spec import ModelSpec

OFFERED = {(one.setting, one.value): one for one in hypotheses_of("convlstm")}


def spec(order: str = "ifog") -> ModelSpec:
    return convlstm.build(
        bands=1,
        history=2,
        horizon=2,
        rows=4,
        columns=3,
        preset="thesis-pytorch",
        hyperparameters={"filters": (3, 2), "kernels": (3, 1), "gate_order": order},
    )


def test_a_model_without_hypotheses_says_which_has_some() -> None:
    with pytest.raises(ModelError, match="tempcnn has no hypotheses") as caught:
        hypotheses_of("tempcnn")
    assert "convlstm" in (caught.value.hint or "")


def test_what_a_model_is_already_is_no_hypothesis() -> None:
    unchanged = {one.label for one in OFFERED.values() if not one.changes(spec())}
    assert {"cell activation tanh", "gate order i, f, o, g", "slope of LeakyReLU 0.01"} <= unchanged
    assert "cell activation linear" not in unchanged


def test_every_hypothesis_alone_and_every_pair_makes_a_model_of_the_same_parameters() -> None:
    given = spec()
    arrays = {known.name: np.zeros(known.shape, np.float32) for known in given.parameters}
    sets = [*combinations(tuple(OFFERED.values()), 1), *combinations(tuple(OFFERED.values()), 2)]
    assert len(sets) > 80
    for chosen in sets:
        assert len({one.setting for one in chosen}) == len(chosen)
        made, held = applied(given, arrays, chosen)
        assert {known.name: known.shape for known in made.parameters} == {
            name: array.shape for name, array in held.items()
        }
        for one in chosen:
            assert {**made.hyperparameters, **one.hyperparameters} == made.hyperparameters
        assert (made.inputs, made.outputs, made.head) == (given.inputs, given.outputs, given.head)


@pytest.mark.parametrize("order", ["ifog", "ifgo", "iofg"])
def test_one_is_added_to_the_forget_gate_wherever_it_lies(order: str) -> None:
    arrays = {known.name: np.zeros(known.shape, np.float32) for known in spec(order).parameters}
    _, held = applied(spec(order), arrays, (OFFERED["forget bias", "+1 when run"],))
    for layer, filters in (("lstm1", 3), ("lstm2", 2)):
        gates = dict(zip(order, held[f"{layer}.bias"].reshape(4, filters), strict=True))
        assert {gate: values.tolist() for gate, values in gates.items()} == {
            gate: [1.0 if gate == "f" else 0.0] * filters for gate in "ifog"
        }
        assert not arrays[f"{layer}.bias"].any()
    assert not held["norm1.bias"].any()
