from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from harness.data.checks import check
from harness.data.prepare import DataConfig, fingerprint, options_of, prepare
from harness.data.sources import source
from harness.errors import DataError

COUNT, DATES, BANDS = 120, 5, ("NIR", "R")
CLASSES = ("wheat", "corn", "water")


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    random = np.random.default_rng(4)
    return {
        "x": random.uniform(0, 1, (COUNT, DATES, len(BANDS))),
        "y": np.arange(COUNT) % 3,
        "ids": 500 + random.permutation(COUNT),
        "groups": np.arange(COUNT) // 6,
        "regions": np.where(np.arange(COUNT) % 2, "north", "south"),
    }


def save(folder: Path, arrays: dict[str, np.ndarray], suffix: str = "") -> dict[str, object]:
    for name, array in arrays.items():
        np.save(folder / f"{name}{suffix}.npy", array)
    return {f"{name}{suffix}": f"{name}{suffix}.npy" for name in arrays}


def read(folder: Path, options: dict[str, object], seed: int = 0):
    found = source("npy")
    options = {"base": str(folder), "bands": BANDS, "class_names": CLASSES} | options
    return found.read(options_of(DataConfig(source="npy", options=options)), folder, seed)


@pytest.mark.parametrize("axes", [("sample", "time", "band"), ("sample", "band", "time"), ("time", "band", "sample")])
@pytest.mark.parametrize("order", ["C", "F"])
def test_every_sample_keeps_its_values_label_id_group_and_region(tmp_path, arrays, axes, order):
    places = [("sample", "time", "band").index(axis) for axis in axes]
    stored = arrays | {"x": np.asarray(arrays["x"].transpose(places), order=order)}
    dataset = read(tmp_path, save(tmp_path, stored) | {"axes": axes})
    check(dataset)
    assert dataset.dates == DATES
    assert sum(len(part) for part in dataset.parts.values()) == COUNT
    for part in dataset.parts.values():
        for sample, identifier in enumerate(part.ids):
            row = np.flatnonzero(arrays["ids"] == identifier)[0]
            values = part.values[part.offsets[sample] : part.offsets[sample + 1]]
            assert np.array_equal(values, arrays["x"][row].astype(np.float32))
            assert part.labels[sample] == arrays["y"][row]
            assert part.groups[sample] == arrays["groups"][row]
            assert part.regions[sample] == arrays["regions"][row]


def test_fractions_are_of_whole_groups(tmp_path, arrays):
    dataset = read(tmp_path, save(tmp_path, arrays) | {"test_fraction": 0.2, "valid_fraction": 0.3})
    assert {name: len(part) for name, part in dataset.parts.items()} == {"train": 60, "valid": 36, "test": 24}
    check(dataset)


def test_without_ids_and_groups_rows_are_counted_and_the_reader_is_told(tmp_path, arrays):
    dataset = read(tmp_path, save(tmp_path, {"x": arrays["x"], "y": arrays["y"]}))
    assert sorted(np.concatenate([part.ids for part in dataset.parts.values()]).tolist()) == list(range(COUNT))
    notes = " ".join(dataset.info.notes)
    assert "No ids were given" in notes
    assert "No groups were given" in notes
    assert set(dataset.parts["train"].regions.tolist()) == {"x"}


def test_a_test_part_of_its_own(tmp_path, arrays):
    options = save(tmp_path, arrays)
    test = {name: array[:9] for name, array in arrays.items()} | {"groups": np.arange(9) + 900}
    options |= save(tmp_path, test, "_test")
    dataset = read(tmp_path, options | {"valid_fraction": 0.2})
    check(dataset)
    assert np.array_equal(dataset.parts["test"].values, arrays["x"][:9].reshape(-1, 2).astype(np.float32))
    assert len(dataset.parts["train"]) + len(dataset.parts["valid"]) == COUNT
    np.save(tmp_path / "groups_test.npy", np.arange(9))
    with pytest.raises(DataError, match=r"group 0 .* is in the (train|valid) and in the test part"):
        check(read(tmp_path, options))
    np.save(tmp_path / "x_test.npy", test["x"][:, :4])
    with pytest.raises(DataError, match=r"x_test.npy: 4 dates, but 5 in"):
        read(tmp_path, options)


