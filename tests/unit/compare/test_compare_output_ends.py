"""What the last operators of a graph tell of an output: its kind, and where its classes lie."""

from __future__ import annotations

from typing import Any

import pytest
from small_graphs import Written, structure

from harness.compare.output_ends import OutputEnd, output_end


def end(*nodes: Written, axes: int = 4, opsets: Any = None, name: str = "y") -> tuple[str, int | None]:
    written = structure(*nodes, values={"w": 0}) | ({} if opsets is None else {"opsets": opsets})
    found = output_end(written, name, axes)
    assert isinstance(found, OutputEnd)
    return found.kind, found.class_axis


CONV: Written = ("Conv", "x w", "c")


@pytest.mark.parametrize(
    ("operator", "kind"),
    [
        ("Softmax", "softmax"),
        ("LogSoftmax", "log-softmax"),
        ("Sigmoid", "sigmoid"),
        ("HardSigmoid", "sigmoid"),
        ("Relu", ""),
    ],
)
@pytest.mark.parametrize("between", ["Identity", "Cast", "QuantizeLinear", "DequantizeLinear"])
def test_the_kind_is_told_by_the_last_operator(operator: str, kind: str, between: str) -> None:
    axis = {"axis": 1} if "Softmax" in operator or "softmax" in operator else {}
    assert end(CONV, (operator, "c", "y", axis)) == (kind, 1)
    assert end(CONV, (operator, "c", "t", axis), (between, "t", "y")) == (kind, 1)
    # Behind arithmetic it says nothing any more.
    assert end(CONV, (operator, "c", "t", axis), ("Mul", "t w", "y"))[0] == ""


def test_the_logarithm_of_a_softmax_is_a_log_softmax() -> None:
    softmax: Written = ("Softmax", "x", "s", {"axis": 1})
    assert end(softmax, ("Log", "s", "y")) == ("log-softmax", 1)
    assert end(softmax, ("Identity", "s", "t"), ("Log", "t", "u"), ("Cast", "u", "y")) == ("log-softmax", 1)
    assert end(("Softmax", "x", "s", {"axis": 2}), ("Exp", "s", "t"), ("Log", "t", "y")) == ("", 2)
    assert end(CONV, ("Sigmoid", "c", "s"), ("Log", "s", "y")) == ("sigmoid", 1)
    assert end(CONV, ("Relu", "c", "r"), ("Log", "r", "y")) == ("", 1)


def test_an_output_of_argmax_holds_classes() -> None:
    assert end(("ArgMax", "x", "y")) == ("classes", None)
    assert end(CONV, ("ArgMax", "c", "t"), ("Cast", "t", "y")) == ("classes", None)
    assert end(CONV, ("ArgMax", "c", "t"), ("Mul", "t w", "y")) == ("", None)


@pytest.mark.parametrize(
    ("operator", "axis"),
    [
        *((name, 1) for name in ("Conv", "ConvTranspose", "ConvInteger", "QLinearConv", "BatchNormalization")),
        *((name, 1) for name in ("InstanceNormalization", "GroupNormalization", "DepthToSpace", "AveragePool")),
        *((name, 1) for name in ("MaxPool", "GlobalAveragePool")),
        *((name, 3) for name in ("MatMul", "Gemm", "LayerNormalization")),
        ("Gather", None),
    ],
)
def test_channels_lie_where_an_operator_puts_them(operator: str, axis: int | None) -> None:
    assert end((operator, "x w", "y")) == ("", axis)
    assert end((operator, "x w", "c"), ("Sigmoid", "c", "y")) == ("sigmoid", axis)


