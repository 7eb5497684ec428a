"""McNemar's test and Holm's correction, held against scipy and known figures."""

import pytest
from scipy.stats import binomtest, chi2

from harness.compare.paired import FEW_PAIRS, holm, mcnemar
from harness.errors import DataError


@pytest.mark.parametrize(("first", "second"), [(1, 0), (0, 5), (9, 2), (2, 9), (12, 12), (0, 24), (7, 17)])
def test_few_pairs_are_tested_exactly(first, second):
    found = mcnemar(first, second)
    assert (found.method, found.statistic) == ("exact binomial", None)
    assert found.p_value == pytest.approx(binomtest(first, first + second, 0.5).pvalue, rel=1e-12)


@pytest.mark.parametrize(("first", "second"), [(25, 0), (13, 12), (59, 6), (6, 59), (1000, 1200)])
def test_many_pairs_are_tested_by_corrected_chi_square(first, second):
    found = mcnemar(first, second)
    statistic = (abs(first - second) - 1) ** 2 / (first + second)
    assert found.method == "chi-square, continuity-corrected"
    assert found.statistic == pytest.approx(statistic, rel=1e-12)
    assert found.p_value == pytest.approx(chi2.sf(statistic, 1), rel=1e-9)


def test_known_example():
    """Pairs [[101, 121], [59, 33]], for which statsmodels' documentation and tests give these figures."""
    found = mcnemar(121, 59)
    assert found.statistic == pytest.approx(20.67222, abs=1e-5)
    assert mcnemar(59, 121).p_value == found.p_value == pytest.approx(5.45e-6, rel=1e-3)
    assert mcnemar(121, 59, few=1000).p_value == pytest.approx(4.434e-6, rel=1e-3)


def test_the_method_changes_at_the_stated_number_of_pairs():
    assert mcnemar(FEW_PAIRS - 1, 0).method == "exact binomial"
    assert mcnemar(FEW_PAIRS, 0).method != "exact binomial"


def test_balance_is_not_corrected_past_zero():
    """Without the limit 20 against 20 would have a statistic of 1 / 40."""
    found = mcnemar(20, 20)
    assert (found.statistic, found.p_value) == (0.0, 1.0)


def test_no_discordant_pair_is_nothing_to_test():
    found = mcnemar(0, 0)
    assert (found.method, found.statistic, found.p_value, found.discordant) == ("none", None, None, 0)


def test_exact_sums_do_not_overflow():
    assert 0 < mcnemar(900, 1200, few=10_000).p_value < 1e-9


def test_negative_counts_are_refused():
    with pytest.raises(DataError, match="cannot be -1 and 3"):
        mcnemar(-1, 3)


def test_holm_keeps_order_and_a_known_example():
    """Figures as R's p.adjust(c(0.01, 0.04, 0.03, 0.005), 'holm') gives them."""
    assert holm((0.01, 0.04, 0.03, 0.005)) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert holm((0.8, 0.9)) == pytest.approx((1.0, 1.0))
    assert holm(()) == ()


@pytest.mark.parametrize(("first", "second"), [(0, 0), (9, 2), (59, 6)])
def test_the_counts_are_told_as_they_came(first, second):
    found = mcnemar(first, second)
    assert (found.first_only, found.second_only, found.discordant) == (first, second, first + second)


def test_counts_below_zero_are_refused_with_a_hint():
    with pytest.raises(DataError, match="discordant pairs cannot be 1 and -1") as caught:
        mcnemar(1, -1)
    assert caught.value.hint == "counts are zero or more"
