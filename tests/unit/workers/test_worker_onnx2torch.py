"""An exported file turned back into a PyTorch module: what comes back, in how many copies, and what is refused."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
if importlib.util.find_spec("onnx2torch") is None:
    pytest.skip("the package onnx2torch is not installed", allow_module_level=True)

from asked import Asked  # noqa: E402
from onnx import helper  # noqa: E402
from onnx_models import FLOAT, model, saved  # noqa: E402
from random_parameters import random_parameters  # noqa: E402

from harness.compare.file_parameters import compare_file_parameters  # noqa: E402
from harness.compare.parameters import compare_parameters  # noqa: E402
from harness.compare.records import Verdict  # noqa: E402
from harness.models import convlstm  # noqa: E402
from harness.workers.onnx.structure import structure  # noqa: E402
from harness.workers.tensors import read_tensors, write_tensors  # noqa: E402

STEPS = 4
SPEC = convlstm.build(
    bands=1, history=STEPS, horizon=STEPS, rows=6, columns=5, hyperparameters={"filters": (3, 2), "kernels": (3, 1)}
)
WEIGHTS = random_parameters(SPEC)


@pytest.fixture(scope="module")
def back(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Asked]:
    folder = tmp_path_factory.mktemp("back")
    write_tensors(folder / "weights.safetensors", WEIGHTS)
    (folder / "model.json").write_text(SPEC.to_json())
    Asked("python/pytorch")(
        "export", weights=folder / "weights.safetensors", out=folder, route="torch-script", opset=17, fold=True
    )
    asked = Asked("python/onnx2torch")
    asked("load", path=folder / "model.onnx", precision="float32")
    return folder, asked


def held(back: tuple[Path, Asked], out: Path) -> dict[str, np.ndarray]:
    back[1]("parameters", outputs=out)
    return read_tensors(out)


def test_it_computes_what_the_source_does(back: tuple[Path, Asked], tmp_path: Path) -> None:
    folder, asked = back
    write_tensors(tmp_path / "x", {"x": np.random.default_rng(3).random((4, 1, STEPS, 6, 5), np.float32)})
    source = Asked("python/pytorch")
    source("load", path=folder / "weights.safetensors", precision="float32")
    source("predict", inputs=tmp_path / "x", outputs=tmp_path / "y", batch_size=None)
    asked("predict", inputs=tmp_path / "x", outputs=tmp_path / "z", batch_size=3)
    wanted, found = (read_tensors(tmp_path / name)["forecast"] for name in ("y", "z"))
    assert np.abs(found - wanted).max() < 1e-6
    last = onnx.load(folder / "model.onnx").graph.node[-1]
    asked("activations", inputs=tmp_path / "x", names=[last.output[0]], outputs=tmp_path / "a")
    assert np.abs(read_tensors(tmp_path / "a")[last.output[0]] - wanted).max() < 1e-6


def test_weights_of_every_step_are_copies_and_are_counted_by_their_bits(
    back: tuple[Path, Asked], tmp_path: Path
) -> None:
    values = held(back, tmp_path / "held")
    described = structure(onnx.load(back[0] / "model.onnx"), back[0] / "model.onnx")
    found = compare_parameters(SPEC, WEIGHTS, described, values)
    assert found.verdict is Verdict.IDENTICAL
    assert found.copies == STEPS
    assert found.target_count - found.copied_count == found.source_count
    recurrent = sum(WEIGHTS[f"lstm{number}.{part}"].size for number in (1, 2) for part in ("weight", "bias"))
    assert found.copied_count == (STEPS - 1) * recurrent
    # Under other names they are still copies.
    renamed = {name.replace("#", " of step "): value for name, value in values.items()}
    assert compare_parameters(SPEC, WEIGHTS, described, renamed).copies == STEPS


def test_a_copy_that_is_none_any_more_is_found(back: tuple[Path, Asked], tmp_path: Path) -> None:
    values = held(back, tmp_path / "held")
    described = structure(onnx.load(back[0] / "model.onnx"), back[0] / "model.onnx")
    name = "lstm2.weight#3"
    values[name] = values[name].copy()
    values[name].flat[1] = np.nextafter(values[name].flat[1], np.float32(9))
    found = compare_parameters(SPEC, WEIGHTS, described, values)
    assert found.verdict is Verdict.DIVERGENT
    assert [row.name for row in found.rows if row.relation == "extra"] == [name]
    reference = {key: value for key, value in values.items() if "#" not in key}
    given = compare_file_parameters(reference, values)
    assert [row.name for row in given.rows if row.relation != "equal"] == [name]
    assert given.copies == STEPS


def loop() -> Any:
    body = helper.make_graph(
        [helper.make_node("Identity", ["on"], ["go"]), helper.make_node("Neg", ["v"], ["w"])],
        "body",
        [
            helper.make_tensor_value_info("i", onnx.TensorProto.INT64, []),
            helper.make_tensor_value_info("on", onnx.TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("go", onnx.TensorProto.BOOL, []),
            helper.make_tensor_value_info("w", FLOAT, None),
        ],
    )
    return model([helper.make_node("Loop", ["n", "", "x"], ["y"], body=body)], weights={"n": np.array(2)})


def test_what_it_cannot_convert_is_refused_in_its_own_words(tmp_path: Path) -> None:
    asked = Asked("python/onnx2torch")
    path = saved(loop(), tmp_path)
    message = asked.refused("unsupported", "load", path=path, precision="float32")
    assert message == "onnx2torch has no converter for Loop 16"
    # So jax2onnx leaves its kernels.
    turned = [
        helper.make_node("Transpose", ["w"], ["kernel"], perm=[2, 1, 0]),
        helper.make_node("Conv", ["x", "kernel"], ["y"]),
    ]
    inputs, outputs = [("x", FLOAT, ("n", 2, 4))], [("y", FLOAT, ("n", 3, 4))]
    path = saved(
        model(turned, inputs=inputs, outputs=outputs, weights={"w": np.ones((1, 2, 3), np.float32)}),
        tmp_path,
        "turned.onnx",
    )
    message = asked.refused("unsupported", "load", path=path, precision="float32")
    assert "'kernel' is computed in the graph" in message
    plain = saved(model([helper.make_node("Relu", ["x"], ["y"])]), tmp_path, "plain.onnx")
    assert "float64 is not supported" in asked.refused("unsupported", "load", path=plain, precision="float64")


def test_names_of_a_file_never_become_code(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    name = f'a"); __import__("pathlib").Path({str(mark)!r}).touch(); ("'
    node = helper.make_node("Relu", ["x"], ["y"], name=name)
    asked = Asked("python/onnx2torch")
    asked("load", path=saved(model([node]), tmp_path), precision="float32")
    write_tensors(tmp_path / "x", {"x": np.array([[-1, 2, -3, 4]], np.float32)})
    asked("predict", inputs=tmp_path / "x", outputs=tmp_path / "y", batch_size=None)
    assert read_tensors(tmp_path / "y")["y"].tolist() == [[0, 2, 0, 4]]
    assert not mark.exists()


def test_torchvision_is_neither_needed_nor_left_behind() -> None:
    Asked("python/onnx2torch")("describe")
    found = sys.modules.get("torchvision")
    assert found is None or found.__spec__ is not None


def test_limits_of_clip_are_parameters_as_in_the_file(tmp_path: Path) -> None:
    limits = {
        "low": np.float32(-0.8),
        "high": np.float32(0.9),
        "none": np.float32(0),
        "six": np.float32(6),
        "alone": np.float32(0),
    }
    nodes = [
        helper.make_node("Clip", ["x", "low", "high"], ["h"]),
        helper.make_node("Clip", ["h", "none", "six"], ["k"]),
        helper.make_node("Clip", ["k", "alone"], ["y"]),
    ]
    path = saved(model(nodes, weights={name: np.asarray(value) for name, value in limits.items()}), tmp_path)
    asked = Asked("python/onnx2torch")
    asked("load", path=path, precision="float32")
    asked("parameters", outputs=tmp_path / "held")
    found = read_tensors(tmp_path / "held")
    assert {name: (array.shape, array.dtype.name, float(array)) for name, array in found.items()} == {
        name: ((), "float32", float(value)) for name, value in limits.items()
    }


def test_axes_that_become_numbers_are_parameters_as_in_the_file(tmp_path: Path) -> None:
    axes = {"summed": np.int64([3, 2]), "added": np.int64([0])}
    nodes = [
        helper.make_node("ReduceSum", ["x", "summed"], ["s"], keepdims=0),
        helper.make_node("Unsqueeze", ["s", "added"], ["y"]),
    ]
    path = saved(model(nodes, inputs=[("x", FLOAT, ("n", 3, 4, 5))], weights=axes), tmp_path)
    asked = Asked("python/onnx2torch")
    asked("load", path=path, precision="float32")
    asked("parameters", outputs=tmp_path / "held")
    found = read_tensors(tmp_path / "held")
    assert {name: (array.dtype.name, array.tolist()) for name, array in found.items()} == {
        "summed": ("int64", [3, 2]),
        "added": ("int64", [0]),
    }


def test_a_mean_over_axes_that_are_not_known_is_refused(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        # Shape inference does not follow these.
        helper.make_node("Cast", ["shape"], ["numbers"], to=FLOAT),
        helper.make_node("Cast", ["numbers"], ["again"], to=onnx.TensorProto.INT64),
        helper.make_node("Reshape", ["x", "again"], ["h"]),
        helper.make_node("GlobalAveragePool", ["h"], ["y"], name="pool"),
    ]
    shaped = [("x", FLOAT, ("n", 3, 4, 5))]
    asked = Asked("python/onnx2torch")
    message = asked.refused(
        "unsupported", "load", path=saved(model(nodes, inputs=shaped, opset=11), tmp_path), precision="float32"
    )
    assert "GlobalAveragePool (node 'pool')" in message
    assert "how many axes" in message
    known = model([helper.make_node("GlobalAveragePool", ["x"], ["y"])], inputs=shaped)
    asked("load", path=saved(known, tmp_path), precision="float32")
