"""Whether two runtimes that predicted the same samples are right equally often: McNemar's test, and Holm's correction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from harness.errors import DataError

#: Below this number of discordant pairs the binomial distribution is summed, as its approximation is poor there.
FEW_PAIRS = 25


@dataclass(frozen=True)
class McNemar:
    """McNemar's test of paired predictions.

    ``first_only``, ``second_only``: samples on which only the first, or only the second, is right; the samples on which
    both are right or both wrong say nothing. ``statistic``: chi-square with one degree of freedom, None where the p-value is
    exact. ``p_value``: two-sided; None where there is no discordant pair and so nothing to test.
    """

    first_only: int
    second_only: int
    method: Literal["exact binomial", "chi-square, continuity-corrected", "none"]
    statistic: float | None
    p_value: float | None

    @property
    def discordant(self) -> int:
        """Number of discordant pairs, on which the test rests."""
        return self.first_only + self.second_only


def mcnemar(first_only: int, second_only: int, few: int = FEW_PAIRS) -> McNemar:
    """Test that either of two classifiers is alone right equally often (McNemar 1947, https://doi.org/10.1007/BF02295996).

    Under ``few`` discordant pairs the p-value is the exact binomial one, twice the smaller tail and at most 1; otherwise that
    of (\\|b − c\\| − 1)² / (b + c) with Edwards' continuity correction (1948, https://doi.org/10.1007/BF02289261), never
    corrected past zero. Raises DataError on a negative count.
    """
    if first_only < 0 or second_only < 0:
        raise DataError(f"discordant pairs cannot be {first_only} and {second_only}", hint="counts are zero or more")
    pairs = first_only + second_only
    if pairs == 0:
        return McNemar(first_only, second_only, "none", None, None)
    if pairs < few:
        tail = sum(math.comb(pairs, count) for count in range(min(first_only, second_only) + 1))
        # Whole numbers to the end: 2 ** pairs may be larger than any float.
        return McNemar(first_only, second_only, "exact binomial", None, min(1.0, 2 * tail / 2**pairs))
    statistic = max(abs(first_only - second_only) - 1, 0) ** 2 / pairs
    # The upper tail of chi-square with one degree of freedom is that of |z| beyond its root.
    p_value = math.erfc(math.sqrt(statistic / 2))
    return McNemar(first_only, second_only, "chi-square, continuity-corrected", statistic, p_value)


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """P-values of several tests, adjusted so that their family-wise error is kept (Holm 1979), in the order given."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return tuple(adjusted)
