from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from harness.data.split import held_out, three_parts


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 30)), min_size=1, max_size=150),
    st.floats(0.01, 0.9),
    st.integers(0, 2**32),
)
def test_no_group_straddles_the_split(rows, fraction, seed):
    # A group of several classes is allowed.
    classes, groups = (np.array(column) for column in zip(*rows, strict=True))
    chosen = held_out(classes, groups, fraction, seed)
    assert not set(groups[chosen]) & set(groups[~chosen])
    assert (~chosen).any()
    assert np.array_equal(chosen, held_out(classes, groups, fraction, seed))


def test_a_split_is_stratified_and_leaves_every_class_in_training():
    classes = np.repeat(np.arange(4), 60)
    groups = np.arange(240) // 6
    chosen = held_out(classes, groups, 0.2, 3)
    assert np.bincount(classes[chosen]).tolist() == [12, 12, 12, 12]
    assert not np.array_equal(chosen, held_out(classes, groups, 0.2, 4))
    lonely = held_out(np.array([0, 0, 1, 1]), np.array([5, 5, 6, 7]), 0.5, 0)
    assert not lonely[:2].any()
    assert lonely[2:].sum() == 1


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 25)), min_size=1, max_size=120),
    st.floats(0, 0.6),
    st.floats(0.05, 0.3),
    st.integers(0, 2**32),
)
def test_three_parts_share_no_group_and_lose_no_row(rows, test, valid, seed):
    classes, groups = (np.array(column) for column in zip(*rows, strict=True))
    parts = three_parts(classes, groups, test, valid, seed)
    assert (np.sum(parts, axis=0) == 1).all()
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert not set(groups[parts[one]]) & set(groups[parts[other]])
    assert parts[0].any()


def test_fractions_of_three_parts_are_of_all_rows():
    classes, groups = np.repeat(np.arange(3), 100), np.arange(300) // 2
    train, valid, test = three_parts(classes, groups, 0.3, 0.2, 8)
    assert np.bincount(classes[test]).tolist() == [30, 30, 30]
    assert np.bincount(classes[valid]).tolist() == [20, 20, 20]
    assert train.sum() == 150
    assert not three_parts(classes, groups, 0, 0.2, 8)[2].any()
