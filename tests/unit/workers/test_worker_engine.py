from __future__ import annotations

import numpy as np
import pytest

from harness.workers.batches import predict
from harness.workers.engine import Array, BadInput, LoadedModel, Stopwatch, TensorInfo, checked_inputs


class Doubling(LoadedModel):
    """y = 2 x, summed over the last axis where ``reduce``; remembers the batches it was given."""

    def __init__(self, *infos: TensorInfo, reduce: bool = False, widened: bool = False) -> None:
        self.inputs = list(infos) or [TensorInfo("x", "float32", ("sample", 3))]
        self.outputs = [TensorInfo("y", "float32", None)]
        self.metadata = {}
        self.reduce, self.widened = reduce, widened
        self.batches: list[dict[str, Array]] = []

    def run(self, feeds: dict[str, Array], watch: Stopwatch) -> dict[str, Array]:
        self.batches.append(feeds)
        with watch:
            y = feeds[self.inputs[0].name] * 2
            return {"y": y.sum() if self.reduce else y}

    def parameters(self) -> dict[str, Array]:
        return {}


X = np.arange(21, dtype=np.float32).reshape(7, 3)


@pytest.mark.parametrize(("batch_size", "sizes"), [(3, [3, 3, 1]), (7, [7]), (100, [7]), (None, [7])])
def test_batches_cover_every_sample_once_and_in_order(batch_size: int | None, sizes: list[int]) -> None:
    model = Doubling()
    done = predict(model, {"x": X}, batch_size)
    assert np.array_equal(done.outputs["y"], X * 2)
    assert [len(batch["x"]) for batch in model.batches] == sizes
    assert done.batches == len(sizes)
    assert done.seconds > 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"X": X}, r"inputs are 'x'; given was 'X'"),
        ({}, "given was nothing"),
        ({"x": X, "mask": X}, "given was 'x', 'mask'"),
        ({"x": X.astype(np.float64)}, "'x' must be float32, not float64"),
        ({"x": X.astype(np.int64)}, "'x' must be float32, not int64"),
        ({"x": X[:, :2]}, r"shape \(sample, 3\), not \(7, 2\)"),
        ({"x": X[0]}, r"shape \(sample, 3\), not \(3,\)"),
        ({"x": X[None]}, r"shape \(sample, 3\), not \(1, 7, 3\)"),
    ],
)
def test_wrong_inputs_are_refused(given: dict[str, Array], message: str) -> None:
    model = Doubling()
    with pytest.raises(BadInput, match=message):
        predict(model, given, 4)
    assert not model.batches


@pytest.mark.parametrize("batch_size", [4, None])
def test_the_last_of_fixed_batches_is_filled_with_the_last_sample_and_cut(batch_size: int | None) -> None:
    model = Doubling(TensorInfo("x", "float32", (4, 3)))
    done = predict(model, {"x": X}, batch_size)
    assert np.array_equal(done.outputs["y"], X * 2)
    assert (done.batches, done.filled) == (2, 1)
    assert np.array_equal(model.batches[1]["x"], X[[4, 5, 6, 6]])
    assert predict(model, {"x": X[:4]}, batch_size).filled == 0


def test_a_batch_size_that_a_file_does_not_take_is_refused() -> None:
    model = Doubling(TensorInfo("x", "float32", (4, 3)))
    for wrong in (2, 8):
        with pytest.raises(BadInput, match=f"takes 4 samples per call, not {wrong}"):
            predict(model, {"x": X}, wrong)
    with pytest.raises(BadInput, match="no samples"):
        predict(model, {"x": X[:0]}, None)


def test_several_inputs_with_other_fixed_sizes_run_at_once_or_say_which_are_shared() -> None:
    model = Doubling(TensorInfo("x", "float32", (4, 3)), TensorInfo("doy", "float32", (3,)))
    doy = np.ones(3, np.float32)
    assert predict(model, {"x": X[:4], "doy": doy}, None).batches == 1
    with pytest.raises(BadInput, match="fix different numbers of samples"):
        predict(model, {"x": X, "doy": doy}, 4)
    assert predict(model, {"x": X, "doy": doy}, 4, {"doy": None}).batches == 2


def test_samples_along_another_axis_are_cut_and_joined_there() -> None:
    model = Doubling(TensorInfo("x", "float32", (3, None)))
    done = predict(model, {"x": np.ascontiguousarray(X.T)}, 4, {"x": 1, "y": 1})
    assert np.array_equal(done.outputs["y"], X.T * 2)
    assert [batch["x"].shape for batch in model.batches] == [(3, 4), (3, 3)]
    assert all(batch["x"].flags.c_contiguous for batch in model.batches)


def test_an_output_of_no_sample_must_be_the_same_in_every_batch() -> None:
    class Noisy(Doubling):
        def run(self, feeds: dict[str, Array], watch: Stopwatch) -> dict[str, Array]:
            self.batches.append(feeds)
            # One part in two million: the rounding of float32.
            return {"y": np.float32([1.0, np.nan, 1e-9]) * np.float32(1 + 5e-7 * len(self.batches))}

    done = predict(Noisy(), {"x": X}, 3, {"y": None})
    assert done.outputs["y"].shape == (3,)
    with pytest.raises(BadInput, match="belongs to no sample, but differs between batch 1 and batch 2"):
        predict(Doubling(reduce=True), {"x": X}, 3, {"y": None})


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ([0], "object of names and axes"),
        ({"z": 0}, "names 'z'; the model's inputs and outputs are 'x', 'y'"),
        ({"x": -1}, "integer from 0, not -1"),
        ({"x": True}, "integer from 0, not True"),
        ({"x": 2}, "'x' cannot be 2: it has 2 axes"),
    ],
)
def test_axes_that_cannot_be_are_refused(axes: object, message: str) -> None:
    model = Doubling()
    with pytest.raises(BadInput, match=message):
        predict(model, {"x": X}, 4, axes)
    assert not model.batches


def test_dimensions_of_one_name_must_agree() -> None:
    model = Doubling(TensorInfo("x", "float32", ("n", "time")), TensorInfo("mask", "bool", ("n", "time")))
    with pytest.raises(BadInput, match="dimension 'time' is 3 in input 'x' but 2 in input 'mask'"):
        predict(model, {"x": X, "mask": np.ones((7, 2), bool)}, None)


def test_inputs_of_different_lengths_cannot_be_batched() -> None:
    model = Doubling(TensorInfo("x", "float32", (None, 3)), TensorInfo("z", "float32", (None,)))
    with pytest.raises(BadInput, match="no common length along their sample axes"):
        predict(model, {"x": X, "z": np.zeros(2, np.float32)}, 2)


def test_an_output_without_a_batch_axis_is_refused_and_works_at_once() -> None:
    with pytest.raises(BadInput, match="batch_size null"):
        predict(Doubling(reduce=True), {"x": X}, 4)
    assert predict(Doubling(reduce=True), {"x": X}, None).outputs["y"] == X.sum() * 2


def test_a_widened_model_takes_the_files_dtype_and_computes_in_double() -> None:
    model = Doubling(widened=True)
    for given in (X, X.astype(np.float64)):
        assert checked_inputs({"x": given}, model)["x"].dtype == np.float64
    with pytest.raises(BadInput, match="must be float32"):
        checked_inputs({"x": X.astype(np.float16)}, model)


def test_inputs_reach_a_framework_row_major() -> None:
    assert checked_inputs({"x": np.asfortranarray(X)}, Doubling())["x"].flags.c_contiguous
