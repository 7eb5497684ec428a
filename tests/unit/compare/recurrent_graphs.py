"""ConvLSTM parameters and graphs of them as converters of Keras write them: a Loop for time, every gate for itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from harness.models import convlstm
from harness.models.spec import ModelSpec

Arrays = dict[str, np.ndarray]
FRAMES, ROWS, COLUMNS = 3, 5, 4


def specification(**options: Any) -> ModelSpec:
    hyperparameters = {"filters": (3, 2), "kernels": (3, 1)} | options
    return convlstm.build(
        bands=1, history=FRAMES, horizon=FRAMES, rows=ROWS, columns=COLUMNS, hyperparameters=hyperparameters
    )


def draw_parameters(spec: ModelSpec, seed: int = 0) -> Arrays:
    generator = np.random.default_rng(seed)
    drawn = {}
    for parameter in spec.parameters:
        values = generator.normal(0, 0.3, parameter.shape)
        drawn[parameter.name] = (np.abs(values) + 0.1 if parameter.role == "variance" else values).astype(np.float32)
    return drawn


class Writer:
    """Collects nodes and initializers of one graph."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.nodes: list[NodeProto] = []
        self.weights: Arrays = {}

    def hold(self, name: str, value: Any) -> str:
        self.weights[name] = np.asarray(value)
        return name

    def node(self, operator: str, *inputs: str, parts: int = 1, **attributes: Any) -> Any:
        made = [f"{self.prefix}{operator}{len(self.nodes)}.{part}" for part in range(parts)]
        self.nodes.append(helper.make_node(operator, inputs, made, name=made[0], **attributes))
        return made[0] if parts == 1 else made


def in_keras_order(weight: np.ndarray) -> np.ndarray:
    """Gates i, f, o, g along the first axis as i, f, g, o along the last, kernels (row, column, in, out)."""
    i, f, o, g = np.split(weight, 4)
    ordered = np.concatenate([i, f, g, o])
    return ordered.transpose(*range(2, ordered.ndim), 1, 0) if ordered.ndim > 1 else ordered


def cell(writer: Writer, spec: ModelSpec, weights: dict[str, str], frame: str, hidden: str, state: str) -> Any:
    """One step: the new hidden state and cell. ``weights``: names of kernel, recurrent kernel and bias."""
    kernels = writer.node("Split", weights["kernel"], axis=3, num_outputs=4, parts=4)
    recurrent = writer.node("Split", weights["recurrent"], axis=3, num_outputs=4, parts=4)
    biases = writer.node("Split", weights["bias"], axis=0, num_outputs=4, parts=4)
    gates = []
    for kernel, again, bias in zip(kernels, recurrent, biases, strict=True):
        turned = [writer.node("Transpose", name, perm=[3, 2, 0, 1]) for name in (kernel, again)]
        parts = [
            writer.node("Conv", given, name, auto_pad="SAME_UPPER")
            for given, name in zip((frame, hidden), turned, strict=True)
        ]
        shaped = writer.node("Reshape", bias, writer.hold(f"{writer.prefix}shape{len(gates)}", np.array([1, -1, 1, 1])))
        gates.append(writer.node("Add", writer.node("Add", parts[0], shaped), parts[1]))
    i, f, g, o = gates
    if spec.hyperparameters["cell_activation"] == "tanh":
        g = writer.node("Tanh", g)
    opened = [writer.node("Sigmoid", name) for name in (i, f, o)]
    new = writer.node("Add", writer.node("Mul", opened[1], state), writer.node("Mul", opened[0], g))
    shown = writer.node("Tanh", new) if spec.hyperparameters["cell_activation"] == "tanh" else new
    return writer.node("Mul", opened[2], shown), new


