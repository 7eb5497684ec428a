"""What is told of a file: the type it computes in, what older opsets mean, and normalisation as in training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from harness.compare.half_precision import computes_in, precision_of, spacing
from harness.compare.older_opsets import meanings
from harness.compare.outputs import noise_floor
from harness.compare.records import Verdict
from harness.results.evaluate import Exported, SourceFile, Target, judge
from harness.workers.onnx.structure import structure

HALF, FLOAT = TensorProto.FLOAT16, TensorProto.FLOAT


def read(
    nodes: list[onnx.NodeProto], opset: int, tmp_path: Path, weights: dict[str, np.ndarray], given: int = FLOAT
) -> Any:
    """The structure of a graph from x (n, 3, 4, 4) to y, as the worker gives it."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", given, ["n", 3, 4, 4])],
        [onnx.ValueInfoProto(name="y")],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)]), path)
    return structure(onnx.load(path), path)


def node(operator: str, inputs: int = 1, outputs: int = 1, **attributes: object) -> onnx.NodeProto:
    names = ["x", *(f"w{index}" for index in range(1, inputs))]
    return helper.make_node(operator, names, ["y", *"uvst"][:outputs], name="it", **attributes)


ONES = {f"w{index}": np.ones(3, np.float32) for index in range(1, 5)}
SCALES = {"w1": np.array([1, 1, 2, 2], np.float32)}


@pytest.mark.parametrize(
    ("made", "opset", "weights", "told"),
    [
        (node("Softmax", axis=1), 11, {}, "flattened before axis 1, and axes 1 to 3 are normalised together"),
        (node("Softmax"), 12, {}, "flattened before axis 1"),
        (node("LogSoftmax", axis=2), 9, {}, "axes 2 to 3 are normalised together"),
        (node("Hardmax", axis=1), 11, {}, "from opset 13 on it is axis 1 alone"),
        (node("Softmax", axis=3), 11, {}, ""),
        (node("Softmax", axis=-1), 11, {}, ""),
        (node("Softmax", axis=1), 13, {}, ""),
        (node("Resize", 2, mode="linear"), 10, SCALES, "lies at index / scale of the input (asymmetric)"),
        (node("Upsample", 2, mode="nearest"), 9, SCALES, "floor(size * scale) places"),
        (
            node("BatchNormalization", 5, 3, training_mode=1),
            14,
            ONES,
            "normalises by the statistics of its batch, as in training",
        ),
        (node("BatchNormalization", 5, 5), 9, ONES, "normalises by the statistics of its batch, as in training"),
        (node("BatchNormalization", 5), 9, ONES, ""),
        (node("BatchNormalization", 5), 14, ONES, ""),
        (node("Relu"), 11, {}, ""),
    ],
)
def test_what_an_older_opset_means_is_told(
    tmp_path: Path, made: onnx.NodeProto, opset: int, weights: dict[str, np.ndarray], told: str
) -> None:
    found = meanings(read([made], opset, tmp_path, weights))
    assert len(found) == bool(told)
    for finding in found:
        assert finding.message.startswith(f"{made.op_type} 'it': ")
        assert told in finding.message
        # It is told, and judges nothing.
        assert (finding.verdict, finding.comparison) == (Verdict.EQUIVALENT, "structure")


def cast(source: str, to: int, result: str) -> onnx.NodeProto:
    return helper.make_node("Cast", [source], [result], to=to)


W16 = {"w": np.ones((4, 4), np.float16)}


@pytest.mark.parametrize(
    ("nodes", "given", "kind"),
    [
        # Input and output of float32, all else of float16.
        (
            [cast("x", HALF, "h"), helper.make_node("MatMul", ["h", "w"], ["m"]), cast("m", FLOAT, "y")],
            FLOAT,
            "float16",
        ),
        # Weights that are stored in float16 and used in float32.
        ([cast("w", FLOAT, "f"), helper.make_node("MatMul", ["x", "f"], ["y"])], FLOAT, "float32"),
        ([helper.make_node("MatMul", ["x", "w"], ["y"])], HALF, "float16"),
        (
            [cast("x", TensorProto.BFLOAT16, "b"), helper.make_node("Relu", ["b"], ["r"]), cast("r", FLOAT, "y")],
            FLOAT,
            "bfloat16",
        ),
        ([cast("x", HALF, "h"), cast("h", FLOAT, "f"), helper.make_node("Relu", ["f"], ["y"])], FLOAT, "float32"),
    ],
)
def test_the_type_that_a_graph_computes_in(tmp_path: Path, nodes: list[onnx.NodeProto], given: int, kind: str) -> None:
    assert computes_in(read(nodes, 17, tmp_path, W16, given)) == kind


@pytest.mark.parametrize(
    ("kind", "value", "step"), [("float16", 1.5, 2**-10), ("bfloat16", 3.0, 2**-6), ("float16", 0.0, 2**-24)]
)
def test_the_steps_of_half_precision(kind: Any, value: float, step: float) -> None:
    assert spacing(value, kind) == step
    if kind == "float16":
        assert float(np.spacing(np.float16(value))) == step


def test_outputs_cast_at_the_end_move_in_the_steps_of_what_computed_them() -> None:
    rounded = np.random.default_rng(0).normal(size=50).astype(np.float16).astype(np.float32)
    assert precision_of(rounded, "float16") == "float16"
    assert precision_of(rounded + np.float32(1e-5), "float16") == "float32"
    assert precision_of(rounded, "float32") == "float32"
    brain = (rounded.view(np.uint32) & 0xFFFF0000).view(np.float32)
    assert (precision_of(brain, "bfloat16"), precision_of(rounded, "bfloat16")) == ("bfloat16", "float32")


def test_the_floor_of_a_float16_file_is_that_of_float16_and_told(tmp_path: Path) -> None:
    nodes = [cast("x", HALF, "h"), helper.make_node("MatMul", ["h", "w"], ["m"]), cast("m", FLOAT, "y")]
    graph = read(nodes, 17, tmp_path, W16)
    exact = np.linspace(-2, 2, 64).astype(np.float16).astype(np.float64)
    lucky = exact.astype(np.float32)
    # The reference happens to be exact; a runtime may be off by a step at every value.
    target = np.nextafter(lucky.astype(np.float16), np.float16(9)).astype(np.float32)
    for structure_, verdict, end in (
        (graph, Verdict.EQUIVALENT, "; the floor is that of float16."),
        (None, Verdict.DIVERGENT, "."),
    ):
        source = SourceFile({}, {"y": lucky}, {"y": exact}, None)
        found = judge(source, Exported(structure_, {"r/base": {"y": exact}}), Target({}, {}, {"y": target}))
        assert found.judgement.verdict is verdict
        assert found.judgement.sentence.endswith(end)
    assert noise_floor(lucky, exact, "float16").rms == 2**-10
