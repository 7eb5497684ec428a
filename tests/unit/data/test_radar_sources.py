from __future__ import annotations

import functools
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from radar_files import REFLECTIVITY, change, frame_path, write_frame, write_frames

from harness.data.composites import read_composite
from harness.data.dataset import PARTS
from harness.data.files import get
from harness.data.frames import SequenceOptions, split_by_time
from harness.data.prepare import DataConfig, fingerprint
from harness.data.rain_cells import simulate
from harness.data.sources import source, synthetic_radar
from harness.errors import DataError

SHORT = {"history": 2, "horizon": 3, "separation": 2, "stride": 1}
SMALL = {"frames": 60, "rows": 16, "columns": 12, **SHORT}


def read(folder: Path, **options):
    found = source("knmi-radar")
    return found.read(found.options(root=str(folder), **{"size": None, **SHORT, **options}), folder, 0)


@pytest.fixture
def folder(tmp_path) -> Path:
    write_frames(tmp_path, 40)
    return tmp_path


def test_values_are_physical_and_no_data_is_marked(folder):
    dataset = read(folder)
    train = dataset.parts["train"]
    counts = read_composite(frame_path(folder, 0)).counts
    assert dataset.info.bands[0].unit == "mm/h"
    assert not dataset.info.class_names
    assert np.array_equal(train.valid[0], counts != 65535)
    assert np.allclose(train.values[0], np.where(counts != 65535, 0.12 * counts, 0), rtol=1e-7)
    assert (dataset.bottom, dataset.top, dataset.thresholds) == (0, 100, (0.5, 2, 5))
    assert "5.0% of the pixels are no-data" in dataset.info.notes[-1]


def test_reflectivities_divided_by_255_are_what_the_scale_gives(tmp_path):
    for index in range(40):
        counts = (np.arange(256).reshape(16, 16) + index) % 256
        write_frame(tmp_path, index, counts.astype(np.uint8), REFLECTIVITY)
    dataset = read(tmp_path)
    train = dataset.parts["train"]
    assert (dataset.bottom, dataset.top) == (-32, 95.5)
    assert dataset.info.bands[0].unit == "dBZ"
    scaled = (train.values.astype(np.float64) - dataset.bottom) / (dataset.top - dataset.bottom)
    expected = np.arange(255, dtype=np.float64) / 255
    assert np.array_equal(scaled[0].reshape(-1)[:255].astype(np.float32), expected.astype(np.float32))
    assert train.valid[0].reshape(-1).tolist() == [True] * 255 + [False]
    assert any("no echo" in note for note in dataset.info.notes)


def test_parts_follow_one_another_in_time_and_share_no_frame(folder):
    parts = read(folder).parts
    assert [len(parts[part].values) for part in PARTS] == [22, 6, 8]
    for before, after in (("train", "valid"), ("valid", "test")):
        # Two frames are left out between.
        assert parts[after].times[0] - parts[before].times[-1] == 3 * 300
    for part in PARTS:
        held = parts[part]
        assert held.starts.tolist() == list(range(len(held.values) - 4))
        assert (np.diff(held.times) == 300).all()
    assert read(folder, stride=None).parts["train"].starts.tolist() == [0, 5, 10, 15]


def test_a_missing_frame_is_refused_and_named(folder):
    frame_path(folder, 7).unlink()
    frame_path(folder, 20).unlink()
    frame_path(folder, 21).unlink()
    with pytest.raises(
        DataError,
        match=r"3 of 40 frames are missing: 2024-07-09 12:35, 2024-07-09 13:40 to 2024-07-09 13:45 \(UTC\); fetch them, or",
    ):
        read(folder)


def test_gaps_that_are_allowed_are_noted_and_no_sequence_spans_them(folder):
    for index in (7, 20, 21):
        frame_path(folder, index).unlink()
    dataset = read(folder, gaps="split")
    assert any("3 frames are missing" in note for note in dataset.info.notes)
    train = dataset.parts["train"]
    for start in train.starts:
        assert (np.diff(train.times[start : start + 5]) == 300).all()
    assert len(train.starts) < len(train.values) - 4


