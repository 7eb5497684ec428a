"""Folds as exporters make them, in each order of operations, and what is off by how much where one is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from harness.compare.fold import Normalisation, check_fold, folded_weight, implied_epsilon

GENERATOR = np.random.default_rng(11)
CHANNELS = 48
SHAPE = (CHANNELS, 3, 7)
WEIGHT = GENERATOR.normal(size=SHAPE).astype(np.float32)
BIAS, BETA, MEAN = (GENERATOR.normal(size=CHANNELS).astype(np.float32) for _ in range(3))
GAMMA = (GENERATOR.uniform(0.5, 2.0, CHANNELS) * GENERATOR.choice([-1, 1], CHANNELS)).astype(np.float32)
VARIANCE = GENERATOR.uniform(0.05, 3.0, CHANNELS).astype(np.float32)
NORMALISATION = Normalisation(GAMMA, BETA, MEAN, VARIANCE, 1e-5)
EXACT = GAMMA.astype(np.float64) / np.sqrt(VARIANCE.astype(np.float64) + 1e-5)
NEAREST = EXACT.astype(np.float32)


@pytest.fixture(autouse=True)
def no_warnings() -> Iterator[None]:
    """What overflows or is not finite is expected, and says nothing on the side."""
    with np.errstate(all="raise", under="ignore"):
        yield


def moved(values: np.ndarray, ulp: np.ndarray | int) -> np.ndarray:
    """Values of magnitude so many representable numbers larger."""
    return (values.view(np.int32) + np.int32(ulp)).view(np.float32)


def of(scale: np.ndarray) -> np.ndarray:
    return scale.reshape(-1, 1, 1)


def test_a_folded_weight_is_the_product_in_doubles() -> None:
    found = folded_weight(WEIGHT, EXACT)
    assert found.dtype == np.float64
    assert np.array_equal(found, WEIGHT.astype(np.float64) * of(EXACT))


def test_the_scale_of_every_channel_is_found_where_exporters_round_it() -> None:
    steps = GENERATOR.integers(-4, 5, CHANNELS)
    scale = moved(NEAREST, steps)
    found = check_fold(WEIGHT, None, NORMALISATION, WEIGHT * of(scale), None)
    assert np.array_equal(found.scale, scale)
    assert found.scale_ulp == 4
    assert found.bias is None
    assert (found.weight.differing, found.weight.holds) == (0, True)
    one = check_fold(WEIGHT, None, NORMALISATION, WEIGHT * of(moved(NEAREST, 2)), None)
    assert one.scale_ulp == 2


def test_a_scale_that_nothing_tells_is_the_exact_one() -> None:
    nothing = np.zeros(SHAPE, np.float32)
    found = check_fold(nothing, None, NORMALISATION, nothing, None)
    assert np.array_equal(found.scale, NEAREST)
    assert (found.scale_ulp, found.weight.max_ulp, found.weight.max_abs) == (0, 0, 0.0)


def test_a_fold_in_doubles_is_rounded_once() -> None:
    target = (WEIGHT.astype(np.float64) * of(EXACT)).astype(np.float32)
    assert check_fold(WEIGHT, None, NORMALISATION, target, None).weight.differing == 0


def test_many_weights_are_compared_though_few_tell_the_scale() -> None:
    weight = GENERATOR.normal(size=(3, 1000)).astype(np.float32)
    some = Normalisation(GAMMA[:3], BETA[:3], MEAN[:3], VARIANCE[:3], 1e-5)
    target = weight * moved(NEAREST[:3], 3)[:, None]
    assert check_fold(weight, None, some, target, None).scale_ulp == 3
    target[2, 998] = moved(target[2, 998:999], 9)[0]
    found = check_fold(weight, None, some, target, None)
    assert np.argwhere(found.weight.wrong).tolist() == [[2, 998]]
    assert found.weight.differing == 1


Order = Callable[[np.ndarray, np.ndarray], np.ndarray]
ORDERS: dict[str, Order] = {
    "difference first": lambda bias, scale: (bias - MEAN) * scale + BETA,
    "shift first": lambda bias, scale: bias * scale + (BETA - MEAN * scale),
    "mean last": lambda bias, scale: (bias * scale + BETA) - MEAN * scale,
    "fused": lambda bias, scale: ((bias - MEAN).astype(np.float64) * scale + BETA).astype(np.float32),
    "doubles": lambda bias, scale: ((bias.astype(np.float64) - MEAN) * scale.astype(np.float64) + BETA).astype(
        np.float32
    ),
}


@pytest.mark.parametrize("order", ORDERS.values(), ids=[*ORDERS])
@pytest.mark.parametrize("bias", [BIAS, None], ids=["bias", "no-bias"])
def test_a_bias_is_met_bit_for_bit_in_each_order_of_operations(order: Order, bias: np.ndarray | None) -> None:
    scale = moved(NEAREST, GENERATOR.integers(-2, 3, CHANNELS))
    plain = np.zeros(CHANNELS, np.float32) if bias is None else bias
    target = order(plain, scale)
    found = check_fold(WEIGHT, bias, NORMALISATION, WEIGHT * of(scale), target.reshape(-1, 1))
    assert found.bias is not None
    assert (found.bias.differing, found.bias.holds) == (0, True)
    exact = (plain.astype(np.float64) - MEAN) * scale + BETA
    assert found.bias.max_abs == np.abs(target - exact).max()


@pytest.mark.parametrize("term", ["bias", "mean", "beta"])
def test_a_bias_may_be_off_by_units_of_its_largest_term(term: str) -> None:
    """The terms cancel to a bias of about 1 from one of about 1000."""
    ones, nought = np.ones(CHANNELS, np.float32), np.zeros(CHANNELS, np.float32)
    terms = dict.fromkeys(("bias", "mean", "beta"), nought) | {term: ones * np.float32(1000.3)}
    other = "beta" if term != "beta" else "mean"
    sign = -1 if term == "bias" else 1
    terms[other] = ones * np.float32(sign * 999.2 if term != "mean" else 999.2)
    for gamma in (1.0, 1e-3):
        if gamma != 1.0 and term == "beta":
            continue
        if gamma != 1.0:
            terms[other] = nought
        unit = Normalisation(ones * np.float32(gamma), terms["beta"], terms["mean"], ones, 0.0)
        scale = np.float32(gamma)
        exact = (terms["bias"].astype(np.float64) - terms["mean"]) * float(scale) + terms["beta"]
        largest = max(
            abs(float(terms["bias"][0]) * float(scale)),
            abs(float(terms["mean"][0]) * float(scale)),
            abs(float(terms["beta"][0])),
        )
        unit_of = float(np.spacing(np.float32(largest)))
        for units, holds in ((1.5, True), (3.0, False)):
            target = (exact + units * unit_of).astype(np.float32)
            found = check_fold(WEIGHT, terms["bias"], unit, WEIGHT * scale, target)
            assert found.bias is not None
            assert found.bias.holds is holds


def test_distances_are_told() -> None:
    ones, nought = np.ones(CHANNELS, np.float32), np.zeros(CHANNELS, np.float32)
    unit = Normalisation(ones, nought, nought, ones, 0.0)
    weight = np.full((CHANNELS, 10), 1.5, np.float32)
    target = weight.copy()
    target[6, 0] = -1.5
    found = check_fold(weight, None, unit, target, None)
    assert found.weight.max_abs == 3.0
    assert found.weight.max_ulp == 2 * int(np.float32(1.5).view(np.int32))
    assert found.weight.differing == 1
    assert np.argwhere(found.weight.wrong).tolist() == [[6, 0]]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_wrong_and_has_no_distance(value: float) -> None:
    target = WEIGHT * of(NEAREST)
    target[3, 1, 4] = value
    bias = (BIAS - MEAN) * NEAREST + BETA
    bias[7] = value
    found = check_fold(WEIGHT, BIAS, NORMALISATION, target, bias)
    assert np.argwhere(found.weight.wrong.reshape(SHAPE)).tolist() == [[3, 1, 4]]
    assert (found.weight.max_ulp, found.weight.max_abs) == (None, None)
    assert found.bias is not None
    assert np.flatnonzero(found.bias.wrong).tolist() == [7]


def test_a_variance_without_a_root_and_weights_that_overflow_are_not_met() -> None:
    broken = replace(NORMALISATION, variance=np.where(np.arange(CHANNELS) == 2, np.float32(-1), VARIANCE))
    assert not check_fold(WEIGHT, None, broken, WEIGHT * of(NEAREST), None).weight.holds
    zero = replace(NORMALISATION, variance=np.where(np.arange(CHANNELS) == 2, np.float32(0), VARIANCE), epsilon=0.0)
    assert not check_fold(WEIGHT, None, zero, WEIGHT * of(NEAREST), None).weight.holds
    large = np.full((CHANNELS, 5), 3e38, np.float32)
    assert not check_fold(large, BIAS, replace(NORMALISATION, gamma=GAMMA * 9), large, BIAS).weight.holds


def test_below_the_normal_numbers_the_tolerance_decides_alone() -> None:
    """Processors may flush them; one ULP of the smallest normal number is allowed, even where it stands alone."""
    ones, nought = np.ones(2, np.float32), np.zeros(2, np.float32)
    unit = Normalisation(ones, nought, nought, ones, 0.0)
    tiny = np.finfo(np.float32).tiny
    weight = np.ones((2, 200), np.float32)
    for value, holds in ((np.float32(1e-40), True), (tiny, False)):
        weight[1, 7] = value
        target = weight.copy()
        target[1, 7] = moved(target[1, 7:8], 1)[0]
        assert check_fold(weight, None, unit, target, None).weight.holds is holds
    weight[1, 7] = np.float32(1e-40)
    target = weight.copy()
    target[1, 7] = np.float32(3e-40)
    assert not check_fold(weight, None, unit, target, None).weight.holds


@pytest.mark.parametrize("epsilon", [1e-3, 1e-2, 2.5e-4])
def test_another_epsilon_is_named(epsilon: float) -> None:
    scale = (GAMMA / np.sqrt(VARIANCE + np.float32(epsilon))).astype(np.float32)
    target = WEIGHT * of(scale)
    assert implied_epsilon(WEIGHT, NORMALISATION, target) == epsilon
    # Channels that no scale explains are left out.
    target[:3] = target[:3, ::-1]
    assert implied_epsilon(WEIGHT, NORMALISATION, target) == epsilon
    # Where they are many, one epsilon does not explain the whole.
    target[:20] = target[:20, ::-1, ::-1]
    assert implied_epsilon(WEIGHT, NORMALISATION, target) is None


def test_an_epsilon_is_told_by_channels_of_small_variance() -> None:
    """Of a variance of a million, float32 does not show an epsilon of a thousandth."""
    variance = VARIANCE.copy()
    variance[4:] *= 1e6
    some = replace(NORMALISATION, variance=variance)
    scale = (GAMMA / np.sqrt(variance.astype(np.float64) + 1e-3)).astype(np.float32)
    few = slice(0, 12)
    part = Normalisation(GAMMA[few], BETA[few], MEAN[few], variance[few], 1e-5)
    assert implied_epsilon(WEIGHT[few], part, (WEIGHT * of(scale))[few]) == 1e-3
    assert some.epsilon == 1e-5


def test_no_epsilon_explains_another_sign_nothing_or_less_than_nothing() -> None:
    scale = (GAMMA / np.sqrt(VARIANCE + np.float32(1e-3))).astype(np.float32)
    assert implied_epsilon(WEIGHT, NORMALISATION, -WEIGHT * of(scale)) is None
    assert implied_epsilon(WEIGHT, NORMALISATION, WEIGHT * np.float32(0)) is None
    less = (GAMMA / np.sqrt(VARIANCE - np.float32(0.01))).astype(np.float32)
    assert implied_epsilon(WEIGHT, NORMALISATION, WEIGHT * of(less)) is None
    random = GENERATOR.normal(size=SHAPE).astype(np.float32)
    assert implied_epsilon(WEIGHT, NORMALISATION, random) is None
    dead = WEIGHT.copy()
    dead[0] = 0
    assert implied_epsilon(dead, NORMALISATION, dead * of(scale)) == 1e-3


def scaled(scale: float, channels: int = 1, **values: np.ndarray) -> Normalisation:
    """A normalisation whose exact scale is this number, without shift and mean."""
    ones, nought = np.ones(channels, np.float32), np.zeros(channels, np.float32)
    return replace(Normalisation(ones * np.float32(scale), nought, nought, ones, 0.0), **values)


def row_of(*values: float) -> np.ndarray:
    return np.float32([values])


def steps(scale: float, *ulp: int) -> np.ndarray:
    """A scale moved by so many representable numbers each: what it makes of weights of one."""
    return np.concatenate([moved(np.float32([scale]), one) for one in ulp])[None]


@pytest.mark.parametrize(
    ("scale", "weight", "target", "ulp"),
    [
        # The farthest that explains both, though all nearer ones explain one less.
        (1.5, row_of(1, 1), steps(1.5, 4, 4), 4),
        # Both within the tolerance, rather than one of them bit for bit.
        (1.5, row_of(1, 1), steps(1.5, 0, 2), 1),
        # Equal bits, rather than the nearer of two that are within the tolerance.
        (1.99, row_of(1.0069655), row_of(1.0069655) * steps(1.99, 4), 4),
        # One after the other: no farther than four.
        (1.5, row_of(1, 1), steps(1.5, 5, 5), 4),
        # Of two that explain as much, the smaller.
        (1.5, row_of(1, 1), steps(1.5, -2, 2), -2),
        # At most 256 weights tell the scale, evenly spread.
        (1.5, np.ones((1, 1000), np.float32), np.where(np.arange(1000) % 4, *steps(1.5, 3, 0)[0])[None], 0),
    ],
    ids=["farthest", "within", "equal", "reach", "tie", "sampled"],
)
def test_which_scale_explains_the_weights_best(scale: float, weight: np.ndarray, target: np.ndarray, ulp: int) -> None:
    found = check_fold(weight, None, scaled(scale), target.astype(np.float32), None)
    assert found.scale.tolist() == steps(scale, ulp)[0].tolist()
    assert found.scale_ulp == abs(ulp)


def test_a_scale_of_nought_stays_and_products_that_overflow_have_no_distance() -> None:
    smallest = np.float32([[2.0**-147]])
    found = check_fold(row_of(1), None, scaled(0), smallest, None)
    assert (found.scale.tolist(), found.weight.holds, found.weight.differing) == ([0.0], False, 1)
    found = check_fold(row_of(3e38), None, scaled(2), row_of(np.inf), None)
    assert found.scale.tolist() == [2.0]
    assert (found.weight.differing, found.weight.max_ulp, found.weight.max_abs) == (0, None, None)
    assert not check_fold(row_of(3e38), None, scaled(2), row_of(1), None).weight.holds


def test_numbers_in_doubles_are_compared_in_float32() -> None:
    target, bias = WEIGHT * of(NEAREST), (BIAS - MEAN) * NEAREST + BETA
    found = check_fold(WEIGHT.astype(np.float64), BIAS[:, None], NORMALISATION, target.astype(np.float64), bias)
    assert found.bias is not None
    assert (found.weight.differing, found.bias.differing, found.scale_ulp) == (0, 0, 0)


def test_a_bias_counts_as_met_by_a_scale_that_explains_the_weights_as_well_as_any() -> None:
    """The first channel's weights tell no scale, those of the second tell the exact one."""
    weight = np.float32([[0, 0], [1, 1]])
    bias = np.ones(2, np.float32)
    for ulp, differing in ((3, 0), (-4, 0)):
        target = np.concatenate([steps(1.5, ulp)[0], np.float32([1.5])])
        found = check_fold(weight, bias, scaled(1.5, 2), weight * np.float32(1.5), target)
        assert found.bias is not None
        assert found.bias.differing == differing
    # The second channel's bias is that of a scale that explains its weights less well.
    for ulp in (1, -4):
        target = np.concatenate([steps(1.5, 2)[0], steps(1.5, ulp)[0]])
        found = check_fold(weight, bias, scaled(1.5, 2), weight * np.float32(1.5), target)
        assert found.bias is not None
        assert found.bias.differing == 1


