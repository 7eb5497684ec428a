"""Whether a node is legal in one opset, and means there what it means where its case was written.

Two checks: against the schema (operator known, attributes, number and types of arguments), and against the list of
rules that changed without a trace in the schema.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
import onnx
from onnx import defs

from harness.workers.onnx.published_cases import nested_nodes
from tests.conformance.draft import Draft, NoVariant, argument, attributes, remove_attribute

OPTIONAL = defs.OpSchema.FormalParameterOption.Optional
VARIADIC = defs.OpSchema.FormalParameterOption.Variadic


@cache
def schema_at(operator: str, opset: int) -> defs.OpSchema:
    """The schema of an operator of the default domain in one opset.

    Raises:
        NoVariant: the operator does not exist there, or not any more.
    """
    try:
        schema = defs.get_schema(operator, opset, "")
    except defs.SchemaError:
        first = min(s.since_version for s in all_schemas() if s.name == operator)
        raise NoVariant(f"{operator} since opset {first}") from None
    if schema.deprecated:
        raise NoVariant(f"{operator} deprecated since opset {schema.since_version}")
    return schema


@cache
def all_schemas() -> tuple[defs.OpSchema, ...]:
    """Every schema of the default domain, all versions."""
    return tuple(s for s in defs.get_all_schemas_with_history() if s.domain == "")


def subgraph_nodes(node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
    """All nodes of the graphs inside the attributes of one node."""
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield from nested_nodes(attribute.g)


def signature(operators: tuple[str, ...], opset: int) -> tuple[int, ...]:
    """The since-version of every operator in one opset: two opsets of equal signature differ by their stamp only.

    Raises:
        NoVariant: one of them does not exist there.
    """
    return tuple(schema_at(operator, opset).since_version for operator in operators)


def same_value(left: object, right: object) -> bool:
    """Whether two attribute values are the same."""
    return bool(np.array_equal(np.asarray(left), np.asarray(right)))


def check_schema(node: onnx.NodeProto, opset: int, written_at: int, types: dict[str, str]) -> None:
    """Check one node against the schema of ``opset``, dropping attributes that only state a later default.

    Args:
        node: the node; changed in place.
        opset: the wanted opset.
        written_at: the opset of the original case.
        types: tensor name to type string such as ``tensor(float)``, where known.

    Raises:
        NoVariant: with the reason.
    """
    name = node.op_type
    schema, original = schema_at(name, opset), schema_at(name, written_at)
    for key, value in attributes(node).items():
        if key in schema.attributes:
            continue
        default = original.attributes[key].default_value if key in original.attributes else None
        if default is None or not default.name or not same_value(value, onnx.helper.get_attribute_value(default)):
            raise NoVariant(f"{name}: attribute {key} is not in version {schema.since_version}")
        remove_attribute(node, key)
    for key, formal in schema.attributes.items():
        if formal.required and key not in attributes(node):
            raise NoVariant(f"{name}: attribute {key} is required in version {schema.since_version}")
    bound: dict[str, str] = {}
    since = schema.since_version
    check_arguments(name, "input", list(node.input), list(schema.inputs), since, types, bound)
    check_arguments(name, "output", list(node.output), list(schema.outputs), since, types, bound)


def check_arguments(
    operator: str,
    kind: str,
    names: list[str],
    formals: list[defs.OpSchema.FormalParameter],
    since: int,
    types: dict[str, str],
    bound: dict[str, str],
) -> None:
    """Check number and types of the inputs or outputs of one node; ``bound`` holds the type variables so far.

    Raises:
        NoVariant: with the reason.
    """
    variadic = bool(formals) and formals[-1].option == VARIADIC
    if len(names) > len(formals) and not variadic:
        raise NoVariant(f"{operator}: {len(names)} {kind}s are too many for version {since}")
    for index, formal in enumerate(formals):
        missing = index >= len(names) or not names[index]
        if missing and formal.option not in (OPTIONAL, VARIADIC) and kind == "input":
            raise NoVariant(f"{operator}: {kind} {formal.name} is required in version {since}")
    for index, name in enumerate(names):
        formal = formals[min(index, len(formals) - 1)]
        found = types.get(name)
        if not name or found is None:
            continue
        if found not in formal.types:
            raise NoVariant(f"{operator}: {kind} {formal.name} of {found} is not in version {since}")
        heterogeneous = formal.option == VARIADIC and not formal.is_homogeneous
        if not heterogeneous and bound.setdefault(formal.type_str, found) != found:
            raise NoVariant(f"{operator}: mixed types are not in version {since}")


# --------------------------------------------------------------- rules that changed without a trace in the schema

Rule = Callable[[Draft, onnx.NodeProto], str | None]


def shapes_of(draft: Draft, node: onnx.NodeProto) -> list[tuple[int, ...] | None]:
    """Shapes of the inputs of a node, None where not known."""
    return [draft.shapes.get(name) for name in node.input]


def no_broadcasting(draft: Draft, node: onnx.NodeProto) -> str | None:
    """Max, Min, Mean and Sum broadcast since opset 8."""
    shapes = shapes_of(draft, node)
    if draft.opset < 8 and (None in shapes or len(set(shapes)) > 1):
        return "broadcasting since opset 8"
    return None


def padded_by_rule(draft: Draft, node: onnx.NodeProto) -> str | None:
    """ConvTranspose before 11 states the padding of auto_pad and output_shape the other way round."""
    given = attributes(node)
    if draft.opset < 11 and (given.get("auto_pad", b"NOTSET") != b"NOTSET" or "output_shape" in given):
        return "the padding of auto_pad and output_shape was stated differently before opset 11"
    return None


def window_on_padding(draft: Draft, node: onnx.NodeProto) -> str | None:
    """Pooling with ceil_mode ignores windows that would start in the padding since 22."""
    given = attributes(node)
    if draft.opset >= 22 or not given.get("ceil_mode"):
        return None
    size = draft.shapes.get(node.input[0])
    if size is None:
        return "windows that start in the padding are ignored since opset 22"
    kernel = given["kernel_shape"]
    axes = len(kernel)
    strides, dilations = given.get("strides", [1] * axes), given.get("dilations", [1] * axes)
    pads = given.get("pads", [0] * 2 * axes)
    for axis in range(axes):
        padded = size[axis + 2] + pads[axis] + pads[axis + axes]
        windows = -(-(padded - dilations[axis] * (kernel[axis] - 1) - 1) // strides[axis]) + 1
        if (windows - 1) * strides[axis] >= size[axis + 2] + pads[axis]:
            return "windows that start in the padding are ignored since opset 22"
    return None


def scan_over_batches(draft: Draft, node: onnx.NodeProto) -> str | None:
    """Scan 8 has a batch axis and sequence lengths; Scan 9 has not."""
    written_for_8 = len(node.input) > 0 and node.input[0] == ""
    if written_for_8 != (draft.opset == 8):
        return "Scan changed its arguments in opset 9"
    return None


def moved_dft_axis(draft: Draft, node: onnx.NodeProto) -> str | None:
    """DFT takes its axis as an input since 20, with another default; the suite has cases of its own for 17 to 19."""
    return "axis is an input since opset 20" if (draft.opset < 20) != (draft.written_at < 20) else None


def scatter_reduction(draft: Draft, node: onnx.NodeProto) -> str | None:
    """ScatterElements and ScatterND take max and min since 18."""
    if draft.opset < 18 and attributes(node).get("reduction") in (b"max", b"min"):
        return "reductions max and min since opset 18"
    return None


def quantised_axis(draft: Draft, node: onnx.NodeProto) -> str | None:
    """Quantisation per axis since 13, per block since 21."""
    shape = draft.shapes.get(argument(node, 1))
    if draft.opset < 13 and shape != () and shape != (1,):
        return "quantisation per axis since opset 13"
    if draft.opset < 21 and (shape is None or len(shape) > 1):
        return "quantisation per block since opset 21"
    return None


def modulo_of_floats(draft: Draft, node: onnx.NodeProto) -> str | None:
    """Mod before 28: fmod 0 is for integers; between 13 and 27, fmod 1 is for floating point."""
    value = draft.inputs.get(node.input[0])
    if draft.opset >= 28 or value is None:
        return None
    truncated = bool(attributes(node).get("fmod", 0))
    if value.dtype.kind == "f" and not truncated:
        return "the floor modulo of floating point is defined since opset 28"
    if value.dtype.kind != "f" and truncated and draft.opset >= 13:
        return "fmod 1 is for floating point in opsets 13 to 27"
    return None


def wide_shift(draft: Draft, node: onnx.NodeProto) -> str | None:
    """BitShift by the width of the type or more is defined since 28."""
    amount = draft.inputs.get(node.input[1])
    if draft.opset < 28 and amount is not None and (amount >= amount.dtype.itemsize * 8).any():
        return "shifts by the width of the type are defined since opset 28"
    return None


def negative_one_hot(draft: Draft, node: onnx.NodeProto) -> str | None:
    """OneHot counts negative indices from the back since 11."""
    indices = draft.value(node.input[0])
    if draft.opset < 11 and (indices is None or (indices < 0).any()):
        return "negative indices since opset 11"
    axis, shape = attributes(node).get("axis", -1), draft.shapes.get(node.input[0])
    if draft.opset < 11 and axis < -1 and shape is not None:
        return "axes below -1 since opset 11"
    return None


def batch_statistics(draft: Draft, node: onnx.NodeProto) -> str | None:
    """BatchNormalization in training mode returns other outputs before 14."""
    if draft.opset < 14 and len(node.output) > 1:
        return "training mode returns other outputs before opset 14"
    return None


MEANING_CHANGED: dict[str, Rule] = {
    **dict.fromkeys(("Max", "Mean", "Min", "Sum"), no_broadcasting),
    **dict.fromkeys(("AveragePool", "LpPool", "MaxPool"), window_on_padding),
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear"), quantised_axis),
    **dict.fromkeys(("ScatterElements", "ScatterND"), scatter_reduction),
    "BatchNormalization": batch_statistics,
    "BitShift": wide_shift,
    "ConvTranspose": padded_by_rule,
    "DFT": moved_dft_axis,
    "Mod": modulo_of_floats,
    "OneHot": negative_one_hot,
    "Scan": scan_over_batches,
}
