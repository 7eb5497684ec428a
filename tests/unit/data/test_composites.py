from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import h5py
import numpy as np
import pytest
from radar_files import RAIN, REFLECTIVITY, START, change, frame_path, write_frame

from harness.data.composites import read_composite
from harness.errors import DataError

COUNTS = np.arange(12, dtype=np.uint16).reshape(3, 4)


def test_a_frame_comes_back_as_it_was_written(tmp_path):
    counts = COUNTS.copy()
    counts[0, 0] = 65535
    found = read_composite(write_frame(tmp_path, 0, counts))
    assert found.counts.dtype == np.uint16
    assert np.array_equal(found.counts, counts)
    assert found.time == START
    assert found.calibration.quantity == "rain-rate"
    assert found.calibration.unit == "mm/h"
    assert found.calibration.gain == pytest.approx(0.12, rel=1e-12)
    assert not found.calibration.valid(counts)[0, 0]
    assert found.calibration.valid(counts).sum() == 11


def test_zero_of_a_reflectivity_is_no_echo_and_255_is_no_data(tmp_path):
    counts = np.array([[0, 1], [254, 255]], dtype=np.uint8)
    found = read_composite(write_frame(tmp_path, 0, counts, REFLECTIVITY))
    assert found.counts.dtype == np.uint8
    assert (found.calibration.gain, found.calibration.offset, found.calibration.unit) == (0.5, -32.0, "dBZ")
    assert found.calibration.missing_is_lowest
    assert found.calibration.valid(counts).tolist() == [[True, True], [True, False]]


def test_missing_and_out_of_image_may_be_two_counts(tmp_path):
    path = write_frame(tmp_path, 0, np.array([[65534, 65535, 3]], dtype=np.uint16))
    change(path, "image1/calibration", "calibration_missing_data", np.array([65534], dtype=np.int32))
    found = read_composite(path)
    assert found.calibration.valid(found.counts).tolist() == [[False, False, True]]


def test_an_accumulation_over_ten_minutes_is_half_the_rate(tmp_path):
    path = write_frame(tmp_path, 0, COUNTS)
    change(path, "overview", "product_datetime_start", np.bytes_("09-JUL-2024;11:50:00.000"))
    assert read_composite(path).calibration.gain == pytest.approx(0.06, rel=1e-12)


@pytest.mark.parametrize(
    ("place", "attribute", "value", "message"),
    [
        ("image1/calibration", "calibration_formulas", "GEO=PV", "'GEO=PV' is not of the form GEO=gain"),
        ("image1/calibration", "calibration_formulas", "GEO=-0.01*PV+0.0", "with a gain above 0"),
        ("image1/calibration", "calibration_formulas", "GEO=1e999*PV+0.0", "with a gain above 0"),
        ("image1/calibration", "calibration_flag", "N", "the counts are not calibrated"),
        ("image1/calibration", "calibration_missing_data", None, "lacks the attribute calibration_missing_data"),
        ("image1/calibration", "calibration_out_of_image", 1.5, "'1.5' is not a whole number"),
        ("image1", "image_geo_parameter", "TEMPERATURE_[C]", r"measures TEMPERATURE_\[C\]: neither"),
        ("overview", "product_datetime_end", "yesterday", "'yesterday' is not a time like"),
        ("overview", "product_datetime_end", "09-JUL-2024;12:05:00.000", "the file's name says 2024-07-09 12:00"),
        ("overview", "product_datetime_start", "09-JUL-2024;12:00:00.000", "an accumulation over no time"),
    ],
)
def test_what_a_file_states_wrongly_is_named_with_its_place(tmp_path, place, attribute, value, message):
    path = write_frame(tmp_path, 0, COUNTS)
    change(path, place, attribute, np.bytes_(value) if isinstance(value, str) else value)
    with pytest.raises(DataError, match=message) as caught:
        read_composite(path)
    assert str(path) in caught.value.line()
    assert "\n" not in caught.value.line()


def test_no_data_everywhere_is_refused(tmp_path):
    path = write_frame(tmp_path, 0, np.full((3, 4), 65535, dtype=np.uint16))
    with pytest.raises(DataError, match="every pixel is no-data"):
        read_composite(path)


@pytest.mark.parametrize("keep", [0, 7, 600, -40])
def test_a_file_cut_short_is_refused(tmp_path, keep):
    path = write_frame(tmp_path, 0, np.random.default_rng(0).integers(0, 999, (90, 80)).astype(np.uint16))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match="not a whole HDF5 file"):
        read_composite(path)


def test_damaged_counts_are_refused(tmp_path):
    path = write_frame(tmp_path, 0, np.random.default_rng(0).integers(0, 999, (90, 80)).astype(np.uint16))
    with h5py.File(path, "r") as file:
        at = file["image1/image_data"].id.get_chunk_info(0).byte_offset
    content = bytearray(path.read_bytes())
    content[at + 20 : at + 60] = bytes(40)
    path.write_bytes(content)
    with pytest.raises(DataError, match="not a whole HDF5 file"):
        read_composite(path)


@pytest.mark.parametrize("counts", [np.zeros((3, 4)), np.zeros(4, np.uint16), np.zeros((0, 4), np.uint16)])
def test_other_arrays_than_counts_are_refused(tmp_path, counts):
    path = write_frame(tmp_path, 0, COUNTS)
    with h5py.File(path, "r+") as file:
        del file["image1/image_data"]
        file["image1"]["image_data"] = counts
    with pytest.raises(DataError, match="not counts"):
        read_composite(path)


def test_a_file_without_an_image_or_a_time_in_its_name_is_refused(tmp_path):
    path = write_frame(tmp_path, 0, COUNTS)
    with h5py.File(path, "r+") as file:
        del file["image1"]
    with pytest.raises(DataError, match="holds nothing, not counts"):
        read_composite(path)
    renamed = write_frame(tmp_path, 1, COUNTS).rename(tmp_path / "latest.h5")
    with pytest.raises(DataError, match="no time in the file's name"):
        read_composite(renamed)
    with pytest.raises(DataError, match="the file does not exist"):
        read_composite(frame_path(tmp_path, 7))


@pytest.mark.skipif("HARNESS_DATA" not in os.environ, reason="HARNESS_DATA does not name a folder of real data")
def test_a_real_frame_is_read_with_its_calibration():
    path = Path(os.environ["HARNESS_DATA"]) / "knmi-radar" / "RAD_NL25_RAP_5min_201008260345.h5"
    if not path.is_file():
        pytest.skip(f"{path} does not exist")
    found = read_composite(path)
    assert found.time == datetime(2010, 8, 26, 3, 45, tzinfo=UTC)
    assert found.counts.shape == (765, 700)
    assert found.calibration.quantity == RAIN.quantity
    assert found.calibration.gain == pytest.approx(0.12)
    valid = found.calibration.valid(found.counts)
    assert valid.sum() == 765 * 700 - 398271
    assert found.counts[valid].max() == 128