def test_of_two_orders_of_operations_that_meet_as_many_biases_the_first_counts() -> None:
    """One channel is met by the difference first alone, another by every other order that meets the rest."""
    mean, bias, beta = (GENERATOR.normal(size=4000).astype(np.float32) for _ in range(3))
    first = (bias - mean) * np.float32(1.5) + beta
    last = ((bias.astype(np.float64) - mean) * 1.5 + beta).astype(np.float32)
    place = int(np.flatnonzero(first != last)[0])
    keep = np.append(np.flatnonzero(first == last)[:300], place)
    target = np.append(first[keep], last[place])
    keep = np.append(keep, place)
    part = scaled(1.5, len(keep), mean=mean[keep], beta=beta[keep])
    weight = np.ones((len(keep), 2), np.float32)
    found = check_fold(weight, bias[keep], part, weight * np.float32(1.5), target)
    assert found.bias is not None
    assert np.flatnonzero(found.bias.wrong).tolist() == [301]


def test_a_bias_that_overflows_is_wrong() -> None:
    large = scaled(1.5, 1, mean=np.float32([-3e38]))
    found = check_fold(row_of(1), np.float32([3e38]), large, row_of(1.5), np.float32([1]))
    assert found.bias is not None
    assert not found.bias.holds


def with_epsilon(weight: np.ndarray, part: Normalisation, epsilon: float | np.ndarray) -> np.ndarray:
    scale = part.gamma / np.sqrt(part.variance.astype(np.float64) + epsilon)
    return (weight * scale.reshape(-1, *[1] * (weight.ndim - 1))).astype(np.float32)


