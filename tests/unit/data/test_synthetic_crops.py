from __future__ import annotations

import csv
from pathlib import Path

import h5py
import numpy as np
import pytest
from small_crops import SEED, SMALL

from harness.data.breizhcrops_layout import read_layout
from harness.data.dataset import PARTS
from harness.data.phenology import SEASONS, class_counts
from harness.data.prepare import DataConfig, prepare
from harness.data.sources import source, synthetic_crops


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("layout")
    synthetic_crops.write_layout(root, synthetic_crops.Options(**SMALL), SEED)
    return root


def test_it_is_labelled_synthetic_everywhere(prepared):
    assert prepared.info.synthetic
    assert "synthetic" in prepared.info.title.lower()
    assert "synthetic" in prepared.info.notes[0]
    assert "not measured" in prepared.info.citation
    assert prepared.info.doi is None


def test_the_layout_is_breizhcrops_own(layout):
    with (layout / "classmapping.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["classname"] for row in rows] == [
        *("barley", "wheat", "rapeseed", "corn", "sunflower", "orchards", "nuts"),
        *("permanent meadows", "temporary meadows"),
    ]
    for region, parcels in (("frh01", 60), ("frh02", 60), ("frh03", 60), ("frh04", 90)):
        with (layout / "2017" / "L1C" / f"{region}.csv").open() as file:
            index = list(csv.DictReader(file))
        assert len(index) == parcels
        with h5py.File(layout / "2017" / "L1C" / f"{region}.h5") as database:
            for row in index:
                table = database[row["path"]]
                assert table.shape == (int(row["sequencelength"]), 17)
                assert table.dtype == np.float64
                acquired = table[:, 16].astype(np.int64).astype("datetime64[ns]")
                assert (np.diff(acquired) > np.timedelta64(0)).all()
                assert acquired[0].astype("datetime64[Y]") == np.datetime64("2017")


def test_what_is_written_is_what_the_breizhcrops_source_reads(layout, tmp_path):
    embedded = source("synthetic-crops")
    made = embedded.read(embedded.options(**SMALL), tmp_path, SEED)
    breizhcrops = source("breizhcrops")
    real = breizhcrops.read(breizhcrops.options(root=str(layout)), tmp_path, SEED)
    assert made.info.bands == real.info.bands
    assert made.info.class_names == real.info.class_names
    for part in PARTS:
        assert np.array_equal(made.parts[part].values, real.parts[part].values)
        assert np.array_equal(made.parts[part].labels, real.parts[part].labels)
        assert np.array_equal(made.parts[part].ids, real.parts[part].ids)


def test_values_come_back_as_they_were_simulated(tmp_path):
    random = np.random.Generator(np.random.Philox(1))
    series = synthetic_crops.simulate(random, 20, delay=0, cloud_fraction=0.3)
    synthetic_crops.write_classmapping(tmp_path / "classmapping.csv")
    for region in ("frh01", "frh02", "frh03", "frh04"):
        synthetic_crops.write_region(tmp_path, region, series)
    parts, _, _ = read_layout(tmp_path, year=2017, level="L1C", split=synthetic_crops.SPLIT)
    test = parts["test"]
    for sample in range(20):
        values = test.values[test.offsets[sample] : test.offsets[sample + 1]]
        simulated = series.reflectance[sample, series.seen[sample]]
        assert values.shape == simulated.shape
        assert np.abs(values * 1e-4 - simulated).max() < 1.1e-4
    assert np.array_equal(test.labels, series.labels)


def test_series_are_as_long_and_bands_as_bright_as_measured_ones(layout):
    parts, _, _ = read_layout(layout, year=2017, level="L1C", split=synthetic_crops.SPLIT)
    train = parts["train"]
    lengths = np.diff(train.offsets)
    assert lengths.min() >= 40
    assert lengths.max() <= 115
    # B1 B10 B11 B12 B2 B3 B4 B5 B6 B7 B8 B8A B9: clouds do not move the median out of these ranges.
    typical = np.median(train.values, axis=0) * 1e-4
    assert typical[1] < 0.01
    assert 0.08 < typical[4] < 0.25
    assert typical[10] > 1.5 * typical[6]
    assert train.values.max() < 1.2e4
    # Clouds are bright in the blue, and last longer than a date.
    cloudy = train.values[:, 4] > 2500
    assert 0.1 < cloudy.mean() < 0.5
    starts = np.zeros(len(cloudy), dtype=bool)
    starts[train.offsets[:-1]] = True
    follows = cloudy[1:][cloudy[:-1] & ~starts[1:]].mean()
    assert follows > 1.3 * cloudy.mean()


def test_summer_and_winter_crops_are_green_at_their_time(tmp_path):
    random = np.random.Generator(np.random.Philox(3))
    series = synthetic_crops.simulate(random, 400, delay=0, cloud_fraction=0)
    index = (series.reflectance[..., 10] - series.reflectance[..., 6]) / (
        series.reflectance[..., 10] + series.reflectance[..., 6]
    )
    names = [season.name for season in SEASONS]

    def greenness(name: str, day: int) -> float:
        return float(index[series.labels == names.index(name)][:, np.abs(series.days - day).argmin()].mean())

    assert greenness("wheat", 135) > greenness("corn", 135) + 0.3
    assert greenness("corn", 220) > greenness("wheat", 220) + 0.3
    assert greenness("barley", 150) > greenness("barley", 178) + 0.1
    assert greenness("nuts", 200) > greenness("nuts", 20) + 0.1


def test_classes_are_imbalanced_and_none_is_missing(prepared):
    for counts in prepared.counts.values():
        assert min(counts.values()) >= 1
        assert counts["temporary meadows"] > 5 * counts["nuts"]
    assert class_counts(1200).sum() == 1200
    assert (class_counts(9) == 1).all()


def test_seeds_differ_and_options_count(tmp_path, small):
    one = prepare(small, 1, 64, tmp_path / "one").part("test").x
    two = prepare(small, 2, 64, tmp_path / "two").part("test").x
    assert not np.array_equal(one, two)
    clear = DataConfig(source="synthetic-crops", options=SMALL | {"cloud_fraction": 0.0})
    assert prepare(clear, 1, 64, tmp_path / "clear").part("test").x[:, 4].mean() < 0.8 * one[:, 4].mean()


def test_it_is_neither_trivial_nor_hopeless(tmp_path):
    from sklearn.linear_model import RidgeClassifier
    from sklearn.neighbors import NearestCentroid
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    options = {"train": 1500, "valid": 60, "test": 600}
    data = prepare(DataConfig(source="synthetic-crops", options=options), 7, 64, tmp_path)
    train, test = data.part("train"), data.part("test")
    scores = {}
    for classifier in (NearestCentroid(), RidgeClassifier(alpha=1000.0)):
        pipeline = make_pipeline(StandardScaler(), classifier)
        pipeline.fit(train.x.reshape(len(train), -1), train.y)
        scores[type(classifier).__name__] = pipeline.score(test.x.reshape(len(test), -1), test.y)
    assert 0.4 < scores["NearestCentroid"] < 0.9
    assert 0.6 < scores["RidgeClassifier"] < 0.97
