"""SVMClassifier of ``ai.onnx.ml``, as LIBSVM and onnxruntime compute it."""

from __future__ import annotations

import itertools

import numpy as np
from scipy import special

from harness.workers.engine import Array, Unsupported
from harness.workers.onnx.exact.classical import labels_of, of_second_class, post_transformed, score_dtype
from harness.workers.onnx.exact.operator import Node


def svm_classifier(node: Node, x: Array) -> tuple[Array, Array]:
    """Labels (sample), and scores (sample, class pair) or probabilities (sample, class), of features (sample, feature).

    onnx.reference makes probabilities of more than two classes from products that it sums up too early. Raises Unsupported
    where implementations do not agree: without support vectors, and on some scores of two classes.
    """
    features = x.reshape(-1, x.shape[-1]).astype(np.float64)
    counts = list(node["vectors_per_class"] or ())
    classes, total = len(counts), sum(counts)
    if total == 0:
        raise Unsupported("SVMClassifier without support vectors")
    labels, transform = labels_of(node, "classlabels_ints"), node["post_transform"]
    coefficients = np.asarray(node["coefficients"], np.float64).reshape(classes - 1, total)
    vectors = np.asarray(node["support_vectors"], np.float64).reshape(total, -1)
    kernel = _kernel(features, vectors, node["kernel_type"], list(node["kernel_params"] or ()))
    ends = np.cumsum(counts)
    of = [slice(end - count, end) for end, count in zip(ends, counts, strict=True)]
    pairs = list(itertools.combinations(range(classes), 2))
    scores = np.zeros((len(features), len(pairs)))
    votes = np.zeros((len(features), classes))
    for k, (i, j) in enumerate(pairs):
        sums = kernel[:, of[i]] @ coefficients[j - 1, of[i]] + kernel[:, of[j]] @ coefficients[i, of[j]]
        scores[:, k] = sums + node["rho"][k]
        votes[:, i] += scores[:, k] > 0
        votes[:, j] += scores[:, k] <= 0
    chosen = labels[np.argmax(votes, axis=1)]
    if node["prob_a"]:
        chances = _probabilities(scores, np.asarray(node["prob_a"]), np.asarray(node["prob_b"]), pairs, classes)
        return chosen, post_transformed(chances, transform).astype(score_dtype(x))
    if classes == 2:
        if transform not in ("NONE", "LOGISTIC") or (coefficients >= 0).all():
            raise Unsupported(
                f"SVMClassifier with scores of two classes, post_transform {transform}, and these coefficients"
            )
        return chosen, of_second_class(scores[:, 0], transform, False).astype(score_dtype(x))
    return chosen, post_transformed(scores, transform).astype(score_dtype(x))


def _kernel(features: Array, vectors: Array, kind: str, parameters: list[float]) -> Array:
    """Kernel (sample, vector)."""
    gamma, constant, degree = (*parameters, 0.0, 0.0, 0.0)[:3]
    products = features @ vectors.T
    match kind:
        case "LINEAR":
            return np.asarray(products)
        case "POLY":
            return np.asarray((gamma * products + constant) ** degree)
        case "SIGMOID":
            return np.asarray(np.tanh(gamma * products + constant))
        case "RBF":
            distances = ((features[:, None] - vectors[None]) ** 2).sum(axis=2)
            return np.asarray(np.exp(-gamma * distances))
    raise Unsupported(f"SVMClassifier with kernel_type {kind}")


def _probabilities(scores: Array, slopes: Array, shifts: Array, pairs: list[tuple[int, int]], classes: int) -> Array:
    """Probabilities (sample, class) of the scores (sample, class pair)."""
    won = np.clip(special.expit(-(scores * slopes + shifts)), 1e-7, 1 - 1e-7)
    found = []
    for row in won:
        wins = np.zeros((classes, classes))
        for (i, j), share in zip(pairs, row, strict=True):
            wins[i, j], wins[j, i] = share, 1 - share
        found.append(_coupled(wins))
    return np.asarray(found).reshape(len(scores), classes)


def _coupled(wins: Array) -> Array:
    """Probabilities (class) that fit best to those of each against each (class, class).

    The second method of Wu, Lin and Weng (2004), with the limits of its iteration that LIBSVM has, as all implementations do.
    """
    classes = len(wins)
    quadratic = -wins * wins.T
    np.fill_diagonal(quadratic, (wins**2).sum(axis=0))
    p = np.full(classes, 1 / classes)
    for _ in range(max(100, classes)):
        products = quadratic @ p
        total = p @ products
        if np.abs(products - total).max() < 0.005 / classes:
            break
        for t in range(classes):
            step = (total - products[t]) / quadratic[t, t]
            p[t] += step
            total = (total + step * (step * quadratic[t, t] + 2 * products[t])) / (1 + step) ** 2
            products = (products + step * quadratic[t]) / (1 + step)
            p /= 1 + step
    return p
