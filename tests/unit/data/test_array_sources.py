"""Patches and spectra: arrays by name, prepared for a task."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.data.dataset import ArrayDataset
from harness.data.open_prepared import open_prepared
from harness.data.prepare import DataConfig, prepare
from harness.data.prepare_arrays import check_arrays, prepare_arrays
from harness.data.prepared_arrays import PreparedArrays
from harness.data.sources import source
from harness.data.sources.synthetic_patches import CLASSES, LABEL_SHARE
from harness.errors import DataError
from harness.files.arrays import load_arrays

PATCHES = DataConfig(
    source="synthetic-patches", options={"train": 60, "valid": 20, "test": 90, "rows": 9, "columns": 7}
)
SPECTRA = DataConfig(source="synthetic-spectra", options={"train": 80, "valid": 20, "test": 90, "bands": 12})


def made(config: DataConfig, folder: Path, task: Any = None, seed: int = 3) -> PreparedArrays:
    found = prepare(config, seed, 64, folder, task)
    assert isinstance(found, PreparedArrays)
    return found


def read(config: DataConfig, folder: Path) -> ArrayDataset:
    found = source(config.source)
    dataset = found.read(found.options.model_validate(config.options), folder, 3)
    assert isinstance(dataset, ArrayDataset)
    return dataset


def test_patches_are_prepared_for_the_task_that_is_asked_for(tmp_path: Path) -> None:
    labels, pixels = made(PATCHES, tmp_path / "a", "multi-label"), made(PATCHES, tmp_path / "b", "segmentation")
    assert labels.sizes == {"bands": 4, "rows": 9, "columns": 7, "labels": 5}
    assert pixels.sizes == {"bands": 4, "rows": 9, "columns": 7, "classes": 5}
    assert labels.info.class_names == pixels.info.class_names == CLASSES
    one, other = labels.part("train"), pixels.part("train")
    assert set(one) == {"input.x", "target.y", "ids", "groups"}
    assert set(other) == {"input.x", "input.doy", "input.mask", "target.y", "target.mask", "ids", "groups"}
    assert one["input.x"].tobytes() == other["input.x"].tobytes()
    shapes = {name: (array.dtype.name, array.shape) for name, array in other.items()}
    assert shapes["input.x"] == ("float32", (60, 4, 9, 7))
    assert shapes["input.doy"] == ("float32", (60,))
    assert shapes["input.mask"] == shapes["target.mask"] == ("bool", (60, 9, 7))
    assert shapes["target.y"] == ("int64", (60, 9, 7))
    assert set(np.unique(one["target.y"])) == {0, 1}
    # Only declared pixels have a class.
    assert not other["target.y"][~other["target.mask"]].any()
    assert set(np.unique(other["target.y"])) == set(range(5))


def test_a_label_is_what_covers_enough_of_a_patch_and_some_masks_are_empty(tmp_path: Path) -> None:
    config = DataConfig(source="synthetic-patches", options={"train": 400, "valid": 5, "test": 70})
    dataset = read(config, tmp_path)
    arrays = dataset.parts["train"].arrays
    whole = arrays["mask"].all(axis=(1, 2))
    assert 20 < whole.sum() < 380
    shares = (arrays["classes"][whole][..., None] == np.arange(5)).mean(axis=(1, 2))
    assert np.array_equal(shares >= LABEL_SHARE, arrays["labels"][whole] == 1)
    assert 0 < (~arrays["mask"].any(axis=(1, 2))).sum() < 40
    # Patches of one scene share their day.
    scenes = dataset.parts["train"].groups
    assert all(len(set(arrays["doy"][scenes == scene])) == 1 for scene in np.unique(scenes))


def test_a_spectrum_tells_of_its_variables(tmp_path: Path) -> None:
    found = made(SPECTRA, tmp_path)
    record = json.loads((found.folder / "dataset.json").read_text())["arrays"]
    assert (record["task"], record["inputs"], record["targets"]) == ("regression", ["x"], ["y"])
    assert found.sizes == {"bands": 12, "variables": 2}
    assert [variable.unit for variable in found.info.variables] == ["m2/m2", "g/m2"]
    part = found.part("train")
    x, y = part["input.x"], part["target.y"]
    assert (y.dtype.name, y.shape) == ("float32", (80, 2))
    # A straight line through the bands already explains most of the leaf area.
    design = np.c_[x, np.ones(len(x))]
    left = y[:, 0] - design @ np.linalg.lstsq(design, y[:, 0], rcond=None)[0]
    assert left.var() < 0.3 * y[:, 0].var()


@pytest.mark.parametrize(("config", "task"), [(PATCHES, "segmentation"), (SPECTRA, "regression")])
def test_equal_arguments_give_equal_bytes_and_another_seed_others(
    tmp_path: Path, config: DataConfig, task: Any
) -> None:
    for name, seed in (("one", 3), ("two", 3), ("three", 4)):
        made(config, tmp_path / name, task, seed)
    one, two, three = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("one", "two", "three")
    )
    assert one == two
    assert all(one[name] != three[name] for name in one if name != "regions.json")


def test_the_normalisation_is_fitted_on_the_training_part_alone(tmp_path: Path) -> None:
    found = made(PATCHES, tmp_path, "segmentation")
    train, test = found.part("train")["input.x"], found.part("test")["input.x"]
    assert np.abs(train.mean(axis=(0, 2, 3))).max() < 1e-6
    assert np.abs(train.std(axis=(0, 2, 3)) - 1).max() < 1e-6
    assert np.abs(test.mean(axis=(0, 2, 3))).max() > 1e-3
    dataset = read(PATCHES, tmp_path)
    raw = dataset.parts["test"].arrays["x"]
    offset, scale = (
        np.array(values)[:, None, None] for values in (found.normalisation.offset, found.normalisation.scale)
    )
    assert np.array_equal(test, ((raw - offset) * scale).astype(np.float32))
    scaled = made(PATCHES.model_copy(update={"normalisation": "scale"}), tmp_path / "scaled", "multi-label")
    assert np.array_equal(scaled.part("test")["input.x"], (raw.astype(np.float64) * 1e-4).astype(np.float32))


def test_the_probe_is_of_the_test_part_with_inputs_under_their_names(tmp_path: Path) -> None:
    found = made(PATCHES, tmp_path, "segmentation")
    chosen = np.array(found.probe.indices)
    assert len(set(found.probe.indices)) == 64
    part, probe = found.part("test"), load_arrays(tmp_path / "probe.safetensors")
    assert {name: array.tobytes() for name, array in probe.items()} == {
        name: part[f"input.{name}"][chosen].tobytes() for name in ("x", "doy", "mask")
    }
    truth = load_arrays(tmp_path / "probe_labels.safetensors")
    assert set(truth) == {"y", "mask", "ids"}
    assert np.array_equal(truth["y"], part["target.y"][chosen])
    again = open_prepared(tmp_path)
    assert again == found
    inputs = found.test_inputs(np.array([4, 1]))
    assert {name: array.tobytes() for name, array in inputs.items()} == {
        name: part[f"input.{name}"][[4, 1]].tobytes() for name in ("x", "doy", "mask")
    }


def test_what_arrays_cannot_be_is_one_line(tmp_path: Path) -> None:
    for change, words in (
        ({"dates": 5}, "arrays by name have no dates to draw"),
        ({"sampling": "per-epoch"}, "arrays by name have no dates to draw"),
        ({"options": {"patches": 5}}, "synthetic-patches has no option 'patches'"),
        ({"options": {"rows": 3}}, "greater than or equal to 4"),
        ({"options": {**PATCHES.options, "test": 63}}, "the test part holds 63 samples, the probe wants 64"),
    ):
        with pytest.raises(DataError) as caught:
            prepare(PATCHES.model_copy(update=change), 3, 64, tmp_path, "segmentation")
        assert words in caught.value.line()
        assert "\n" not in caught.value.line()
    with pytest.raises(DataError, match="a probe of 63 samples is too small"):
        prepare(PATCHES, 3, 63, tmp_path, "segmentation")


def test_a_data_set_that_breaks_its_promises_is_refused(tmp_path: Path) -> None:
    dataset = read(PATCHES, tmp_path)
    train = dataset.parts["train"]

    def refused(part: str, **changed: Any) -> str:
        parts = dataset.parts | {part: dataclasses.replace(dataset.parts[part], **changed)}  # type: ignore[index]
        with pytest.raises(DataError) as caught:
            prepare_arrays(dataclasses.replace(dataset, parts=parts), "segmentation", None, 3, 64, tmp_path)
        return caught.value.line()

    broken = train.arrays["x"].copy()
    broken[7, 1, 2, 3] = np.nan
    assert f"'x' of sample {train.ids[7]} holds a value that is not finite" in refused(
        "train", arrays={**train.arrays, "x": broken}
    )
    assert "there is no array 'doy'" in refused(
        "train", arrays={name: array for name, array in train.arrays.items() if name != "doy"}
    )
    assert "'mask' has 59 samples, the part 60" in refused(
        "train", arrays={**train.arrays, "mask": train.arrays["mask"][1:]}
    )
    assert "'doy' is float64 (), that of the train part float32 ()" in refused(
        "valid", arrays={**dataset.parts["valid"].arrays, "doy": np.ones(20)}
    )
    assert "'x' has 3 bands, not 4" in refused("train", arrays={**train.arrays, "x": train.arrays["x"][:, :3]})
    assert f"group {train.groups[0]} (polygon, parcel or scene) is in the train and in the valid part" in refused(
        "valid", groups=np.full(20, train.groups[0])
    )
    check_arrays(dataset, dataset.serves["segmentation"])


def test_a_model_for_another_task_is_refused_by_the_source() -> None:
    with pytest.raises(
        DataError,
        match="tempcnn is a model for classification, and synthetic-patches serves multi-label and segmentation",
    ):
        source("synthetic-patches").check_serves("tempcnn", "classification")
    source("synthetic-patches").check_serves("fieldseg", "segmentation")
    assert {name: source(name).tasks for name in ("synthetic-crops", "synthetic-radar", "synthetic-spectra")} == {
        "synthetic-crops": ("classification",),
        "synthetic-radar": ("forecast",),
        "synthetic-spectra": ("regression",),
    }


def test_the_record_says_what_there_is(tmp_path: Path) -> None:
    made(PATCHES, tmp_path, "segmentation")
    record = json.loads((tmp_path / "dataset.json").read_text())
    assert record["arrays"] == {
        "task": "segmentation",
        "inputs": ["x", "doy", "mask"],
        "targets": ["y", "mask"],
        "sizes": {"bands": 4, "rows": 9, "columns": 7, "classes": 5},
    }
    assert record["synthetic"] is True
    assert "accuracies say nothing about real images" in record["notes"][0]
    assert json.loads((tmp_path / "regions.json").read_text())["test"] == ["east"] * 90
