from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import rda
from small_crops import physical

from harness.data.checks import check
from harness.data.locate import ENVIRONMENT_VARIABLE
from harness.data.prepare import DataConfig, fingerprint, prepare
from harness.data.sources import source
from harness.data.sources.sits_rda import read_samples
from harness.errors import DataError

LABELS = ["Pasture", "Cerrado", "Forest"] * 12


def read(path: Path, seed: int = 0, **options):
    found = source("sits-rda")
    return found.read(found.options(path=str(path), **options), Path(), seed)


def saved(tmp_path: Path, tibble: bytes) -> Path:
    return rda.save(tmp_path / "mine.rda", {"mine": tibble})


def test_bands_dates_labels_and_places_as_the_tibble_has_them(tmp_path):
    path = saved(tmp_path, rda.samples(LABELS))
    _, samples = read_samples(path, None, None)
    dataset = read(path)
    check(dataset)
    assert [band.name for band in dataset.info.bands] == ["NDVI", "EVI"]
    assert dataset.info.class_names == ("Cerrado", "Forest", "Pasture")
    assert dataset.dates == 4
    assert dataset.normalisation == "percentile"
    assert dataset.extras == {"days_of_year": [257, 273, 289, 305]}
    assert sorted(np.concatenate([part.ids for part in dataset.parts.values()]).tolist()) == list(range(1, 37))
    for part in dataset.parts.values():
        assert set(part.regions.tolist()) == {"mine"}
        for sample, row in enumerate(part.ids - 1):
            assert dataset.info.class_names[part.labels[sample]] == LABELS[row]
            values = part.values[part.offsets[sample] : part.offsets[sample + 1]]
            assert np.array_equal(values, samples.values[row])
    assert any("number of its row" in note for note in dataset.info.notes)
    assert dataset.info.licence == dataset.info.citation == "not stated"
    assert dataset.info.doi is None


def test_bands_are_chosen_and_ordered_by_option(tmp_path):
    path = saved(tmp_path, rda.samples(LABELS, bands=("B02", "B08", "EVI")))
    whole, some = read(path), read(path, bands=("EVI", "B02"))
    assert [band.name for band in some.info.bands] == ["EVI", "B02"]
    assert np.array_equal(some.parts["train"].values, whole.parts["train"].values[:, [2, 0]])
    with pytest.raises(DataError, match="there is no band NDVI; there are B02, B08, EVI"):
        read(path, bands=("NDVI",))


def test_one_location_lies_in_one_part_only(tmp_path):
    places = [(float(row % 9), 1.0) for row in range(36)]
    dataset = read(saved(tmp_path, rda.samples(LABELS, locations=places)), test_fraction=0.3, valid_fraction=0.3)
    check(dataset)
    seen = [set(part.groups.tolist()) for part in dataset.parts.values()]
    assert sum(len(one) for one in seen) == len(set.union(*seen)) == 9
    for part in dataset.parts.values():
        assert all(group - 1 == (identifier - 1) % 9 for group, identifier in zip(part.groups, part.ids, strict=True))


def test_the_split_follows_fractions_and_seed(tmp_path):
    path = saved(tmp_path, rda.samples(LABELS))
    one, other = (read(path, seed, test_fraction=0.25, valid_fraction=0.5) for seed in (1, 2))
    assert {part: np.bincount(one.parts[part].labels).tolist() for part in one.parts} == {
        "train": [3, 3, 3],
        "valid": [6, 6, 6],
        "test": [3, 3, 3],
    }
    assert one.parts["test"].ids.tolist() != other.parts["test"].ids.tolist()
    again = read(path, 1, test_fraction=0.25, valid_fraction=0.5)
    assert one.parts["test"].ids.tolist() == again.parts["test"].ids.tolist()
    with pytest.raises(DataError, match=r"no sample is left for the .* part"):
        read(saved(tmp_path, rda.samples(["a", "b"])))


def test_ids_are_the_tibbles_own_where_they_are_distinct_whole_numbers(tmp_path):
    own = [1000 + 7 * row for row in range(36)]
    dataset = read(saved(tmp_path, rda.samples(LABELS, more={"id": rda.reals(own)})))
    assert sorted(np.concatenate([part.ids for part in dataset.parts.values()]).tolist()) == own
    assert not any("number of its row" in note for note in dataset.info.notes)
    for column in (rda.reals([1.5] * 36), rda.reals([3] * 36), rda.reals([np.nan] * 36), rda.texts(["a"] * 36)):
        dataset = read(saved(tmp_path, rda.samples(LABELS, more={"id": column})))
        assert sorted(np.concatenate([part.ids for part in dataset.parts.values()]).tolist()) == list(range(1, 37))


def test_labels_may_be_a_factor(tmp_path):
    names = ["Pasture", "Cerrado", "Forest"]
    codes = rda.factor([names.index(label) + 1 for label in LABELS], names)
    dataset = read(saved(tmp_path, rda.samples(LABELS, more={"label": codes})))
    plain = read(saved(tmp_path, rda.samples(LABELS)))
    assert dataset.info.class_names == plain.info.class_names
    assert np.array_equal(dataset.parts["test"].labels, plain.parts["test"].labels)


