from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from small_crops import physical, write_csv

from harness.data.locate import ENVIRONMENT_VARIABLE
from harness.data.prepare import DataConfig, fingerprint, prepare
from harness.data.sources import source
from harness.data.sources.sits_csv import FORMOSAT2_CLASSES
from harness.errors import DataError


def read(options: dict, seed: int = 0):
    found = source("sits-csv")
    return found.read(found.options(**options), Path(), seed)


def test_a_row_is_dates_of_bands(tmp_path):
    rows = [(4, 7, [1, 10, 2, 20, 3, 30]), (9, 8, [4, 40, 5, 50, 6, 60]), (4, 9, [7, 70, 8, 80, 9, 90])]
    write_csv(tmp_path / "train.csv", rows)
    write_csv(tmp_path / "test.csv", [(9, 1, [1, 2, 3, 4, 5, 6])])
    dataset = read({"train": str(tmp_path / "train.csv"), "test": str(tmp_path / "test.csv"), "bands": ["NIR", "R"]})
    assert dataset.dates == 3
    assert dataset.info.class_names == ("class 4", "class 9")
    assert dataset.normalisation == "percentile"
    both = {part: dataset.parts[part] for part in ("train", "valid")}
    assert sorted(np.concatenate([series.ids for series in both.values()]).tolist()) == [1, 2, 3]
    for series in both.values():
        for sample, identifier in enumerate(series.ids):
            label, polygon, values = rows[identifier - 1]
            assert dataset.info.class_names[series.labels[sample]] == f"class {label}"
            assert series.groups[sample] == polygon
            found = series.values[series.offsets[sample] : series.offsets[sample + 1]]
            assert found.tolist() == np.reshape(values, (3, 2)).tolist()
    assert dataset.parts["test"].regions.tolist() == ["test"]


def test_a_polygon_in_both_files_is_refused(csv_files, tmp_path):
    options = csv_files()
    with (tmp_path / "test.csv").open("a") as file:
        file.write("0,5,1,2,3,4,5,6,7,8\n")
    with pytest.raises(DataError, match=r"test.csv: polygon 5 is also in .*train.csv \(1 shared in all\)"):
        read(options)


def appended(tmp_path: Path, line: str) -> None:
    with (tmp_path / "train.csv").open("a") as file:
        file.write(line + "\n")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1,50,1,2,3", r"train.csv:73: 5 columns, but 10 in the lines before; the file may be truncated"),
        ("1,50,1,2,3,4,5,6,7,8,9", r"train.csv:73: 11 columns, but 10"),
        ("1,50,1,2,3,4,x,6,7,8", r"train.csv:73: column 7, 'x', is not a number"),
        ("1,50,1,2,3,4,,6,7,8", r"train.csv:73: column 7, '', is not a number"),
        ("1,50,1,2,3,4,nan,6,7,8", r"train.csv:73: nan is not a finite value: date 3, band 1"),
        ("1,50,1,2,3,inf,5,6,7,8", r"train.csv:73: inf is not a finite value: date 2, band 2"),
        ("1.5,50,1,2,3,4,5,6,7,8", r"train.csv:73: class 1.5 is not a whole number"),
        ("1,nan,1,2,3,4,5,6,7,8", r"train.csv:73: polygon nan is not a whole number"),
        ("\n1,50,1,2,3,4,5,6,nan,8", r"train.csv:74: nan is not a finite value: date 4, band 1"),
    ],
)
def test_a_bad_row_is_named_with_file_and_line(csv_files, tmp_path, line, message):
    options = csv_files()
    appended(tmp_path, line)
    with pytest.raises(DataError, match=message):
        read(options)


def test_a_header_is_refused(csv_files, tmp_path):
    options = csv_files()
    path = tmp_path / "train.csv"
    path.write_text("class,polygon,a,b,c,d,e,f,g,h\n" + path.read_text())
    with pytest.raises(DataError, match=r"train.csv:1: column 1, 'class', is not a number; the format has no header"):
        read(options)


