"""Small TempCNN parameters, and graphs of them as exporters write them, without any framework."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.models import tempcnn
from harness.models.spec import ModelSpec

Arrays = dict[str, NDArray[Any]]
BANDS, DATES, CLASSES = 3, 6, 5


def specification(**options: Any) -> ModelSpec:
    sizes = {"filters": (8, 6), "kernels": (5, 3), "dropouts": (0.1, 0.1), "dense_width": 10, "dense_dropout": 0.1}
    return tempcnn.build(bands=BANDS, dates=DATES, classes=CLASSES, preset=None, hyperparameters=sizes, **options)


def draw_parameters(spec: ModelSpec, seed: int = 0) -> Arrays:
    generator = np.random.default_rng(seed)
    drawn = {}
    for parameter in spec.parameters:
        values = generator.normal(size=parameter.shape)
        if parameter.role == "variance":
            values = generator.uniform(0.05, 3.0, size=parameter.shape)
        drawn[parameter.name] = values.astype(np.float32)
    return drawn


def fold_float32(weight: Any, bias: Any, parameters: Arrays, norm: str, epsilon: float) -> tuple[Any, Any]:
    """As exporters fold: every step rounded to float32."""
    gamma, beta, mean, variance = (
        parameters[f"{norm}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gamma / np.sqrt(variance + np.float32(epsilon))
    return weight * scale.reshape(-1, *[1] * (weight.ndim - 1)), (bias - mean) * scale + beta


class GraphBuilder:
    """Collects nodes and initializers and gives the structure of the worker contract."""

    def __init__(self) -> None:
        self.nodes: list[dict[str, Any]] = []
        self.values: Arrays = {}
        self.count = 0

    def constant(self, name: str, value: Any) -> str:
        self.values[name] = np.ascontiguousarray(value)
        return name

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        self.count += 1
        output = f"t{self.count}"
        self.nodes.append(
            {
                "name": f"{operator.lower()}_{self.count}",
                "operator": operator,
                "domain": "",
                "inputs": list(inputs),
                "outputs": [output],
                "attributes": attributes,
            }
        )
        return output

    def structure(self, output: str, spec: ModelSpec) -> dict[str, Any]:
        return {
            "format": "onnx",
            "ir_version": 10,
            "producer": "test 1",
            "opsets": {"": 18},
            "bytes": 1234,
            "inputs": [{"name": "x", "dtype": "float32", "shape": ["batch", BANDS, DATES]}],
            "outputs": [{"name": output, "dtype": "float32", "shape": ["batch", CLASSES]}],
            "nodes": self.nodes,
            "initializers": [
                {"name": name, "dtype": str(value.dtype), "shape": list(value.shape), "sha256": ""}
                for name, value in self.values.items()
            ],
            "metadata": {},
        }


def export(
    spec: ModelSpec,
    parameters: Arrays,
    *,
    style: str = "kept",
    epsilon: float = 1e-5,
    fold: tuple[str, ...] = (),
    head: str | None = None,
) -> tuple[dict[str, Any], Arrays]:
    """A graph of TempCNN: (structure, values).

    ``style``: ``kept`` (batch normalisation nodes, canonical names), ``folded`` (names kept, values folded), ``renamed``
    (folded and renamed), ``matmul`` (MatMul, Add and arithmetic for batch normalisation), ``computed`` (as ``matmul``, scale and
    offset computed in the graph from the layer's four tensors), ``channels-last`` (flattened time-major). ``fold`` names the
    layers that are folded, by default all.
    """
    graph = GraphBuilder()
    name = "x"
    for index, layer in enumerate(spec.layers):
        if layer.kind == "batch-normalisation":
            continue
        weight, bias = parameters[f"{layer.name}.weight"], parameters[f"{layer.name}.bias"]
        norm = next((one.name for one in spec.layers if one.normalises == layer.name), None)
        folds = norm is not None and style in ("folded", "renamed") and (not fold or layer.name in fold)
        if folds and norm is not None:
            weight, bias = fold_float32(weight, bias, parameters, norm, epsilon)
        known = f"onnx::{layer.kind}_{index}" if style == "renamed" and folds else layer.name
        if layer.kind == "dense" and weight.shape[1] == 6 * DATES:
            if style == "channels-last":
                name = graph.node("Transpose", name, perm=[0, 2, 1])
                weight = weight.reshape(len(weight), 6, DATES).transpose(0, 2, 1).reshape(weight.shape)
            name = graph.node("Flatten", name, axis=1)
        if style in ("matmul", "computed") and layer.kind == "dense":
            name = graph.node("MatMul", name, graph.constant(f"{known}.kernel", weight.T))
            name = graph.node("Add", name, graph.constant(f"{known}.offset", bias))
        elif layer.kind == "dense":
            inputs = (graph.constant(f"{known}.weight", weight), graph.constant(f"{known}.bias", bias))
            name = graph.node("Gemm", name, *inputs, transB=1, alpha=1.0, beta=1.0)
        else:
            inputs = (graph.constant(f"{known}.weight", weight), graph.constant(f"{known}.bias", bias))
            name = graph.node("Conv", name, *inputs, kernel_shape=[weight.shape[-1]])
        if norm is not None and not folds:
            parts = [parameters[f"{norm}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")]
            if style == "computed":
                shape = graph.constant(f"{norm}.shape", np.array([-1, 1] if layer.kind == "convolution" else [-1]))
                words = ("weight", "bias", "running_mean", "running_var")
                gamma, beta, mean, variance = (
                    graph.node("Reshape", graph.constant(f"{norm}.{word}", part), shape)
                    for word, part in zip(words, parts, strict=True)
                )
                variance = graph.node("Add", variance, graph.constant(f"{norm}.epsilon", np.float32(epsilon)))
                root = graph.node("Div", graph.constant(f"{norm}.one", np.float32(1)), graph.node("Sqrt", variance))
                scale = graph.node("Mul", root, gamma)
                offset = graph.node("Add", graph.node("Mul", graph.node("Neg", mean), scale), beta)
                name = graph.node("Add", graph.node("Mul", name, scale), offset)
            elif style == "matmul":
                scale = (parts[0] / np.sqrt(parts[3] + np.float32(epsilon))).astype(np.float32)
                shape = (-1, 1) if layer.kind == "convolution" else (-1,)
                name = graph.node("Mul", name, graph.constant(f"{norm}.scale", scale.reshape(shape)))
                offset = (parts[1] - parts[2] * scale).reshape(shape)
                name = graph.node("Add", graph.constant(f"{norm}.offset", offset), name)
            else:
                words = ("weight", "bias", "running_mean", "running_var")
                held = [graph.constant(f"{norm}.{word}", part) for word, part in zip(words, parts, strict=True)]
                name = graph.node("BatchNormalization", name, *held, epsilon=float(np.float32(epsilon)))
        if layer.name != "classifier":
            name = graph.node("Relu", name)
    if head is not None:
        name = graph.node(head, name, axis=-1)
    return graph.structure(name, spec), graph.values