def test_gaps_everywhere_leave_nothing(folder):
    for index in range(3, 40, 4):
        frame_path(folder, index).unlink()
    with pytest.raises(DataError, match="the train part has no 5 frames in a row"):
        read(folder, gaps="split", separation=0)


def test_frames_of_another_size_type_or_calibration_are_refused(folder):
    write_frame(folder, 9, np.ones((12, 11), np.uint16))
    with pytest.raises(
        DataError, match=r"has 12 x 11 pixels of uint16, RAD_NL25_RAP_5min_202407091200\.h5 has 12 x 10"
    ):
        read(folder)
    write_frame(folder, 9, np.ones((12, 10), np.uint8))
    with pytest.raises(DataError, match="pixels of uint8"):
        read(folder)
    write_frame(folder, 9, np.ones((12, 10), np.uint16))
    change(frame_path(folder, 9), "image1/calibration", "calibration_formulas", np.bytes_("GEO=0.1*PV+0.0"))
    with pytest.raises(DataError, match=r"is calibrated as 1\.2 x count .* as 0\.12 x count"):
        read(folder)


def test_one_frame_without_data_is_refused(folder):
    write_frame(folder, 9, np.full((12, 10), 65535, np.uint16))
    with pytest.raises(DataError, match=r"202407091245.h5:image1/image_data: every pixel is no-data"):
        read(folder)


def test_a_corrupt_frame_is_refused(folder):
    frame_path(folder, 9).write_bytes(frame_path(folder, 9).read_bytes()[:300])
    with pytest.raises(DataError, match=r"202407091245.h5: not a whole HDF5 file"):
        read(folder)


def test_times_off_the_rhythm_and_twice_are_refused(folder):
    shutil.copy(frame_path(folder, 3), folder / "RAD_NL25_RAP_5min_202407091213.h5")
    with pytest.raises(DataError, match=r"lies 3 minutes after RAD_NL25_RAP_5min_202407091210\.h5, no multiple of 5"):
        read(folder)
    (folder / "RAD_NL25_RAP_5min_202407091213.h5").rename(folder / "RAD_NL25_RAP_5min_202407091215.hf5")
    with pytest.raises(DataError, match="two files are of 2024-07-09 12:15"):
        read(folder)


def test_products_do_not_mix(folder):
    write_frame(folder, 0, np.ones((12, 10), np.uint8), REFLECTIVITY)
    with pytest.raises(DataError, match="files of several products: RAD_NL25_PCP_NA, RAD_NL25_RAP_5min; name one"):
        read(folder)
    assert read(folder, product="RAD_NL25_RAP_5min").info.bands[0].unit == "mm/h"
    with pytest.raises(DataError, match=r"holds no file RAD_NL25_RAC_RT_YYYYMMDDHHMM\.h5; there are files of"):
        read(folder, product="RAD_NL25_RAC_RT")


def test_an_empty_or_unknown_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"holds no \.h5 file"):
        read(tmp_path)
    with pytest.raises(DataError, match="the folder does not exist"):
        read(tmp_path / "nowhere")


def test_too_few_frames_say_how_many_a_part_has(folder):
    with pytest.raises(DataError, match="40 frames are too few: the train part has 0, a sequence 36"):
        read(folder, history=18, horizon=18, separation=24)


def test_rates_above_the_top_are_cut_off_and_counted(folder):
    dataset = read(folder, top=20.0)
    assert max(part.values.max() for part in dataset.parts.values()) == 20
    assert any("were cut off" in note for note in dataset.info.notes)
    with pytest.raises(DataError, match=r"no threshold of \[30\.0\] may lie outside of 0 to 20"):
        read(folder, top=20.0, thresholds=[30.0])
    with pytest.raises(DataError, match="bottom 200 does not lie below top 100"):
        read(folder, bottom=200.0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"valid": 0.6, "test": 0.5},
        {"size": (0, 4)},
        {"thresholds": (5.0, 2.0)},
        {"bottom": 5.0, "top": 5.0},
        {"history": 0},
        {"gaps": "ignore"},
        {"colour": 3},
    ],
)
def test_options_that_contradict_themselves_are_refused(wrong):
    with pytest.raises(ValidationError):
        SequenceOptions(**wrong)


