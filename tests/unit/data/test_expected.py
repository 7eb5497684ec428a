"""Expected outputs and probes by name: what fits the model's tensors is taken, and everything else refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.data.expected import check_shapes, read_expected
from harness.data.probe import read_probe
from harness.errors import DataError
from harness.files.arrays import save_arrays

Y = {"name": "y", "dtype": "float32", "shape": ["n", 3]}
LABEL = {"name": "label", "dtype": "int64", "shape": ["n"]}
TEXT = {"name": "text", "dtype": "string", "shape": None}
AXES = {"y": 0, "label": 0, "text": 0}
ROWS = np.arange(12.0).reshape(4, 3)
NUMBERS = np.arange(4)


def read(path: Path, *outputs: dict[str, Any]) -> dict[str, np.ndarray]:
    return read_expected(path, outputs, AXES, 4)


def test_arrays_are_those_of_their_names_and_not_of_their_places(tmp_path: Path) -> None:
    np.savez(tmp_path / "y.npz", label=NUMBERS, y=ROWS, text=np.array(["a", "b", "é", ""]))
    found = read(tmp_path / "y.npz", Y, LABEL, TEXT)
    assert [*found] == ["y", "label", "text"]
    assert np.array_equal(found["y"], ROWS)
    assert found["text"].tolist() == ["a", "b", "é", ""]
    save_arrays(tmp_path / "y.safetensors", {"label": NUMBERS, "y": ROWS.astype(np.float32)})
    found = read(tmp_path / "y.safetensors", Y, LABEL)
    assert (found["y"].dtype, found["label"].dtype) == (np.float32, np.int64)


def test_one_array_needs_no_name_where_there_is_one_output(tmp_path: Path) -> None:
    np.save(tmp_path / "y.npy", ROWS.astype(">f8"))
    np.savez(tmp_path / "y.npz", ROWS)
    for name in ("y.npy", "y.npz"):
        found = read(tmp_path / name, Y)["y"]
        assert np.array_equal(found, ROWS)
        assert found.dtype.isnative


def test_outputs_may_be_left_out(tmp_path: Path) -> None:
    np.savez(tmp_path / "y.npz", label=NUMBERS)
    assert [*read(tmp_path / "y.npz", Y, LABEL)] == ["label"]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ([ROWS], "the model has 2 outputs: y, label; give one array for each, as names of a .npz file"),
        ([ROWS, NUMBERS], "the model has no output 'arr_0'; it has y, label"),
        ({"logits": ROWS}, "the model has no output 'logits'; it has y, label"),
        ({"y": NUMBERS}, "holds int64, the output 'y' is float32; save the floating-point numbers"),
        ({"label": ROWS[:, 0]}, "holds float64, the output 'label' is int64; save the whole numbers"),
        ({"y": ROWS[:3]}, "holds 3 samples of the output 'y', the probe has 4"),
        ({"y": ROWS[:, :2]}, "has the shape 4 x 2, the output 'y' is n x 3"),
        ({"y": ROWS[..., None]}, "has the shape 4 x 3 x 1, the output 'y' is n x 3"),
        ({"y": ROWS.astype(object)}, r"y.npz: is cut short or not a .npz file of numbers; save it with numpy.savez"),
        ({"y": ROWS + 1j}, "holds complex128 as 'y', not numbers"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, arrays: Any, message: str) -> None:
    path = tmp_path / "y.npz"
    np.savez(path, **arrays) if isinstance(arrays, dict) else np.savez(path, *arrays)
    with pytest.raises(DataError) as caught:
        read(path, Y, LABEL)
    assert message in caught.value.line()


@pytest.mark.parametrize("name", ["cut.npz", "cut.safetensors", "cut.npy"])
def test_what_is_no_file_of_arrays_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"PK\3\4 and no more")
    with pytest.raises(DataError, match="cut short or not a "):
        read(tmp_path / name, Y)


def test_sizes_that_the_file_does_not_state_are_those_that_it_gives() -> None:
    check_shapes("y.npy", {"y": ROWS}, {"y": ROWS})
    with pytest.raises(DataError, match=r"y.npy: has the shape 4 x 3, the output 'y' is 4 x 2"):
        check_shapes("y.npy", {"y": ROWS}, {"y": ROWS[:, :2]})


@pytest.mark.parametrize("ending", ["npz", "safetensors"])
def test_a_probe_of_all_inputs_is_one_file(tmp_path: Path, ending: str) -> None:
    inputs = [
        {"name": "x", "dtype": "float32", "shape": ["n", 3]},
        {"name": "dates", "dtype": "float32", "shape": ["t"]},
    ]
    arrays = {"dates": np.arange(5, dtype=np.float32), "x": ROWS.astype(np.float32)}
    path = tmp_path / f"x.{ending}"
    np.savez(path, **arrays) if ending == "npz" else save_arrays(path, arrays)
    found, samples = read_probe({"": path}, inputs, [{"name": "y", "dtype": "float32", "shape": ["n", 2]}])
    assert {name: array.shape for name, array in found.items()} == {"x": (4, 3), "dates": (5,)}
    assert (samples.samples, samples.axes["dates"]) == (4, None)
    with pytest.raises(DataError, match=r"holds 2 arrays, .*, for the input 'x'; give it as --probe x"):
        read_probe({"x": path}, inputs)
