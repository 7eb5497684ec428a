from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pydantic import ValidationError

from harness.data.dataset import Band
from harness.data.normalisation import Normalisation, fit
from harness.data.prepare import DataConfig, prepare
from harness.data.sources import sits_csv
from harness.errors import DataError

BANDS = (Band("NIR", "1"), Band("R", "1"))
tables = arrays.arrays(np.float32, st.tuples(st.integers(1, 40), st.just(2)), elements=st.floats(-1e6, 1e6, width=32))


@given(tables, st.sampled_from(["scale", "percentile", "standard", "none"]))
def test_normalising_can_be_undone(values, kind):
    normalisation, _ = fit(kind, values, BANDS, factor=1e-4)
    back = normalisation.apply(values).astype(np.float64) / normalisation.scale + normalisation.offset
    # float32 holds the normalised value: its error is relative to the distance from the offset.
    distance = np.abs(values.astype(np.float64) - normalisation.offset)
    assert (np.abs(back - values) <= 1e-6 * distance + 1e-30).all()


def test_percentiles_are_those_of_the_training_values_band_by_band():
    values = np.stack([np.arange(101), np.arange(101) * 10 + 5], axis=1).astype(np.float32)
    normalisation, notes = fit("percentile", values, BANDS)
    assert normalisation.offset == pytest.approx((2, 25))
    assert normalisation.scale == pytest.approx((1 / 96, 1 / 960))
    normalised = normalisation.apply(values)
    assert normalised.dtype == np.float32
    assert normalised[2] == pytest.approx([0, 0])
    assert normalised[98] == pytest.approx([1, 1])
    assert notes == ()


def test_standard_scores_have_mean_zero_and_deviation_one():
    values = np.random.default_rng(0).normal([100, 3], [20, 0.01], (5000, 2)).astype(np.float32)
    normalised = fit("standard", values, BANDS)[0].apply(values).astype(np.float64)
    assert normalised.mean(axis=0) == pytest.approx([0, 0], abs=1e-4)
    assert normalised.std(axis=0) == pytest.approx([1, 1], abs=1e-4)


def test_it_is_computed_in_double_precision():
    normalisation = Normalisation(kind="percentile", offset=(1e8,), scale=(0.1,))
    value = np.array([[1e8 + 8]], dtype=np.float32)
    assert normalisation.apply(value)[0, 0] == np.float32((float(value[0, 0]) - 1e8) * 0.1)


@pytest.mark.parametrize("kind", ["percentile", "standard"])
@pytest.mark.parametrize("constant", [0.0, 7.25, -3e30])
def test_a_constant_band_is_shifted_not_scaled_and_named(kind, constant):
    values = np.stack([np.full(50, constant), np.arange(50)], axis=1).astype(np.float32)
    normalisation, notes = fit(kind, values, BANDS)
    assert normalisation.scale[0] == 1.0
    assert len(notes) == 1
    assert "Band NIR is shifted but not scaled" in notes[0]
    assert normalisation.apply(values)[:, 0] == pytest.approx(np.zeros(50))


def test_scaling_without_a_factor_is_refused():
    with pytest.raises(DataError, match="no scale factor; choose percentile, standard or none"):
        fit("scale", np.zeros((3, 2), np.float32), BANDS)


@pytest.mark.parametrize("scale", [0.0, float("inf"), float("nan")])
def test_a_record_that_cannot_be_inverted_is_refused(scale):
    with pytest.raises(ValidationError, match="not zero"):
        Normalisation(kind="scale", offset=(0.0,), scale=(scale,))


@pytest.mark.parametrize("kind", ["percentile", "standard"])
def test_changed_test_and_validation_data_do_not_change_it(csv_files, tmp_path: Path, monkeypatch, kind):
    config = DataConfig(source="sits-csv", options=csv_files(), normalisation=kind)
    before = prepare(config, 1, 64, tmp_path / "before")
    read = sits_csv.SOURCE.read

    def changed(options, folder, seed):
        dataset = read(options, folder, seed)
        parts = {
            part: series if part == "train" else dataclasses.replace(series, values=series.values * 50 + 1000)
            for part, series in dataset.parts.items()
        }
        return dataclasses.replace(dataset, parts=parts)

    monkeypatch.setattr(sits_csv, "SOURCE", dataclasses.replace(sits_csv.SOURCE, read=changed))
    after = prepare(config, 1, 64, tmp_path / "after")
    assert after.normalisation == before.normalisation
    assert not np.array_equal(after.part("test").x, before.part("test").x)
    assert np.array_equal(after.part("train").x, before.part("train").x)