def test_nodata_may_be_tested_and_not_trained_on(tmp_path, arrays):
    some = {"x": arrays["x"], "y": arrays["y"]}
    options = save(tmp_path, some)
    tested = {name: array[:90].copy() for name, array in some.items()}
    tested["x"][7, 3, 1] = np.nan
    options |= save(tmp_path, tested, "_test")
    with pytest.raises(DataError, match=r"sample 7 holds nan.*the option nan: allow takes them for testing"):
        read(tmp_path, options)
    named = {"base": str(tmp_path), "bands": BANDS, "class_names": CLASSES, "nan": "allow"}
    data = prepare(DataConfig(source="npy", options=options | named), 1, 64, tmp_path / "data")
    assert data.info.allow_nan
    assert np.isnan(data.part("test").x).sum() == 1
    tested["x"][8, 0, 0] = 1e39
    np.save(tmp_path / "x_test.npy", tested["x"])
    with pytest.raises(DataError, match=r"sample 8 holds 1e\+39, which is not finite in float32"):
        read(tmp_path, options | {"nan": "allow"})
    some["x"][3] = np.nan
    np.save(tmp_path / "x.npy", some["x"])
    with pytest.raises(DataError, match="sample 3 holds nan"):
        read(tmp_path, options | {"nan": "allow"})


def test_without_groups_a_test_part_shares_none(tmp_path, arrays):
    some = {"x": arrays["x"], "y": arrays["y"]}
    check(read(tmp_path, save(tmp_path, some) | save(tmp_path, some, "_test")))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"x": np.full((COUNT, DATES, 2), np.nan)},
            r"sample 0 holds nan, which is not .*: band NIR, date 0; fill gaps",
        ),
        ({"x": np.full((COUNT, DATES, 2), 1e39)}, r"holds 1e\+39, which is not finite in float32"),
        ({"x": np.zeros((COUNT, DATES, 3))}, r"axis band has 3 entries, but 2 bands are named; .*by the option axes"),
        ({"x": np.zeros((COUNT, DATES))}, r"x.npy: shape \(120, 5\), not 3 axes"),
        ({"x": np.zeros((0, DATES, 2)), "y": np.zeros(0, int)}, r"x.npy: there is no sample"),
        ({"x": np.zeros((COUNT, DATES, 2), complex)}, "dtype complex128, not numbers"),
        ({"x": np.zeros((COUNT, DATES, 2), [("a", "f4")])}, "dtype .*, not numbers"),
        ({"y": np.arange(COUNT)}, r"y.npy: sample 3 has label 3, but 3 classes are named, counted from 0"),
        ({"y": np.arange(COUNT) % 3 - 1}, "sample 0 has label -1"),
        ({"y": np.zeros(COUNT)}, "y.npy: dtype float64, not whole numbers"),
        ({"y": np.zeros(7, int)}, r"y.npy: 7 entries, but .*x.npy has 120 samples"),
        ({"ids": np.arange(COUNT) // 2}, "ids.npy: id 0 occurs 2 times"),
        ({"ids": np.full(COUNT, 2**64 - 1, np.uint64)}, "18446744073709551615 does not fit into int64"),
        ({"regions": np.zeros(COUNT)}, "regions.npy: dtype float64, not text"),
        ({"groups": np.zeros(COUNT, int)}, "no sample is left for the valid part"),
    ],
)
def test_bad_arrays_are_named(tmp_path, arrays, change, message):
    with pytest.raises(DataError, match=message):
        read(tmp_path, save(tmp_path, arrays | change))