def body(spec: ModelSpec, layer: str, channels: int, filters: int, inside: Arrays | None) -> GraphProto:
    """The body of a Loop over frames; the weights are handed on from step to step, or are its own (``inside``)."""
    writer = Writer(f"{layer}.")
    infos = [
        helper.make_tensor_value_info(f"{layer}.step", TensorProto.INT64, []),
        helper.make_tensor_value_info(f"{layer}.on", TensorProto.BOOL, []),
        *(helper.make_tensor_value_info(f"{layer}.{name}", TensorProto.FLOAT, None) for name in ("h", "c")),
    ]
    names = {part: f"{layer}.{part}.in" for part in ("kernel", "recurrent", "bias")}
    handed = [] if inside is not None else list(names.values())
    infos += [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in handed]
    if inside is not None:
        for part, name in names.items():
            writer.hold(name, inside[part])
    frame = writer.node("Gather", f"{layer}.frames", f"{layer}.step", axis=0)
    hidden, state = cell(writer, spec, names, frame, f"{layer}.h", f"{layer}.c")
    on, shown = writer.node("Identity", f"{layer}.on"), writer.node("Identity", hidden)
    outputs = [on, hidden, state, *(writer.node("Identity", name) for name in handed), shown]
    return helper.make_graph(
        writer.nodes,
        f"{layer}.body",
        infos,
        [
            helper.make_tensor_value_info(name, TensorProto.BOOL if name == on else TensorProto.FLOAT, None)
            for name in outputs
        ],
        [numpy_helper.from_array(value, name) for name, value in writer.weights.items()],
    )


def export(spec: ModelSpec, parameters: Arrays, *, inside: bool = False) -> ModelProto:
    """x (sample, 1, time, row, column) to the forecast; ``inside``: weights are initializers of the bodies."""
    writer = Writer("")
    name = "x"
    channels = 1
    for layer in (one for one in spec.layers if one.kind == "convolutional-lstm"):
        weight = parameters[f"{layer.name}.weight"]
        filters = len(weight) // 4
        arrays = {
            "kernel": in_keras_order(weight[:, :channels]),
            "recurrent": in_keras_order(weight[:, channels:]),
            "bias": in_keras_order(parameters[f"{layer.name}.bias"]),
        }
        writer.nodes.append(helper.make_node("Transpose", [name], [f"{layer.name}.frames"], perm=[2, 0, 1, 3, 4]))
        shape = writer.node("Shape", name)
        samples = writer.node(
            "Slice", shape, writer.hold(f"{layer.name}.from", [0]), writer.hold(f"{layer.name}.to", [1])
        )
        rest = writer.hold(f"{layer.name}.state", np.array([filters, ROWS, COLUMNS]))
        zeros = writer.node("ConstantOfShape", writer.node("Concat", samples, rest, axis=0))
        steps = writer.hold(f"{layer.name}.steps", np.array(FRAMES))
        handed = [] if inside else [writer.hold(f"{layer.name}.{part}", array) for part, array in arrays.items()]
        outputs = [f"{layer.name}.out{place}" for place in range(len(handed) + 3)]
        graph = body(spec, layer.name, channels, filters, arrays if inside else None)
        writer.nodes.append(
            helper.make_node("Loop", [steps, "", zeros, zeros, *handed], outputs, name=f"{layer.name}.loop", body=graph)
        )
        name = writer.node("LeakyRelu", writer.node("Transpose", outputs[-1], perm=[1, 2, 0, 3, 4]), alpha=0.01)
        norm = f"norm{layer.name[-1]}"
        if f"{norm}.weight" in parameters:
            gamma, beta, mean, variance = (
                parameters[f"{norm}.{part}"].reshape(-1, 1, 1, 1)
                for part in ("weight", "bias", "running_mean", "running_var")
            )
            scale = (gamma / np.sqrt(variance + np.float32(1e-3))).astype(np.float32)
            name = writer.node("Mul", name, writer.hold(f"{norm}.scale", scale))
            name = writer.node("Add", name, writer.hold(f"{norm}.offset", beta - mean * scale))
        channels = filters
    held = [writer.hold(f"output.{part}", parameters[f"output.{part}"]) for part in ("weight", "bias")]
    name = writer.node("Conv", name, *held, pads=[1] * 6)
    writer.nodes.append(helper.make_node("Sigmoid", [name], ["forecast"]))
    shape = ["n", 1, FRAMES, ROWS, COLUMNS]
    graph = helper.make_graph(
        writer.nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("forecast", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(value, key) for key, value in writer.weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(model)
    return model
