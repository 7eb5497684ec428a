"""Trees of ``ai.onnx.ml``: TreeEnsembleClassifier, and TreeEnsemble, which came after it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from harness.workers.engine import Array, Unsupported
from harness.workers.onnx.exact.classical import labels_of, numbers_of, of_second_class, post_transformed, score_dtype
from harness.workers.onnx.exact.operator import Node

_MODES = {
    "BRANCH_LEQ": np.less_equal,
    "BRANCH_LT": np.less,
    "BRANCH_GTE": np.greater_equal,
    "BRANCH_GT": np.greater,
    "BRANCH_EQ": np.equal,
    "BRANCH_NEQ": np.not_equal,
}
#: By number of the attribute ``nodes_modes`` of TreeEnsemble; the seventh asks for members of a set.
_NUMBERED: list[Callable[[Any, Any], Any]] = [
    np.less_equal,
    np.less,
    np.greater_equal,
    np.greater,
    np.equal,
    np.not_equal,
    lambda value, members: value in members,
]
_TRANSFORMS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")


def tree_ensemble_classifier(node: Node, x: Array) -> tuple[Array, Array]:
    """Labels and scores (sample, class) of features (sample, feature).

    onnx.reference adds up in single precision, and takes weights of one class of two for both.
    """
    keys = list(zip(node["nodes_treeids"], node["nodes_nodeids"], strict=True))
    leaves = _leaves(node, x, keys)
    labels = labels_of(node, "classlabels_int64s")
    given = numbers_of(node, "class_weights")
    ids = list(node["class_ids"])
    one_class = len(labels) == 2 and len(set(ids)) == 1
    place = {key: number for number, key in enumerate(keys)}
    weights = np.zeros((len(keys), 1 if one_class else len(labels)))
    for tree, number, target, weight in zip(node["class_treeids"], node["class_nodeids"], ids, given, strict=True):
        weights[place[tree, number], 0 if one_class else target] += weight
    scores = weights[leaves].sum(axis=1)
    base = numbers_of(node, "base_values")
    if one_class:
        if ids[0] != 0 or len(base) > 1:
            raise Unsupported(
                "TreeEnsembleClassifier of two classes with weights of the second alone, or with two base values"
            )
        score = scores[:, 0] + (base[-1] if len(base) else 0.0)
        probability = bool((np.asarray(given) >= 0).all())
        chosen = (score > (0.5 if probability else 0.0)).astype(np.int64)
        scores = of_second_class(score, node["post_transform"], probability)
    else:
        scores = scores + (np.asarray(base) if len(base) else 0.0)
        chosen = np.argmax(scores, axis=1)
        scores = post_transformed(scores, node["post_transform"])
    return labels[chosen], scores.astype(score_dtype(x))


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
    value = np.asarray(numbers_of(node, "nodes_values"), np.float64)
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


def tree_ensemble(node: Node, x: Array) -> Array:
    """What the leaves of the trees give to each target (sample, target), of features (sample, feature).

    onnx.reference gives the largest number, with one sign or the other, for the smallest or largest of no leaf, where
    onnxruntime gives 0.
    """
    modes = np.asarray(node["nodes_modes"]).ravel().tolist()
    splits: list[Any] = np.asarray(node["nodes_splits"]).ravel().tolist()
    ends = [] if node["membership_values"] is None else np.asarray(node["membership_values"]).ravel().tolist()
    for place in (place for place, mode in enumerate(modes) if mode == 6):
        # The sets stand one after the other, each ended by what is no number.
        end = next(k for k, value in enumerate(ends) if value != value)
        splits[place], ends = set(ends[:end]), ends[end + 1 :]
    weights = np.asarray(node["leaf_weights"]).ravel()
    targets = node["leaf_targetids"]
    count = max(targets) + 1 if node["n_targets"] is None else node["n_targets"]
    features = x.reshape(-1, x.shape[-1])
    values = np.zeros((len(features), count))
    for row, sample in enumerate(features):
        given: dict[int, list[float]] = {}
        for root in node["tree_roots"]:
            leaf = _leaf_of(node, modes, splits, sample, root)
            given.setdefault(targets[leaf], []).append(float(weights[leaf]))
        for target, found in given.items():
            match node["aggregate_function"]:
                case 0:
                    values[row, target] = sum(found) / len(node["tree_roots"])
                case 1:
                    values[row, target] = sum(found)
                case 2:
                    values[row, target] = min(found)
                case _:
                    values[row, target] = max(found)
    return post_transformed(values, _TRANSFORMS[node["post_transform"]]).astype(x.dtype)


def _leaf_of(node: Node, modes: Sequence[int], splits: Sequence[Any], sample: Array, place: int) -> int:
    """The number of the leaf that a sample (feature) comes to from a root."""
    missing = node["nodes_missing_value_tracks_true"]
    for _ in modes:
        value = sample[node["nodes_featureids"][place]]
        unknown = bool(np.isnan(value)) and missing is not None and bool(missing[place])
        way = "true" if unknown or bool(_NUMBERED[modes[place]](value, splits[place])) else "false"
        is_leaf, place = node[f"nodes_{way}leafs"][place], node[f"nodes_{way}nodeids"][place]
        if is_leaf:
            return int(place)
    raise Unsupported("TreeEnsemble with a tree that leads back to one of its own nodes")
