"""Probes that are drawn: from ranges by the shapes that a file states, and from data of the user's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.data.named_arrays import GivenArray
from harness.data.sample_axes import ToldAxes
from harness.data.sample_probe import Wanted, draw_from_data, draw_from_ranges
from harness.errors import DataError


def tensor(name: str, shape: list[Any] | None, dtype: str = "float32") -> dict[str, Any]:
    return {"name": name, "dtype": dtype, "shape": shape}


SERIES, DATES = tensor("x", ["n", "time", 4]), tensor("doy", ["time"])
MASK, LENGTHS = tensor("mask", ["n", "time"], "bool"), tensor("lengths", ["n"], "int64")
OUT = [tensor("y", ["n", 5])]


def wanted(samples: int = 6, seed: int = 0, **more: Any) -> Wanted:
    return Wanted(samples, seed, **more)


def shapes(arrays: dict[str, np.ndarray]) -> dict[str, tuple[int, ...]]:
    return {name: array.shape for name, array in arrays.items()}


def test_all_inputs_are_drawn_with_the_sizes_that_belong_together() -> None:
    asked = wanted(ranges={"": (-1.0, 1.0), "lengths": (1, 9)}, sizes={"time": 9})
    arrays, found = draw_from_ranges(asked, [SERIES, DATES, MASK, LENGTHS], OUT)
    assert shapes(arrays) == {"x": (6, 9, 4), "doy": (9,), "mask": (6, 9), "lengths": (6,)}
    assert [array.dtype.name for array in arrays.values()] == ["float32", "float32", "bool", "int64"]
    assert (found.samples, found.axes["doy"]) == (6, None)
    assert -1 <= arrays["x"].min() < -0.5
    assert 0.5 < arrays["x"].max() <= 1
    assert set(arrays["lengths"]) <= set(range(1, 10))


def test_the_seed_decides_and_ends_of_whole_numbers_are_drawn() -> None:
    asked = wanted(400, ranges={"": (0, 2)})
    first, again, other = (
        draw_from_ranges(one, [LENGTHS], OUT)[0]["lengths"]
        for one in (asked, asked, wanted(400, 1, ranges={"": (0, 2)}))
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert set(first) == {0, 1, 2}


@pytest.mark.parametrize(
    ("shape", "told", "drawn"),
    [
        ([8, 4], {}, (6, 4)),
        ([None, 4], {}, (6, 4)),
        ([3, 8], {"axes": {"x": 1}}, (3, 6)),
        ([3, "b"], {"axes": {"x": 1}}, (3, 6)),
    ],
)
def test_samples_lie_where_the_file_or_the_user_says(shape: list[Any], told: Any, drawn: tuple[int, ...]) -> None:
    arrays, _ = draw_from_ranges(wanted(told=ToldAxes(**told)), [tensor("x", shape)], [tensor("y", [None])])
    assert arrays["x"].shape == drawn


@pytest.mark.parametrize(
    ("inputs", "more", "line"),
    [
        ([SERIES], {}, "axis 1 of the input 'x' (time) has no fixed size; say one, as --size time=24"),
        ([tensor("x", ["n", None])], {}, "axis 1 of the input 'x' has no fixed size; say one, as --size x:1=24"),
        ([LENGTHS], {}, "the input 'lengths' takes whole numbers, and their range is not known"),
        ([LENGTHS], {"ranges": {"": (0.5, 2)}}, "0.5:2 is no range of int64"),
        ([tensor("c", ["n"], "uint8")], {"ranges": {"": (0, 256)}}, "0:256 is no range of uint8"),
        ([SERIES], {"ranges": {"z": (0, 1)}}, "the model has no input 'z'; it has x"),
        (
            [SERIES],
            {"sizes": {"dates": 3}},
            "no input has an axis 'dates' whose size is open; open are n, x:0, time, x:1",
        ),
        ([tensor("x", None)], {}, "the file does not state the shape of 'x'"),
        ([tensor("s", ["n"], "string")], {}, "the input 's' is string, which is not drawn; use --from-data"),
        ([SERIES], {"told": ToldAxes(shared=("x",))}, "no input has samples"),
    ],
)
def test_what_is_not_known_is_asked_for(inputs: list[dict[str, Any]], more: dict[str, Any], line: str) -> None:
    with pytest.raises(DataError) as caught:
        draw_from_ranges(wanted(**more), inputs, OUT)
    assert line in caught.value.line()


def given(**arrays: Any) -> dict[str, GivenArray]:
    return {name: GivenArray(Path(f"{name}.npy"), np.asarray(array)) for name, array in arrays.items()}


def test_the_same_samples_of_all_inputs_are_drawn_from_data() -> None:
    x = np.arange(20 * 3 * 4, dtype=np.uint16).reshape(20, 3, 4)
    data = given(x=x, doy=[1.5, 2.5, 3.5], lengths=np.arange(20))
    arrays, found = draw_from_data(wanted(), data, [SERIES, DATES, LENGTHS], OUT)
    assert shapes(arrays) == {"x": (6, 3, 4), "doy": (3,), "lengths": (6,)}
    assert arrays["x"].dtype == np.float32
    assert np.array_equal(arrays["x"], x[arrays["lengths"]])
    assert arrays["doy"].tolist() == [1.5, 2.5, 3.5]
    assert sorted(set(arrays["lengths"])) == arrays["lengths"].tolist()
    assert found.samples == 6
    other, _ = draw_from_data(wanted(seed=1), data, [SERIES, DATES, LENGTHS], OUT)
    assert not np.array_equal(other["lengths"], arrays["lengths"])
    few, found = draw_from_data(wanted(64), data, [SERIES, DATES, LENGTHS], OUT)
    assert (found.samples, few["x"].shape[0]) == (20, 20)


@pytest.mark.parametrize(
    ("data", "inputs", "line"),
    [
        ({"x": np.zeros((4, 3, 4))}, [SERIES, DATES], "nothing is drawn for the input 'doy'"),
        ({"x": np.zeros((4, 4))}, [SERIES], "x.npy: has 2 axes, the input 'x' has 3"),
        ({"lengths": np.zeros(4)}, [LENGTHS], "holds float64, the input 'lengths' takes int64"),
        ({"c": np.full(4, 300)}, [tensor("c", ["n"], "uint8")], "holds numbers beyond uint8"),
    ],
)
def test_data_that_the_model_does_not_take_are_refused(data: Any, inputs: list[dict[str, Any]], line: str) -> None:
    with pytest.raises(DataError) as caught:
        draw_from_data(wanted(), given(**data), inputs, OUT)
    assert line in caught.value.line()
