"""Which axes of given files are the sample: told by shapes, found by runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from harness.data.sample_axes import ToldAxes, find_input_axes
from harness.errors import DataError
from harness.pipeline.sample_search import find_output_axes

Y = [{"name": "y", "shape": ["n", 5]}]


def inputs(**shapes: list[Any]) -> list[dict[str, Any]]:
    return [{"name": name, "shape": shape} for name, shape in shapes.items()]


@pytest.mark.parametrize(
    ("declared", "given", "expected"),
    [
        ({"x": ["n", "t", 6], "doy": ["t"]}, {"x": (24, 20, 6), "doy": (20,)}, {"x": 0, "doy": None}),
        ({"x": ["n", 20, 6], "doy": [20]}, {"x": (20, 20, 6), "doy": (20,)}, {"x": 0, "doy": None}),
        ({"x": ["n", "t", 6], "lengths": ["n"]}, {"x": (24, 20, 6), "lengths": (24,)}, {"x": 0, "lengths": 0}),
        ({"x": ["n", "t", 6], "h": [2, "n", 4]}, {"x": (24, 20, 6), "h": (2, 1, 4)}, {"x": 0, "h": 1}),
        ({"x": [8, 6], "doy": [6]}, {"x": (20, 6), "doy": (6,)}, {"x": 0, "doy": None}),
    ],
)
def test_shapes_tell_which_inputs_are_shared(
    declared: dict[str, list[Any]], given: dict[str, tuple[int, ...]], expected: dict[str, int | None]
) -> None:
    assert find_input_axes(inputs(**declared), Y, given, ToldAxes()).axes == expected


def test_numbers_of_samples_that_differ_are_refused() -> None:
    with pytest.raises(DataError, match="differ in their number of samples"):
        find_input_axes(inputs(x=["n", 6], z=["n"]), Y, {"x": (24, 6), "z": (20,)}, ToldAxes())


def test_runs_find_the_axis_and_a_sample_alone_proves_it() -> None:
    probe = {"x": np.random.default_rng(0).normal(size=(8, 8, 4)).astype(np.float32)}
    found = find_input_axes(inputs(x=["n", 8, 4]), Y, {"x": (8, 8, 4)}, ToldAxes())

    def run(given: Mapping[str, Any]) -> dict[str, Any]:
        x = given["x"]
        return {"heads": x.transpose(1, 0, 2), "mean": x.mean(0), "fixed": np.ones(3), "centred": x - x.mean(0)}

    outputs = [{"name": name, "shape": None} for name in ("heads", "mean", "fixed", "centred")]
    made = find_output_axes(run, probe, found, outputs, ToldAxes())
    assert made.axes == {"heads": 1, "mean": None, "fixed": None, "centred": 0}
    assert made.whole == ("mean",)
    assert made.unproven == ("centred",)
