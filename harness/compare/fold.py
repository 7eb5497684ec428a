"""Batch normalisation folded into the layer before it: what the folded parameters must be, and whether they are.

With gamma, beta, mean and variance per channel, ``scale = gamma / sqrt(variance + epsilon)``, and the fold is
``weight' = weight * scale``, ``bias' = (bias - mean) * scale + beta`` (Ioffe and Szegedy 2015, section 3.1; Jacob et
al. 2018, section 3.2). Exporters compute it in float32, so that the exact fold in float64 is not met bit for bit: clean
exports lie up to 3 ULP away. What is exact is the structure: one scale per channel, one rounded product per weight. The
scale is therefore looked for near its exact value, and the weights are held against the product with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.compare import gates
from harness.compare.ulp import bits, ordered

Array = NDArray[Any]
Float64 = NDArray[np.float64]

#: At most this many weights per channel are used to look for its scale.
_SEARCHED = 256


@dataclass(frozen=True)
class Normalisation:
    """Parameters of a batch normalisation, each (channel,), and its epsilon."""

    gamma: Array
    beta: Array
    mean: Array
    variance: Array
    epsilon: float

    @property
    def scale(self) -> Float64:
        """gamma / sqrt(variance + epsilon) in float64, (channel,)."""
        with np.errstate(divide="ignore", invalid="ignore"):
            variance = self.variance.astype(np.float64) + self.epsilon
            return np.asarray(self.gamma.astype(np.float64) / np.sqrt(variance))


@dataclass(frozen=True)
class FoldedPart:
    """A folded weight or bias against what it must be.

    ``differing``: elements that do not have the bits of the fold. ``wrong``: mask of those that are outside of the
    tolerance, or that stand alone: where the fold is met bit for bit everywhere else, a value that is one ULP away was
    changed after folding. ``max_ulp``: largest distance from the fold rounded to float32; ``max_abs`` likewise.
    """

    differing: int
    wrong: NDArray[np.bool_]
    max_ulp: int | None
    max_abs: float | None

    @property
    def holds(self) -> bool:
        """Whether every element is what the fold makes of it."""
        return not bool(self.wrong.any())


@dataclass(frozen=True)
class FoldedLayer:
    """A folded layer: weight, bias, and the scale (channel,) that its weights imply.

    ``scale_ulp``: how far the scale lies from the exact one, in float32 ULP, at most.
    """

    weight: FoldedPart
    bias: FoldedPart | None
    scale: NDArray[np.float32]
    scale_ulp: int


def folded_weight(weight: Array, scale: Float64) -> Float64:
    """weight (out, in, *kernel) times scale (out,), in float64."""
    return np.asarray(weight.astype(np.float64) * _by_channel(scale, weight))


def check_fold(
    weight: Array,
    bias: Array | None,
    normalisation: Normalisation,
    target_weight: Array,
    target_bias: Array | None,
) -> FoldedLayer:
    """Hold a target's float32 weight (out, in, *kernel) and bias (out,) against the fold of the source's.

    A missing source bias counts as zeros. Shapes of weights and of biases must agree; `parameters` sees to that.
    """
    source = np.ascontiguousarray(weight, dtype=np.float32).reshape(len(weight), -1)
    target = np.ascontiguousarray(target_weight, dtype=np.float32).reshape(source.shape)
    exact = normalisation.scale
    candidates, equal, within = _search_scale(source, target, exact)
    # Most elements within the tolerance, then most bit-equal, then nearest to the exact scale.
    distance = np.abs(np.arange(len(candidates)) - gates.FOLD_SCALE_ULP)
    rank = (within * (source.shape[1] + 1) + equal) * (2 * gates.FOLD_SCALE_ULP + 1) - distance[:, None]
    chosen = rank.argmax(axis=0)
    channels = np.arange(source.shape[0])
    scale = candidates[chosen, channels]
    weight_part = _weight_part(source, target, scale, exact)
    bias_part = None
    if target_bias is not None:
        plain = np.zeros(len(source), np.float32) if bias is None else bias.astype(np.float32).reshape(-1)
        best = equal == equal[chosen, channels]
        best &= within == within[chosen, channels]
        bias_part = _bias_part(
            plain, normalisation, target_bias.astype(np.float32).reshape(-1), candidates, best, chosen
        )
    with np.errstate(over="ignore"):
        # A scale above float32's range becomes infinite, far from any that a target can hold.
        exact32 = exact.astype(np.float32)
    moved = int(np.abs(ordered(scale).astype(np.int64) - ordered(exact32)).max(initial=0))
    return FoldedLayer(weight_part, bias_part, scale, moved)


def implied_epsilon(weight: Array, normalisation: Normalisation, target_weight: Array) -> float | None:
    """The epsilon with which a fold that does not hold would hold, where there is one for all channels; else None."""
    source = weight.astype(np.float64).reshape(len(weight), -1)
    target = target_weight.astype(np.float64).reshape(source.shape)
    with np.errstate(all="ignore"):
        scale = np.sum(source * target, axis=1) / np.sum(source * source, axis=1)
        explained = np.abs(target - source * scale[:, None]).max(axis=1) <= 1e-6 * np.abs(target).max(axis=1)
        epsilon = np.square(normalisation.gamma / scale) - normalisation.variance.astype(np.float64)
        certain = explained & np.isfinite(epsilon) & (scale * normalisation.gamma > 0)
    if not certain.any():
        return None
    # A small variance tells epsilon best: weigh by how far epsilon stands out of the rounding of the variance.
    order = np.argsort(normalisation.variance[certain])[: max(3, int(certain.sum()) // 4)]
    found = float(np.median(epsilon[certain][order]))
    if found <= 0:
        return None
    rounded = float(f"{found:.1e}")
    scale = normalisation.gamma / np.sqrt(normalisation.variance.astype(np.float64) + rounded)
    close = np.abs(target - source * scale[:, None]) <= 1e-5 * np.abs(target) + np.finfo(np.float32).tiny
    return rounded if close.mean() > 0.9 else None


def _search_scale(
    source: NDArray[np.float32], target: NDArray[np.float32], exact: Float64
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """Candidate scales (candidate, channel) around the exact ones, and how many weights each explains."""
    step = max(1, -(-source.shape[1] // _SEARCHED))
    some, wanted = np.ascontiguousarray(source[:, ::step]), np.ascontiguousarray(target[:, ::step])
    reach = gates.FOLD_SCALE_ULP
    with np.errstate(over="ignore"):
        middle = exact.astype(np.float32)
    candidates = np.stack([_step(middle, ulp) for ulp in range(-reach, reach + 1)])
    equal, within = (np.zeros(candidates.shape, np.int64) for _ in range(2))
    wanted_order = ordered(wanted).astype(np.int64)
    for index, scale in enumerate(candidates):
        with np.errstate(all="ignore"):
            product = some * scale[:, None]
        equal[index] = (bits(product) == bits(wanted)).sum(axis=1)
        within[index] = (np.abs(ordered(product) - wanted_order) <= gates.FOLD_WEIGHT_ULP).sum(axis=1)
    return candidates, equal, within


def _weight_part(
    source: NDArray[np.float32], target: NDArray[np.float32], scale: NDArray[np.float32], exact: Float64
) -> FoldedPart:
    with np.errstate(all="ignore"):
        in_float32 = source * scale[:, None]
        in_float64 = (source.astype(np.float64) * exact[:, None]).astype(np.float32)
    # Tools that fold in float64 round the exact product once instead.
    expected = max((in_float32, in_float64), key=lambda one: int((bits(one) == bits(target)).sum()))
    return _judge(target, expected, gates.FOLD_WEIGHT_ULP * _spacing(expected), expected)


def _bias_part(
    bias: NDArray[np.float32],
    normalisation: Normalisation,
    target: NDArray[np.float32],
    candidates: NDArray[np.float32],
    best: NDArray[np.bool_],
    chosen: NDArray[np.intp],
) -> FoldedPart:
    """The bias against the fold with any scale that explains the weights best; ``best`` is (candidate, channel)."""
    mean, beta = normalisation.mean.astype(np.float32), normalisation.beta.astype(np.float32)
    channels = np.arange(len(target))

    def double(scale: NDArray[np.float32]) -> Float64:
        return (bias.astype(np.float64) - mean) * scale.astype(np.float64) + beta

    orders: tuple[Callable[[NDArray[np.float32]], Array], ...] = (
        lambda scale: (bias - mean) * scale + beta,
        lambda scale: bias * scale + (beta - mean * scale),
        lambda scale: (bias * scale + beta) - mean * scale,
        lambda scale: ((bias - mean).astype(np.float64) * scale + beta).astype(np.float32),
        lambda scale: double(scale).astype(np.float32),
    )
    expected, matches = target, -1
    with np.errstate(all="ignore"):
        for order in orders:
            values = np.stack([order(scale) for scale in candidates])
            same = (bits(values) == bits(target)) & best
            picked = np.where(same.any(axis=0), same.argmax(axis=0), chosen)
            if int(same.any(axis=0).sum()) > matches:
                matches = int(same.any(axis=0).sum())
                expected = values[picked, channels]
        scale64 = candidates[chosen, channels].astype(np.float64)
        terms = [np.abs(bias * scale64), np.abs(mean * scale64), np.abs(beta.astype(np.float64))]
        largest = np.maximum.reduce(terms).astype(np.float32)
        return _judge(target, expected, gates.FOLD_BIAS_ULP * _spacing(largest), double(scale64.astype(np.float32)))


def _judge(target: NDArray[np.float32], expected: NDArray[np.float32], tolerance: Float64, exact: Array) -> FoldedPart:
    differs = bits(target) != bits(expected)
    with np.errstate(invalid="ignore", over="ignore"):
        error = np.abs(target.astype(np.float64) - exact.astype(np.float64))
        outside = differs & ~(error <= tolerance)
    # Where products fall below the normal numbers, processors may flush them: there the tolerance alone decides.
    normal = np.abs(expected) >= np.finfo(np.float32).tiny
    alone = differs & normal
    isolated = 0 < alone.sum() < gates.FOLD_ISOLATED_SHARE * target.size
    wrong = outside | alone if isolated else outside
    finite = bool(np.isfinite(error).all())
    rounded = exact.astype(np.float32)
    return FoldedPart(
        differing=int(differs.sum()),
        wrong=wrong,
        max_ulp=int(np.abs(ordered(target).astype(np.int64) - ordered(rounded)).max(initial=0)) if finite else None,
        max_abs=float(error.max(initial=0.0)) if finite else None,
    )


def _step(values: NDArray[np.float32], ulp: int) -> NDArray[np.float32]:
    """Values moved by so many representable numbers towards larger ones; zeros and what is not finite stay."""
    moved = (ordered(values) + np.int32(ulp)).astype(np.int32)
    # The inverse of `ordered`: the mapping between sign-magnitude and two's complement is its own inverse.
    sign = moved >> 31
    raw = ((moved ^ sign) - sign) | (sign & np.int32(-(2**31)))
    return np.where(np.isfinite(values) & (values != 0), raw.view(np.float32), values)


def _spacing(values: Array) -> Float64:
    """One float32 ULP at each value; at least the smallest normal number's, because below it processors may flush."""
    tiny = np.finfo(np.float32).tiny
    with np.errstate(invalid="ignore"):
        return np.spacing(np.maximum(np.abs(values), tiny).astype(np.float32)).astype(np.float64)


def _by_channel(scale: Float64, weight: Array) -> Float64:
    return scale.reshape(-1, *[1] * (weight.ndim - 1))
