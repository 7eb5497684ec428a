from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.data import draw as draw_module
from harness.data.draw import draw, draw_many, drawn_series

identifiers = st.integers(-(2**63), 2**63 - 1)
seeds = st.integers(0, 2**64 - 1)


@given(st.integers(1, 150), st.integers(1, 120), seeds, identifiers, st.none() | st.integers(0, 500))
def test_dates_are_sorted_in_range_frozen_and_distinct_where_possible(length, dates, seed, sample, epoch):
    drawn = draw(length, dates, seed, sample, epoch)
    assert drawn.shape == (dates,)
    assert drawn.min() >= 0
    assert drawn.max() < length
    assert (np.diff(drawn) >= 0).all()
    if length >= dates:
        assert len(np.unique(drawn)) == dates
    assert np.array_equal(drawn, draw(length, dates, seed, sample, epoch))


@given(st.lists(st.tuples(st.integers(1, 130), identifiers), min_size=1, max_size=20), st.integers(1, 60), st.randoms())
def test_the_draw_does_not_depend_on_the_order_or_company_of_samples(samples, dates, random):
    lengths, ids = (np.array(column) for column in zip(*samples, strict=True))
    together = draw_many(lengths, dates, 3, ids)
    order = list(range(len(samples)))
    random.shuffle(order)
    assert np.array_equal(draw_many(lengths[order], dates, 3, ids[order]), together[order])
    alone = [draw(length, dates, 3, sample) for length, sample in samples]
    assert np.array_equal(alone, together)


def test_a_different_seed_sample_or_epoch_draws_other_dates():
    base = draw(100, 45, 1, 7)
    for other in (draw(100, 45, 2, 7), draw(100, 45, 1, 8), draw(100, 45, 1, 7, 0), draw(100, 45, 7, 1)):
        assert not np.array_equal(base, other)


def test_the_draw_of_earlier_releases_is_kept():
    """Stored probes depend on it: a change here makes every number incomparable with the last."""
    assert draw(20, 6, seed=1, sample_id=1000001).tolist() == [3, 11, 12, 13, 16, 17]
    assert draw(20, 6, seed=1, sample_id=1000001, epoch=0).tolist() == [2, 4, 5, 8, 15, 19]
    assert draw(3, 6, seed=1, sample_id=1000001).tolist() == [0, 1, 2, 2, 2, 2]


def test_every_date_is_drawn_equally_often():
    lengths = np.full(20_000, 60)
    counts = np.bincount(draw_many(lengths, 45, 11, np.arange(20_000)).ravel(), minlength=60)
    expected = 20_000 * 45 / 60
    # Binomial with p = 0.75; 60 counts within 4.5 standard deviations of their mean.
    assert np.abs(counts - expected).max() < 4.5 * np.sqrt(20_000 * 0.75 * 0.25)


def test_with_replacement_every_date_of_a_short_series_is_drawn_equally_often():
    counts = np.bincount(draw_many(np.full(4_000, 7), 45, 11, np.arange(4_000)).ravel(), minlength=7)
    expected = 4_000 * 45 / 7
    assert np.abs(counts - expected).max() < 4.5 * np.sqrt(expected)


def test_ten_thousand_series_are_not_drawn_one_by_one(monkeypatch):
    mixed = []
    original = draw_module._mix
    monkeypatch.setattr(draw_module, "_mix", lambda words: mixed.append(words.size) or original(words))
    lengths = np.random.default_rng(0).integers(45, 110, 10_000)
    draw_many(lengths, 45, 1, np.arange(10_000), epoch=3)
    assert sum(mixed) > 10_000 * 45
    assert len(mixed) < 100


@pytest.mark.parametrize(("length", "dates"), [(0, 3), (5, 0)])
def test_nothing_to_draw_is_an_error(length, dates):
    with pytest.raises(ValueError, match="draw"):
        draw(length, dates, 0, 0)


def test_drawn_series_hold_the_drawn_dates_of_their_own_series():
    offsets = np.array([0, 3, 10, 12])
    values = np.stack([np.arange(12), np.arange(12) + 100], axis=1).astype(np.float32)
    ids = np.array([5, 6, 7])
    x = drawn_series(values, offsets, ids, 3, seed=2)
    assert x.shape == (3, 2, 3)
    assert x.flags.c_contiguous
    for sample in range(3):
        own = draw(int(offsets[sample + 1] - offsets[sample]), 3, 2, int(ids[sample])) + offsets[sample]
        assert np.array_equal(x[sample], [own, own + 100])
