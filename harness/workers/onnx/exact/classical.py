"""Models of ``ai.onnx.ml``: linear ones, and what stands before and after models.

Where implementations do not agree on what the standard leaves open (weights of one class alone, one row of coefficients for two
classes), what is computed is what onnxruntime computes where the readers of this project compute it too; they refuse the rest.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special

from harness.workers.engine import Array, Unsupported
from harness.workers.onnx.exact.operator import Node


def scaler(node: Node, x: Array) -> Array:
    """``(x - offset) * scale``. onnx.reference gives whole numbers for whole numbers, where the standard gives floats."""
    offset = 0.0 if node["offset"] is None else np.asarray(node["offset"], np.float64)
    scale = 1.0 if node["scale"] is None else np.asarray(node["scale"], np.float64)
    return np.asarray((x - offset) * scale).astype(score_dtype(x))


def linear_regressor(node: Node, x: Array) -> Array:
    """Scores (sample, target) of features (sample, feature). onnx.reference adds what is not a number without intercepts."""
    features = x.reshape(-1, x.shape[-1]).astype(np.float64)
    coefficients = np.asarray(node["coefficients"], np.float64).reshape(node["targets"], -1)
    scores = features @ coefficients.T + (0.0 if node["intercepts"] is None else np.asarray(node["intercepts"]))
    return post_transformed(scores, node["post_transform"]).astype(score_dtype(x))


def linear_classifier(node: Node, x: Array) -> tuple[Array, Array]:
    """Labels and scores (sample, class). onnx.reference gives float32 of one row of coefficients in float64."""
    features = x.reshape(-1, x.shape[-1]).astype(np.float64)
    coefficients = np.asarray(node["coefficients"], np.float64).reshape(-1, features.shape[1])
    scores = features @ coefficients.T + (0.0 if node["intercepts"] is None else np.asarray(node["intercepts"]))
    labels = labels_of(node, "classlabels_ints")
    if scores.shape[1] == 1 and len(labels) == 2:
        if node["post_transform"] != "LOGISTIC":
            raise Unsupported(
                f"LinearClassifier of one row of coefficients with post_transform {node['post_transform']}"
            )
        chosen = (scores[:, 0] > 0).astype(np.int64)
        scores = of_second_class(scores[:, 0], "LOGISTIC", False)
    else:
        chosen = np.argmax(scores, axis=1)
        scores = post_transformed(scores, node["post_transform"])
    return labels[chosen], scores.astype(score_dtype(x))


def post_transformed(scores: Array, transform: str) -> Array:
    """Scores (sample, class) after a transform. Raises Unsupported on one that ONNX does not know."""
    match transform:
        case "NONE":
            return scores
        case "LOGISTIC":
            return np.asarray(special.expit(scores))
        case "SOFTMAX":
            powers = np.exp(scores - scores.max(axis=1, keepdims=True))
            return np.asarray(powers / powers.sum(axis=1, keepdims=True))
        case "SOFTMAX_ZERO":
            largest = scores.max(axis=1, keepdims=True)
            small = np.abs(scores) <= 1e-7
            powers = np.where(small, scores * np.exp(-largest), np.exp(scores - largest))
            sums = powers.sum(axis=1, keepdims=True)
            return np.asarray(np.where(sums == 0, 0.5, powers / np.where(sums == 0, 1, sums)))
        case "PROBIT":
            return _probit(scores)
    raise Unsupported(f"post_transform {transform} is not supported by python/onnx-reference")


def _probit(p: Array) -> Array:
    """The quantile of a normal distribution by Winitzki's approximation to the inverse of the error function, which is what
    both onnxruntime and onnx.reference compute, with the constant 0.147."""
    x = 2 * p - 1
    with np.errstate(divide="ignore", invalid="ignore"):
        logarithm = np.log((1 - x) * (1 + x))
        shift = 2 / (np.pi * 0.147) + logarithm / 2
        return np.asarray(1.41421356 * np.copysign(np.sqrt(np.sqrt(shift**2 - logarithm / 0.147) - shift), x))


def of_second_class(score: Array, transform: str, probability: bool) -> Array:
    """Scores of both classes where the model has those of the second; ``probability``: whether they are one already."""
    if transform == "LOGISTIC":
        return np.stack([special.expit(-score), special.expit(score)], axis=1)
    if transform == "PROBIT":
        raise Unsupported("post_transform PROBIT is not supported by python/onnx-reference")
    return np.stack([1 - score if probability else -score, score], axis=1)


def label_encoder(node: Node, x: Array) -> Array:
    """Each value by its key. onnx.reference has no LabelEncoder 1, and no keys that are NaN, which opset 4 has."""
    if node["classes_strings"] is not None:
        keys: Array = np.asarray(node["classes_strings"])
        values: Array = np.arange(len(keys))
        if x.dtype.kind not in "OUS":
            keys, values = values, keys
    else:
        keys, values = _coded(node, "keys"), _coded(node, "values")
    default: Any = {"U": node["default_string"], "i": node["default_int64"], "f": node["default_float"]}[
        values.dtype.kind
    ]
    if node["default_tensor"] is not None:
        default = np.asarray(node["default_tensor"]).ravel()[0]
    table = dict(zip(keys.tolist(), values.tolist(), strict=True))
    missing = default
    if node.opset >= 4 and keys.dtype.kind == "f" and np.isnan(keys).any():
        missing = values[int(np.argmax(np.isnan(keys)))]
    found = [missing if one != one else table.get(one, default) for one in x.ravel().tolist()]
    return np.asarray(found, values.dtype if values.dtype.kind != "U" else None).reshape(x.shape)


def _coded(node: Node, what: str) -> Array:
    """Keys or values, from the attribute that holds some."""
    stored = node[f"{what}_tensor"]
    if stored is not None:
        return np.asarray(stored).ravel()
    for ending, dtype in (("strings", np.str_), ("int64s", np.int64), ("floats", np.float32)):
        if node[f"{what}_{ending}"]:
            return np.asarray(node[f"{what}_{ending}"], dtype)
    raise Unsupported(f"LabelEncoder without {what}")


def category_mapper(node: Node, x: Array) -> Array:
    """Categories as numbers, or numbers as categories; onnx.reference has none."""
    texts, numbers = list(node["cats_strings"]), list(node["cats_int64s"])
    if x.dtype.kind in "OUS":
        table = dict(zip(texts, numbers, strict=True))
        return np.asarray([table.get(one, node["default_int64"]) for one in x.ravel()], np.int64).reshape(x.shape)
    back = dict(zip(numbers, texts, strict=True))
    return np.asarray([back.get(one, node["default_string"]) for one in x.ravel().tolist()]).reshape(x.shape)


def zip_map(node: Node, x: Array) -> list[dict[Any, Any]]:
    """For each sample its scores by class; onnx.reference has none."""
    keys = labels_of(node, "classlabels_int64s").tolist()
    return [dict(zip(keys, row, strict=True)) for row in x.reshape(-1, len(keys)).tolist()]


def labels_of(node: Node, numbers: str) -> Array:
    """Labels (class): texts where there are any, else the whole numbers of the attribute ``numbers``."""
    texts = node["classlabels_strings"]
    return np.asarray(texts) if texts else np.asarray(node[numbers], np.int64)


def numbers_of(node: Node, name: str) -> Any:
    """Values of an attribute that comes as numbers or, under its name and ``_as_tensor``, as a tensor; none as nothing."""
    stored = node[f"{name}_as_tensor"]
    found = node[name] if stored is None else np.asarray(stored).ravel()
    return () if found is None else found


def score_dtype(x: Array) -> type:
    """The dtype of scores of features ``x``: double in an oracle, else float as the standard says."""
    return np.float64 if x.dtype == np.float64 else np.float32
