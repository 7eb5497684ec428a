"""Models of ``ai.onnx.ml``: trees, linear classifiers, and what stands before and after them.

Where implementations do not agree on what the standard leaves open (weights of one class alone, one row of coefficients for two
classes), what is computed is what onnxruntime computes where the readers of this project compute it too; they refuse the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from harness.workers.engine import Array, Unsupported
from harness.workers.onnx.exact.operator import Node

_MODES = {
    "BRANCH_LEQ": np.less_equal,
    "BRANCH_LT": np.less,
    "BRANCH_GTE": np.greater_equal,
    "BRANCH_GT": np.greater,
    "BRANCH_EQ": np.equal,
    "BRANCH_NEQ": np.not_equal,
}


def scaler(node: Node, x: Array) -> Array:
    """``(x - offset) * scale``. onnx.reference gives whole numbers for whole numbers, where the standard gives floats."""
    offset = 0.0 if node["offset"] is None else np.asarray(node["offset"], np.float64)
    scale = 1.0 if node["scale"] is None else np.asarray(node["scale"], np.float64)
    return np.asarray((x - offset) * scale).astype(_score_dtype(x))


def tree_ensemble_classifier(node: Node, x: Array) -> tuple[Array, Array]:
    """Labels and scores (sample, class) of features (sample, feature).

    onnx.reference adds up in single precision, and takes weights of one class of two for both.
    """
    keys = list(zip(node["nodes_treeids"], node["nodes_nodeids"], strict=True))
    leaves = _leaves(node, x, keys)
    labels = _labels(node, "classlabels_int64s")
    given = _numbers(node, "class_weights")
    ids = list(node["class_ids"])
    one_class = len(labels) == 2 and len(set(ids)) == 1
    place = {key: number for number, key in enumerate(keys)}
    weights = np.zeros((len(keys), 1 if one_class else len(labels)))
    for tree, number, target, weight in zip(node["class_treeids"], node["class_nodeids"], ids, given, strict=True):
        weights[place[tree, number], 0 if one_class else target] += weight
    scores = weights[leaves].sum(axis=1)
    base = _numbers(node, "base_values")
    if one_class:
        if ids[0] != 0 or len(base) > 1:
            raise Unsupported(
                "TreeEnsembleClassifier of two classes with weights of the second alone, or with two base values"
            )
        score = scores[:, 0] + (base[-1] if len(base) else 0.0)
        probability = bool((np.asarray(given) >= 0).all())
        chosen = (score > (0.5 if probability else 0.0)).astype(np.int64)
        scores = _of_second_class(score, node["post_transform"], probability)
    else:
        scores = scores + (np.asarray(base) if len(base) else 0.0)
        chosen = np.argmax(scores, axis=1)
        scores = post_transformed(scores, node["post_transform"])
    return labels[chosen], scores.astype(_score_dtype(x))


def _leaves(node: Node, x: Array, keys: Sequence[tuple[int, int]]) -> Array:
    """Places of the leaves (sample, tree) among all nodes."""
    features = x.reshape(-1, x.shape[-1])
    place = {key: number for number, key in enumerate(keys)}
    trees = dict.fromkeys(tree for tree, _ in keys)
    roots = [next(number for number, (tree, _) in enumerate(keys) if tree == one) for one in trees]
    modes = np.asarray(node["nodes_modes"])
    leaf = modes == "LEAF"
    follow = [
        np.array([0 if end else place[tree, to] for (tree, _), to, end in zip(keys, node[name], leaf, strict=True)])
        for name in ("nodes_truenodeids", "nodes_falsenodeids")
    ]
    feature = np.asarray(node["nodes_featureids"])
    value = np.asarray(_numbers(node, "nodes_values"), np.float64)
    tracks = node["nodes_missing_value_tracks_true"]
    missing = np.zeros(len(keys), bool) if tracks is None else np.asarray(tracks) != 0
    at = np.tile(np.asarray(roots), (len(features), 1))
    rows = np.arange(len(features))[:, None]
    for _ in range(len(keys)):
        going = ~leaf[at]
        if not going.any():
            break
        here = features[rows, feature[at]]
        holds = np.zeros(at.shape, bool)
        for mode, compare in _MODES.items():
            these = modes[at] == mode
            holds[these] = compare(here[these], value[at][these])
        holds |= np.isnan(here) & missing[at]
        at = np.where(going, np.where(holds, follow[0][at], follow[1][at]), at)
    return at


def linear_classifier(node: Node, x: Array) -> tuple[Array, Array]:
    """Labels and scores (sample, class). onnx.reference gives float32 of one row of coefficients in float64."""
    features = x.reshape(-1, x.shape[-1]).astype(np.float64)
    coefficients = np.asarray(node["coefficients"], np.float64).reshape(-1, features.shape[1])
    scores = features @ coefficients.T + (0.0 if node["intercepts"] is None else np.asarray(node["intercepts"]))
    labels = _labels(node, "classlabels_ints")
    if scores.shape[1] == 1 and len(labels) == 2:
        if node["post_transform"] != "LOGISTIC":
            raise Unsupported(
                f"LinearClassifier of one row of coefficients with post_transform {node['post_transform']}"
            )
        chosen = (scores[:, 0] > 0).astype(np.int64)
        scores = _of_second_class(scores[:, 0], "LOGISTIC", False)
    else:
        chosen = np.argmax(scores, axis=1)
        scores = post_transformed(scores, node["post_transform"])
    return labels[chosen], scores.astype(_score_dtype(x))


def post_transformed(scores: Array, transform: str) -> Array:
    """Scores (sample, class) after a transform. Raises Unsupported on PROBIT, which implementations approximate."""
    match transform:
        case "NONE":
            return scores
        case "LOGISTIC":
            return np.asarray(_logistic(scores))
        case "SOFTMAX":
            powers = np.exp(scores - scores.max(axis=1, keepdims=True))
            return np.asarray(powers / powers.sum(axis=1, keepdims=True))
        case "SOFTMAX_ZERO":
            largest = scores.max(axis=1, keepdims=True)
            small = np.abs(scores) <= 1e-7
            powers = np.where(small, scores * np.exp(-largest), np.exp(scores - largest))
            sums = powers.sum(axis=1, keepdims=True)
            return np.asarray(np.where(sums == 0, 0.5, powers / np.where(sums == 0, 1, sums)))
    raise Unsupported(f"post_transform {transform} is not supported by python/onnx-reference")


def _of_second_class(score: Array, transform: str, probability: bool) -> Array:
    """Scores of both classes where the model has those of the second; ``probability``: whether they are one already."""
    if transform == "LOGISTIC":
        return np.stack([_logistic(-score), _logistic(score)], axis=1)
    if transform == "PROBIT":
        raise Unsupported("post_transform PROBIT is not supported by python/onnx-reference")
    return np.stack([1 - score if probability else -score, score], axis=1)


def _logistic(x: Array) -> Array:
    small = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, 1 / (1 + small), small / (1 + small)))


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
    keys = _labels(node, "classlabels_int64s").tolist()
    return [dict(zip(keys, row, strict=True)) for row in x.reshape(-1, len(keys)).tolist()]


def _labels(node: Node, numbers: str) -> Array:
    texts = node["classlabels_strings"]
    return np.asarray(texts) if texts else np.asarray(node[numbers], np.int64)


def _numbers(node: Node, name: str) -> Any:
    """Values of an attribute that comes as numbers or, under its name and ``_as_tensor``, as a tensor; none as nothing."""
    stored = node[f"{name}_as_tensor"]
    found = node[name] if stored is None else np.asarray(stored).ravel()
    return () if found is None else found


def _score_dtype(x: Array) -> type:
    return np.float64 if x.dtype == np.float64 else np.float32
