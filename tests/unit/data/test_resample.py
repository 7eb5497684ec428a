from __future__ import annotations

import numpy as np
import pytest

from harness.data.resample import filter_weights, resample


def everywhere(counts):
    return np.ones(counts.shape, dtype=bool)


@pytest.mark.parametrize(("old", "new"), [(765, 344), (700, 315), (12, 5), (7, 7), (5, 12)])
def test_every_pixel_is_a_mean_of_its_neighbourhood(old, new):
    weights = filter_weights(old, new)
    assert weights.shape == (new, old)
    assert np.allclose(weights.sum(axis=1), 1)
    assert (weights >= 0).all()
    # Centred: a straight line stays one, but for what so few weights leave, away from the edges.
    line = weights @ (np.arange(old) + 0.5)
    inside = slice(2, -2)
    assert np.abs(line - (np.arange(new) + 0.5) * old / new)[inside].max(initial=0) < 0.1
    assert (np.count_nonzero(weights, axis=1) <= 2 * max(1, old / new) + 1).all()


def test_halving_weighs_one_to_three():
    assert filter_weights(8, 4)[1].tolist() == pytest.approx([0, 1 / 8, 3 / 8, 3 / 8, 1 / 8, 0, 0, 0])


@pytest.mark.parametrize("size", [(344, 315), (64, 58), (382, 350)])
def test_it_is_pillows_bilinear_on_bytes_but_for_ties(size):
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    counts = np.random.default_rng(1).integers(0, 256, (765, 700), dtype=np.uint8)
    picture = image.fromarray(counts).resize((size[1], size[0]), image.Resampling.BILINEAR)
    found, _ = resample(counts, everywhere(counts), size, "each-pass")
    difference = found - np.asarray(picture, dtype=float)
    # Pillow computes in whole numbers of 22 bits: a half may fall to either side.
    assert np.abs(difference).max() <= 1
    assert (difference != 0).mean() < 0.01


def test_the_three_roundings_differ_as_they_are_named():
    counts = np.random.default_rng(2).integers(0, 256, (20, 30), dtype=np.uint8)
    found = {name: resample(counts, everywhere(counts), (9, 13), name)[0] for name in ("none", "once", "each-pass")}
    assert np.array_equal(found["once"], np.floor(found["none"] + 0.5))
    assert (found["none"] != found["once"]).any()
    assert np.array_equal(found["each-pass"], np.floor(found["each-pass"]))
    assert 0 < np.abs(found["each-pass"] - found["once"]).max() <= 1


def test_no_data_has_no_weight():
    counts = np.full((8, 8), 100, dtype=np.uint16)
    valid = everywhere(counts)
    counts[:, :3], valid[:, :3] = 65535, False
    values, known = resample(counts, valid, (4, 4), "none")
    assert known[:, 0].tolist() == [False] * 4
    assert known[:, 2:].all()
    assert (values[known] == 100).all()
    assert (values[~known] == 0).all()


def test_frames_of_the_right_size_are_left_alone():
    counts = np.array([[1, 65535], [3, 4]], dtype=np.uint16)
    values, known = resample(counts, counts < 65535, (2, 2), "each-pass")
    assert values.tolist() == [[1, 0], [3, 4]]
    assert known.tolist() == [[True, False], [True, True]]