@pytest.mark.parametrize("total", [48, 60, 97, 480])
@pytest.mark.parametrize(("valid", "test", "separation"), [(0.2, 0.2, 0), (0.15, 0.3, 3), (0.3, 0.3, 1)])
def test_the_split_covers_each_frame_once_at_most(total, valid, test, separation):
    options = SequenceOptions(history=2, horizon=2, valid=valid, test=test, separation=separation)
    places = split_by_time(total, options, "here")
    taken = np.zeros(total, dtype=int)
    for place in places.values():
        taken[place] += 1
    assert taken.max() == 1
    assert (taken == 0).sum() == 2 * separation
    assert places["train"].stop <= places["valid"].start < places["valid"].stop <= places["test"].start


def test_a_changed_file_changes_the_fingerprint(folder):
    config = DataConfig(source="knmi-radar", options={"root": str(folder), **SHORT})
    before = fingerprint(config)
    assert fingerprint(config) == before
    write_frame(folder, 5, np.ones((12, 10), np.uint16))
    assert fingerprint(config) != before


def test_synthetic_radar_is_labelled_and_goes_through_the_same_files(tmp_path):
    embedded = source("synthetic-radar")
    made = embedded.read(embedded.options(**SMALL), tmp_path, 5)
    assert made.info.synthetic
    assert "synthetic" in made.info.title.lower()
    assert "synthetic" in made.info.notes[0]
    real = read(tmp_path, top=50.0)
    for part in PARTS:
        assert np.array_equal(made.parts[part].values, real.parts[part].values)
        assert np.array_equal(made.parts[part].valid, real.parts[part].valid)
        assert np.array_equal(made.parts[part].starts, real.parts[part].starts)
    assert made.parts["train"].values.max() > 2
    assert 0.5 < made.parts["train"].valid.mean() < 1


def test_synthetic_radar_follows_its_seed(tmp_path):
    embedded = source("synthetic-radar")
    found = [
        embedded.read(embedded.options(**SMALL), tmp_path / str(index), seed).parts["train"].values
        for index, seed in enumerate((5, 5, 6))
    ]
    assert np.array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])


def test_synthetic_rain_moves_and_changes():
    rates = simulate(np.random.Generator(np.random.Philox(2)), 40, 32, 32, 5.0)
    assert rates.shape == (40, 32, 32)
    assert rates.min() >= 0
    wet = rates.mean(axis=(1, 2))
    assert wet.std() > 0.01 * wet.mean()
    # The next frame is near, one an hour later is not: otherwise there would be nothing to forecast.
    near = np.corrcoef(rates[10].ravel(), rates[11].ravel())[0, 1]
    far = np.corrcoef(rates[10].ravel(), rates[22].ravel())[0, 1]
    assert near > 0.9 > far


def test_its_files_are_written_on_demand(tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic_radar, "Options", functools.partial(synthetic_radar.Options, frames=8))
    files = get("synthetic-radar", tmp_path / "out", 1)
    assert files[0].name == "RAD_NL25_RAP_5min_202001010005.h5"
    assert len(files) == 8
    assert read_composite(files[0]).calibration == read_composite(files[7]).calibration


@pytest.mark.skipif("HARNESS_DATA" not in os.environ, reason="HARNESS_DATA does not name a folder of real data")
def test_real_radar_becomes_sequences():
    if not (Path(os.environ["HARNESS_DATA"]) / "knmi-radar").is_dir():
        pytest.skip("HARNESS_DATA holds no knmi-radar")
    found = source("knmi-radar")
    options = found.options(size=(48, 44), history=6, horizon=6, stride=1, separation=3)
    dataset = found.read(options, Path(), 0)
    assert {part: len(frames) for part, frames in dataset.parts.items()} == {"train": 42, "valid": 4, "test": 7}
    assert dataset.resampling["from"] == [765, 700]
    assert not dataset.info.synthetic
    assert 0 < dataset.parts["test"].values.max() < 16
