from __future__ import annotations

import numpy as np
import pytest

from harness.workers.engine import Array, BadInput, LoadedModel, Stopwatch, TensorInfo, checked_inputs, predict


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


def test_a_fixed_batch_is_held_against_every_batch() -> None:
    with pytest.raises(BadInput, match=r"shape \(4, 3\), not \(3, 3\)"):
        predict(Doubling(TensorInfo("x", "float32", (4, 3))), {"x": X}, 4)


def test_dimensions_of_one_name_must_agree() -> None:
    model = Doubling(TensorInfo("x", "float32", ("n", "time")), TensorInfo("mask", "bool", ("n", "time")))
    with pytest.raises(BadInput, match="dimension 'time' is 3 in input 'x' but 2 in input 'mask'"):
        predict(model, {"x": X, "mask": np.ones((7, 2), bool)}, None)


def test_inputs_of_different_lengths_cannot_be_batched() -> None:
    model = Doubling(TensorInfo("x", "float32", (None, 3)), TensorInfo("z", "float32", (None,)))
    with pytest.raises(BadInput, match="no common length along axis 0"):
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
