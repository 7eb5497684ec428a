"""Settings of a node as the standard means them: what is left out, axes from behind, and how two nodes differ."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness.compare.node_settings import differing_settings, in_words, number, settings_of
from tests.unit.compare.small_graphs import graph

KERNEL = np.zeros((4, 3, 5, 5), np.float32)


def settings(
    operator: str, axes: int | None = None, attributes: dict[str, Any] | None = None, *, inputs: str = "x"
) -> dict[str, Any]:
    made = graph((operator, inputs, "y", attributes or {}), values={"w": KERNEL})
    return settings_of(made, made.nodes[0], axes)


@pytest.mark.parametrize(
    ("operator", "axes", "attributes", "held"),
    [
        ("Relu", None, {}, {}),
        ("LeakyRelu", None, {}, {"alpha": 0.01}),
        ("LeakyRelu", None, {"alpha": 0.3}, {"alpha": 0.3}),
        ("Softmax", 4, {}, {"axis": 3}),
        ("Softmax", 4, {"axis": 0}, {"axis": 0}),
        ("Softmax", None, {}, {"axis": -1}),
        ("ReduceMean", 3, {"axes": [-1, 1, 0]}, {"axes": [2, 1, 0], "keepdims": 1}),
        # The number of spatial axes by what is given, else by the number of axes of the input.
        (
            "MaxPool",
            None,
            {"kernel_shape": [2]},
            {"kernel_shape": [2], "strides": [1], "pads": [0, 0], "dilations": [1], "ceil_mode": 0},
        ),
        ("LpPool", 5, {"strides": [2, 1]}, {"strides": [2, 1], "pads": [0] * 4, "dilations": [1, 1], "ceil_mode": 0}),
        (
            "AveragePool",
            3,
            {},
            {"strides": [1], "pads": [0, 0], "dilations": [1], "ceil_mode": 0, "count_include_pad": 0},
        ),
        ("MaxPool", None, {}, {"ceil_mode": 0}),
        # A convolution's kernel is its weight's, and no setting.
        (
            "Conv",
            4,
            {"kernel_shape": [3, 3], "auto_pad": "NOTSET"},
            {"strides": [1, 1], "pads": [0] * 4, "dilations": [1, 1], "group": 1},
        ),
        (
            "Conv",
            3,
            {"dilations": [2], "auto_pad": "SAME_UPPER"},
            {"strides": [1], "pads": [0, 0], "dilations": [2], "group": 1, "auto_pad": "SAME_UPPER"},
        ),
        ("Gemm", None, {"transB": 1, "beta": 0.5}, {"alpha": 1.0, "beta": 0.5}),
        ("BatchNormalization", None, {"momentum": 0.9, "spatial": 1}, {"epsilon": 1e-5, "training_mode": 0}),
        ("Upsample", None, {"width_scale": 2.0, "height_scale": 2.0}, {"height_scale": 2.0}),
        (
            "Resize",
            None,
            {"width_scale": 2.0},
            {
                "width_scale": 2.0,
                "mode": "nearest",
                "coordinate_transformation_mode": "half_pixel",
                "cubic_coeff_a": -0.75,
                "exclude_outside": 0,
                "nearest_mode": "round_prefer_floor",
                "antialias": 0,
            },
        ),
        ("Loop", None, {"body": {"graph": {}}, "other": 2}, {"other": 2}),
    ],
)
def test_what_is_left_out_is_what_the_standard_says(
    operator: str, axes: int | None, attributes: dict[str, Any], held: dict[str, Any]
) -> None:
    assert settings(operator, axes, attributes) == held


def test_a_weight_tells_the_number_of_spatial_axes() -> None:
    assert settings("Conv", None, inputs="x w")["strides"] == [1, 1]
    assert settings("Conv", 9, inputs="x w")["pads"] == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("own", "other", "said"),
    [
        ({"alpha": 0.3}, {"alpha": 0.3}, []),
        ({"alpha": float(np.float32(0.1))}, {"alpha": 0.1}, []),
        ({"alpha": 0.10001}, {"alpha": 0.1}, ["alpha 0.10001, the source has 0.1"]),
        (
            {"pads": [1, 1], "group": 2},
            {"pads": [0, 1], "group": 1},
            ["groups 2, the source has 1", "padding 1 and 1, the source has 0 and 1"],
        ),
        ({"pads": [1, 1]}, {"pads": [1]}, ["padding 1 and 1, the source has 1"]),
        ({"pads": [1, 1], "auto_pad": "VALID"}, {"pads": [0, 0]}, []),
        ({"mode": "linear"}, {"mode": "nearest"}, ["mode linear, the source has nearest"]),
        ({"mode": "ab"}, {"mode": ["a", "b"]}, ["mode ab, the source has a and b"]),
        # What one side leaves out may be a default that is not known.
        ({"a": 1}, {"b": 2, "kernel_shape": [3, 3], "strides": [1]}, []),
        (
            {"a": 1, "strides": [2, 2], "dilations": [1]},
            {"strides": [1, 1], "dilations": [2]},
            ["dilation 1, the source has 2", "stride 2 and 2, the source has 1 and 1"],
        ),
        (
            {"kernel_shape": [3, 3, 3]},
            {"kernel_shape": [5, 5, 5]},
            ["kernel 3 throughout, the source has 5 throughout"],
        ),
    ],
)
def test_what_differs_is_said_in_the_order_of_names(own: Any, other: Any, said: list[str]) -> None:
    assert differing_settings(own, other) == said


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1e-3, "1e-3"),
        (1.5e-5, "1.5e-5"),
        (0.01, "0.01"),
        (-0.002, "-2e-3"),
        (0.0, "0"),
        (0.3, "0.3"),
        (1234567.0, "1.23457e+06"),
    ],
)
def test_numbers_are_written_in_few_digits(value: float, text: str) -> None:
    assert number(value) == text
    assert in_words(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([], ""),
        ([1], "1"),
        ([1, 1], "1 and 1"),
        ([1, 1, 1], "1 throughout"),
        ([1, 2, 1], "1, 2, 1"),
        ((0.5, 2), "0.5 and 2"),
        ("same", "same"),
        (3, "3"),
    ],
)
def test_settings_are_written_as_text(value: Any, text: str) -> None:
    assert in_words(value) == text
