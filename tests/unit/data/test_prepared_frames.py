from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
from radar_files import REFLECTIVITY, write_frame

from harness.data.dataset import PARTS
from harness.data.open_prepared import open_prepared
from harness.data.prepare import DataConfig, prepare
from harness.data.prepare_frames import check_frames
from harness.data.prepared import PROBE_FILE, PROBE_LABELS_FILE, read_tensors
from harness.data.prepared_frames import PreparedFrames
from harness.data.sequences import inputs_of, targets_of
from harness.data.sources import source
from harness.errors import DataError
from harness.tasks.forecast_frames import Forecast

OPTIONS = {"frames": 60, "rows": 10, "columns": 8, "history": 2, "horizon": 3, "separation": 2, "stride": 1}
CONFIG = DataConfig(source="synthetic-radar", options=OPTIONS)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> PreparedFrames:
    prepared = prepare(CONFIG, 5, 8, tmp_path_factory.mktemp("frames"))
    assert isinstance(prepared, PreparedFrames)
    return prepared


def test_the_record_says_what_is_forecast(data):
    assert json.loads((data.folder / "dataset.json").read_text())["forecast"] == {
        **{"history": 2, "horizon": 3, "rows": 10, "columns": 8, "interval": 300, "unit": "mm/h"},
        **{"bottom": 0.0, "top": 50.0, "thresholds": [0.5, 2.0, 5.0]},
        "resampling": {"from": [10, 8], "to": [10, 8], "resampler": "none", "rounding": "none", "coverage": 0.5},
    }
    assert data.sizes == {"bands": 1, "history": 2, "horizon": 3, "rows": 10, "columns": 8}
    assert data.counts == {"train": {"sequences": 30}, "valid": {"sequences": 6}, "test": {"sequences": 8}}
    assert data.forecast.scaled_thresholds == tuple(float(np.float32(value)) for value in (0.01, 0.04, 0.1))
    assert data.forecast.threshold_names == ("0.5 mm/h", "2 mm/h", "5 mm/h")
    assert data.info.class_names == ()
    assert open_prepared(data.folder) == data


def test_parts_hold_scaled_frames_and_where_they_were_measured(data, tmp_path):
    embedded = source("synthetic-radar")
    read = embedded.read(embedded.options(**OPTIONS), tmp_path, 5)
    for part in PARTS:
        held, raw = data.part(part), read.parts[part]
        assert held.frames.dtype == np.float32
        assert 0 <= held.frames.min() <= held.frames.max() <= 1
        assert np.allclose(data.forecast.physical(held.frames)[held.valid], raw.values[held.valid], atol=1e-5)
        assert (held.frames[~held.valid] == 0).all()
        assert np.array_equal(held.valid, raw.valid)
        assert np.array_equal(held.ids, held.times[held.starts + 1])


def test_the_probe_is_part_of_the_test_part_and_hashed_as_documented(data):
    test, x = data.part("test"), read_tensors(data.folder / PROBE_FILE)["x"]
    assert x.shape == (8, 1, 2, 10, 8)
    assert data.probe.sha256 == hashlib.sha256(x.astype("<f4").tobytes()).hexdigest()
    starts = test.starts[list(data.probe.indices)]
    assert np.array_equal(x, inputs_of(test.frames, starts, 2))
    truth = read_tensors(data.folder / PROBE_LABELS_FILE)
    y, mask, ids = truth["y"], truth["mask"], truth["ids"]
    assert y.shape == mask.shape == (8, 1, 3, 10, 8)
    assert np.array_equal(y[4, 0], test.frames[starts[4] + 2 : starts[4] + 5])
    assert np.array_equal(mask[4, 0], test.valid[starts[4] + 2 : starts[4] + 5])
    assert np.array_equal(ids, test.ids[list(data.probe.indices)])


def test_what_is_forecast_follows_what_is_seen():
    frames = np.arange(7, dtype=np.float32)[:, None, None] * np.ones((1, 2, 2), np.float32)
    valid = frames != 4
    x = inputs_of(frames, [0, 2], 2)
    y, mask = targets_of(frames, valid, [0, 2], 2, 3)
    assert x[:, 0, :, 0, 0].tolist() == [[0, 1], [2, 3]]
    assert y[:, 0, :, 0, 0].tolist() == [[2, 3, 4], [4, 5, 6]]
    assert mask[:, 0, :, 0, 0].tolist() == [[True, True, False], [False, True, True]]


