"""The same operators in PyTorch's double kernels, where it has them with the meaning of the standard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from onnx import defs, helper

from tests.conformance.differential.recipe import Case

#: Gets the inputs as tensors and the attributes with their defaults; None where PyTorch has no such case.
Kernel = Callable[[list[Any], dict[str, Any], int], Any]


def answer(case: Case) -> list[Any] | None:
    """The outputs of a case by PyTorch, or None."""
    kernel = KERNELS.get(case.operator)
    if kernel is None:
        return None
    schema = defs.get_schema(case.operator, case.opset, "")
    attributes: dict[str, Any] = {
        name: helper.get_attribute_value(entry.default_value)
        for name, entry in schema.attributes.items()
        if entry.default_value.type
    }
    attributes.update(case.drawn.attributes)
    # The file holds floats as float32, and texts as bytes.
    attributes = {name: _as_stored(value) for name, value in attributes.items()}
    inputs = [None if value is None else torch.from_numpy(np.array(value)) for value in case.drawn.inputs]
    found = kernel(inputs, attributes, case.opset)
    if found is None:
        return None
    return [np.asarray(value) for value in (found if isinstance(found, tuple) else (found,))]


def _as_stored(value: Any) -> Any:
    if isinstance(value, float):
        return float(np.float32(value))
    return value.decode() if isinstance(value, bytes) else value


def _plain(compute: Callable[..., Any], *names: str) -> Kernel:
    """A function of the inputs, and of attributes in this order."""
    return lambda inputs, attributes, _: compute(*inputs, *(attributes[name] for name in names))


def _reduction(compute: Callable[[Any, tuple[int, ...], bool], Any]) -> Kernel:
    def kernel(inputs: list[Any], attributes: dict[str, Any], _: int) -> Any:
        x = inputs[0]
        axes = attributes.get("axes")
        if len(inputs) > 1:
            axes = inputs[1].tolist()
        if not axes and attributes.get("noop_with_empty_axes"):
            return None
        return compute(x, tuple(axes) if axes else tuple(range(x.ndim)), bool(attributes["keepdims"]))

    return kernel


def _product(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    for axis in sorted((axis % x.ndim for axis in axes), reverse=True):
        x = x.prod(axis, keepdim=keepdims)
    return x


def _pads(attributes: dict[str, Any], rank: int) -> list[tuple[int, int]] | None:
    """Explicit padding by axis; None where it is automatic."""
    if attributes.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        return None
    pads = attributes.get("pads") or [0] * 2 * rank
    return [(pads[k], pads[k + rank]) for k in range(rank)]


def _conv(inputs: list[Any], attributes: dict[str, Any], _: int) -> Any:
    x, weights = inputs[:2]
    rank = x.ndim - 2
    pads = _pads(attributes, rank)
    if pads is None:
        return None
    x = F.pad(x, [side for pair in reversed(pads) for side in pair])
    convolve = (F.conv1d, F.conv2d, F.conv3d)[rank - 1]
    return convolve(
        x,
        weights,
        inputs[2] if len(inputs) > 2 else None,
        tuple(attributes.get("strides") or [1] * rank),
        0,
        tuple(attributes.get("dilations") or [1] * rank),
        attributes["group"],
    )


def _conv_transpose(inputs: list[Any], attributes: dict[str, Any], _: int) -> Any:
    x, weights = inputs[:2]
    rank = x.ndim - 2
    pads = _pads(attributes, rank)
    if pads is None or attributes.get("output_shape"):
        return None
    strides, dilations = (attributes.get(name) or [1] * rank for name in ("strides", "dilations"))
    transposed = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[rank - 1]
    extra = tuple(attributes.get("output_padding") or [0] * rank)
    bias = inputs[2] if len(inputs) > 2 else None
    y = transposed(x, weights, bias, tuple(strides), 0, extra, attributes["group"], tuple(dilations))
    places = [slice(head, size - tail) for (head, tail), size in zip(pads, y.shape[2:], strict=True)]
    return y[(slice(None), slice(None), *places)]


def _max_pool(inputs: list[Any], attributes: dict[str, Any], _: int) -> Any:
    (x,) = inputs
    rank = x.ndim - 2
    pads = _pads(attributes, rank)
    if pads is None or attributes.get("ceil_mode") or attributes.get("storage_order"):
        return None
    x = F.pad(x, [side for pair in reversed(pads) for side in pair], value=-torch.inf)
    pool = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[rank - 1]
    kernel, strides, dilations = (
        tuple(attributes.get(name) or [1] * rank) for name in ("kernel_shape", "strides", "dilations")
    )
    return pool(x, kernel, strides, 0, dilations)


def _average_pool(inputs: list[Any], attributes: dict[str, Any], _: int) -> Any:
    (x,) = inputs
    rank = x.ndim - 2
    pads = _pads(attributes, rank)
    if pads is None or any(a != b for a, b in pads) or set(attributes.get("dilations") or [1]) != {1}:
        return None
    kernel = attributes["kernel_shape"]
    if any(2 * head > size for (head, _), size in zip(pads, kernel, strict=True)):
        return None
    pool = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[rank - 1]
    strides = tuple(attributes.get("strides") or [1] * rank)
    before = tuple(head for head, _ in pads)
    ceiling = bool(attributes.get("ceil_mode"))
    return pool(x, tuple(kernel), strides, before, ceiling, bool(attributes.get("count_include_pad")))


def _group_normalization(inputs: list[Any], attributes: dict[str, Any], opset: int) -> Any:
    x, scale, shift = inputs
    if opset < 21:
        each = x.shape[1] // attributes["num_groups"]
        scale, shift = scale.repeat_interleave(each), shift.repeat_interleave(each)
    return F.group_norm(x, attributes["num_groups"], scale, shift, attributes["epsilon"])


def _layer_normalization(inputs: list[Any], attributes: dict[str, Any], _: int) -> Any:
    x = inputs[0]
    trailing = x.shape[attributes["axis"] % x.ndim :]
    return F.layer_norm(x, trailing, inputs[1], inputs[2] if len(inputs) > 2 else None, attributes["epsilon"])


def _rms_normalization(inputs: list[Any], attributes: dict[str, Any], _: int) -> Any:
    x, scale = inputs
    return F.rms_norm(x, x.shape[attributes["axis"] % x.ndim :], scale, attributes["epsilon"])


def _batch_normalization(inputs: list[Any], attributes: dict[str, Any], _: int) -> Any:
    if attributes.get("training_mode"):
        return None
    x, scale, shift, mean, variance = inputs
    return F.batch_norm(x, mean, variance, scale, shift, eps=attributes["epsilon"])


def _softmax(compute: Callable[[Any, int], Any]) -> Kernel:
    def kernel(inputs: list[Any], attributes: dict[str, Any], opset: int) -> Any:
        (x,) = inputs
        axis = attributes["axis"] % x.ndim
        if opset >= 13:
            return compute(x, axis)
        return compute(x.reshape(int(np.prod(x.shape[:axis])), -1), -1).reshape(x.shape)

    return kernel


def _gemm(inputs: list[Any], attributes: dict[str, Any], _: int) -> Any:
    a, b = inputs[:2]
    y = attributes["alpha"] * ((a.T if attributes["transA"] else a) @ (b.T if attributes["transB"] else b))
    return y + attributes["beta"] * inputs[2] if len(inputs) > 2 else y


def _resize(inputs: list[Any], attributes: dict[str, Any], opset: int) -> Any:
    """PyTorch's interpolation to sizes: its own coordinates, and those that align corners."""
    if opset < 11 or len(inputs) < 4 or attributes.get("axes") or attributes["exclude_outside"]:
        return None
    x, sizes = inputs[0], tuple(inputs[3].tolist()[2:])
    place, mode = attributes["coordinate_transformation_mode"], attributes["mode"]
    if mode == "nearest" or attributes.get("antialias") or tuple(x.shape[2:]) == sizes:
        return None
    if place not in ("align_corners", "pytorch_half_pixel") or (mode == "cubic" and x.ndim != 4):
        return None
    if place == "pytorch_half_pixel" and 1 in sizes:
        # PyTorch takes -1/2 cut off at the edge, the standard 0: alike for linear alone.
        return None
    if mode == "cubic" and attributes["cubic_coeff_a"] != -0.75:
        return None
    name = "bicubic" if mode == "cubic" else ("linear", "bilinear", "trilinear")[x.ndim - 3]
    return F.interpolate(x, sizes, mode=name, align_corners=place == "align_corners")


