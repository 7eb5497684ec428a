from __future__ import annotations

import numpy as np
import pytest

from harness.errors import ModelError
from harness.models import convlstm, tempcnn
from harness.models.keras_layout import flattened_channels, from_keras, to_keras
from harness.models.spec import ModelSpec

SIZES = {"filters": [6, 5], "kernels": [5, 3], "dropouts": [0.0, 0.0], "dense_width": 7, "dense_dropout": 0.0}
SPEC = tempcnn.build(bands=3, dates=8, classes=4, preset=None, hyperparameters=SIZES)


def parameters(spec: ModelSpec = SPEC) -> dict[str, np.ndarray]:
    """Every bit pattern but those that are no numbers, signed zeros and subnormal numbers included."""
    generator = np.random.default_rng(0)
    found = {}
    for parameter in spec.parameters:
        values = generator.integers(0, 2**32, parameter.shape, dtype=np.uint32).view(np.float32)
        found[parameter.name] = np.where(np.isfinite(values), values, np.float32(-0.0))
    return found


def test_there_and_back_keeps_every_bit() -> None:
    given = parameters()
    back = from_keras(SPEC, to_keras(SPEC, given))
    assert list(back) == [parameter.name for parameter in SPEC.parameters]
    for name, array in given.items():
        assert back[name].tobytes() == array.tobytes()
        assert back[name].flags.c_contiguous


def test_kernels_have_keras_shapes_and_their_values_in_the_right_places() -> None:
    given, variables = parameters(), to_keras(SPEC, parameters())
    kernel, bias = variables["conv2"]
    assert kernel.shape == (3, 6, 5)
    assert kernel[2, 4, 1] == given["conv2.weight"][1, 4, 2]
    assert bias.tobytes() == given["conv2.bias"].tobytes()
    kernel, _ = variables["dense"]
    assert kernel.shape == (40, 7)
    # Date 6, channel 3: Keras counts channels fastest, the canonical layout dates.
    assert kernel[6 * 5 + 3, 2] == given["dense.weight"][2, 3 * 8 + 6]
    kernel, _ = variables["classifier"]
    assert np.array_equal(kernel, given["classifier.weight"].T)
    assert [array.tobytes() for array in variables["norm1"]] == [
        given[f"norm1.{part}"].tobytes() for part in ("weight", "bias", "running_mean", "running_var")
    ]


def test_only_a_layer_behind_a_flattening_is_reordered() -> None:
    layers = {layer.name: layer for layer in SPEC.layers}
    assert flattened_channels(SPEC, layers["dense"]) == 5
    assert flattened_channels(SPEC, layers["classifier"]) == 1


def test_layers_that_do_not_fit_are_refused() -> None:
    variables = to_keras(SPEC, parameters())
    with pytest.raises(ModelError, match="'conv1' holds 1 variables in Keras, not 2"):
        from_keras(SPEC, variables | {"conv1": variables["conv1"][:1]})
    with pytest.raises(ModelError, match="'norm2' holds 0 variables"):
        from_keras(SPEC, {name: arrays for name, arrays in variables.items() if name != "norm2"})
    kernel, bias = variables["classifier"]
    with pytest.raises(ModelError, match=r"'classifier.weight' from Keras must have shape \(4, 7\), not \(7, 4\)"):
        from_keras(SPEC, variables | {"classifier": [kernel.T, bias]})


def nowcast(order: str) -> ModelSpec:
    sizes = {"filters": [3, 2], "kernels": [5, 1], "gate_order": order}
    return convlstm.build(bands=2, history=4, horizon=4, rows=6, columns=5, hyperparameters=sizes)


@pytest.mark.parametrize("order", ["ifog", "ifgo", "iofg"])
def test_a_convolutional_lstm_goes_there_and_back_with_every_bit(order: str) -> None:
    spec = nowcast(order)
    given = parameters(spec)
    variables = to_keras(spec, given)
    assert [array.shape for array in variables["lstm1"]] == [(5, 5, 2, 12), (5, 5, 3, 12), (12,)]
    kernel, recurrent, bias = variables["lstm1"]
    for place, gate in enumerate("ifgo"):
        # The second filter's part of a gate, from the second band and from the third channel of the hidden state.
        row = order.index(gate) * 3 + 1
        assert kernel[4, 2, 1, place * 3 + 1].tobytes() == given["lstm1.weight"][row, 1, 4, 2].tobytes()
        assert recurrent[4, 2, 2, place * 3 + 1].tobytes() == given["lstm1.weight"][row, 2 + 2, 4, 2].tobytes()
        assert bias[place * 3 + 1].tobytes() == given["lstm1.bias"][row].tobytes()
    kernel, _ = variables["output"]
    assert kernel.shape == (3, 3, 3, 2, 1)
    assert kernel[0, 1, 2, 1, 0].tobytes() == given["output.weight"][0, 1, 0, 1, 2].tobytes()
    back = from_keras(spec, variables)
    assert list(back) == [parameter.name for parameter in spec.parameters]
    for name, array in given.items():
        assert back[name].tobytes() == array.tobytes()
        assert back[name].flags.c_contiguous


def test_a_convolutional_lstm_that_does_not_fit_is_refused() -> None:
    spec = nowcast("ifog")
    variables = to_keras(spec, parameters(spec))
    kernel, recurrent, bias = variables["lstm2"]
    with pytest.raises(ModelError, match="'lstm2' holds 2 variables in Keras, not 3"):
        from_keras(spec, variables | {"lstm2": [kernel, bias]})
    with pytest.raises(
        ModelError, match=r"the recurrent kernel of 'lstm2' from Keras must have shape \(1, 1, 2, 8\), not"
    ):
        from_keras(spec, variables | {"lstm2": [kernel, kernel, bias]})
    with pytest.raises(ModelError, match=r"the bias of 'lstm2' from Keras must have shape \(8,\), not \(7,\)"):
        from_keras(spec, variables | {"lstm2": [kernel, recurrent, bias[:7]]})


def test_a_kind_of_layer_without_a_rule_is_refused() -> None:
    odd = SPEC.layers[0].model_copy(update={"kind": "attention"})
    spec = SPEC.model_copy(update={"layers": (odd, *SPEC.layers[1:])})
    with pytest.raises(ModelError, match="'conv1' is a attention, which has no rule for Keras"):
        to_keras(spec, parameters(spec))
