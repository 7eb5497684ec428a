from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from random_parameters import random_parameters  # noqa: E402
from small_convlstm import SIZES, SMALL, X, by_hand, small  # noqa: E402

from harness.errors import ModelError  # noqa: E402
from harness.models import build_for, convlstm, tempcnn  # noqa: E402
from harness.models.spec import ModelSpec  # noqa: E402
from harness.workers.pytorch.model import build, canonical_state  # noqa: E402
from harness.workers.tensors import read_tensors, write_tensors  # noqa: E402

THESIS = {"bands": 1, "history": 18, "horizon": 18, "rows": 344, "columns": 315}


def stored(folder: Path, spec: ModelSpec) -> Path:
    folder.mkdir(exist_ok=True)
    write_tensors(folder / "weights.safetensors", random_parameters(spec))
    (folder / "model.json").write_text(spec.to_json())
    (folder / "metadata.json").write_text(json.dumps({"harness.model": "convlstm"}))
    return folder / "weights.safetensors"


def predicted(asked: Any, folder: Path, path: Path, precision: str) -> np.ndarray:
    asked("load", path=path, precision=precision)
    write_tensors(folder / "x", {"x": X})
    asked("predict", inputs=folder / "x", outputs=folder / "y", batch_size=3)
    (array,) = read_tensors(folder / "y").values()
    return array


@pytest.mark.parametrize("preset", list(convlstm.PRESETS))
def test_the_model_computes_what_the_papers_say(tmp_path: Path, ask: Callable[[str], Any], preset: str) -> None:
    spec = small(preset)
    expected = by_hand(X, random_parameters(spec), spec)
    assert expected.std() > 0.01
    asked = ask("python/pytorch")
    double = predicted(asked, tmp_path, stored(tmp_path / "m", spec), "float64")
    assert double.dtype == np.float64
    assert double.shape == (4, 1, 3, 6, 5)
    assert np.max(np.abs(double - expected)) < 1e-12
    single = predicted(asked, tmp_path, tmp_path / "m" / "weights.safetensors", "float32")
    assert single.dtype == np.float32
    assert 0 < np.max(np.abs(single - expected)) < 1e-5


@pytest.mark.parametrize(
    "change",
    [
        {"cell_activation": "linear"},
        {"cell_activation": "leaky-relu"},
        {"recurrent_activation": "hard-sigmoid"},
        {"layer_activation": "linear"},
        {"layer_activation": "tanh"},
        {"gate_order": "ifgo"},
        {"gate_order": "iofg"},
        {"slope": 0.3},
        {"epsilon": 0.1},
    ],
)
def test_every_choice_makes_another_function_of_the_same_weights(change: dict[str, Any]) -> None:
    spec, other = small(), small(**change)
    weights = random_parameters(spec)
    assert [p.shape for p in spec.parameters] == [p.shape for p in other.parameters]
    modules = []
    for one in (spec, other):
        module = build(one).eval()
        module.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()}, strict=False)
        modules.append(module)
    with torch.inference_mode():
        found = [module(torch.from_numpy(X)).numpy() for module in modules]
    assert np.abs(found[0] - found[1]).max() > 1e-4


@pytest.mark.parametrize("preset", list(convlstm.PRESETS))
def test_every_preset_has_the_canonical_parameters_of_the_thesis(preset: str) -> None:
    spec = convlstm.build(**THESIS, preset=preset)
    module = build(spec)
    assert [(n, tuple(v.shape)) for n, v in canonical_state(module).items()] == [
        (p.name, p.shape) for p in spec.parameters
    ]
    assert spec.trainable_count == sum(parameter.numel() for parameter in module.parameters()) == 1_965_377
    # Moving statistics are what Keras counts beside.
    assert sum(np.prod(p.shape) for p in spec.parameters if not p.trainable) == 384
    assert ModelSpec.from_json(spec.to_json()) == spec
    assert spec.inputs[0].shape == (None, 1, 18, 344, 315)
    assert spec.outputs[0].shape == (None, 1, 18, 344, 315)


@pytest.mark.parametrize(
    ("preset", "forget"), [("thesis-keras", 1.0), ("thesis-pytorch", 0.0), ("demetrakopoulos", 1.0)]
)
@pytest.mark.parametrize("order", ["ifog", "ifgo", "iofg"])
def test_the_bias_of_the_forget_gate_begins_as_stated(preset: str, forget: float, order: str) -> None:
    bias = build(small(preset, gate_order=order)).get_parameter("lstm1.bias").detach().numpy()
    expected = np.zeros(12)
    expected[order.index("f") * 3 : order.index("f") * 3 + 3] = forget
    assert np.array_equal(bias, expected)


@pytest.mark.parametrize(("preset", "weight"), [("thesis-keras", 0.01), ("thesis-pytorch", 0.99)])
def test_momentum_is_the_weight_of_the_new_value(preset: str, weight: float) -> None:
    norm = build(small(preset)).train().get_submodule("norm1")
    x = torch.full((2, 3, 3, 6, 5), 5.0)
    norm(x)
    assert norm.running_mean.numpy() == pytest.approx(5.0 * weight)
    assert norm.eps == 1e-3


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"hyperparameters": {"kernels": (3, 4, 3)}}, "kernels must be odd"),
        ({"hyperparameters": {"filters": (3,)}}, "filters and kernels must be equally long, not 1 and 3"),
        ({"hyperparameters": {"filters": (3, 0, 3)}}, "filters must be positive"),
        ({"hyperparameters": {"gate_order": "abcd"}}, "gate_order"),
        ({"hyperparameters": {"cell_activation": "relu"}}, "cell_activation"),
        ({"hyperparameters": {"momentum": 0}}, "momentum"),
        ({"hyperparameters": {"filter": 3}}, "filter"),
        ({"horizon": 4}, "forecasts as many frames as it sees, not 4 from 3; set history and horizon"),
        ({"head": "logits"}, "convlstm has no head 'logits'; its head is sigmoid"),
        ({"preset": "thesis"}, "convlstm has no preset 'thesis'; choose one of thesis-keras"),
    ],
)
def test_sizes_that_fit_no_convlstm_are_refused(wrong: dict[str, Any], message: str) -> None:
    given = {**SIZES, "hyperparameters": {**SMALL, **wrong.get("hyperparameters", {})}}
    with pytest.raises(ModelError, match=message):
        convlstm.build(**{**given, **{name: value for name, value in wrong.items() if name != "hyperparameters"}})


def test_a_model_is_built_for_data_that_it_takes() -> None:
    spec = build_for("convlstm", SIZES, preset="thesis-keras", hyperparameters=SMALL)
    assert (spec.head, spec.decision) == ("sigmoid", "exceedance")
    series = {"bands": 3, "dates": 8, "classes": 2}
    assert build_for("tempcnn", series, preset="sits").head == "logits"
    with pytest.raises(ModelError, match="tempcnn takes data with bands, dates, classes; these have bands, history"):
        build_for("tempcnn", SIZES, preset="sits")
    with pytest.raises(ModelError, match="convlstm takes data with bands, history, horizon, rows, columns; these have"):
        build_for("convlstm", series)


def test_a_classifier_has_no_sigmoid() -> None:
    with pytest.raises(ModelError, match="tempcnn has no head 'sigmoid'"):
        tempcnn.build(bands=3, dates=8, classes=2, head="sigmoid")
