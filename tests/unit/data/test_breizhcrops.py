from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from harness.data.breizhcrops_layout import BANDS, read_classmapping
from harness.data.prepare import DataConfig, fingerprint, prepare
from harness.data.sources import source
from harness.data.sources.breizhcrops import ENVIRONMENT_VARIABLE, Options
from harness.errors import DataError

#: Columns of the original's HDF5 files, first release and since 2021, written out on purpose.
QUALITY = ["QA10", "QA20", "QA60", "doa"]
LEXICAL = ["B1", "B10", "B11", "B12", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", *QUALITY]
SPECTRAL = ["B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B10", "B11", "B12", *QUALITY]
L2A_LAST = ["B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B11", "B12", "CLD", "EDG", "SAT", "doa"]
L2A_FIRST = ["doa", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B11", "B12", "CLD", "EDG", "SAT"]

#: A telling digital number per band: 100 x its number, B8A 850; the cirrus band is dark.
NUMBER = {f"B{n}": 100.0 * n for n in range(1, 13)} | {"B8A": 850.0, "B10": 12.0, "doa": 1.4832288e18}

REGIONS = ("frh01", "frh02", "frh03", "frh04")


def parcel(columns: list[str], dates: int, identifier: int) -> np.ndarray:
    table = np.tile([NUMBER.get(name, 0.0) for name in columns], (dates, 1))
    for name in NUMBER:
        if name in columns and name not in ("doa", "B10"):
            table[:, columns.index(name)] += np.arange(dates) + identifier % 10
    return table


def write_layout(
    root: Path, columns: list[str] = LEXICAL, level: str = "L1C", dates: int = 60, nested: bool = True
) -> Path:
    """Per region four parcels: barley, wheat (its second code), one of no mapped class, one without dates."""
    folder = root / "2017" / level if nested else root
    folder.mkdir(parents=True, exist_ok=True)
    (root / "classmapping.csv").write_text(",id,classname,code\n0,0,barley,ORH\n1,1,wheat,BTH\n2,1,wheat,BTP\n")
    for number, region in enumerate(REGIONS, start=1):
        with h5py.File(folder / f"{region}.h5", "w") as database:
            lines = [",meanQA60,id,CODE_CULTU,path,idx,sequencelength"]
            for place, (code, length) in enumerate([("ORH", dates), ("BTP", dates), ("VRG", dates), ("ORH", 0)]):
                identifier = number * 10 + place
                path = f"2017/{level}/{region}/csv/{identifier}.csv"
                lines.append(f"{place},0.0,{identifier},{code},{path},{place},{length}")
                database.create_dataset(path, data=parcel(columns, length, identifier))
        (folder / f"{region}.csv").write_text("\n".join(lines) + "\n")
    return root


def read(root: Path, **options: object):
    found = source("breizhcrops")
    return found.read(found.options(root=str(root), **options), root, 0)


def values_of(series, sample: int) -> np.ndarray:
    return series.values[series.offsets[sample] : series.offsets[sample + 1]]


@pytest.mark.parametrize("columns", [LEXICAL, SPECTRAL], ids=["lexical", "spectral"])
def test_channels_are_in_the_originals_order_whatever_the_files(tmp_path, columns):
    dataset = read(write_layout(tmp_path, columns))
    names = [band.name for band in dataset.info.bands]
    assert names == ["B1", "B10", "B11", "B12", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9"]
    first = values_of(dataset.parts["test"], 0)[0]
    assert first.tolist() == [NUMBER[name] for name in names]
    assert dataset.dates == 45


@pytest.mark.parametrize("columns", [L2A_FIRST, L2A_LAST], ids=["date first", "date last"])
def test_level_2a_has_ten_bands_whatever_the_files(tmp_path, columns):
    dataset = read(write_layout(tmp_path, columns, level="L2A"), level="L2A")
    names = [band.name for band in dataset.info.bands]
    assert names == ["B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B11", "B12"]
    assert values_of(dataset.parts["test"], 0)[0].tolist() == [NUMBER[name] for name in names]


def test_reflectances_are_scaled_as_in_the_original(tmp_path):
    root = write_layout(tmp_path / "data")
    # Twenty copies of the test region's parcels make a test part large enough for a probe.
    folder = root / "2017" / "L1C"
    with h5py.File(folder / "frh04.h5", "w") as database:
        lines = [",CODE_CULTU,path,sequencelength"]
        for number in range(70):
            database.create_dataset(f"csv/{400 + number}.csv", data=parcel(LEXICAL, 45, 400))
            lines.append(f"{number},ORH,csv/{400 + number}.csv,45")
    (folder / "frh04.csv").write_text("\n".join(lines) + "\n")
    prepared = prepare(DataConfig(source="breizhcrops", options={"root": str(root)}), 0, 64, tmp_path / "out")
    assert prepared.normalisation.kind == "scale"
    x = prepared.part("test").x
    original = (parcel(LEXICAL, 45, 400)[:, :13] * 1e-4).astype(np.float32)
    # All 45 dates were drawn, in order; the original multiplies in double precision and rounds at the end too.
    assert np.array_equal(x[0], original.T)


def test_codes_merge_into_classes_and_unmapped_or_empty_parcels_are_left_out(tmp_path):
    dataset = read(write_layout(tmp_path))
    train = dataset.parts["train"]
    assert dataset.info.class_names == ("barley", "wheat")
    assert train.ids.tolist() == [10, 11, 20, 21]
    assert train.groups.tolist() == train.ids.tolist()
    assert train.labels.tolist() == [0, 1, 0, 1]
    assert train.regions.tolist() == ["frh01", "frh01", "frh02", "frh02"]
    assert set(dataset.parts["valid"].regions) == {"frh03"}
    assert set(dataset.parts["test"].regions) == {"frh04"}


def test_class_ids_may_have_gaps_and_any_order(tmp_path):
    path = tmp_path / "classmapping.csv"
    path.write_text(",id,classname,code\n0,7,wheat,BTH\n1,2,barley,ORH\n2,7,wheat,BTP\n")
    mapping = read_classmapping(path)
    assert mapping.names == ("barley", "wheat")
    assert mapping.classes == {"ORH": 0, "BTH": 1, "BTP": 1}


def test_the_flat_layout_of_the_first_releases_is_read(tmp_path):
    assert len(read(write_layout(tmp_path, nested=False)).parts["train"]) == 4


def test_a_parcel_of_two_regions_is_kept_in_the_test_part_alone(tmp_path):
    root = write_layout(tmp_path)
    index = root / "2017" / "L1C" / "frh01.csv"
    index.write_text(index.read_text().replace("0,0.0,10,ORH", "0,0.0,40,ORH"))
    dataset = read(root)
    assert 40 in dataset.parts["test"].ids
    assert 40 not in dataset.parts["train"].ids
    assert any("1 parcels of frh01 are left out of the train part" in note for note in dataset.info.notes)


def test_some_parcels_per_region_can_be_drawn(tmp_path):
    dataset = read(write_layout(tmp_path), parcels=1)
    assert len(dataset.parts["train"]) == 2
    assert any("1 of 2 parcels of frh01 were drawn" in note for note in dataset.info.notes)


def test_an_order_that_cannot_be_told_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setitem(NUMBER, "B10", 700.0)
    root = write_layout(tmp_path)
    with pytest.raises(DataError, match=r"frh04.h5: cannot tell the order of the bands.*option columns"):
        read(root)
    assert values_of(read(root, columns="lexical").parts["test"], 0)[0, 1] == 700.0


def region_file(root: Path, name: str) -> Path:
    return root / "2017" / "L1C" / name


def damaged(root: Path, table: np.ndarray | None, path: str = "2017/L1C/frh01/csv/11.csv") -> None:
    with h5py.File(region_file(root, "frh01.h5"), "a") as database:
        del database[path]
        if table is not None:
            database.create_dataset(path, data=table)


def test_a_truncated_hdf5_file_is_named(tmp_path):
    root = write_layout(tmp_path)
    path = region_file(root, "frh02.h5")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=r"frh02.h5: not a whole HDF5 file .*may be truncated"):
        read(root)


def test_a_missing_parcel_is_named(tmp_path):
    damaged(root := write_layout(tmp_path), None)
    with pytest.raises(DataError, match=r"frh01.h5:2017/L1C/frh01/csv/11.csv: the index names a parcel"):
        read(root)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_not_finite_is_named_with_file_parcel_band_and_date(tmp_path, value):
    table = parcel(LEXICAL, 60, 11)
    table[3, LEXICAL.index("B8A")] = value
    damaged(root := write_layout(tmp_path), table)
    with pytest.raises(
        DataError, match=r"frh01.h5:.*11.csv: parcel 11 holds a value that is not finite: band B8A, date 3"
    ):
        read(root)


def test_a_parcel_of_another_width_is_named(tmp_path):
    damaged(root := write_layout(tmp_path), np.ones((60, 14)))
    with pytest.raises(DataError, match=r"11.csv: the parcel has shape \(60, 14\), not \(date, 17\)"):
        read(root)


def test_a_row_of_the_index_that_is_cut_short_is_named_with_its_line(tmp_path):
    root = write_layout(tmp_path)
    index = region_file(root, "frh01.csv")
    index.write_text(index.read_text()[:70])
    with pytest.raises(DataError, match=r"frh01.csv:2: the row is cut short"):
        read(root)


@pytest.mark.parametrize("name", ["frh03.csv", "frh03.h5"])
def test_a_missing_file_is_named_with_where_to_get_it(tmp_path, name):
    root = write_layout(tmp_path)
    region_file(root, name).unlink()
    with pytest.raises(DataError, match=rf"{name}: .*harness data get breizhcrops"):
        read(root)


def test_without_a_folder_the_variable_and_the_command_are_named(monkeypatch):
    monkeypatch.delenv(ENVIRONMENT_VARIABLE, raising=False)
    with pytest.raises(DataError, match=rf"{ENVIRONMENT_VARIABLE}; see `harness data get breizhcrops`"):
        fingerprint(DataConfig(source="breizhcrops"))


def test_the_environment_variable_names_the_folder_and_changed_files_change_the_fingerprint(tmp_path, monkeypatch):
    root = write_layout(tmp_path)
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(root))
    config = DataConfig(source="breizhcrops")
    before = fingerprint(config)
    assert before == fingerprint(config)
    damaged(root, parcel(LEXICAL, 61, 11))
    assert fingerprint(config) != before


def test_options_that_contradict_each_other_are_refused():
    with pytest.raises(ValueError, match="columns of L2A are ordered date-last or date-first, not lexical"):
        Options(level="L2A", columns="lexical")
    with pytest.raises(ValueError, match="region frh04 is named twice"):
        Options(valid=("frh04",))
    assert BANDS["L1C"][1] == "B10"