def _grid_sample(inputs: list[Any], attributes: dict[str, Any], _: int) -> Any:
    x, grid = inputs
    mode = {"linear": "bilinear", "cubic": "bicubic"}.get(attributes["mode"], attributes["mode"])
    return F.grid_sample(x, grid, mode, attributes["padding_mode"], bool(attributes["align_corners"]))


def _likelihood_loss(inputs: list[Any], attributes: dict[str, Any], _: int) -> Any:
    weights = inputs[2] if len(inputs) > 2 else None
    ignored = attributes.get("ignore_index", -100)
    return F.nll_loss(inputs[0], inputs[1], weights, ignore_index=ignored, reduction=attributes["reduction"])


def _pad(inputs: list[Any], attributes: dict[str, Any], opset: int) -> Any:
    if attributes["mode"] != "constant" or len(inputs) > 3:
        return None
    x = inputs[0]
    pads = attributes["pads"] if opset < 11 else inputs[1].tolist()
    if min(pads, default=0) < 0 and min(x.shape, default=1) < 2:
        return None
    value = (
        attributes.get("value", 0.0)
        if opset < 11
        else (float(inputs[2]) if len(inputs) > 2 and inputs[2] is not None else 0.0)
    )
    rank = x.ndim
    return F.pad(x, [side for k in reversed(range(rank)) for side in (pads[k], pads[k + rank])], value=value)


