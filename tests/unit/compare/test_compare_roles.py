"""Which constant of a graph is weight, bias, normalisation or arithmetic, and what of it is said: small graphs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from roles_of_graphs import numbers, roles
from small_graphs import Written, floats

from harness.compare.roles import Affine, Linear, StoredTensor


def linear(*nodes: Written, **options: Any) -> Linear:
    (found,) = roles(*nodes, **options).linears
    return found


def arithmetic(affine: Affine | None) -> tuple[Any, Any, list[str]]:
    assert affine is not None
    assert affine.scale.dtype == affine.offset.dtype == np.float64
    return affine.scale.tolist(), affine.offset.tolist(), affine.names


# --- linear operations ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operator", "kind"), [("Conv", "convolution"), ("ConvTranspose", "convolution"), ("Gemm", "dense")]
)
def test_weight_and_bias_of_an_operation(operator: str, kind: str) -> None:
    values = {"w": floats(2, 3), "b": floats(2)}
    found = roles((operator, "x w b", "y", {"transB": 1}), values=values)
    (one,) = found.linears
    assert (one.node.name, one.kind, one.notes, one.copies) == (f"{operator}_0", kind, [], 1)
    assert (one.weight.name, one.weight.note, numbers(one.weight)) == ("w", "", [[1, 2, 3], [4, 5, 6]])
    assert one.bias is not None
    assert (one.bias.name, one.bias.note, numbers(one.bias)) == ("b", "", [1, 2])
    assert (one.normaliser, one.affine) == (None, None)
    assert (found.normalisers, found.affines, found.others) == ([], [], [])


@pytest.mark.parametrize("inputs", ["x x", "x t", "w v", "w x", "t x"])
def test_an_operation_without_a_constant_weight_is_no_layer(inputs: str) -> None:
    values = {"w": floats(2, 2), "v": floats(2, 2)}
    assert roles(("Relu", "x", "t"), ("MatMul", inputs, "y"), values=values).linears == []


def test_an_operation_of_another_name_is_no_layer() -> None:
    found = roles(("Einsum", "x w", "y"), values={"w": floats(2, 2)})
    assert (found.linears, found.others) == ([], ["w"])


@pytest.mark.parametrize(
    ("operator", "attributes", "turned"),
    [
        ("MatMul", {}, True),
        ("MatMul", {"transB": 1}, True),
        ("Gemm", {}, True),
        ("Gemm", {"transB": 0}, True),
        ("Gemm", {"transB": 1}, False),
    ],
)
def test_a_dense_kernel_has_its_outputs_first(operator: str, attributes: dict[str, Any], turned: bool) -> None:
    one = linear((operator, "x w", "y", attributes), values={"w": floats(2, 3)})
    assert numbers(one.weight) == ([[1, 4], [2, 5], [3, 6]] if turned else [[1, 2, 3], [4, 5, 6]])
    assert one.weight.note == ("stored as (in, out)" if turned else "")
    assert one.weight.name == "w"
    assert one.bias is None


def test_a_product_of_many_matrices_is_left_as_it_is() -> None:
    one = linear(("MatMul", "x w", "y"), values={"w": floats(2, 3, 1)})
    assert (numbers(one.weight), one.weight.note) == ([[[1], [2], [3]], [[4], [5], [6]]], "")


def test_factors_of_gemm_are_in_weight_and_bias() -> None:
    values = {"w": floats(2, 1), "b": floats(2, start=10)}
    one = linear(("Gemm", "x w b", "y", {"alpha": 0.5, "beta": 3.0, "transB": 1}), values=values)
    assert (one.weight.name, numbers(one.weight), one.weight.note) == ("w", [[0.5], [1.0]], "times alpha = 0.5")
    assert one.bias is not None
    assert (one.bias.name, numbers(one.bias), one.bias.note) == ("b", [30, 33], "times beta = 3")
    assert one.weight.value is not None
    assert one.weight.value.dtype == np.float32
    # Only Gemm has factors, and where there is no bias there is nothing to multiply.
    plain = linear(("MatMul", "x w", "y", {"alpha": 2.0, "beta": 2.0}), values={"w": floats(2, 2)})
    assert numbers(plain.weight) == [[1, 3], [2, 4]]
    assert linear(("MatMul", "x w w", "y"), values={"w": floats(2, 2)}).bias is None
    alone = linear(("Gemm", "x w", "y", {"beta": 2.0}), values={"w": floats(2, 2)})
    assert (numbers(alone.weight), alone.bias) == ([[1, 3], [2, 4]], None)
    unreported = linear(("Gemm", "x w b", "y", {"alpha": 2.0, "beta": 2.0}), unknown="wb")
    assert (unreported.weight, unreported.bias) == (StoredTensor("w", None), StoredTensor("b", None))


def test_a_bias_has_one_axis() -> None:
    one = linear(("Gemm", "x w b", "y", {"transB": 1}), values={"w": floats(3, 2), "b": floats(1, 3)})
    assert numbers(one.bias) == [1, 2, 3]


def test_what_is_not_reported_has_the_name_it_is_stored_under() -> None:
    one = linear(("Transpose", "w", "t"), ("Conv", "x t b", "y"), unknown="wb")
    assert one.weight == StoredTensor("w", None)
    assert one.bias == StoredTensor("b", None)
    assert one.weight.names == ("w",)
    assert StoredTensor("a, b", None, stored=("a", "b")).names == ("a", "b")


# --- what comes straight after ----------------------------------------------------------------------------------------

WEIGHT = {"w": floats(2, 3, 1)}
CONV: Written = ("Conv", "x w", "t0")
NORM = {name: floats(2, start=place) for place, name in enumerate("smvg", start=1)}


def test_a_sum_after_an_operation_is_its_bias() -> None:
    found = roles(CONV, ("Add", "t0 b", "y"), values=WEIGHT | {"b": floats(2, 1)})
    (one,) = found.linears
    assert one.bias == StoredTensor("b", one.bias.value if one.bias else None, "added by node 'Add_1'")
    assert (numbers(one.bias), one.affine, found.others) == ([1, 2], None, [])
    # The constant may stand first.
    assert numbers(linear(CONV, ("Add", "b t0", "y"), values=WEIGHT | {"b": floats(2, 1)}).bias) == [1, 2]


def test_a_second_sum_is_arithmetic() -> None:
    values = WEIGHT | {"b": floats(2), "c": floats(2, 1, start=5)}
    found = roles(("Conv", "x w b", "t0"), ("Add", "t0 c", "y"), values=values)
    (one,) = found.linears
    assert numbers(one.bias) == [1, 2]
    assert arithmetic(one.affine) == ([1], [5, 6], ["c"])
    assert found.others == []


@pytest.mark.parametrize("constant", [floats(3, 1), floats(2, 2), np.arange(2).reshape(2, 1), np.float32([7])])
def test_a_sum_with_anything_but_a_number_per_channel_is_no_bias(constant: Any) -> None:
    found = roles(CONV, ("Add", "t0 c", "y"), values=WEIGHT | {"c": constant})
    assert found.linears[0].bias is None
    size, kind = constant.size, constant.dtype.kind
    assert found.others == (["c"] if size > 2 else [])
    assert (found.linears[0].affine is not None) is (size == 1 and kind == "f")


@pytest.mark.parametrize(
    ("operations", "scale", "offset", "names"),
    [
        ([("Mul", "{} a")], [1, 2], [0, 0], "a"),
        ([("Mul", "a {}")], [1, 2], [0, 0], "a"),
        ([("Mul", "{} a"), ("Add", "{} b")], [1, 2], [3, 4], "ab"),
        ([("Mul", "{} a"), ("Add", "b {}")], [1, 2], [3, 4], "ab"),
        ([("Mul", "{} a"), ("Sub", "{} b")], [1, 2], [-3, -4], "ab"),
        ([("Mul", "{} a"), ("Sub", "b {}")], [-1, -2], [3, 4], "ab"),
        ([("Sub", "{} b"), ("Mul", "{} a")], [1, 2], [-3, -8], "ba"),
        ([("Sub", "{} b"), ("Div", "{} a")], [1, 0.5], [-3, -2], "ba"),
        ([("Sub", "{} b"), ("Mul", "{} a"), ("Add", "{} b")], [1, 2], [0, -4], "ba"),
        ([("Sub", "b {}"), ("Sub", "b {}")], [1], [0, 0], "b"),
        ([("Mul", "{} a"), ("Div", "b {}")], [1, 2], [0, 0], "a"),
        ([("Mul", "{} a"), ("Pow", "{} b")], [1, 2], [0, 0], "a"),
    ],
)
@pytest.mark.parametrize("after", ["operation", "activation"])
def test_arithmetic_is_one_scale_and_one_offset(
    operations: list[tuple[str, str]], scale: list[float], offset: list[float], names: str, after: str
) -> None:
    """Of a bias is nothing said: the operation has one already. After an activation no operation takes it in."""
    values = WEIGHT | {"c": floats(2), "a": floats(2, 1), "b": floats(2, 1, start=3)}
    nodes: list[Written] = [("Conv", "x w c", "t0" if after == "operation" else "t")]
    nodes += [] if after == "operation" else [("Relu", "t", "t0")]
    nodes += [
        (operator, inputs.format(f"t{place}"), f"t{place + 1}") for place, (operator, inputs) in enumerate(operations)
    ]
    found = roles(*nodes, values=values, outputs=f"t{len(operations)}")
    if after == "operation":
        assert arithmetic(found.linears[0].affine) == (scale, offset, list(names))
        assert found.affines == []
    else:
        assert found.linears[0].affine is None
        # Without a scale per channel it is no normalisation.
        wanted = [(scale, offset, list(names))] if len(scale) > 1 else []
        assert [arithmetic(affine) for affine in found.affines] == wanted
        names = names if wanted else ""
    assert found.others == sorted({name for name in "ab" if name not in names})


def test_a_number_that_is_divided_by_the_outputs_is_no_arithmetic() -> None:
    found = roles(CONV, ("Div", "a t0", "y"), values=WEIGHT | {"a": floats(2, 1)})
    assert (found.linears[0].affine, found.affines, found.others) == (None, [], ["a"])


def test_batch_normalisation_after_an_operation_belongs_to_it() -> None:
    found = roles(CONV, ("BatchNormalization", "t0 s m v g", "y", {"epsilon": 0.25}), values=WEIGHT | NORM)
    assert found.normalisers == []
    assert found.others == []
    one = found.linears[0].normaliser
    assert one is not None
    assert (one.node.name, one.epsilon) == ("BatchNormalization_1", 0.25)
    assert {part: (stored.name, numbers(stored)) for part, stored in one.parameters.items()} == {
        "scale": ("s", [1, 2]),
        "shift": ("m", [2, 3]),
        "mean": ("v", [3, 4]),
        "variance": ("g", [4, 5]),
    }


def test_batch_normalisation_of_one_operation_is_not_told_again_after_the_next() -> None:
    nodes: list[Written] = [CONV, ("BatchNormalization", "t0 s m v g", "t1"), ("Conv", "t1 u", "y")]
    found = roles(*nodes, values=WEIGHT | NORM | {"u": floats(3, 2, 1)})
    assert [one.normaliser is not None for one in found.linears] == [True, False]
    assert found.normalisers == []


def test_epsilon_is_that_of_onnx_where_none_is_given() -> None:
    found = roles(("BatchNormalization", "x s m v g", "y"), values=NORM)
    assert [(one.epsilon, one.node.name) for one in found.normalisers] == [(1e-5, "BatchNormalization_0")]
    assert found.others == []


def test_batch_normalisation_ends_what_an_operation_takes_in() -> None:
    values = WEIGHT | NORM | {"a": floats(2, 1), "b": floats(2, 1)}
    norm: Written = ("BatchNormalization", "t0 s m v g", "t1")
    found = roles(CONV, norm, ("Mul", "t1 a", "t2"), ("Add", "t2 b", "y"), values=values)
    assert found.linears[0].normaliser is not None
    assert found.linears[0].affine is None
    assert [arithmetic(affine) for affine in found.affines] == [([1, 2], [1, 2], ["a", "b"])]


def test_batch_normalisation_behind_arithmetic_or_an_activation_stands_for_itself() -> None:
    for before in (("Mul", "t0 a", "t1"), ("Relu", "t0", "t1")):
        found = roles(
            CONV, before, ("BatchNormalization", "t1 s m v g", "y"), values=WEIGHT | NORM | {"a": floats(2, 1)}
        )
        assert found.linears[0].normaliser is None
        assert [one.node.name for one in found.normalisers] == ["BatchNormalization_2"]


def test_a_tensor_that_normalises_something_else_is_no_input_of_the_operation() -> None:
    """The output of a convolution as the mean by which something else is normalised."""
    found = roles(CONV, ("BatchNormalization", "x s m t0 g", "y"), values=WEIGHT | NORM)
    assert found.linears[0].normaliser is None


@pytest.mark.parametrize("operator", ["Identity", "Cast", "Reshape", "Squeeze", "Unsqueeze", "Transpose", "Flatten"])
def test_layouts_between_an_operation_and_its_bias_are_passed(operator: str) -> None:
    found = roles(CONV, (operator, "t0", "t1"), ("Add", "t1 b", "y"), values=WEIGHT | {"b": floats(2, 1)})
    assert numbers(found.linears[0].bias) == [1, 2]


@pytest.mark.parametrize(
    ("more", "outputs"),
    [([("Relu", "t0", "z")], "y z"), ([], "t0 y")],
    ids=["used-twice", "an-output-itself"],
)
def test_what_is_used_elsewhere_is_not_taken_in(more: list[Written], outputs: str) -> None:
    values = WEIGHT | {"b": floats(2, 1)}
    found = roles(CONV, ("Add", "t0 b", "y"), *more, values=values, outputs=outputs)
    assert (found.linears[0].bias, found.others) == (None, ["b"])


def test_two_flowing_terms_are_no_bias() -> None:
    found = roles(CONV, ("Relu", "x", "r"), ("Add", "t0 r", "y"), values=WEIGHT)
    assert (found.linears[0].bias, found.linears[0].affine) == (None, None)
    assert linear(CONV, ("Add", "t0 t0", "y"), values=WEIGHT).bias is None


def test_a_sum_that_the_graph_computes_is_arithmetic_and_no_bias() -> None:
    values = WEIGHT | {"a": floats(2, 1), "b": floats(2, 1, start=3)}
    found = roles(CONV, ("Mul", "a b", "c"), ("Add", "t0 c", "y"), values=values)
    assert found.linears[0].bias is None
    assert arithmetic(found.linears[0].affine) == ([1], [3, 8], ["a", "b"])
    assert found.others == []


def test_channels_of_a_transposed_convolution_lie_along_its_second_axis() -> None:
    """Times the number of groups."""
    for groups, channels in ((1, 2), (3, 6)):
        values = {"w": floats(3, 2, 1), "b": floats(channels, 1), "other": floats(3, 1)}
        node: Written = ("ConvTranspose", "x w", "t0", {"group": groups})
        assert linear(node, ("Add", "t0 b", "y"), values=values).bias is not None
        assert linear(node, ("Add", "t0 other", "y"), values=values).bias is None
    ungrouped = linear(
        ("ConvTranspose", "x w", "t0"), ("Add", "t0 b", "y"), values={"w": floats(3, 2, 1), "b": floats(2)}
    )
    assert ungrouped.bias is not None
    assert linear(("Conv", "x w", "t0", {"group": 3}), ("Add", "t0 b", "y"), values=WEIGHT | {"b": floats(2)}).bias


def test_channels_of_a_weight_that_is_not_reported_are_those_of_its_bias() -> None:
    values = {"b": floats(2), "a": floats(2, 1), "c": floats(3, 1)}
    conv: Written = ("Conv", "x w b", "t0")
    assert linear(conv, ("Mul", "t0 a", "y"), values=values, unknown="w").affine is not None
    assert linear(conv, ("Mul", "t0 c", "y"), values=values, unknown="w").affine is None
    # Without either, only scalars are known to fit.
    nothing = {"a": floats(1), "c": floats(3)}
    assert linear(CONV, ("Mul", "t0 a", "y"), values=nothing, unknown="w").affine is not None
    assert linear(CONV, ("Mul", "t0 c", "y"), values=nothing, unknown="w").affine is None
    unreported = linear(conv, ("Mul", "t0 c", "y"), values={"c": floats(3)}, unknown="wb")
    assert (unreported.affine, numbers(unreported.bias)) == (None, None)


# --- arithmetic by itself ---------------------------------------------------------------------------------------------


def test_arithmetic_ends_where_its_result_is_used_twice() -> None:
    values = {"a": floats(2), "b": floats(2), "c": floats(2)}
    found = roles(
        ("Mul", "x a", "t"), ("Add", "t b", "y"), ("Add", "t c", "z"), ("Relu", "y", "o"), values=values, outputs="z o"
    )
    assert [arithmetic(affine) for affine in found.affines] == [([1, 2], [0, 0], ["a"])]
    assert found.others == ["b", "c"]


def test_arithmetic_that_follows_each_other_is_told_once() -> None:
    values = {"a": floats(2), "b": floats(2, start=3)}
    found = roles(
        ("Mul", "x a", "t"),
        ("Mul", "t b", "u"),
        ("Relu", "u", "v"),
        ("Mul", "v a", "w"),
        ("Sqrt", "w", "y"),
        values=values,
    )
    assert [arithmetic(affine) for affine in found.affines] == [([3, 8], [0, 0], ["a", "b"]), ([1, 2], [0, 0], ["a"])]


def test_a_node_of_two_flowing_tensors_does_not_hide_those_after_it() -> None:
    found = roles(("Mul", "x x", "t"), ("Mul", "t a", "y"), values={"a": floats(2)})
    assert [arithmetic(affine) for affine in found.affines] == [([1, 2], [0, 0], ["a"])]


@pytest.mark.parametrize(
    ("constant", "counts"),
    [
        (floats(2), True),
        (floats(2, 1, 1), True),
        (floats(1, 2), True),
        (floats(2, 2), False),
        (floats(1), False),
        (np.float32(3), False),
        (np.arange(2), False),
    ],
)
def test_a_constant_per_channel_has_one_axis_that_is_not_one(constant: Any, counts: bool) -> None:
    assert len(roles(("Mul", "x a", "y"), values={"a": constant}).affines) == counts


# --- what is left -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operator", "settings"),
    [
        ("Dropout", (1, 2)),
        ("Clip", (1, 2)),
        ("Pad", (1, 2, 3)),
        ("Resize", (1, 2, 3)),
        ("Upsample", (1,)),
        ("OneHot", (1, 2)),
        ("Range", (0, 1, 2)),
        ("Reshape", (1,)),
        ("Slope", ()),
    ],
)
def test_settings_of_operators_are_no_parameters(operator: str, settings: tuple[int, ...]) -> None:
    inputs = ["x", "x", "x", "x"]
    for place in range(4):
        given = [*inputs[:place], "t", *inputs[place + 1 :]]
        # The constant is told through a change of layout too.
        found = roles(("Identity", "c", "t"), (operator, " ".join(given), "y"), values={"c": floats(2)})
        assert found.others == ([] if place in settings else ["c"])


def test_inputs_that_are_left_out_are_no_settings() -> None:
    assert roles(("Clip", "x - t", "y"), values={"c": floats(2)}).others == ["c"]


def test_others_are_floating_point_numbers_with_more_than_one_value() -> None:
    values = {"b": floats(2), "a": floats(2, 2), "n": np.arange(2), "one": floats(1), "h": np.float16([1, 2])}
    assert roles(("Relu", "x", "y"), values=values).others == ["a", "b", "h"]
