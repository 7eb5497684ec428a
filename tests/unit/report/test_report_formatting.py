"""Numbers as readers see them."""

import pytest

from harness.report import formatting


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (1.0, "1.00"),
        (0.00123456, "0.00123"),
        (0.00012345, "1.23 × 10⁻⁴"),
        (-6.314, "−6.31"),
        (12.345, "12.3"),
        (999.6, "1,000"),
        (12345.6, "12,300"),
        (99999.9, "1.00 × 10⁵"),
        (2.1e-7, "2.10 × 10⁻⁷"),
        (float("nan"), "not finite"),
        (float("-inf"), "not finite"),
        (None, "–"),
    ],
)
def test_three_significant_digits(value, shown):
    assert formatting.significant(value) == shown


@pytest.mark.parametrize(("value", "shown"), [(1.34, "1.3×"), (310.0, "310×"), (0.031, "0.031×"), (1e7, "1.0 × 10⁷×")])
def test_ratios(value, shown):
    assert formatting.ratio(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(1.0, "100 %"), (0.99999, "99.99 %"), (0.98437, "98.44 %"), (1e-7, "0.01 %"), (0.0, "0 %")]
)
def test_percentages_never_round_a_flip_away(value, shown):
    assert formatting.percentage(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(512, "512 B"), (12_804_112, "12.8 MB"), (999_999, "1.00 MB"), (None, "–")]
)
def test_sizes(value, shown):
    assert formatting.size(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0 ms"),
        (5.9e-7, "0.59 µs"),
        (0.00034, "340 µs"),
        (0.0123, "12 ms"),
        (2.4, "2.40 s"),
        (119.6, "2 min 00 s"),
        (754.0, "12 min 34 s"),
    ],
)
def test_seconds(value, shown):
    assert formatting.seconds(value) == shown


def test_words():
    assert formatting.listed(["a", "b", "c"]) == "a, b and c"
    assert formatting.counted(1, "sample") == "1 sample"
    assert formatting.counted(2048, "sample") == "2,048 samples"
    assert formatting.share_with_interval(0.9342, 0.9212, None) == "0.934"
