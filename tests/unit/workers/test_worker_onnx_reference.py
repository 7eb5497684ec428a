from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_models import FLOAT, batch_normalisation, model, saved

from harness.workers.engine import Stopwatch
from harness.workers.onnx.reference import ReferenceModel
from harness.workers.onnx.structure import structure
from harness.workers.onnx.widen import widen
from harness.workers.tensors import read_tensors, write_tensors

X = np.random.default_rng(1).standard_normal((6, 3, 5)).astype(np.float32)
X4 = np.random.default_rng(2).standard_normal((6, 4)).astype(np.float32)


def run(made: onnx.ModelProto, precision: Any, **feeds: np.ndarray) -> np.ndarray:
    """The first output; inputs widened as the engine does it."""
    onnx.checker.check_model(made)
    held = ReferenceModel(made, precision)
    if precision == "float64":
        feeds = {name: array.astype(np.float64) if array.dtype.kind == "f" else array for name, array in feeds.items()}
    return held.run(feeds, Stopwatch())[held.outputs[0].name]


def normalised(x: np.ndarray, weights: dict[str, np.ndarray], epsilon: float) -> np.ndarray:
    scale, shift, mean, variance = (weights[name].astype(np.float64)[None, :, None] for name in "sbmv")
    return scale * (x.astype(np.float64) - mean) / np.sqrt(variance + float(np.float32(epsilon))) + shift


@pytest.mark.parametrize("opset", [6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 17, 20])
@pytest.mark.parametrize("epsilon", [1e-5, 1e-3, None])
def test_batch_normalisation_uses_the_given_statistics_in_every_opset(opset: int, epsilon: float | None) -> None:
    made, weights = batch_normalisation(opset, epsilon)
    expected = normalised(X, weights, 1e-5 if epsilon is None else epsilon)
    double = run(made, "float64", x=X)
    assert double.dtype == np.float64
    assert np.max(np.abs(double - expected)) < 1e-14
    assert np.allclose(run(made, "float32", x=X), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("opset", [9, 14])
def test_batch_normalisation_in_training_mode_takes_the_statistics_of_the_batch(opset: int) -> None:
    made, weights = batch_normalisation(opset)
    if opset == 14:
        made.graph.node[0].attribute.append(helper.make_attribute("training_mode", 1))
    made.graph.node[0].output.extend(["mean", "var"] + (["saved_mean", "saved_var"] if opset == 9 else []))
    wide = X.astype(np.float64)
    weights = {**weights, "m": wide.mean((0, 2)), "v": wide.var((0, 2))}
    assert np.max(np.abs(run(made, "float64", x=X) - normalised(X, weights, 1e-3))) < 1e-14


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        # Attributes are float32 in the file, and stay so.
        ([helper.make_node("LeakyRelu", ["x"], ["y"], alpha=0.01)], lambda x: np.where(x < 0, x * np.float32(0.01), x)),
        (
            [helper.make_node("Constant", [], ["c"], value_float=0.1), helper.make_node("Mul", ["x", "c"], ["y"])],
            lambda x: x * float(np.float32(0.1)),
        ),
        (
            [
                helper.make_node("Constant", [], ["c"], value_floats=[0.1, 0.2, 0.3, 0.4]),
                helper.make_node("Add", ["x", "c"], ["y"]),
            ],
            lambda x: x + np.array([0.1, 0.2, 0.3, 0.4], np.float32).astype(np.float64),
        ),
        (
            [
                helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(np.float32([1 / 3]))),
                helper.make_node("Div", ["x", "c"], ["y"]),
            ],
            lambda x: x / np.float64(np.float32(1 / 3)),
        ),
        (
            [
                helper.make_node("Shape", ["x"], ["s"]),
                helper.make_node("ConstantOfShape", ["s"], ["zeros"]),
                helper.make_node("Sub", ["zeros", "x"], ["y"]),
            ],
            lambda x: -x,
        ),
        (
            [helper.make_node("Exp", ["x"], ["e"]), helper.make_node("Cast", ["e"], ["y"], to=TensorProto.FLOAT)],
            np.exp,
        ),
        # A rounding to half precision is part of the model.
        (
            [
                helper.make_node("Exp", ["x"], ["e"]),
                helper.make_node("Cast", ["e"], ["h"], to=TensorProto.FLOAT16),
                helper.make_node("Cast", ["h"], ["y"], to=TensorProto.FLOAT),
            ],
            lambda x: np.exp(x).astype(np.float16).astype(np.float64),
        ),
        # What is computed in half precision is computed in double, and not rounded where it is cast back.
        (
            [
                helper.make_node("Cast", ["x"], ["h"], to=TensorProto.BFLOAT16),
                helper.make_node("Mul", ["h", "h"], ["q"]),
                helper.make_node("Cast", ["q"], ["y"], to=TensorProto.FLOAT),
            ],
            lambda x: x.astype(ml_dtypes.bfloat16).astype(np.float64) ** 2,
        ),
        (
            [helper.make_node("Exp", ["x"], ["e"]), helper.make_node("CastLike", ["e", "x"], ["y"])],
            np.exp,
        ),
        # A cast to integers is no rounding of ours.
        (
            [
                helper.make_node("Cast", ["x"], ["i"], to=TensorProto.INT64),
                helper.make_node("Cast", ["i"], ["y"], to=TensorProto.FLOAT),
            ],
            np.trunc,
        ),
    ],
    ids=lambda value: "-".join(node.op_type for node in value) if isinstance(value, list) else "",
)
def test_everything_is_widened_and_roundings_of_the_file_are_kept(
    nodes: list[onnx.NodeProto], expected: Callable[[np.ndarray], np.ndarray]
) -> None:
    found = run(model(nodes), "float64", x=X4)
    assert found.dtype == np.float64
    assert np.array_equal(found, expected(X4.astype(np.float64)))


