from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from safetensors.numpy import load_file
from small_crops import SEED, SMALL

from harness.data.checks import check
from harness.data.dataset import PARTS
from harness.data.draw import drawn_series
from harness.data.prepare import DataConfig, fingerprint, prepare, read_prepared
from harness.data.prepared import PROBE_FILE, PROBE_LABELS_FILE, probe_hash, read_tensors
from harness.data.sources import source, synthetic_crops
from harness.errors import DataError

FILES = {
    *("dataset.json", "regions.json", "probe.safetensors", "probe_labels.safetensors"),
    *("train.safetensors", "valid.safetensors", "test.safetensors"),
}


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_exactly_the_files_of_the_contract_are_written(prepared):
    assert {path.name for path in prepared.folder.iterdir()} == FILES
    record = json.loads((prepared.folder / "dataset.json").read_text())
    assert set(record) == {
        *("name", "title", "synthetic", "bands", "class_names", "licence", "doi", "citation", "url", "notes"),
        *("dates", "sampling", "seed", "normalisation", "counts", "probe"),
    }
    assert set(record["normalisation"]) == {"kind", "offset", "scale"}
    regions = json.loads((prepared.folder / "regions.json").read_text())
    for part in PARTS:
        arrays = load_file(prepared.part_path(part))
        assert {name: str(array.dtype) for name, array in arrays.items()} == {
            **{"x": "float32", "y": "int64", "ids": "int64"},
            "groups": "int64",
        }
        assert arrays["x"].shape == (SMALL[part], 13, 45)
        assert len(regions[part]) == SMALL[part]
        assert sum(record["counts"][part].values()) == SMALL[part]


def test_two_runs_are_byte_equal(small, prepared, tmp_path):
    prepare(small, SEED, 64, tmp_path)
    assert hashes(tmp_path) == hashes(prepared.folder)


def test_x_is_drawn_then_normalised(small, prepared, tmp_path):
    found = source("synthetic-crops")
    series = found.read(found.options(**SMALL), tmp_path, SEED).parts["valid"]
    drawn = drawn_series(series.values, series.offsets, series.ids, 45, SEED)
    part = prepared.part("valid")
    assert np.array_equal(part.x, (drawn.astype(np.float64) * 1e-4).astype(np.float32))
    assert np.array_equal(part.y, series.labels)
    assert part.regions == tuple(series.regions)


def test_reading_gives_back_what_was_written(prepared):
    assert read_prepared(prepared.folder) == prepared
    assert prepared.dates == 45
    assert prepared.info.bands[1].name == "B10"


def test_the_probe_is_part_of_the_test_part_and_hashed_as_documented(prepared):
    x = read_tensors(prepared.folder / PROBE_FILE)["x"]
    indices = list(prepared.probe.indices)
    assert len(set(indices)) == 64 == prepared.probe.samples
    assert indices == sorted(indices)
    test = prepared.part("test")
    assert np.array_equal(x, test.x[indices])
    known = read_tensors(prepared.folder / PROBE_LABELS_FILE)
    labels, ids = known["y"], known["ids"]
    assert np.array_equal(labels, test.y[indices])
    assert np.array_equal(ids, test.ids[indices])
    assert prepared.probe.sha256 == hashlib.sha256(x.astype("<f4").tobytes()).hexdigest()


def test_the_probes_hash_is_of_the_values_in_order_of_name_however_they_lie():
    a, b = np.arange(6, dtype=np.float32).reshape(2, 3), np.array([True, False])
    expected = hashlib.sha256(a.tobytes() + b.tobytes()).hexdigest()
    assert probe_hash({"b": b, "a": np.asfortranarray(a)}) == expected
    assert probe_hash({"a": a.astype(">f4"), "b": b}) == expected
    assert probe_hash({"a": a + 1, "b": b}) != expected


def test_per_epoch_keeps_whole_series_of_the_training_part_alone(small, prepared, tmp_path):
    data = prepare(small.model_copy(update={"sampling": "per-epoch"}), SEED, 64, tmp_path)
    train = data.part("train")
    assert train.x is None
    assert train.values.dtype == np.float32
    assert train.offsets[-1] == len(train.values)
    again = drawn_series(train.values, train.offsets, train.ids, 45, SEED)
    assert np.array_equal(again, prepared.part("train").x)
    epochs = [drawn_series(train.values, train.offsets, train.ids, 45, SEED, epoch) for epoch in (0, 1)]
    assert not np.array_equal(*epochs)
    assert data.probe == prepared.probe
    assert np.array_equal(data.part("test").x, prepared.part("test").x)
    assert any("anew for every epoch" in note for note in data.info.notes)


def test_dates_and_normalisation_can_be_chosen(tmp_path, small):
    config = small.model_copy(update={"dates": 20, "normalisation": "standard"})
    data = prepare(config, SEED, 64, tmp_path)
    assert data.dates == 20
    assert data.part("train").x.shape == (120, 13, 20)
    assert abs(data.part("train").x.mean()) < 0.1
    assert data.normalisation.kind == "standard"


