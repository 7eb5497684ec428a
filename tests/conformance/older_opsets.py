"""Rewrites one node of an ONNX model so that it means the same in another opset, or says why it cannot.

ONNX publishes its node cases at one opset each. Most nodes can be stamped with an older opset as they are; some
cannot, because an argument moved from an attribute to an input, a default changed, or the rules changed. This module
holds the small, explicit list of those moves (:data:`ADAPTERS`) and of those changed rules (:data:`MEANING_CHANGED`).
Whatever is not listed here has to be legal, as it stands, in the schema of the older opset.

Source of every rule: the operator's documentation in the two schema versions (``onnx.defs``).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from onnx import helper

from tests.conformance.draft import (
    Array,
    Draft,
    NoVariant,
    argument,
    attributes,
    finish,
    input_to_attribute,
    known,
    non_negative,
    remove_attribute,
    set_attribute,
)

SOFTMAX_FAMILY = frozenset({"Softmax", "LogSoftmax", "Hardmax"})
REDUCTIONS = frozenset(
    f"Reduce{name}" for name in ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")
)
#: Operators whose ``axis`` attribute may be negative only from opset 11 on.
NEGATIVE_AXIS_SINCE_11 = frozenset(
    {"ArgMax", "ArgMin", "Compress", "Concat", "Flatten", "Gather", "Split"} | SOFTMAX_FAMILY
)


def adapt_axis(draft: Draft, node: onnx.NodeProto) -> None:
    """Operators with one ``axis``: never negative before opset 11; gathered indices neither."""
    if draft.opset >= 11:
        return
    if attributes(node).get("axis", 0) < 0:
        non_negative(draft, node, "axis", draft.rank(node.input[0]))
    if node.op_type == "Gather":
        indices = draft.value(node.input[1])
        if indices is None or (indices < 0).any():
            raise NoVariant("negative indices since opset 11")


def adapt_axes(draft: Draft, node: onnx.NodeProto) -> None:
    """Squeeze, Unsqueeze (13), ReduceSum (13) and the other reductions (18): axes were an attribute."""
    moved = 18 if node.op_type in REDUCTIONS - {"ReduceSum"} else 13
    if draft.opset < moved:
        set_noop = attributes(node).get("noop_with_empty_axes", 0)
        axes = input_to_attribute(draft, node, 1, "axes")
        if set_noop and (axes is None or axes.size == 0):
            raise NoVariant(f"reducing nothing when axes are empty is possible since opset {moved}")
        if axes is not None and axes.size == 0:
            remove_attribute(node, "axes")
        remove_attribute(node, "noop_with_empty_axes")
        finish(draft, node, 1)
    if draft.opset < 11 and attributes(node).get("axes"):
        grown = len(attributes(node)["axes"]) if node.op_type == "Unsqueeze" else 0
        if grown and attributes(node)["axes"] != sorted(attributes(node)["axes"]):
            raise NoVariant("Unsqueeze: axes in any order since opset 11")
        non_negative(draft, node, "axes", draft.rank(node.input[0]) + grown)
    if draft.opset < 13 and node.op_type in REDUCTIONS and 0 in draft.shapes.get(node.input[0], ()):
        raise NoVariant("the result of reducing nothing is defined since opset 13")


def adapt_slice(draft: Draft, node: onnx.NodeProto) -> None:
    """Slice: attributes before 10, no steps there; negative axes since 11."""
    if draft.opset >= 11:
        return
    if draft.opset < 10:
        steps = argument(node, 4)
        if steps and (known(draft, steps, "steps") != 1).any():
            raise NoVariant("steps since opset 10")
        for index, name in ((1, "starts"), (2, "ends"), (3, "axes")):
            input_to_attribute(draft, node, index, name)
        finish(draft, node, 1)
        non_negative(draft, node, "axes", draft.rank(node.input[0]))
        return
    axes = argument(node, 3)
    if axes and (known(draft, axes, "axes") < 0).any():
        if axes not in draft.inputs:
            raise NoVariant("negative axes since opset 11")
        value = draft.inputs[axes]
        draft.inputs[axes] = np.where(value < 0, value + draft.rank(node.input[0]), value).astype(value.dtype)
        draft.notes.append("negative axis counted from the front")
    ends = argument(node, 2)
    steps = argument(node, 4)
    if steps and (known(draft, steps, "steps") < 0).any():
        starts = known(draft, node.input[1], "starts")
        if (np.abs(starts) > 2**31).any() or (np.abs(known(draft, ends, "ends")) > 2**31).any():
            raise NoVariant("clamping of backward slices is defined since opset 11")


def adapt_clip(draft: Draft, node: onnx.NodeProto) -> None:
    """Clip: min and max were attributes before 11; min above max is defined since 13."""
    low, high = argument(node, 1), argument(node, 2)
    if draft.opset < 13 and low and high:
        bounds = draft.value(low), draft.value(high)
        if bounds[0] is None or bounds[1] is None or (bounds[0] > bounds[1]).any():
            raise NoVariant("the result where min is above max is defined since opset 13")
    if draft.opset < 11:
        for index, name in ((1, "min"), (2, "max")):
            value = input_to_attribute(draft, node, index, name)
            if value is not None:
                set_attribute(node, name, float(value))
        finish(draft, node, 1)


def adapt_pad(draft: Draft, node: onnx.NodeProto) -> None:
    """Pad: attributes before 11, no axes before 18, no wrapping before 19."""
    if draft.opset < 19 and attributes(node).get("mode") == b"wrap":
        raise NoVariant("mode wrap since opset 19")
    axes_name = argument(node, 3)
    if draft.opset < 18 and axes_name:
        axes = known(draft, axes_name, "axes")
        pads = known(draft, node.input[1], "pads")
        rank = draft.rank(node.input[0])
        whole = np.zeros((2, rank), np.int64)
        whole[:, axes % rank] = pads.reshape(2, -1)
        if node.input[1] not in draft.inputs:
            raise NoVariant("pads are computed in the graph")
        draft.inputs[node.input[1]] = whole.ravel()
        draft.shapes[node.input[1]] = (2 * rank,)
        restate_input(draft, node.input[1])
        finish(draft, node, 3)
        draft.notes.append("pads written for every axis")
    if draft.opset < 11:
        input_to_attribute(draft, node, 1, "pads")
        value = input_to_attribute(draft, node, 2, "value")
        if value is not None:
            set_attribute(node, "value", float(value))
        finish(draft, node, 1)


def restate_input(draft: Draft, name: str) -> None:
    """Bring the declared type of a graph input in line with its value."""
    value = draft.inputs[name]
    kind = helper.np_dtype_to_tensor_dtype(value.dtype)
    for declared in draft.graph.input:
        if declared.name == name:
            declared.CopyFrom(helper.make_tensor_value_info(name, kind, value.shape))


def adapt_dropout(draft: Draft, node: onnx.NodeProto) -> None:
    """Dropout: the ratio was an attribute before 12, and a node outside training had no switch."""
    if draft.opset >= 12:
        return
    if len(node.output) > 1:
        raise NoVariant("Dropout: the mask outside training is stated since opset 12")
    switch = argument(node, 2)
    if switch and bool(known(draft, switch, "training_mode")):
        raise NoVariant("training_mode since opset 12")
    remove_attribute(node, "seed")
    ratio = input_to_attribute(draft, node, 1, "ratio")
    if ratio is not None:
        set_attribute(node, "ratio", float(ratio))
    finish(draft, node, 1)


def adapt_split(draft: Draft, node: onnx.NodeProto) -> None:
    """Split: an attribute before 13; the number of outputs is asked for since 18, and may be uneven there."""
    if draft.opset >= 18:
        if not argument(node, 1) and "num_outputs" not in attributes(node):
            raise NoVariant("split or num_outputs is required since opset 18")
        return
    if "num_outputs" in attributes(node):
        axis = attributes(node).get("axis", 0)
        if draft.shape(node.input[0])[axis] % attributes(node)["num_outputs"]:
            raise NoVariant("uneven parts since opset 18")
        remove_attribute(node, "num_outputs")
    if draft.opset < 13:
        input_to_attribute(draft, node, 1, "split")
        finish(draft, node, 1)
    adapt_axis(draft, node)


def adapt_topk(draft: Draft, node: onnx.NodeProto) -> None:
    """TopK: k was an attribute before 10."""
    if draft.opset < 10:
        value = input_to_attribute(draft, node, 1, "k")
        if value is not None:
            set_attribute(node, "k", int(value.reshape(())))
        finish(draft, node, 1)


def adapt_softmax(draft: Draft, node: onnx.NodeProto) -> None:
    """The softmax family before 13 flattens the tensor to two axes at ``axis``, 1 by default (-1 since 13)."""
    if draft.opset >= 13:
        return
    rank = draft.rank(node.input[0])
    axis = attributes(node).get("axis", -1) % max(rank, 1)
    if rank == 0:
        raise NoVariant("a scalar has no second axis before opset 13")
    set_attribute(node, "axis", axis)
    if axis == rank - 1:
        draft.notes.append("axis written out")
        return
    if len(draft.graph.node) > 1 or node.input[0] not in draft.inputs:
        raise NoVariant("flattened to two axes before opset 13")
    value = draft.inputs[node.input[0]]
    rows = value.reshape(int(np.prod(value.shape[:axis])), -1)
    result = softmax_rows(node.op_type, rows.astype(np.float64))
    draft.outputs[node.output[0]] = result.reshape(value.shape).astype(value.dtype)
    draft.notes.append("expected value computed for the flattened tensor")


def softmax_rows(operator: str, rows: Array) -> Array:
    """Softmax, LogSoftmax or Hardmax of every row of a float64 matrix (rows, columns)."""
    if operator == "Hardmax":
        return np.eye(rows.shape[1])[rows.argmax(axis=1)]
    shifted = rows - rows.max(axis=1, keepdims=True)
    total = np.exp(shifted).sum(axis=1, keepdims=True)
    return shifted - np.log(total) if operator == "LogSoftmax" else np.exp(shifted) / total


def adapt_resize(draft: Draft, node: onnx.NodeProto) -> None:
    """Resize: axes since 18; roi and scales always given in 11 and 12; in 10 scales alone, no half pixels."""
    given = attributes(node)
    if draft.opset < 19 and given.get("coordinate_transformation_mode") == b"half_pixel_symmetric":
        raise NoVariant("half_pixel_symmetric since opset 19")
    if draft.opset < 18 and "axes" in given:
        resize_every_axis(draft, node, given["axes"])
    if draft.opset == 10:
        adapt_resize_10(draft, node)
    elif draft.opset < 13:
        if given.get("coordinate_transformation_mode") != b"tf_crop_and_resize":
            give_empty(draft, node, 1, "roi")
        if argument(node, 3):
            give_empty(draft, node, 2, "scales")


def give_empty(draft: Draft, node: onnx.NodeProto, index: int, name: str) -> None:
    """Give an input that an older schema requires but that is not used: an empty float32 vector."""
    if argument(node, index):
        return
    names = [*node.input, *[""] * (index + 1 - len(node.input))]
    names[index] = f"no_{name}"
    del node.input[:]
    node.input.extend(names)
    draft.add_input(names[index], np.zeros(0, np.float32))
    draft.notes.append(f"empty {name} given")


def resize_every_axis(draft: Draft, node: onnx.NodeProto, axes: list[int]) -> None:
    """Write roi, scales and sizes for every axis of the input instead of for some."""
    shape = draft.shape(node.input[0])
    chosen = [axis % len(shape) for axis in axes]
    rests: dict[int, Array] = {
        1: np.concatenate([np.zeros(len(shape), np.float32), np.ones(len(shape), np.float32)]),
        2: np.ones(len(shape), np.float32),
        3: np.array(shape, np.int64),
    }
    for index, rest in rests.items():
        name = argument(node, index)
        if not name:
            continue
        value = known(draft, name, "a Resize argument")
        places = chosen if index > 1 else chosen + [axis + len(shape) for axis in chosen]
        rest = rest.astype(value.dtype)
        rest[places] = value
        draft.inputs[name] = rest
        draft.shapes[name] = tuple(rest.shape)
        restate_input(draft, name)
    remove_attribute(node, "axes")
    draft.notes.append("every axis written out")


def adapt_resize_10(draft: Draft, node: onnx.NodeProto) -> None:
    """Resize 10: output size floor(size * scale), source coordinate index / scale, nearest rounds down."""
    mode = attributes(node).get("mode", b"nearest")
    if mode not in (b"nearest", b"linear"):
        raise NoVariant("mode cubic since opset 11")
    if argument(node, 3) or not argument(node, 2):
        raise NoVariant("sizes since opset 11")
    if attributes(node).get("antialias", 0):
        raise NoVariant("antialias since opset 18")
    if len(draft.graph.node) > 1:
        raise NoVariant("coordinates changed in opset 11")
    x, scales = draft.inputs[node.input[0]], known(draft, node.input[2], "scales")
    if (scales < 1).any():
        raise NoVariant("Resize: which values downsampling takes is stated since opset 11")
    result = x.astype(np.float64)
    for axis, scale in enumerate(scales.tolist()):
        result = resample_axis(result, axis, scale, linear=mode == b"linear")
    draft.outputs[node.output[0]] = result.astype(x.dtype)
    roi, names = argument(node, 1), [node.input[0], node.input[2]]
    del node.input[:]
    node.input.extend(names)
    if roi:
        draft.drop_unused(roi)
    del node.attribute[:]
    set_attribute(node, "mode", mode)
    restate_output(draft, node.output[0])
    draft.notes.append("expected value computed with asymmetric coordinates")


def restate_output(draft: Draft, name: str) -> None:
    """Bring the declared shape of a graph output in line with its expected value."""
    value = draft.outputs[name]
    kind = helper.np_dtype_to_tensor_dtype(value.dtype)
    for declared in draft.graph.output:
        if declared.name == name:
            declared.CopyFrom(helper.make_tensor_value_info(name, kind, value.shape))


def resample_axis(x: Array, axis: int, scale: float, *, linear: bool) -> Array:
    """Resample one axis with source coordinate index / scale; nearest takes the index below."""
    size = x.shape[axis]
    source = np.arange(int(np.floor(size * scale))) / scale
    below = np.minimum(np.floor(source).astype(np.int64), size - 1)
    if not linear:
        return np.take(x, below, axis=axis)
    above = np.minimum(below + 1, size - 1)
    shape = [1] * x.ndim
    shape[axis] = -1
    weight = (source - below).reshape(shape)
    return np.take(x, below, axis=axis) * (1 - weight) + np.take(x, above, axis=axis) * weight


def adapt_upsample(draft: Draft, node: onnx.NodeProto) -> None:
    """Upsample: scales were an attribute before 9."""
    if draft.opset < 9:
        input_to_attribute(draft, node, 1, "scales")
        finish(draft, node, 1)


def adapt_roi_align(draft: Draft, node: onnx.NodeProto) -> None:
    """RoiAlign before 16 works without the half-pixel shift that is the default since."""
    if draft.opset >= 16:
        return
    given = attributes(node)
    if given.get("coordinate_transformation_mode") != b"output_half_pixel":
        raise NoVariant("half_pixel coordinates since opset 16")
    if given.get("mode", b"avg") == b"max":
        raise NoVariant("the maximum is taken after interpolation since opset 16")
    remove_attribute(node, "coordinate_transformation_mode")
    draft.notes.append("output_half_pixel was the only mode")


def adapt_grid_sample(draft: Draft, node: onnx.NodeProto) -> None:
    """GridSample: the modes were renamed in 20, when volumes came in."""
    if draft.opset >= 20:
        return
    if draft.rank(node.input[0]) != 4:
        raise NoVariant("volumes since opset 20")
    renamed = {b"linear": "bilinear", b"cubic": "bicubic"}
    mode = attributes(node).get("mode")
    if mode in renamed:
        set_attribute(node, "mode", renamed[mode])
        draft.notes.append("mode renamed")


Adapter = Callable[[Draft, onnx.NodeProto], None]

ADAPTERS: dict[str, Adapter] = {
    **dict.fromkeys(NEGATIVE_AXIS_SINCE_11, adapt_axis),
    **dict.fromkeys(REDUCTIONS | {"Squeeze", "Unsqueeze"}, adapt_axes),
    **dict.fromkeys(SOFTMAX_FAMILY, adapt_softmax),
    "Clip": adapt_clip,
    "Dropout": adapt_dropout,
    "GridSample": adapt_grid_sample,
    "Pad": adapt_pad,
    "Resize": adapt_resize,
    "RoiAlign": adapt_roi_align,
    "Slice": adapt_slice,
    "Split": adapt_split,
    "TopK": adapt_topk,
    "Upsample": adapt_upsample,
}
