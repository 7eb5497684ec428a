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


def test_a_kind_of_layer_without_a_rule_is_refused() -> None:
    spec = convlstm.build(bands=1, history=2, horizon=2, rows=4, columns=4)
    with pytest.raises(ModelError, match="'lstm1' is a convolutional-lstm, which has no rule for Keras"):
        to_keras(spec, parameters(spec))
