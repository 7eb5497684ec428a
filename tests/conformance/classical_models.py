"""Small models of ``ai.onnx.ml``: one node each, with an input; trees are drawn from a seed."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from harness.workers.engine import Array

_MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT")


def features(missing: bool = False) -> Array:
    """Features (sample, feature) in float32."""
    x = np.random.default_rng(0).normal(size=(7, 4)).astype(np.float32)
    if missing:
        x[0, 1] = np.nan
    return x


def node_model(
    operator: str, x: Array, outputs: dict[str, int], version: int = 1, **attributes: Any
) -> onnx.ModelProto:
    """A model of one node of the domain, its input ``x`` and its outputs by name with their element types."""
    kind = TensorProto.STRING if x.dtype.kind in "OUS" else helper.np_dtype_to_tensor_dtype(x.dtype)
    node = helper.make_node(operator, ["x"], list(outputs), domain="ai.onnx.ml", **attributes)
    ranks = {"label": 1, "scores": 2, "y": x.ndim}
    made = [helper.make_tensor_value_info(name, out, [None] * ranks[name]) for name, out in outputs.items()]
    graph = helper.make_graph([node], "g", [helper.make_tensor_value_info("x", kind, [None, *x.shape[1:]])], made)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", version)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def trees(ids: tuple[int, ...], signed: bool, target: str, seed: int | None = None) -> dict[str, Any]:
    """Three trees of depth 3 whose leaves give weights to targets; ``target``: what the attributes of leaves are called after."""
    rng = np.random.default_rng(len(ids) + signed if seed is None else seed)
    nodes: dict[str, list[Any]] = {}
    leaves: dict[str, list[Any]] = {}
    for tree in range(3):
        for number in range(15):
            leaf = number >= 7
            node = {
                "treeids": tree,
                "nodeids": number,
                "featureids": 0 if leaf else int(rng.integers(4)),
                "modes": "LEAF" if leaf else _MODES[int(rng.integers(4))],
                "values": 0.0 if leaf else float(rng.normal() / 2),
                "truenodeids": 0 if leaf else 2 * number + 1,
                "falsenodeids": 0 if leaf else 2 * number + 2,
                "missing_value_tracks_true": int(rng.integers(2)),
            }
            for key, value in node.items():
                nodes.setdefault(f"nodes_{key}", []).append(value)
            for one in ids if leaf else ():
                weight = float(rng.normal() if signed else rng.random() / 3)
                told = {"treeids": tree, "nodeids": number, "ids": one, "weights": weight}
                for key, value in told.items():
                    leaves.setdefault(f"{target}_{key}", []).append(value)
    return nodes | leaves


#: Gamma, the constant and the degree of a kernel.
KERNEL = [0.3, 0.5, 2.0]


def support_vectors(classes: int, chances: bool, kernel: str) -> dict[str, Any]:
    """A support vector classifier; ``chances``: whether it gives probabilities."""
    rng = np.random.default_rng(classes)
    counts, pairs = [2, 3, 1][:classes], classes * (classes - 1) // 2
    vectors = rng.normal(size=(sum(counts), 4))
    found = {
        "classlabels_ints": [4, 5, 6][:classes],
        "coefficients": rng.normal(size=(classes - 1) * sum(counts)).tolist(),
        "support_vectors": vectors.ravel().tolist(),
        "vectors_per_class": counts,
        "rho": rng.normal(size=pairs).tolist(),
        "kernel_type": kernel,
        "kernel_params": KERNEL,
    }
    if chances:
        found |= {"prob_a": (-1 - rng.random(pairs)).tolist(), "prob_b": rng.normal(size=pairs).tolist()}
    return found


def models() -> dict[str, tuple[onnx.ModelProto, Array]]:
    """Models by name, with their input."""
    number, whole, text = TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING
    x, some = features(), features(missing=True)
    found: dict[str, tuple[onnx.ModelProto, Array]] = {}

    def add(name: str, operator: str, x: Array, outputs: dict[str, int], version: int = 1, **attributes: Any) -> None:
        found[name] = node_model(operator, x, outputs, version, **attributes), x

    scores = {"label": whole, "scores": number}
    for transform in ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"):
        three = {"classlabels_int64s": [5, 7, 9], "post_transform": transform}
        add(f"forest {transform}", "TreeEnsembleClassifier", some, scores, **trees((0, 1, 2), False, "class"), **three)
        if transform == "PROBIT":
            continue
        for signed in (False, True):
            two = {"classlabels_strings": ["a", "b"], "post_transform": transform}
            texts = {"label": text, "scores": number}
            one = trees((0,), signed, "class")
            add(f"forest of one {transform} {signed}", "TreeEnsembleClassifier", some, texts, **one, **two)
        rows = np.random.default_rng(3).normal(size=12).tolist()
        linear = {"classlabels_ints": [1, 2, 3], "coefficients": rows, "intercepts": [0.1, 0.2, 0.3]}
        add(f"linear {transform}", "LinearClassifier", x, scores, post_transform=transform, **linear)
    one_row = {"classlabels_ints": [3, 8], "coefficients": rows[:4], "intercepts": [0.1], "post_transform": "LOGISTIC"}
    add("linear of one row", "LinearClassifier", x, scores, **one_row)
    for kernel, transform in (
        ("RBF", "NONE"),
        ("POLY", "LOGISTIC"),
        ("SIGMOID", "SOFTMAX"),
        ("LINEAR", "SOFTMAX_ZERO"),
    ):
        for classes in (2, 3):
            for chances in (False, True):
                if transform in ("NONE", "LOGISTIC") or classes > 2 or chances:
                    made = support_vectors(classes, chances, kernel)
                    name = f"vectors {kernel} {transform} {classes} {chances}"
                    add(name, "SVMClassifier", x, scores, post_transform=transform, **made)
    one = {"n_supports": 3, "coefficients": rows[:3], "support_vectors": rows, "rho": [0.2]}
    for kernel in ("RBF", "LINEAR"):
        add(
            f"vector regression {kernel}",
            "SVMRegressor",
            x,
            {"y": number},
            kernel_type=kernel,
            kernel_params=KERNEL,
            **one,
        )
    for way in ("SUM", "AVERAGE", "MIN", "MAX"):
        given = {"n_targets": 2, "aggregate_function": way, "base_values": [1.0, 2.0]}
        add(f"regression {way}", "TreeEnsembleRegressor", some, {"y": number}, **trees((0, 1), True, "target"), **given)
    add("scaler", "Scaler", some, {"y": number}, offset=[1.0, 2.0, 3.0, 4.0], scale=[0.1, 0.2, 0.3, 0.4])
    add("scaler of whole numbers", "Scaler", (9 * x).astype(np.int64), {"y": number}, offset=[1.0], scale=[0.1])
    wide = some.astype(np.float64)
    add("scaler of doubles", "Scaler", wide, {"y": number}, offset=[1.0], scale=[0.1])
    doubles = {"classlabels_int64s": [5, 7, 9], **trees((0, 1, 2), False, "class")}
    add("forest of doubles", "TreeEnsembleClassifier", wide, scores, **doubles)
    for norm in ("L1", "L2"):
        add(f"normalizer {norm}", "Normalizer", x, {"y": number}, norm=norm)
    add("imputer", "Imputer", some, {"y": number}, imputed_value_floats=[1.0], replaced_value_float=float("nan"))
    add("binarizer", "Binarizer", x, {"y": number}, threshold=0.1)
    labels = {"keys_strings": ["a", "bä"], "values_int64s": [3, 4], "default_int64": 9}
    add("labels", "LabelEncoder", np.array(["bä", "c", "a"]), {"y": whole}, 2, **labels)
    back = {"keys_int64s": [3, 4], "values_strings": ["a", "bä"], "default_string": "none"}
    add("labels back", "LabelEncoder", np.array([4, 5, 3]), {"y": text}, 2, **back)
    add("labels 1", "LabelEncoder", np.array(["b", "c"]), {"y": whole}, classes_strings=["a", "b"])
    mapped = {"cats_strings": ["a", "b"], "cats_int64s": [5, 6], "default_int64": -7}
    add("categories", "CategoryMapper", np.array(["b", "c"]), {"y": whole}, **mapped)
    maps, given = node_model("ZipMap", x, {"y": number}, classlabels_strings=["d", "a", "c", "b"]), x
    values = helper.make_map_type_proto(text, helper.make_tensor_type_proto(number, None))
    maps.graph.output[0].type.CopyFrom(helper.make_sequence_type_proto(values))
    found["maps"] = maps, given
    return found
