"""Models that onnxruntime's optimiser and quantiser rewrite, and every node of ``com.microsoft`` in them as a model of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
from onnx import ModelProto, NodeProto, TensorProto, helper

Array = np.ndarray[Any, Any]

_HEADER = '<ir_version: 8, opset_import: ["": 14]>'
#: A small classifier of images; windows of nine values have no ties when their mean is quantised.
_IMAGE = """
g (float[N, 4, 8, 8] x) => (float[N, 3] y) {
  a = Conv<pads = [1, 1, 1, 1]>(x, w1, b1)
  first = Relu(a)
  b = Conv<pads = [1, 1, 1, 1]>(first, w2, b2)
  second = LeakyRelu<alpha = 0.1>(b)
  both = Concat<axis = 1>(first, second)
  smaller = AveragePool<kernel_shape = [3, 3]>(both)
  gate = Sigmoid(smaller)
  gated = Mul(gate, smaller)
  mean = GlobalAveragePool(gated)
  flat = Flatten(mean)
  c = Gemm<transB = 1>(flat, w3, b3)
  hidden = Relu(c)
  y = Gemm<transB = 1>(hidden, w4, b4)
}"""
_NORM = """
  {0}m = ReduceMean<axes = [-1]>({0})
  {0}c = Sub({0}, {0}m)
  {0}s = Pow({0}c, two)
  {0}v = ReduceMean<axes = [-1]>({0}s)
  {0}e = Add({0}v, epsilon)
  {0}d = Sqrt({0}e)
  {0}q = Div({0}c, {0}d)
  {0}w = Mul({0}q, scale)
  {0}n = Add({0}w, shift)"""
_GELU = """
  {0}r = Div({0}, root2)
  {0}e = Erf({0}r)
  {0}m = Add({0}e, unit)
  {0}t = Mul({0}, {0}m)
  {0}g = Mul({0}t, half)"""
#: A block of a transformer with every form of Gelu, as exporters write them out.
_TRANSFORMER = f"""
g (float[N, 5, 8] x) => (float[N, 5, 8] y) {{
  keys = MatMul(x, k)
  turned = Transpose<perm = [0, 2, 1]>(keys)
  queries = MatMul(x, q)
  product = MatMul(queries, turned)
  scores = Mul(product, eighth)
  shares = Softmax<axis = -1>(scores)
  seen = MatMul(shares, x)
  left = MatMul(seen, o)
  one = Add(left, x)
  {_NORM.format("one")}
  wide = MatMul(onen, u)
  biased = Add(wide, bu)
  {_GELU.format("biased")}
  back = MatMul(biasedg, d)
  cube = Pow(back, three)
  small = Mul(cube, c1)
  inner = Add(back, small)
  scaled = Mul(inner, c2)
  curve = Tanh(scaled)
  raised = Add(curve, unit)
  halved = Mul(back, half)
  fast = Mul(halved, raised)
  {_NORM.format("fast")}
  bent = Mul(fastn, quick)
  gate = Sigmoid(bent)
  gated = Mul(fastn, gate)
  {_GELU.format("gated")}
  last = Add(gatedg, onen)
  {_NORM.format("last")}
  y = Identity(lastn)
}}"""
_NUMBERS = {
    "two": 2.0,
    "three": 3.0,
    "epsilon": 1e-5,
    "eighth": 0.125,
    "root2": np.sqrt(2),
    "unit": 1.0,
    "half": 0.5,
    "c1": 0.044715,
    "c2": np.sqrt(2 / np.pi),
    "quick": 1.702,
}
_IMAGE_WEIGHTS = {"w1": (4, 4, 3, 3), "b1": (4,), "w2": (4, 4, 3, 3), "b2": (4,)}
_IMAGE_WEIGHTS |= {"w3": (6, 8), "b3": (6,), "w4": (3, 6), "b4": (3,)}
_TRANSFORMER_WEIGHTS = {
    "k": (8, 8),
    "q": (8, 8),
    "o": (8, 8),
    "u": (8, 12),
    "bu": (12,),
    "d": (12, 8),
    "scale": (8,),
    "shift": (8,),
}

#: What onnxruntime 1.31 writes into these models: what readers must have.
WRITTEN = frozenset(
    [
        "BiasGelu",
        "DynamicQuantizeMatMul",
        "FastGelu",
        "FusedConv",
        "FusedGemm",
        "FusedMatMul",
        "Gelu",
        "LayerNormalization",
        "MatMulIntegerToFloat",
        "QGemm",
        "QLinearAdd",
        "QLinearAveragePool",
        "QLinearConcat",
        "QLinearGlobalAveragePool",
        "QLinearLeakyRelu",
        "QLinearMul",
        "QLinearSigmoid",
        "QLinearSoftmax",
        "QuickGelu",
        "SkipLayerNormalization",
    ]
)


@dataclass(frozen=True)
class Case:
    """One node of an optimised model: its model, and what onnxruntime gave it and got from it, by name."""

    operator: str
    origin: str
    model: ModelProto
    inputs: dict[str, Array]
    outputs: dict[str, Array]


def cases(folder: Path, most: int = 3) -> list[Case]:
    """Up to ``most`` nodes of each operator, from all files; written into ``folder`` on the way."""
    found: list[Case] = []
    counts: Counter[str] = Counter()
    for path in optimised_files(folder):
        for case in _nodes_of(path):
            if counts[case.operator] < most:
                counts[case.operator] += 1
                found.append(case)
    return found


def optimised_files(folder: Path) -> Iterator[Path]:
    """Both models as they are, quantised with calibration (two types of bytes) and without, each optimised."""
    import onnxruntime
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic, quantize_static

    for name, text, shapes in (
        ("image", _IMAGE, _IMAGE_WEIGHTS),
        ("transformer", _TRANSFORMER, _TRANSFORMER_WEIGHTS),
    ):
        plain = folder / f"{name}.onnx"
        onnx.save(_model(text, shapes), plain)
        made = [plain]
        for kind in (QuantType.QUInt8, QuantType.QInt8):
            made.append(folder / f"{name}-{kind}.onnx")
            formats = {"quant_format": QuantFormat.QOperator, "activation_type": kind, "weight_type": QuantType.QInt8}
            quantize_static(str(plain), str(made[-1]), _Once(_inputs(plain)), **formats)
        made.append(folder / f"{name}-dynamic.onnx")
        quantize_dynamic(str(plain), str(made[-1]))
        for path in made:
            optimised = path.with_suffix(".optimised.onnx")
            options = _options(onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED)
            options.optimized_model_filepath = str(optimised)
            onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            yield optimised


def _options(level: Any) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    options.log_severity_level = 3
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return options


class _Once:
    """What the quantiser calibrates with."""

    def __init__(self, feeds: dict[str, Array]) -> None:
        self._left = [feeds]

    def get_next(self) -> dict[str, Array] | None:
        return self._left.pop() if self._left else None


def _model(text: str, shapes: dict[str, tuple[int, ...]]) -> ModelProto:
    model = onnx.parser.parse_model(_HEADER + text)
    draw = np.random.default_rng(0)
    read = {name for node in model.graph.node for name in node.input}
    for name, shape in shapes.items():
        fan = int(np.prod(shape[1:])) if len(shape) == 4 else shape[0]
        values = draw.standard_normal(shape) / np.sqrt(fan) * 2
        model.graph.initializer.append(onnx.numpy_helper.from_array(values.astype(np.float32), name))
    for name, value in _NUMBERS.items():
        if name in read:
            model.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(value), name))
    onnx.checker.check_model(model)
    return model


def _inputs(path: Path) -> dict[str, Array]:
    """Values for the one input; two samples."""
    shape = [axis.dim_value or 2 for axis in onnx.load(path).graph.input[0].type.tensor_type.shape.dim]
    return {"x": np.random.default_rng(1).standard_normal(shape).astype(np.float32)}


def _nodes_of(path: Path) -> Iterator[Case]:
    import onnxruntime

    model = onnx.load(path)
    made = [name for node in model.graph.node for name in node.output if name]
    shown = ModelProto()
    shown.CopyFrom(model)
    del shown.graph.output[:]
    shown.graph.output.extend(onnx.ValueInfoProto(name=name) for name in made)
    options = _options(onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL)
    session = onnxruntime.InferenceSession(shown.SerializeToString(), options, providers=["CPUExecutionProvider"])
    feeds = _inputs(path)
    values = dict(zip(made, session.run(made, feeds), strict=True)) | feeds
    values |= {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for node in model.graph.node:
        # LayerNormalization is of the standard, from opset 17 on.
        if node.domain == "com.microsoft" or node.op_type == "LayerNormalization":
            yield _alone(node, model, values, path.name)


def _alone(node: NodeProto, model: ModelProto, values: dict[str, Array], origin: str) -> Case:
    """Weights and scales stay inside of the file."""
    held = {tensor.name: tensor for tensor in model.graph.initializer}
    inputs = {name: values[name] for name in node.input if name and name not in held}
    outputs = {name: values[name] for name in node.output if name}
    kept: list[TensorProto] = [held[name] for name in dict.fromkeys(node.input) if name in held]
    graph = helper.make_graph([node], "one", _described(inputs), _described(outputs), kept)
    alone = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    return Case(node.op_type, origin, alone, inputs, outputs)


def _described(values: dict[str, Array]) -> list[onnx.ValueInfoProto]:
    return [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
        for name, value in values.items()
    ]