def test_subgraphs_are_widened() -> None:
    third = numpy_helper.from_array(np.float32([1 / 3]), "third")

    def branch(operator: str) -> onnx.GraphProto:
        nodes = [
            helper.make_node("Constant", [], ["k"], value=third),
            helper.make_node(operator, ["x", "k"], ["z"]),
            helper.make_node("Cast", ["z"], ["out"], to=TensorProto.FLOAT),
        ]
        return helper.make_graph(nodes, "branch", [], [helper.make_tensor_value_info("out", FLOAT, None)])

    node = helper.make_node("If", ["c"], ["y"], then_branch=branch("Mul"), else_branch=branch("Div"))
    found = run(model([node], weights={"c": np.array(True)}), "float64", x=X4)
    assert np.array_equal(found, X4.astype(np.float64) * np.float64(np.float32(1 / 3)))


def test_local_functions_are_widened_and_their_batch_normalisation_is_right() -> None:
    made, weights = batch_normalisation(13)
    body = [
        helper.make_node("Constant", [], ["k"], value_float=0.1),
        helper.make_node("BatchNormalization", ["x", "s", "b", "m", "v"], ["n"], epsilon=1e-3),
        helper.make_node("Mul", ["n", "k"], ["y"]),
    ]
    names = ["x", "s", "b", "m", "v"]
    function = helper.make_function("local", "Block", names, ["y"], body, [helper.make_opsetid("", 13)])
    made.graph.node[0].CopyFrom(helper.make_node("Block", names, ["y"], domain="local"))
    made.functions.append(function)
    made.opset_import.append(helper.make_opsetid("local", 1))
    expected = normalised(X, weights, 1e-3) * float(np.float32(0.1))
    assert np.max(np.abs(run(made, "float64", x=X) - expected)) < 1e-14
    assert np.allclose(run(made, "float32", x=X), expected, atol=1e-6)


def test_widening_leaves_the_model_itself_alone() -> None:
    made, _ = batch_normalisation(17)
    before = made.SerializeToString()
    onnx.checker.check_model(widen(made), full_check=True)
    assert made.SerializeToString() == before


def test_half_precision_models_are_widened_exactly() -> None:
    w = np.float16([0.1, 0.2, 0.3, 0.4])
    made = model(
        [helper.make_node("Mul", ["x", "w"], ["y"])],
        inputs=[("x", TensorProto.FLOAT16, ("n", 4))],
        outputs=[("y", TensorProto.FLOAT16, ("n", 4))],
        weights={"w": w},
    )
    x = X4.astype(np.float16)
    assert np.array_equal(run(made, "float64", x=x), x.astype(np.float64) * w.astype(np.float64))
    assert run(made, "float32", x=x).dtype == np.float16


def test_what_the_reference_computes_in_float32_makes_no_oracle(tmp_path: Path, ask: Callable[[str], Any]) -> None:
    node = helper.make_node("CausalConvWithState", ["x", "w"], ["y", "state"], name="conv")
    made = model(
        [node],
        opset=27,
        inputs=[("x", FLOAT, ("n", 2, 6))],
        outputs=[("y", FLOAT, ("n", 2, 6))],
        weights={"w": np.ones((2, 1, 3), np.float32)},
    )
    asked = ask("python/onnx-reference")
    asked("load", path=saved(made, tmp_path), precision="float32")
    message = asked.refused("unsupported", "load", path=tmp_path / "model.onnx", precision="float64")
    assert "operator CausalConvWithState (opset 27, node 'conv')" in message