@pytest.mark.parametrize("factor", [1e-4, 1e4])
def test_the_size_of_weights_and_factors_does_not_hide_an_epsilon(factor: float) -> None:
    large = WEIGHT * np.float32(factor)
    assert implied_epsilon(large, NORMALISATION, with_epsilon(large, NORMALISATION, 1e-3)) == 1e-3
    part = replace(NORMALISATION, gamma=GAMMA * np.float32(factor))
    assert implied_epsilon(WEIGHT, part, with_epsilon(WEIGHT, part, 1e-3)) == 1e-3


@pytest.mark.parametrize("size", [1.0, 1e-8], ids=["", "tiny"])
def test_channels_that_no_scale_explains_do_not_tell_an_epsilon(size: float) -> None:
    """Seven of the twelve with the smallest variances, of 84 channels of which half are dead."""
    part = Normalisation(*(np.tile(one, 2)[:84] for one in (np.abs(GAMMA), BETA, MEAN, VARIANCE)), 1e-5)
    weight = np.concatenate([WEIGHT, WEIGHT])[:84]
    part.gamma[48:] = 0
    part.variance[:7] = 0.01
    weight[:7] *= np.float32(size)
    target = with_epsilon(weight, part, 1e-3)
    target[:7] *= 2
    target[:7, 1, 2] *= np.float32(1.5)
    assert implied_epsilon(weight, part, target) == 1e-3


