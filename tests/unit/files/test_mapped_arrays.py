"""Arrays that are read as they are used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.files.arrays import load_arrays, mapped_arrays, save_arrays


@pytest.mark.parametrize("scalar", [False, True])
@pytest.mark.parametrize("empty", [False, True])
def test_mapped_arrays_are_those_of_the_file(empty: bool, scalar: bool, tmp_path: Path) -> None:
    arrays = {"x": np.arange(12, dtype=np.float32).reshape(3, 4), "n": np.arange(3), "half": np.ones(5, np.float16)}
    arrays |= ({"empty": np.zeros((0, 4))} if empty else {}) | ({"scalar": np.array(2.5)} if scalar else {})
    save_arrays(tmp_path / "held", arrays)
    found, wanted = mapped_arrays(tmp_path / "held"), load_arrays(tmp_path / "held")
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(found[name], array)


def test_arrays_are_mapped_and_not_read(tmp_path: Path) -> None:
    save_arrays(tmp_path / "held", {"x": np.zeros((3, 4), np.float32)})
    array = mapped_arrays(tmp_path / "held")["x"]
    with (tmp_path / "held").open("r+b") as file:
        file.seek(-4, 2)
        file.write(np.float32(7).tobytes())
    assert array[2, 3] == 7
