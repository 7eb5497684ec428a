"""Routes from PyTorch to ONNX.

``torch-dynamo`` is PyTorch's exporter built on ``torch.export``, ``torch-script`` the older one built on tracing. Both write
a loop over time step after step; ``torch-scan`` is the first of them with time kept as ONNX Scan.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from harness.models.spec import Axis, ModelSpec
from harness.workers.engine import Array, Failed, Unsupported
from harness.workers.onnx.export import Route, Routes
from harness.workers.pytorch.model import build, fill
from harness.workers.pytorch.scan import time_as_scan
from harness.workers.tensors import dtype_of

#: Samples in the example that is traced: more than one, so that no exporter takes the batch for a constant.
_EXAMPLE_SAMPLES = 2


def _model(spec: ModelSpec, arrays: dict[str, Array], where: str) -> torch.nn.Module:
    module = build(spec).eval()
    fill(module, spec, arrays, where)
    return module


def _example(spec: ModelSpec) -> dict[str, torch.Tensor]:
    """Inputs to trace with; dynamic axes other than the sample get lengths that no other axis has."""
    generator = np.random.Generator(np.random.Philox(key=0))
    example = {}
    for tensor in spec.inputs:
        shape = [_EXAMPLE_SAMPLES if axis.name == "sample" else axis.size or 7 for axis in tensor.axes]
        values = generator.standard_normal(shape)
        array = values > 0 if tensor.dtype == "bool" else values.astype(dtype_of(tensor.dtype))
        example[tensor.name] = torch.from_numpy(array)
    return example


def _dynamic_axes(spec: ModelSpec) -> dict[str, dict[int, str]]:
    return {
        tensor.name: {index: axis.name for index, axis in enumerate(tensor.axes) if axis.size is None}
        for tensor in (*spec.inputs, *spec.outputs)
    }


def _dynamo(
    module: torch.nn.Module, spec: ModelSpec, opset: int, fold: bool, path: Path, free: tuple[str, ...] = ()
) -> str:
    """``free``: axes of the inputs that are left open although the specification gives their size."""

    def is_dynamic(axis: Axis) -> bool:
        # PyTorch takes an axis of length 1 for a constant.
        return axis.size is None or (axis.name in free and axis.size > 1)

    dimensions = {
        axis.name: torch.export.Dim(axis.name) for tensor in spec.inputs for axis in tensor.axes if is_dynamic(axis)
    }
    shapes = {
        tensor.name: {index: dimensions[axis.name] for index, axis in enumerate(tensor.axes) if is_dynamic(axis)}
        for tensor in spec.inputs
    }
    program = torch.onnx.export(
        module,
        kwargs=_example(spec),
        dynamo=True,
        optimize=fold,
        opset_version=opset,
        input_names=[tensor.name for tensor in spec.inputs],
        output_names=[tensor.name for tensor in spec.outputs],
        dynamic_shapes=shapes,
        external_data=False,
        verbose=False,
    )
    if program is None:
        # Only the older exporter returns nothing.
        raise Failed("torch.onnx.export fell back to TorchScript")
    program.save(str(path), external_data=False)
    return "torch.onnx (torch.export)"


def _scan(module: torch.nn.Module, spec: ModelSpec, opset: int, fold: bool, path: Path) -> str:
    with time_as_scan(module) as loops:
        if not loops:
            raise Unsupported(
                f"torch-scan keeps loops over time as Scan, and {spec.model} has none in PyTorch; torch-dynamo exports it"
            )
        return f"{_dynamo(module, spec, opset, fold, path, free=('time',))} with {loops} loops as scan"


def _script(module: torch.nn.Module, spec: ModelSpec, opset: int, fold: bool, path: Path) -> str:
    # In training mode "preserve" a module in evaluation mode stays there, and the exporter does not fold.
    training = torch.onnx.TrainingMode.EVAL if fold else torch.onnx.TrainingMode.PRESERVE
    program = torch.onnx.export(
        module,
        (),
        str(path),
        kwargs=_example(spec),
        dynamo=False,
        do_constant_folding=fold,
        training=training,
        opset_version=opset,
        input_names=[tensor.name for tensor in spec.inputs],
        output_names=[tensor.name for tensor in spec.outputs],
        dynamic_axes=_dynamic_axes(spec),
        verbose=False,
    )
    return "torch.onnx (TorchScript)" if program is None else "torch.onnx (torch.export)"


_BY_NAME: dict[str, Route] = {
    "torch-dynamo": _dynamo,
    "torch-scan": _scan,
    "torch-script": _script,
}

ROUTES = Routes("python/pytorch", _model, _BY_NAME, ("torch", "onnx", "onnxscript"))