def test_channels_whose_factor_is_nought_do_not_tell_an_epsilon() -> None:
    part = replace(NORMALISATION, gamma=np.abs(GAMMA), variance=VARIANCE.copy())
    part.gamma[:28] = 0
    part.variance[:4] = 0.01
    target = with_epsilon(WEIGHT, part, 1e-3)
    target[:4] = WEIGHT[:4]
    assert implied_epsilon(WEIGHT, part, target) == 1e-3


@pytest.mark.parametrize(
    ("channels", "others", "found"), [(9, 1, None), (12, 1, 1e-3), (3, 0, 1e-3), (40, 4, None), (41, 4, 1e-3)]
)
def test_an_epsilon_explains_more_than_nine_tenths_and_the_median_tells_it(
    channels: int, others: int, found: float | None
) -> None:
    """Some channels, those of the smallest variances, were folded with another epsilon."""
    part = Normalisation(*(one[:channels].copy() for one in (np.abs(GAMMA), BETA, MEAN, VARIANCE)), 1e-5)
    part.variance[:others] = 0.02
    epsilon = np.where(np.arange(channels) < others, 0.5, 1e-3)
    assert implied_epsilon(WEIGHT[:channels], part, with_epsilon(WEIGHT[:channels], part, epsilon)) == found


def test_exactly_nine_tenths_are_too_few() -> None:
    part = Normalisation(*(one[:10].copy() for one in (np.abs(GAMMA), BETA, MEAN, VARIANCE)), 1e-5)
    target = with_epsilon(WEIGHT[:10], part, 1e-3)
    target[4] = 9 + np.abs(WEIGHT[5])
    assert implied_epsilon(WEIGHT[:10], part, target) is None