@pytest.mark.parametrize(
    "operator",
    [
        "Identity",
        "Cast",
        "Neg",
        "Abs",
        "Exp",
        "Log",
        "Sqrt",
        "Dropout",
        "QuantizeLinear",
        "DequantizeLinear",
        "Add",
        "Sub",
        "Mul",
        "Div",
        "Max",
        "Min",
        "Clip",
        "Pad",
        "Slice",
        "Resize",
        "Upsample",
        "Relu",
        "LeakyRelu",
        "PRelu",
        "Elu",
        "Selu",
        "Celu",
        "Gelu",
        "HardSigmoid",
        "HardSwish",
        "Mish",
        "Swish",
        "Tanh",
        "Sigmoid",
        "Softplus",
        "Softsign",
    ],
)
def test_axes_are_followed_through_what_keeps_them(operator: str) -> None:
    assert end(CONV, (operator, "c w", "y"))[1] == 1
    # The tensor that flows is followed, wherever it stands.
    assert end(CONV, (operator, "w c", "y"))[1] == 1


@pytest.mark.parametrize(
    ("attributes", "axis"),
    [
        ({"perm": [0, 2, 3, 1]}, 3),
        ({"perm": [0, 1, 2, 3]}, 1),
        ({"perm": [0, 3, 1, 2]}, 2),
        ({}, 2),
        ({"perm": [1, 0, 2, 3]}, None),
        ({"perm": [0, 2, 1]}, None),
        ({"perm": [0, 2, 2, 3]}, None),
    ],
)
def test_a_transpose_is_followed_axis_by_axis(attributes: dict[str, Any], axis: int | None) -> None:
    """Of a class axis that becomes the first one nothing is said: there lies the sample."""
    assert end(CONV, ("Transpose", "c", "y", attributes)) == ("", axis)


def test_several_transposes_are_followed_one_after_the_other() -> None:
    first, second = {"perm": [0, 2, 3, 1]}, {"perm": [0, 2, 1, 3]}
    assert end(CONV, ("Transpose", "c", "t", first), ("Transpose", "t", "y", second)) == ("", 3)
    assert end(CONV, ("Transpose", "c", "t", first), ("Transpose", "t", "y", first)) == ("", 2)
    softmax: Written = ("Softmax", "t", "s", {"axis": 3})
    assert end(CONV, ("Transpose", "c", "t", first), softmax, ("Transpose", "s", "y", second)) == ("softmax", 3)


@pytest.mark.parametrize("operator", ["Reshape", "Flatten", "Squeeze", "Unsqueeze"])
def test_after_a_change_of_shape_no_axis_is_known(operator: str) -> None:
    assert end(CONV, (operator, "c w", "y")) == ("", None)
    assert end(CONV, (operator, "c w", "t"), ("Transpose", "t", "y")) == ("", None)
    assert end(("Softmax", "x", "s", {"axis": 1}), (operator, "s w", "y")) == ("softmax", None)


@pytest.mark.parametrize(
    ("opsets", "axis"),
    [
        (None, 3),
        ({}, 3),
        ({"": 12}, 1),
        ({"": 13}, 3),
        ({"ai.onnx": 11}, 1),
        ({"ai.onnx": "18"}, 3),
        ({"": 12, "ai.onnx.ml": 20}, 1),
        ({"": 13, "com.example": 1}, 3),
    ],
)
def test_the_axis_of_a_softmax_depends_on_the_opset(opsets: Any, axis: int) -> None:
    assert end(("Softmax", "x", "y"), opsets=opsets) == ("softmax", axis)
    assert end(("Softmax", "x", "y", {"axis": 2}), opsets=opsets) == ("softmax", 2)
    assert end(("Softmax", "x", "y", {"axis": -2}), opsets=opsets) == ("softmax", 2)


def test_axes_that_an_output_does_not_have_are_not_known() -> None:
    for axis, found in ((1, 1), (-1, 1), (2, None), (-2, None), (-3, None), (0, None)):
        assert end(("Softmax", "x", "y", {"axis": axis}), axes=2) == ("softmax", found)
    assert end(CONV, ("Identity", "c", "y"), axes=1) == ("", None)


def test_an_output_that_is_no_output_of_a_node_has_no_end() -> None:
    assert end(CONV, name="x") == ("", None)
    assert end(("Relu", "w", "y")) == ("", None)
    assert end(("Sigmoid", "x", "y")) == ("sigmoid", None)