def test_no_data_is_0_to_the_model_though_0_is_no_lowest_reflectivity(tmp_path):
    for index in range(60):
        counts = np.full((6, 6), 200, dtype=np.uint8)
        counts[0] = 255
        write_frame(tmp_path, index, counts, REFLECTIVITY)
    options = {"root": str(tmp_path), "size": None, "history": 2, "horizon": 2, "separation": 0, "stride": 1}
    prepared = prepare(DataConfig(source="knmi-radar", options=options), 0, 8, tmp_path / "out")
    frames = prepared.part("train").frames
    assert (frames[:, 0] == 0).all()
    assert (frames[:, 1:] == np.float32(200 / 255)).all()
    # What lies on a threshold exceeds it, though neither number is exact in float32.
    on_threshold = Forecast(**{**prepared.forecast.model_dump(), "thresholds": (200 * 0.5 - 32,)})
    assert on_threshold.scaled_thresholds[0] <= frames[0, 1, 0] == np.float32(200 / 255)
    assert (prepared.normalisation.offset, prepared.normalisation.scale) == ((-32.0,), (1 / 127.5,))


def test_equal_arguments_give_equal_bytes(data, tmp_path):
    prepare(CONFIG, 5, 8, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in data.folder.iterdir())
    for path in data.folder.iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes(), path.name


def test_a_probe_too_small_or_larger_than_the_test_part_is_refused(tmp_path):
    with pytest.raises(DataError, match="a probe of 7 sequences is too small; take 8 or more"):
        prepare(CONFIG, 5, 7, tmp_path)
    with pytest.raises(DataError, match="the test part holds 8 sequences, the probe wants 9; take a smaller stride"):
        prepare(CONFIG, 5, 9, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("wrong", [{"dates": 4}, {"sampling": "per-epoch"}, {"normalisation": "standard"}])
def test_what_only_series_have_is_refused(tmp_path, wrong):
    with pytest.raises(DataError, match="frames have no dates to draw and are scaled from bottom to top; leave out"):
        prepare(CONFIG.model_copy(update=wrong), 5, 8, tmp_path)


def test_series_are_opened_as_series(prepared):
    assert open_prepared(prepared.folder) == prepared
    assert prepared.sizes == {"bands": 13, "dates": 45, "classes": 9}


def test_a_record_that_lacks_something_is_refused(data, tmp_path):
    for path in data.folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    record = json.loads((tmp_path / "dataset.json").read_text())
    del record["forecast"]["top"]
    (tmp_path / "dataset.json").write_text(json.dumps(record))
    with pytest.raises(DataError, match="not the record of a data set"):
        open_prepared(tmp_path)
    (tmp_path / "test.safetensors").unlink()
    with pytest.raises(DataError, match=r"test.safetensors: the file does not exist"):
        open_prepared(tmp_path)


def test_promises_that_are_not_kept_are_found(tmp_path):
    embedded = source("synthetic-radar")
    dataset = embedded.read(embedded.options(**OPTIONS), tmp_path, 5)

    def broken(part, **changes):
        return replace(dataset, parts={**dataset.parts, part: replace(dataset.parts[part], **changes)})

    train, test = dataset.parts["train"], dataset.parts["test"]
    check_frames(dataset)
    for wrong, message in (
        (broken("test", times=train.times[: len(test.times)]), "a frame is in the train and in the test part"),
        (broken("test", starts=test.starts + 1), "begins or ends outside of the frames"),
        (broken("train", times=train.times * 2), "the sequence at frame 0 spans a gap"),
        (broken("valid", starts=np.empty(0, np.int64)), "valid part: there is no sequence"),
        (broken("train", values=np.where(train.values > 1, np.nan, train.values)), "not finite"),
        (broken("test", valid=test.valid[1:]), "do not belong together"),
    ):
        with pytest.raises(DataError, match=message):
            check_frames(wrong)