def test_a_quarter_of_the_channels_and_three_at_least_tell_an_epsilon() -> None:
    """Of the smallest variances: the others are too large to show it in float32."""
    variance = np.float32([0.5, 1e5, 0.25, 2e5, 3e6, 5e6, 7e6, 9e6])
    part = Normalisation(*(one[:8].copy() for one in (np.abs(GAMMA), BETA, MEAN)), variance, 1e-5)
    for order in (np.arange(8), np.roll(np.arange(8), 1)):
        some = replace(part, variance=variance[order])
        # Of the third and the fourth, which are near enough with either, another epsilon would be told.
        epsilon = np.where(some.variance >= 1e5, 1.0, 1e-3)
        assert implied_epsilon(WEIGHT[:8], some, with_epsilon(WEIGHT[:8], some, epsilon)) == 1e-3


def test_four_channels_of_thirty_nine_do_not_outweigh_the_rest() -> None:
    """They are fewer than half of the quarter that tells the epsilon, nine channels; nine more are dead."""
    part = replace(NORMALISATION, gamma=np.abs(GAMMA), variance=VARIANCE.copy())
    part.gamma[39:] = 0
    part.variance[:4] = 0.02
    epsilon = np.where(np.arange(CHANNELS) < 4, 0.5, 1e-3)
    assert implied_epsilon(WEIGHT, part, with_epsilon(WEIGHT, part, epsilon)) == 1e-3