def test_classes_that_r_may_sort_otherwise_are_told(tmp_path):
    dataset = read(saved(tmp_path, rda.samples(["forest", "Water", "soy"] * 12)))
    assert dataset.info.class_names == ("Water", "forest", "soy")
    assert any("locale" in note for note in dataset.info.notes)


def series(values, days=(0, 16), index="Index") -> bytes:
    return rda.frame({index: rda.dates(days), "NDVI": rda.reals(values)})


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ({"time_series": rda.items([series([1, 2]), series([1, 2, 3], (0, 16, 32))])}, "row 2: 3 dates, but 2 in row"),
        ({"time_series": rda.items([series([1, 2]), series([1, np.nan])])}, "row 2: nan is not a finite value: band "),
        ({"time_series": rda.items([series([1, 1e39]), series([1, 2])])}, "row 1: 1e.39 is not a finite value"),
        ({"time_series": rda.items([series([1, 2]), rda.frame({"EVI": rda.reals([1, 2])})])}, "row 2: bands EVI, but"),
        (
            {"time_series": rda.items([series([1, 2], index="Day")] * 2)},
            "there is no column Index; there are Day, NDVI",
        ),
        ({"time_series": rda.reals([1, 2])}, "a numeric vector, not a list of data frames"),
        ({"time_series": rda.items([rda.frame({"Index": rda.dates([1])})] * 2)}, "there is no band"),
        ({"longitude": rda.reals([1, np.nan])}, "row 2 has no longitude"),
        ({"longitude": rda.texts(["a", "b"])}, "a character vector, not numbers"),
        ({"label": rda.texts(["a", None])}, "NA where a text should be"),
    ],
)
def test_bad_samples_are_named(tmp_path, column, message):
    with pytest.raises(DataError, match=message):
        read(saved(tmp_path, rda.samples(["a", "b"], more=column)))


def test_a_tibble_without_a_needed_column_is_refused(tmp_path):
    with pytest.raises(DataError, match="there is no column time_series; there are label"):
        read(saved(tmp_path, rda.frame({"label": rda.texts(["a"])})))
    empty = rda.frame({"label": rda.texts([]), "time_series": rda.items([])})
    with pytest.raises(DataError, match="there is no sample"):
        read(saved(tmp_path, empty))


def test_options_must_leave_something_for_training():
    with pytest.raises(DataError, match="leave nothing for training"):
        fingerprint(DataConfig(source="sits-rda", options={"path": "x", "test_fraction": 0.5, "valid_fraction": 0.5}))


def test_the_fingerprint_follows_the_content(tmp_path):
    path = saved(tmp_path, rda.samples(LABELS))
    config = DataConfig(source="sits-rda", options={"path": str(path)})
    before = fingerprint(config)
    os.utime(path, (1, 1))
    assert fingerprint(config) == before
    saved(tmp_path, rda.samples(LABELS, seed=1))
    assert fingerprint(config) != before


@pytest.mark.skipif(ENVIRONMENT_VARIABLE not in os.environ, reason=f"{ENVIRONMENT_VARIABLE} is not set: no real data")
def test_the_real_modis_samples(tmp_path):
    folder = Path(os.environ[ENVIRONMENT_VARIABLE]) / "sits-modis"
    if not folder.is_dir():
        pytest.skip(f"{folder} does not exist: no real data")
    config = DataConfig(source="sits-rda", options={"path": "sits-modis/samples_modis_ndvi.rda"})
    data = prepare(config, 3, 128, tmp_path)
    assert data.info.class_names == ("Cerrado", "Forest", "Pasture", "Soy_Corn")
    total = {name: sum(data.counts[part][name] for part in data.counts) for name in data.info.class_names}
    assert total == {"Cerrado": 379, "Forest": 131, "Pasture": 344, "Soy_Corn": 364}
    assert data.dates == 12
    assert data.info.doi == "10.3390/rs13132428"
    assert "GPL-2" in data.info.licence
    train = data.part("train")
    # sits_stats: R's quantile of type 7 over all values of the band; here of the training part.
    assert physical(data, train.x).max() < 1
    assert np.percentile(train.x, [2, 98]) == pytest.approx([0, 1], abs=1e-6)
    # Forest stays green, crops do not.
    values = physical(data, train.x)[..., 0]
    lowest = {name: values[train.y == number].min(axis=1).mean() for number, name in enumerate(data.info.class_names)}
    assert max(lowest, key=lambda name: lowest[name]) == "Forest"
    both = source("sits-rda").read(source("sits-rda").options(path="sits-modis/cerrado_2classes.rda"), Path(), 3)
    check(both)
    assert [band.name for band in both.info.bands] == ["NDVI", "EVI"]
    assert sum(len(part) for part in both.parts.values()) == 746
    assert any("114 values are -0.3" in note for note in both.info.notes)