def test_all_dates_of_series_of_one_length_are_taken_in_order(csv_files, tmp_path):
    config = DataConfig(source="sits-csv", options=csv_files(), normalisation="none")
    data = prepare(config, 1, 64, tmp_path / "out")
    rows = np.loadtxt(tmp_path / "test.csv", delimiter=",", dtype=np.float32)[:, 2:].reshape(-1, 4, 2)
    assert np.array_equal(data.part("test").x, rows.transpose(0, 2, 1))
    assert not any("drawn at random" in note for note in data.info.notes)


def test_groups_never_straddle_a_split(prepared, csv_files, tmp_path):
    for data in (prepared, prepare(DataConfig(source="sits-csv", options=csv_files()), 1, 64, tmp_path / "out")):
        groups = [set(data.part(part).groups.tolist()) for part in PARTS]
        assert sum(len(group) for group in groups) == len(set().union(*groups))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trian": 5}, r"data.options.trian: synthetic-crops has no option 'trian'; did you mean 'train'"),
        ({"quux": 5}, r"it takes train, valid, test, cloud_fraction"),
        ({"train": "many"}, r"data.options.train: Input should be a valid integer"),
        ({"cloud_fraction": 2}, r"data.options.cloud_fraction: Input should be less than or equal to 0.9"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(DataError, match=message):
        fingerprint(DataConfig(source="synthetic-crops", options=options))


def test_the_fingerprint_follows_options_with_defaults_filled_in():
    plain = DataConfig(source="synthetic-crops")
    assert fingerprint(plain) == fingerprint(DataConfig(source="synthetic-crops", options={"train": 3000}))
    others = [
        plain.model_copy(update=change)
        for change in ({"options": {"train": 300}}, {"dates": 44}, {"sampling": "per-epoch"}, {"normalisation": "none"})
    ]
    assert len({fingerprint(config) for config in (plain, *others)}) == 5


def test_an_unknown_key_of_the_configuration_is_refused():
    with pytest.raises(ValidationError, match="extra"):
        DataConfig(source="synthetic-crops", option={})


def test_a_probe_too_small_or_larger_than_the_test_part_is_refused(small, tmp_path):
    with pytest.raises(DataError, match="a probe of 8 samples is too small; take 64 or more"):
        prepare(small, SEED, 8, tmp_path / "a")
    with pytest.raises(DataError, match="test part: the test part holds 90 samples, the probe wants 128"):
        prepare(small, SEED, 128, tmp_path / "b")


def test_nothing_is_left_behind_by_a_source_that_fails(tmp_path, csv_files):
    options = csv_files()
    (tmp_path / "train.csv").write_text("what")
    with pytest.raises(DataError):
        prepare(DataConfig(source="sits-csv", options=options), 1, 64, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_missing_and_truncated_files_are_named(small, tmp_path):
    data = prepare(small, SEED, 64, tmp_path)
    test = data.part_path("test")
    test.write_bytes(test.read_bytes()[:1000])
    with pytest.raises(DataError, match=r"test.safetensors: not a whole safetensors file"):
        data.part("test")
    record = tmp_path / "dataset.json"
    record.write_text(record.read_text()[:100])
    with pytest.raises(DataError, match=r"dataset.json: not a whole JSON file"):
        read_prepared(tmp_path)
    record.write_text("{}")
    with pytest.raises(DataError, match=r"dataset.json: not the record of a data set"):
        read_prepared(tmp_path)
    test.unlink()
    with pytest.raises(DataError, match=r"test.safetensors: the file does not exist"):
        read_prepared(tmp_path)


@pytest.fixture
def dataset(tmp_path):
    return synthetic_crops.SOURCE.read(synthetic_crops.Options(train=18, valid=9, test=9), tmp_path, 0)


def broken(dataset, part, **changes):
    series = dataclasses.replace(dataset.parts[part], **changes)
    return dataclasses.replace(dataset, parts=dataset.parts | {part: series})


def test_a_source_that_breaks_its_promises_is_noticed(dataset):
    check(dataset)
    train, test = dataset.parts["train"], dataset.parts["test"]
    cases = [
        ({"values": train.values[:, :12]}, r"train part: values have shape \(\d+, 12\), not \(date, 13\)"),
        ({"labels": train.labels + 1}, r"labels run from 1 to 9, but there are 9 classes"),
        ({"ids": train.ids[1:]}, r"not equally long"),
        ({"offsets": train.offsets + 1}, r"offsets do not cut"),
        ({"offsets": np.sort(np.append(train.offsets[:-1], 0))}, r"offsets do not cut"),
        ({"groups": np.append(train.groups[1:], test.groups[0])}, r"is in the train and in the test part"),
    ]
    for changes, message in cases:
        with pytest.raises(DataError, match=message):
            check(broken(dataset, "train", **changes))
    values = test.values.copy()
    values[test.offsets[4] + 2, 7] = np.nan
    with pytest.raises(DataError, match=rf"test part: sample {test.ids[4]} holds .* not finite, band 7, date 2"):
        check(broken(dataset, "test", values=values))
    with pytest.raises(DataError, match="the data set has no valid part"):
        check(dataclasses.replace(dataset, parts={"train": train}))