def test_one_nan_is_found_with_sample_band_and_date(tmp_path, arrays):
    arrays["x"][77, 3, 1] = np.nan
    with pytest.raises(DataError, match="sample 77 holds nan, which is not finite in float32: band R, date 3"):
        read(tmp_path, save(tmp_path, arrays))


class Hostile:
    def __reduce__(self):
        return (os.mkdir, ("pwned",))


def test_nothing_is_unpickled(tmp_path, arrays, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = save(tmp_path, arrays)
    np.save(tmp_path / "y.npy", np.array([Hostile()] * COUNT, dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"y.npy: holds Python objects, which are never loaded"):
        read(tmp_path, options)
    (tmp_path / "y.npy").write_bytes(pickle.dumps(Hostile()))
    with pytest.raises(DataError, match=r"y.npy: not a .npy file"):
        read(tmp_path, options)
    assert not (tmp_path / "pwned").exists()


def test_files_that_are_not_whole_are_named(tmp_path, arrays):
    options = save(tmp_path, arrays)
    path = tmp_path / "x.npy"
    whole = path.read_bytes()
    for size in (7, 40, 128, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(DataError, match=r"x.npy: not a whole .npy file"):
            read(tmp_path, options)
    # A header that claims terabytes.
    path.write_bytes(whole.replace(b"(120, 5, 2)", b"(9999999999, 5, 2)".ljust(11))[:200])
    with pytest.raises(DataError, match=r"x.npy: not a whole .npy file"):
        read(tmp_path, options)
    np.savez(tmp_path / "x.npz", arrays["x"])
    with pytest.raises(DataError, match=r"not a .npy file; save each array alone"):
        read(tmp_path, options | {"x": "x.npz"})
    path.unlink()
    with pytest.raises(DataError, match=r"x.npy: the file does not exist"):
        read(tmp_path, options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bands": ("a", "a")}, "a band is named twice"),
        ({"class_names": ("a", "a")}, "a class is named twice"),
        ({"axes": ("sample", "time", "time")}, "sample, time and band once each"),
        ({"x_test": "x.npy"}, "x_test and y_test belong together"),
        ({"ids_test": "ids.npy"}, "ids_test is given, but x_test is not"),
        ({"x_test": "x.npy", "y_test": "y.npy"}, "groups and groups_test belong together"),
        ({"test_fraction": 0.5, "valid_fraction": 0.5}, "leave nothing for training"),
        ({"days_of_year": (1, 2)}, "2 days for 5 dates"),
    ],
)
def test_options_that_contradict_are_refused(tmp_path, arrays, change, message):
    with pytest.raises(DataError, match=message):
        read(tmp_path, save(tmp_path, arrays) | change)


def test_classes_without_a_training_sample_are_told(tmp_path, arrays):
    dataset = read(tmp_path, save(tmp_path, arrays) | {"class_names": (*CLASSES, "urban")})
    assert any("No training sample is of class urban." in note for note in dataset.info.notes)


def test_prepared_with_the_users_factor(tmp_path, arrays):
    options = save(tmp_path, arrays) | {"base": str(tmp_path), "bands": BANDS, "class_names": CLASSES}
    options |= {"factor": 2.0, "test_fraction": 0.6}
    data = prepare(DataConfig(source="npy", options=options), 1, 64, tmp_path / "data")
    test = data.part("test")
    row = np.flatnonzero(arrays["ids"] == test.ids[0])[0]
    assert np.array_equal(test.x[0], 2 * arrays["x"][row].T.astype(np.float32))


def test_the_fingerprint_follows_every_file(tmp_path, arrays):
    options = save(tmp_path, arrays) | {"base": str(tmp_path), "bands": BANDS, "class_names": CLASSES}
    config = DataConfig(source="npy", options=options)
    seen = {fingerprint(config)}
    for name in arrays:
        save(tmp_path, {name: arrays[name][::-1]})
        seen.add(fingerprint(config))
    assert len(seen) == 6
