from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from harness.workers.engine import BadInput, Unsupported
from harness.workers.tensors import read_tensors, write_tensors


@settings(max_examples=40, deadline=None)
@given(
    array=hnp.arrays(
        dtype=st.sampled_from([np.float64, np.float32, np.float16, np.int64, np.int8, np.uint16, np.bool_]),
        shape=hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
    )
)
def test_every_bit_comes_back(tmp_path_factory: pytest.TempPathFactory, array: np.ndarray) -> None:
    path = tmp_path_factory.mktemp("tensors") / "a.safetensors"
    write_tensors(path, {"a": array, "second": np.arange(3)})
    read = read_tensors(path)
    assert read["a"].dtype == array.dtype
    assert read["a"].shape == array.shape
    assert read["a"].tobytes() == array.tobytes()


def test_the_library_reads_what_is_written(tmp_path: Path) -> None:
    arrays = {"b": np.arange(6, dtype=np.float32).reshape(2, 3), "a": np.array(True), "c": np.arange(3)}
    write_tensors(tmp_path / "x.safetensors", arrays)
    read = safetensors.numpy.load_file(tmp_path / "x.safetensors")
    assert {name: (array.dtype, array.tolist()) for name, array in read.items()} == {
        name: (array.dtype, array.tolist()) for name, array in arrays.items()
    }


def test_it_reads_what_the_library_writes(tmp_path: Path) -> None:
    arrays = {"b": np.arange(6, dtype=np.float32).reshape(2, 3), "c": np.arange(3)}
    safetensors.numpy.save_file(arrays, tmp_path / "x.safetensors", metadata={"format": "np"})
    read = read_tensors(tmp_path / "x.safetensors")
    assert set(read) == {"b", "c"}
    assert np.array_equal(read["b"], arrays["b"])


def test_arrays_that_are_not_row_major_keep_their_values(tmp_path: Path) -> None:
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    write_tensors(
        tmp_path / "x.safetensors",
        {
            "fortran": np.asfortranarray(array),
            "view": array[:, ::-2, 1:],
            "swapped": array.T,
            "big": array.astype(">f4"),
        },
    )
    read = read_tensors(tmp_path / "x.safetensors")
    assert np.array_equal(read["fortran"], array)
    assert np.array_equal(read["view"], array[:, ::-2, 1:])
    assert np.array_equal(read["swapped"], array.T)
    assert np.array_equal(read["big"], array)


def test_bfloat16_has_a_place(tmp_path: Path) -> None:
    array = np.array([1.0, 1.0078125, -3.0], dtype=ml_dtypes.bfloat16)
    write_tensors(tmp_path / "x.safetensors", {"a": array})
    read = read_tensors(tmp_path / "x.safetensors")["a"]
    assert read.dtype == array.dtype
    assert read.tobytes() == array.tobytes()


def test_bytes_depend_on_content_alone(tmp_path: Path) -> None:
    arrays = {"b": np.arange(3.0), "a": np.arange(5, dtype=np.int8)}
    write_tensors(tmp_path / "one", arrays)
    write_tensors(tmp_path / "two", dict(reversed(arrays.items())))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


@pytest.mark.parametrize("dtype", [object, str])
def test_texts_are_stored_as_their_bytes(tmp_path: Path, dtype: type) -> None:
    write_tensors(tmp_path / "x", {"x": np.array([["a", "Grüße"], ["", "b"]], dtype)})
    x = read_tensors(tmp_path / "x")["x"]
    assert (x.dtype, x.shape) == (np.uint8, (2, 2, 7))
    assert [bytes(text).rstrip(b"\0").decode() for text in x.reshape(4, 7)] == ["a", "Grüße", "", "b"]


def test_objects_have_no_place(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="'x' holds Python objects"):
        write_tensors(tmp_path / "x", {"x": np.array([{"a": 1}, None], object)})
    with pytest.raises(Unsupported, match="'x' is complex64"):
        write_tensors(tmp_path / "x", {"x": np.ones(2, np.complex64)})


@pytest.mark.parametrize("keep", [0, 4, 8, 40, -1])
def test_a_truncated_file_is_bad_input(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "x.safetensors"
    write_tensors(path, {"a": np.arange(100.0)})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(BadInput, match=r"x\.safetensors.*(truncated|not a safetensors file)"):
        read_tensors(path)


@pytest.mark.parametrize(
    "header",
    [
        b"[]",
        b'{"a": 3}',
        b'{"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, -4]}}',
        b'{"a": {"dtype": "F32", "shape": [1000000000000], "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}}',
    ],
)
def test_a_corrupt_header_is_bad_input(tmp_path: Path, header: bytes) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\0\0\0\0")
    with pytest.raises(BadInput, match="not a safetensors file"):
        read_tensors(path)