def test_weights_of_nought_and_flushed_ones_are_explained_and_no_epsilon_is_none() -> None:
    weight = WEIGHT.copy()
    weight[:, 0] = 0
    weight[:, 1] = np.float32(1e-39)
    target = with_epsilon(weight, NORMALISATION, 1e-3)
    target[:, 1] = 0
    assert implied_epsilon(weight, NORMALISATION, target) == 1e-3
    ones = np.ones((4, 5), np.float32)
    assert implied_epsilon(ones, scaled(1, 4), ones) is None


def test_limits_of_an_epsilon_belong_to_it() -> None:
    """Of a factor of one in both: a residual of just a millionth of the weights, and a flushed smallest number."""
    part = scaled(1, 1, variance=np.float32([0.75]))
    weight, target = np.ones((1, 17)), np.ones((1, 17))
    weight[0, 3], target[0, 3] = 0, 1e-6
    assert implied_epsilon(weight, part, target) == 0.25
    target[0, 3] = 1.001e-6
    assert implied_epsilon(weight, part, target) is None
    # Of twenty weights nineteen are met, one of them just so; without it, they are nine tenths.
    part = scaled(1, 2, variance=np.float32([0.75, 0.75]))
    weight, target = np.ones((2, 10), np.float32), np.ones((2, 10), np.float32)
    target[1, 0] = 5
    weight[1, 1], target[1, 1] = np.finfo(np.float32).tiny, 0
    assert implied_epsilon(weight, part, target) == 0.25


def test_a_scale_beyond_the_range_of_float32_explains_nothing() -> None:
    beyond = scaled(3e38, 1, variance=np.float32([0.01]))
    assert not check_fold(row_of(1e-3), None, beyond, row_of(1), None).weight.holds