KERNELS: dict[str, Kernel] = {
    **{
        name: _plain(compute)
        for name, compute in {
            "Abs": torch.abs,
            "Neg": torch.neg,
            "Exp": torch.exp,
            "Log": torch.log,
            "Sqrt": torch.sqrt,
            "Relu": torch.relu,
            "Sigmoid": torch.sigmoid,
            "Tanh": torch.tanh,
            "Softsign": F.softsign,
            "Mish": F.mish,
            "Erf": torch.erf,
            "Floor": torch.floor,
            "Ceil": torch.ceil,
            "Round": torch.round,
            "Sign": torch.sign,
            "Sin": torch.sin,
            "Cos": torch.cos,
            "Tan": torch.tan,
            "Asin": torch.asin,
            "Acos": torch.acos,
            "Atan": torch.atan,
            "Sinh": torch.sinh,
            "Cosh": torch.cosh,
            "Asinh": torch.asinh,
            "Acosh": torch.acosh,
            "Atanh": torch.atanh,
            "HardSwish": F.hardswish,
            "Reciprocal": torch.reciprocal,
            "Add": torch.add,
            "Sub": torch.sub,
            "Mul": torch.mul,
            "Div": torch.div,
            "Pow": torch.pow,
            "Equal": torch.eq,
            "Greater": torch.gt,
            "Less": torch.lt,
            "GreaterOrEqual": torch.ge,
            "LessOrEqual": torch.le,
            "And": torch.logical_and,
            "Or": torch.logical_or,
            "Xor": torch.logical_xor,
            "Not": torch.logical_not,
            "Where": torch.where,
            "IsNaN": torch.isnan,
            "MatMul": torch.matmul,
            "PRelu": lambda x, slope: torch.where(x < 0, slope * x, x),
            "Mod": torch.fmod,
        }.items()
    },
    "LeakyRelu": _plain(F.leaky_relu, "alpha"),
    "Elu": _plain(F.elu, "alpha"),
    "Celu": _plain(F.celu, "alpha"),
    "Gelu": lambda inputs, attributes, _: F.gelu(inputs[0], approximate=attributes["approximate"]),
    "Softplus": lambda inputs, _, __: torch.logaddexp(inputs[0], torch.zeros_like(inputs[0])),
    "ReduceSum": _reduction(lambda x, axes, keep: x.sum(axes, keepdim=keep)),
    "ReduceMean": _reduction(lambda x, axes, keep: x.mean(axes, keepdim=keep)),
    "ReduceMax": _reduction(lambda x, axes, keep: x.amax(axes, keepdim=keep)),
    "ReduceMin": _reduction(lambda x, axes, keep: x.amin(axes, keepdim=keep)),
    "ReduceProd": _reduction(_product),
    "ReduceL1": _reduction(lambda x, axes, keep: torch.linalg.vector_norm(x, 1, axes, keep)),
    "ReduceL2": _reduction(lambda x, axes, keep: torch.linalg.vector_norm(x, 2, axes, keep)),
    "ReduceLogSumExp": _reduction(lambda x, axes, keep: x.logsumexp(axes, keepdim=keep)),
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "GroupNormalization": _group_normalization,
    "LayerNormalization": _layer_normalization,
    "RMSNormalization": _rms_normalization,
    "BatchNormalization": _batch_normalization,
    "InstanceNormalization": lambda inputs, attributes, _: F.group_norm(
        inputs[0], inputs[0].shape[1], inputs[1], inputs[2], attributes["epsilon"]
    ),
    "Softmax": _softmax(lambda x, axis: x.softmax(axis)),
    "LogSoftmax": _softmax(lambda x, axis: x.log_softmax(axis)),
    "Gemm": _gemm,
    "GridSample": _grid_sample,
    "NegativeLogLikelihoodLoss": _likelihood_loss,
    "Resize": _resize,
    "Pad": _pad,
    "Transpose": lambda inputs, attributes, _: inputs[0].permute(
        attributes.get("perm") or list(range(inputs[0].ndim))[::-1]
    ),
    "CumSum": lambda inputs, attributes, _: (
        None if attributes["reverse"] or attributes["exclusive"] else inputs[0].cumsum(int(inputs[1]))
    ),
}
