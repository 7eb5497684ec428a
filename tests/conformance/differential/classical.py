"""Trees, linear models, support vectors, and what stands before and after them: the domain ``ai.onnx.ml``."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto, TypeProto, helper

from tests.conformance.classical_models import KERNEL, support_vectors, trees
from tests.conformance.differential.recipe import Array, Drawn, Pick, Recipe, normal

_FEATURES = 4


def _tensor(kind: int, rank: int) -> TypeProto:
    return helper.make_tensor_type_proto(kind, [None] * rank)


_SCORES = _tensor(TensorProto.FLOAT, 2)
_TEXTS = _tensor(TensorProto.STRING, 1)
_WHOLE = _tensor(TensorProto.INT64, 1)


def _features(rng: np.random.Generator, missing: bool = False, samples: int = 5) -> Array:
    """Features (sample, feature); ``missing``: some are no number."""
    x = normal(rng, (samples, _FEATURES))
    return np.where(rng.random(x.shape) < 0.2, np.nan, x) if missing else x


def _labels(texts: bool, classes: int, whole: str) -> tuple[dict[str, Any], TypeProto]:
    """The attribute of labels, and the type of an output of them."""
    if texts:
        return {"classlabels_strings": list("cäb")[:classes]}, _TEXTS
    return {whole: [5, 7, 9][:classes]}, _WHOLE


def _forest(pick: Pick, rng: np.random.Generator, _: int) -> Drawn | None:
    labels, kind = _labels(pick["texts"], pick["classes"], "classlabels_int64s")
    one_class = pick["classes"] == 2 and pick["one_class"]
    if one_class and pick["transform"] == "PROBIT":
        return None
    ids = (0,) if one_class else tuple(range(pick["classes"]))
    signed = pick["signed"] and pick["transform"] != "PROBIT"
    made = trees(ids, signed, "class", int(rng.integers(1000)))
    base = {"base_values": [0.01] * len(ids)} if pick["base"] else {}
    attributes = {**made, **labels, **base, "post_transform": pick["transform"]}
    return Drawn([_features(rng, pick["missing"])], attributes, 2, types=(kind, _SCORES))


def _regression(pick: Pick, rng: np.random.Generator, _: int) -> Drawn:
    made = trees((0, 1), True, "target", int(rng.integers(1000)))
    base = {"base_values": [1.0, 2.0]} if pick["base"] else {}
    attributes = {**made, **base, "n_targets": 2, "aggregate_function": pick["way"]}
    return Drawn([_features(rng, pick["missing"])], attributes, types=(_SCORES,))


def _ensemble(pick: Pick, rng: np.random.Generator, _: int) -> Drawn:
    """Two trees of three leaves each; a node of mode MEMBER asks for one of two values."""
    modes = [pick["mode"], 0, 0, pick["mode"]]
    x = _features(rng)
    values = rng.permutation(x.astype(np.float32).ravel())
    x = np.where(rng.random(x.shape) < 0.5, x.astype(np.float32), x)
    attributes: dict[str, Any] = {
        "tree_roots": [0, 2],
        "nodes_modes": helper.make_tensor("modes", TensorProto.UINT8, [4], modes),
        "nodes_featureids": rng.integers(0, _FEATURES, 4).tolist(),
        "nodes_splits": helper.make_tensor("splits", TensorProto.FLOAT, [4], values[:4]),
        "nodes_truenodeids": [1, 0, 3, 3],
        "nodes_trueleafs": [0, 1, 0, 1],
        "nodes_falsenodeids": [2, 1, 5, 4],
        "nodes_falseleafs": [1, 1, 1, 1],
        "leaf_targetids": [0, 1, 0, 1, 0, 1],
        "leaf_weights": helper.make_tensor("weights", TensorProto.FLOAT, [6], normal(rng, (6,))),
        "n_targets": 2,
        "aggregate_function": pick["way"],
    }
    if pick["mode"] == 6:
        sets = [values[4], values[5], np.nan, values[6], values[7], np.nan]
        attributes["membership_values"] = helper.make_tensor("sets", TensorProto.FLOAT, [6], sets)
    return Drawn([x], attributes, types=(_SCORES,))


def _linear_classifier(pick: Pick, rng: np.random.Generator, _: int) -> Drawn:
    one_row = pick["classes"] == 2 and pick["one_row"]
    labels, kind = _labels(pick["texts"], pick["classes"], "classlabels_ints")
    rows = 1 if one_row else pick["classes"]
    attributes = {
        **labels,
        "coefficients": normal(rng, (rows * _FEATURES,)).tolist(),
        "post_transform": "LOGISTIC" if one_row else pick["transform"],
        **({"intercepts": normal(rng, (rows,)).tolist()} if pick["intercepts"] else {}),
    }
    return Drawn([_features(rng)], attributes, 2, types=(kind, _SCORES))


def _linear_regressor(pick: Pick, rng: np.random.Generator, _: int) -> Drawn:
    targets = pick["targets"]
    intercepts = {"intercepts": normal(rng, (targets,)).tolist()} if pick["intercepts"] else {}
    attributes = {"targets": targets, "coefficients": normal(rng, (targets * _FEATURES,)).tolist(), **intercepts}
    return Drawn([_features(rng)], attributes, types=(_SCORES,))


def _vectors(pick: Pick, rng: np.random.Generator, _: int) -> Drawn | None:
    classes, chances, transform = pick["classes"], pick["chances"], pick["transform"]
    if classes == 2 and not chances and transform not in ("NONE", "LOGISTIC"):
        return None
    made = support_vectors(classes, chances, pick["kernel"])
    return Drawn([_features(rng)], {**made, "post_transform": transform}, 2, types=(_WHOLE, _SCORES))


def _vector_regression(pick: Pick, rng: np.random.Generator, _: int) -> Drawn:
    attributes = {
        "n_supports": 3,
        "coefficients": normal(rng, (3,)).tolist(),
        "support_vectors": normal(rng, (3 * _FEATURES,)).tolist(),
        "rho": [0.2],
        "kernel_type": pick["kernel"],
        "kernel_params": KERNEL,
        "one_class": pick["one_class"],
    }
    return Drawn([_features(rng)], attributes, types=(_SCORES,))


def _scaler(pick: Pick, rng: np.random.Generator, _: int) -> Drawn:
    counts = {"absent": 0, "one": 1, "all": _FEATURES}
    given = {name: normal(rng, (counts[pick[name]],)).tolist() for name in ("offset", "scale") if counts[pick[name]]}
    return Drawn([_features(rng)], given, types=(_SCORES,))


def _normalizer(pick: Pick, rng: np.random.Generator, _: int) -> Drawn:
    x = _features(rng)
    return Drawn([np.abs(x) if pick["norm"] == "MAX" else x], {"norm": pick["norm"]}, types=(_SCORES,))


def _imputer(pick: Pick, rng: np.random.Generator, _: int) -> Drawn:
    values = normal(rng, (pick["values"],)).tolist()
    x = _features(rng, missing=pick["replaced"] != 0)
    x = np.where(rng.random(x.shape) < 0.2, 0.0, x)
    return Drawn([x], {"imputed_value_floats": values, "replaced_value_float": pick["replaced"]}, types=(_SCORES,))


def _binarizer(pick: Pick, rng: np.random.Generator, _: int) -> Drawn:
    return Drawn([_features(rng)], {"threshold": pick["threshold"]}, types=(_SCORES,))


def _extractor(pick: Pick, rng: np.random.Generator, _: int) -> Drawn:
    places = rng.integers(0, _FEATURES, pick["places"])
    return Drawn([_features(rng), places], types=(_SCORES,))


def _vectorizer(pick: Pick, rng: np.random.Generator, _: int) -> Drawn:
    parts: list[Array | None] = [_features(rng), _features(rng)[:, :2]]
    return Drawn(parts, {"inputdimensions": pick["sizes"]}, types=(_SCORES,))


def _encoder(pick: Pick, rng: np.random.Generator, version: int) -> Drawn | None:
    texts = np.array(["bä", "c", "a", "", "bä"])
    if version < 2:
        given = texts if pick["from"] == "texts" else rng.integers(0, 4, 5)
        kind = _WHOLE if pick["from"] == "texts" else _TEXTS
        return Drawn([given], {"classes_strings": ["a", "bä"]}, types=(kind,), fed=frozenset({0}))
    numbers = np.array([3, 4, 9, 3, 0])
    floats = np.array([0.5, np.nan, -0.0, 2.0, 0.5])
    given, keys = {
        "texts": (texts, {"keys_strings": ["a", "bä"]}),
        "numbers": (numbers, {"keys_int64s": [3, 4]}),
        "floats": (floats, {"keys_floats": [0.5, 0.0]}),
    }[pick["from"]]
    values, kind = {
        "texts": ({"values_strings": ["x", "y"], "default_string": "none"}, _TEXTS),
        "numbers": ({"values_int64s": [7, 8]}, _WHOLE),
        "floats": ({"values_floats": [0.25, 0.75], "default_float": 1.5}, _tensor(TensorProto.FLOAT, 1)),
    }[pick["to"]]
    return Drawn([given], {**keys, **values}, types=(kind,), fed=frozenset({0}))


def _mapper(pick: Pick, rng: np.random.Generator, _: int) -> Drawn:
    attributes = {"cats_strings": ["a", "b"], "cats_int64s": [5, 6], "default_int64": -7}
    if pick["texts"]:
        return Drawn([np.array(["b", "c", "a"])], attributes, types=(_WHOLE,), fed=frozenset({0}))
    return Drawn([rng.integers(4, 8, 4)], attributes, types=(_TEXTS,), fed=frozenset({0}))


def _one_hot(pick: Pick, rng: np.random.Generator, _: int) -> Drawn:
    if pick["texts"]:
        return Drawn([np.array(["b", "c", "a"])], {"cats_strings": ["a", "b"]}, types=(_SCORES,), fed=frozenset({0}))
    return Drawn([rng.integers(4, 8, 4)], {"cats_int64s": [5, 6]}, types=(_SCORES,), fed=frozenset({0}))


def _zip(pick: Pick, rng: np.random.Generator, _: int) -> Drawn:
    labels = {"classlabels_strings": list("dacb")} if pick["texts"] else {"classlabels_int64s": [4, -1, 30, 2]}
    key = TensorProto.STRING if pick["texts"] else TensorProto.INT64
    maps = helper.make_map_type_proto(key, helper.make_tensor_type_proto(TensorProto.FLOAT, None))
    return Drawn([_features(rng)], labels, types=(helper.make_sequence_type_proto(maps),))


_TRANSFORMS = ["NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"]
_KERNELS = ["LINEAR", "POLY", "RBF", "SIGMOID"]
_YES_NO = [False, True]

_CHOICES: list[tuple[str, dict[str, list[Any]], Any]] = [
    (
        "TreeEnsembleClassifier",
        {
            "transform": _TRANSFORMS,
            "classes": [2, 3],
            "one_class": _YES_NO,
            "signed": _YES_NO,
            "texts": _YES_NO,
            "base": _YES_NO,
            "missing": _YES_NO,
        },
        _forest,
    ),
    (
        "TreeEnsembleRegressor",
        {"way": ["SUM", "AVERAGE", "MIN", "MAX"], "base": _YES_NO, "missing": _YES_NO},
        _regression,
    ),
    ("TreeEnsemble", {"mode": list(range(7)), "way": [0, 1, 2, 3]}, _ensemble),
    (
        "LinearClassifier",
        {"transform": _TRANSFORMS[:4], "classes": [2, 3], "one_row": _YES_NO, "texts": _YES_NO, "intercepts": _YES_NO},
        _linear_classifier,
    ),
    ("LinearRegressor", {"targets": [1, 2], "intercepts": _YES_NO}, _linear_regressor),
    (
        "SVMClassifier",
        {"kernel": _KERNELS, "classes": [2, 3], "chances": _YES_NO, "transform": _TRANSFORMS[:4]},
        _vectors,
    ),
    ("SVMRegressor", {"kernel": _KERNELS, "one_class": [0, 1]}, _vector_regression),
    ("Scaler", {"offset": ["absent", "one", "all"], "scale": ["absent", "one", "all"]}, _scaler),
    ("Normalizer", {"norm": ["MAX", "L1", "L2"]}, _normalizer),
    ("Imputer", {"values": [1, _FEATURES], "replaced": [0.0, float("nan")]}, _imputer),
    ("Binarizer", {"threshold": [0.0, 0.5]}, _binarizer),
    ("ArrayFeatureExtractor", {"places": [1, 3]}, _extractor),
    ("FeatureVectorizer", {"sizes": [[4, 2], [2, 1], [5, 3]]}, _vectorizer),
    ("LabelEncoder", {"from": ["texts", "numbers", "floats"], "to": ["texts", "numbers", "floats"]}, _encoder),
    ("CategoryMapper", {"texts": _YES_NO}, _mapper),
    ("OneHotEncoder", {"texts": _YES_NO}, _one_hot),
    ("ZipMap", {"texts": _YES_NO}, _zip),
]

RECIPES = [Recipe(f"ai.onnx.ml.{name}", choices, build) for name, choices, build in _CHOICES]