def test_an_operator_of_another_domain_is_refused_in_plain_words(ask: Callable[[str], Any], tmp_path: Path) -> None:
    made = model([helper.make_node("Foo", ["x"], ["y"], domain="com.example")])
    made.opset_import.append(helper.make_opsetid("com.example", 1))
    message = ask("python/onnx-reference").refused(
        "unsupported", "load", path=saved(made, tmp_path), precision="float32"
    )
    assert message == "operator com.example.Foo is not supported by python/onnx-reference"


def test_an_operator_that_the_reference_has_no_implementation_for_is_refused(
    tmp_path: Path, ask: Callable[[str], Any]
) -> None:
    node = helper.make_node("MaxRoiPool", ["x", "regions"], ["y"], pooled_shape=[2, 2], name="pool")
    made = model(
        [node],
        opset=13,
        inputs=[("x", FLOAT, ("n", 1, 4, 4))],
        outputs=[("y", FLOAT, ("m", 1, 2, 2))],
        weights={"regions": np.zeros((1, 5), np.float32)},
    )
    message = ask("python/onnx-reference").refused("unsupported", "load", path=saved(made, tmp_path))
    assert "'MaxRoiPool'" in message


@pytest.mark.parametrize("runtime", ["python/onnx-reference", "python/onnxruntime"])
def test_parameters_are_held_bit_for_bit(tmp_path: Path, ask: Callable[[str], Any], runtime: str) -> None:
    odd = np.array([0x7FC00123, 0xFF800000, 0x80000000, 0x00000001], dtype=np.uint32).view(np.float32)
    weights = {"odd": odd, "half": np.float16([1, 2, 3, 65504]), "index": np.array([2**62, -1, 0, 5])}
    nodes = [
        helper.make_node("Cast", ["half"], ["h"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["index"], ["i"], to=TensorProto.FLOAT),
        helper.make_node("Sum", ["x", "odd", "h", "i"], ["y"]),
    ]
    asked = ask(runtime)
    asked("load", path=saved(model(nodes, weights=weights), tmp_path))
    assert asked("parameters", outputs=tmp_path / "p.safetensors") == {"count": 3}
    held = read_tensors(tmp_path / "p.safetensors")
    assert {name: (array.dtype, array.tobytes()) for name, array in held.items()} == {
        name: (array.dtype, array.tobytes()) for name, array in weights.items()
    }


def test_an_oracles_parameters_come_in_the_files_dtype(tmp_path: Path, ask: Callable[[str], Any]) -> None:
    made, weights = batch_normalisation(17)
    asked = ask("python/onnx-reference")
    asked("load", path=saved(made, tmp_path), precision="float64")
    asked("parameters", outputs=tmp_path / "p.safetensors")
    held = read_tensors(tmp_path / "p.safetensors")
    assert {name: array.tobytes() for name, array in held.items()} == {n: a.tobytes() for n, a in weights.items()}


@pytest.mark.parametrize("runtime", ["python/onnx-reference", "python/onnxruntime"])
def test_a_files_interface_metadata_and_tensors_are_exposed(
    tmp_path: Path, ask: Callable[[str], Any], runtime: str
) -> None:
    made = model([helper.make_node("Exp", ["x"], ["e"]), helper.make_node("Neg", ["e"], ["y"])])
    helper.set_model_props(made, {"harness.classes": '["é", "b"]'})
    asked = ask(runtime)
    loaded = asked("load", path=saved(made, tmp_path))
    assert loaded["metadata"] == {"harness.classes": '["é", "b"]'}
    assert loaded["inputs"] == [{"name": "x", "dtype": "float32", "shape": ["n", 4]}]
    assert loaded["outputs"] == [{"name": "y", "dtype": "float32", "shape": ["n", 4]}]
    write_tensors(tmp_path / "x", {"x": X4})
    asked("activations", inputs=tmp_path / "x", names=["e", "y"], outputs=tmp_path / "a")
    found = read_tensors(tmp_path / "a")
    assert np.allclose(found["e"], np.exp(X4))
    assert np.array_equal(found["y"], -found["e"])
    message = asked.refused("bad-input", "activations", inputs=tmp_path / "x", names=["no"], outputs=tmp_path / "a")
    assert "no tensor 'no'" in message


@pytest.mark.parametrize("runtime", ["python/onnx-reference", "python/onnxruntime"])
def test_wrong_inputs_are_refused_by_the_worker(tmp_path: Path, ask: Callable[[str], Any], runtime: str) -> None:
    made, _ = batch_normalisation(17)
    asked = ask(runtime)
    asked("load", path=saved(made, tmp_path))
    for array, message in ((X.astype(np.float64), "float32, not float64"), (X[:, :2], "not (6, 2, 5)")):
        write_tensors(tmp_path / "x", {"x": array})
        assert message in asked.refused("bad-input", "predict", inputs=tmp_path / "x", outputs=tmp_path / "y")
    write_tensors(tmp_path / "x", {"input": X})
    assert "'input'" in asked.refused("bad-input", "predict", inputs=tmp_path / "x", outputs=tmp_path / "y")
    assert not (tmp_path / "y").exists()


def test_onnxruntime_refuses_double_kernels_it_does_not_have(tmp_path: Path, ask: Callable[[str], Any]) -> None:
    w = np.ones((2, 3, 3), np.float32)
    made = model(
        [helper.make_node("Conv", ["x", "w"], ["y"], name="conv_1")],
        inputs=[("x", FLOAT, ("n", 3, 5))],
        outputs=[("y", FLOAT, ("n", 2, 3))],
        weights={"w": w},
    )
    message = ask("python/onnxruntime").refused("unsupported", "load", path=saved(made, tmp_path), precision="float64")
    assert "Conv" in message


def test_onnxruntime_refuses_dtypes_it_cannot_hand_over(tmp_path: Path, ask: Callable[[str], Any]) -> None:
    node = helper.make_node("Cast", ["x"], ["y"], to=TensorProto.BFLOAT16)
    made = model([node], outputs=[("y", TensorProto.BFLOAT16, ("n", 4))])
    message = ask("python/onnxruntime").refused("unsupported", "load", path=saved(made, tmp_path))
    assert "'y' is bfloat16" in message


def test_onnxruntime_computes_in_double_where_it_can(tmp_path: Path, ask: Callable[[str], Any]) -> None:
    made = model([helper.make_node("MatMul", ["x", "w"], ["y"])], weights={"w": np.float32(np.eye(4) / 3)})
    asked = ask("python/onnxruntime")
    asked("load", path=saved(made, tmp_path), precision="float64")
    write_tensors(tmp_path / "x", {"x": X4})
    asked("predict", inputs=tmp_path / "x", outputs=tmp_path / "y", batch_size=4)
    found = read_tensors(tmp_path / "y")["y"]
    assert np.max(np.abs(found - X4.astype(np.float64) * np.float64(np.float32(1 / 3)))) < 1e-15


def test_structure_says_what_the_file_holds(tmp_path: Path, ask: Callable[[str], Any]) -> None:
    branch = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["z"])], "b", [], [helper.make_tensor_value_info("z", FLOAT, None)]
    )
    nodes = [
        helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(np.array(True))),
        helper.make_node("If", ["c"], ["i"], then_branch=branch, else_branch=branch, name="choice"),
        helper.make_node("Clip", ["i", "low"], ["l"]),
        helper.make_node("LeakyRelu", ["l"], ["y"], alpha=float("-inf")),
    ]
    made = model(nodes, weights={"low": np.float32(0.5)})
    path = saved(made, tmp_path)
    assert ask("python/onnx-reference")("structure", path=path, outputs=tmp_path / "s.json") == {"nodes": 4}
    found = json.loads((tmp_path / "s.json").read_text())
    assert found["opsets"] == {"": 17}
    assert found["bytes"] == path.stat().st_size
    assert [node["operator"] for node in found["nodes"]] == ["Constant", "If", "Clip", "LeakyRelu"]
    assert found["nodes"][0]["attributes"] == {"value": {"tensor": {"dtype": "bool", "shape": [], "values": [True]}}}
    assert found["nodes"][1]["attributes"]["then_branch"]["graph"]["nodes"][0]["operator"] == "Identity"
    assert found["nodes"][3]["attributes"] == {"alpha": "-inf"}
    sha256 = hashlib.sha256(np.float32(0.5).tobytes()).hexdigest()
    assert found["initializers"] == [{"name": "low", "dtype": "float32", "shape": [], "sha256": sha256}]


def test_structure_tells_the_shapes_between_nodes_as_far_as_they_can_be_inferred(tmp_path: Path) -> None:
    weight = onnx.numpy_helper.from_array(np.ones((6, 3, 5), np.float32), "w")
    nodes = [
        onnx.helper.make_node("Conv", ["x", "w"], ["c"], kernel_shape=[5], pads=[2, 2]),
        onnx.helper.make_node("Unknown", ["c"], ["u"], domain="nobody.knows"),
        onnx.helper.make_node("Relu", ["u"], ["y"]),
    ]
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        nodes, "g", [value("x", 1, ["sample", 3, 9])], [value("y", 1, ["sample", 6, 9])], [weight]
    )
    opsets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("nobody.knows", 1)]
    path = tmp_path / "m.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets), path)
    found = structure(onnx.load(path), path)
    assert found["shapes"] == {"c": ["sample", 6, 9]}
    # Another output than the file declares: told as far as it goes, refused nowhere.
    graph.output[0].CopyFrom(value("y", 1, ["sample", 7]))
    wrong = onnx.helper.make_model(graph, opset_imports=opsets)
    assert structure(wrong, path)["shapes"].get("c", ["sample", 6, 9]) == ["sample", 6, 9]