def test_other_bad_files_are_named(csv_files, tmp_path):
    with pytest.raises(DataError, match=r"train.csv:1: 10 columns are not class, polygon and 3 bands per date"):
        read(csv_files(bands=["a", "b", "c"]))
    with pytest.raises(DataError, match=r"class 1 has no name; name it in the option classes"):
        read(csv_files(classes={0: "wheat"}))
    with pytest.raises(DataError, match=r"3 days for 4 dates"):
        read(csv_files(days_of_year=[1, 2, 3]))
    options = csv_files()
    (tmp_path / "test.csv").write_text("")
    with pytest.raises(DataError, match=r"test.csv: the file is empty"):
        read(options)
    (tmp_path / "test.csv").write_text("0,900,1,2\n")
    with pytest.raises(DataError, match=r"test.csv: 1 dates, but 4"):
        read(options)
    (tmp_path / "test.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"test.csv: not a text file"):
        read(options)


def test_files_are_looked_for_below_base_then_the_variable_then_here(csv_files, tmp_path, monkeypatch):
    options = csv_files()
    del options["base"]
    monkeypatch.delenv(ENVIRONMENT_VARIABLE, raising=False)
    with pytest.raises(DataError, match=rf"train.csv: the file does not exist; set .*{ENVIRONMENT_VARIABLE}"):
        read(options)
    monkeypatch.chdir(tmp_path)
    assert len(read(options).parts["test"]) == 72
    monkeypatch.chdir("/")
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(tmp_path))
    assert len(read(options).parts["test"]) == 72
    with pytest.raises(DataError, match="elsewhere"):
        read(options | {"base": "/elsewhere"})


def test_names_and_descriptions_are_the_users_or_none(csv_files):
    classes = {0: "wheat", 1: "corn", 2: "water", 3: "nothing of it"}
    dataset = read(
        csv_files(classes=classes, unit="reflectance", citation="Doe (2020)", days_of_year=[1, 90, 180, 270])
    )
    assert dataset.info.class_names == tuple(classes.values())
    assert dataset.info.bands[1].name == "R"
    assert dataset.info.bands[1].unit == "reflectance"
    assert dataset.info.citation == "Doe (2020)"
    assert dataset.extras == {"days_of_year": [1, 90, 180, 270]}
    plain = read(csv_files()).info
    assert plain.doi is None
    assert plain.citation == plain.licence == "not stated"


def test_the_fingerprint_follows_the_content(csv_files, tmp_path):
    config = DataConfig(source="sits-csv", options=csv_files())
    before = fingerprint(config)
    os.utime(tmp_path / "train.csv", (1, 1))
    assert fingerprint(config) == before
    appended(tmp_path, "1,50,1,2,3,4,5,6,7,8")
    assert fingerprint(config) != before


@pytest.mark.skipif(ENVIRONMENT_VARIABLE not in os.environ, reason=f"{ENVIRONMENT_VARIABLE} is not set: no real data")
def test_the_real_formosat2_sample(tmp_path):
    folder = Path(os.environ[ENVIRONMENT_VARIABLE]) / "sits-formosat2"
    if not folder.is_dir():
        pytest.skip(f"{folder} does not exist: no real data")
    options = {"train": "sits-formosat2/train_dataset.csv", "test": "sits-formosat2/test_dataset.csv"}
    data = prepare(DataConfig(source="sits-csv", options=options), 20190306, 128, tmp_path)
    assert data.dates == 149
    assert [band.name for band in data.info.bands] == ["NIR", "R", "G"]
    assert data.info.class_names == FORMOSAT2_CLASSES
    assert data.info.doi == "10.3390/rs11050523"
    assert not data.info.synthetic
    train, valid, test = (data.part(part) for part in ("train", "valid", "test"))
    assert test.x.shape == (260, 3, 149)
    assert len(train) + len(valid) == 260
    assert set(data.counts["test"].values()) == {20}
    groups = [set(part.groups.tolist()) for part in (train, valid, test)]
    assert not groups[0] & groups[1]
    assert not (groups[0] | groups[1]) & groups[2]
    assert len(groups[2]) == 142
    # First row of the test file, first date: 247, 63, 68.
    first = physical(data, test.x[:1])
    assert first[0, 0] == pytest.approx([247, 63, 68], rel=1e-6)
    # 2 and 98 of 100 training values lie in [0, 1].
    inside = ((train.x >= 0) & (train.x <= 1)).mean(axis=(0, 2))
    assert inside == pytest.approx([0.96] * 3, abs=0.002)
    # The legend holds: water is dark in the near infrared, conifers stay green, soy is green later than wheat.
    values = physical(data, np.concatenate([train.x, valid.x]))
    labels = np.concatenate([train.y, valid.y])
    greenness = (values[..., 0] - values[..., 1]) / (values[..., 0] + values[..., 1])
    mean = {name: greenness[labels == number].mean(axis=0) for number, name in enumerate(data.info.class_names)}
    assert min(mean, key=lambda name: mean[name].mean()) == "water"
    assert mean["conifer"].min() > 0.5
    assert mean["soy"].argmax() > mean["wheat"].argmax() + 20
