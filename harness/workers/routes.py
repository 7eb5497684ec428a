"""The request ``export``: a PyTorch model written as one self-contained ONNX file, by a named route.

``torch-dynamo`` is PyTorch's exporter built on ``torch.export``, ``torch-script`` the older one built on tracing. Each
may do something else than it was asked for: what is recorded here is read from the file that was written.
"""

from __future__ import annotations

import contextlib
import logging
import re
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from harness.models.spec import ModelSpec
from harness.workers.engine import BadInput, Failed, Unsupported
from harness.workers.pytorch_model import build, fill, read_metadata, read_spec
from harness.workers.requests import existing_file, write_bytes, write_json
from harness.workers.tensors import dtype_of, read_tensors

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto

#: Samples in the example that is traced: more than one, so that no exporter takes the batch for a constant.
_EXAMPLE_SAMPLES = 2


def export(
    weights: str, out: str, route: str, opset: int, fold: bool = True, metadata: str | None = None
) -> dict[str, Any]:
    """Export a trained model and write ``model.onnx`` and ``export.json``.

    Args:
        weights: canonical parameters as safetensors, with ``model.json`` beside them.
        out: the folder to write to.
        route: ``torch-dynamo`` or ``torch-script``.
        opset: the opset asked for.
        fold: whether batch normalisation may be folded into the layer before it.
        metadata: JSON of the metadata keys; ``metadata.json`` beside the weights by default.

    Returns the record of what the exporter really did. Raises BadInput, Unsupported on an opset or operator that the
    exporter refuses, Failed where the file it wrote is not valid.
    """
    source, folder = existing_file(weights), Path(out)
    if not folder.is_dir():
        raise BadInput(f"out: {out}: no such folder")
    if route not in _ROUTES:
        raise Unsupported(f"route '{route}' is not supported by python/pytorch; there are {', '.join(_ROUTES)}")
    if not isinstance(opset, int) or isinstance(opset, bool) or not isinstance(fold, bool):
        raise BadInput(f"opset must be an integer and fold true or false, not {opset!r} and {fold!r}")
    spec = read_spec(source.with_name("model.json"))
    module = build(spec).eval()
    fill(module, spec, read_tensors(source), str(source))
    described = read_metadata(existing_file(metadata) if metadata is not None else source.with_name("metadata.json"))
    model, record = export_module(module, spec, route, opset, fold, described)
    write_bytes(folder / "model.onnx", model)
    write_json(folder / "export.json", record)
    return record


def export_module(
    module: torch.nn.Module,
    spec: ModelSpec,
    route: str,
    opset: int,
    fold: bool,
    metadata: dict[str, str],
) -> tuple[bytes, dict[str, Any]]:
    """The bytes of the ONNX file for a module in evaluation mode, and the record of what the exporter really did.

    The same module gives the same bytes: what depends on the machine or the moment is left out of the file.
    """
    import onnx

    with tempfile.TemporaryDirectory(prefix="export-") as scratch, _caught() as lines:
        path = Path(scratch) / "model.onnx"
        started = time.perf_counter()
        try:
            exporter = _ROUTES[route](module, spec, opset, fold, path)
        except Exception as error:
            if isinstance(error, MemoryError | OSError):
                raise
            raise _refusal(error, route, opset) from error
        seconds = time.perf_counter() - started
        model = onnx.load(str(path))
        beside = sorted(file.name for file in Path(scratch).iterdir() if file != path)
    if beside:
        raise Failed(f"{route} wrote more than one file: {', '.join(beside)}")
    _clean(model)
    onnx.helper.set_model_props(model, dict(sorted(metadata.items())))
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise Failed(f"{route} wrote a file that is not valid: {str(error).splitlines()[0]}") from error
    lines += _interface(model, spec, route)
    written: bytes = model.SerializeToString(deterministic=True)
    standard = {entry.domain: entry.version for entry in model.opset_import}
    record = {
        "route": route,
        "asked": {"opset": opset, "fold": fold},
        "exporter": exporter,
        "opset": standard.get("", standard.get("ai.onnx")),
        "opsets": standard,
        "ir_version": model.ir_version,
        **_folding(model, spec),
        "nodes": len(model.graph.node),
        "operators": _operators(model),
        "warnings": lines,
        "bytes": len(written),
        "seconds": seconds,
        "versions": {"torch": torch.__version__, "onnx": onnx.__version__} | _version("onnxscript"),
    }
    return written, record


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


def _dynamo(module: torch.nn.Module, spec: ModelSpec, opset: int, fold: bool, path: Path) -> str:
    dimensions = {
        axis.name: torch.export.Dim(axis.name) for tensor in spec.inputs for axis in tensor.axes if axis.size is None
    }
    shapes = {
        tensor.name: {index: dimensions[axis.name] for index, axis in enumerate(tensor.axes) if axis.size is None}
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


_ROUTES: dict[str, Callable[[torch.nn.Module, ModelSpec, int, bool, Path], str]] = {
    "torch-dynamo": _dynamo,
    "torch-script": _script,
}


def _refusal(error: Exception, route: str, opset: int) -> Exception:
    """What an exporter's exception means: its own refusals say so in their names or words."""
    text = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    words = ("Unsupported", "unsupported", "not supported", "opset")
    if any(word in f"{type(error).__name__} {text}" for word in words):
        return Unsupported(f"{route} refuses opset {opset}: {_without_paths(text)}")
    return Failed(f"{route}: {type(error).__name__}: {_without_paths(text)}")


@contextlib.contextmanager
def _caught() -> Iterator[list[str]]:
    """Warnings of Python and of the exporters' loggers within the block, as short lines, each once, in order."""
    lines: list[str] = []

    def note(text: str) -> None:
        first = next((line.strip() for line in text.splitlines() if line.strip()), "")
        short = _without_paths(first)[:300]
        if short and short not in lines:
            lines.append(short)

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            note(record.getMessage())

    handler = Handler(logging.WARNING)
    names = ("", "torch", "torch.onnx", "onnxscript", "onnx_ir", "torch.export")
    loggers = [logging.getLogger(name) for name in names]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for logger in loggers:
            logger.addHandler(handler)
        try:
            yield lines
        finally:
            for logger in loggers:
                logger.removeHandler(handler)
            for warning in caught:
                note(f"{warning.category.__name__}: {warning.message}")


def _without_paths(text: str) -> str:
    """Without the folders of this machine, which mean nothing to a reader elsewhere."""
    return re.sub(r"(?<![\w:/.])(?:/[^\s/:'\"]+)+/([^\s/:'\"]+)", r"\1", text)


def _clean(model: ModelProto) -> None:
    """Remove what an exporter notes about its own run: stack traces with the paths of this machine."""
    model.doc_string = ""
    del model.metadata_props[:]
    for function in model.functions:
        function.doc_string = ""
        del function.metadata_props[:]
        for node in function.node:
            node.doc_string = ""
            del node.metadata_props[:]
    _clean_graph(model.graph)


def _clean_graph(graph: GraphProto) -> None:
    graph.doc_string = ""
    del graph.metadata_props[:]
    for entry in (*graph.input, *graph.output, *graph.value_info, *graph.initializer, *graph.node):
        entry.doc_string = ""
        del entry.metadata_props[:]
    for node in graph.node:
        for attribute in node.attribute:
            attribute.doc_string = ""
            attribute.t.doc_string and attribute.t.ClearField("doc_string")
            if attribute.HasField("g"):
                _clean_graph(attribute.g)
            for inner in attribute.graphs:
                _clean_graph(inner)


def _interface(model: ModelProto, spec: ModelSpec, route: str) -> Iterator[str]:
    """Sizes that the specification fixes and the file leaves open, in words.

    Raises Failed unless inputs and outputs have the names, ranks and dynamic axes of the specification.
    """
    held = {tensor.name for tensor in model.graph.initializer}
    for kind, infos, tensors in (
        ("input", [info for info in model.graph.input if info.name not in held], spec.inputs),
        ("output", list(model.graph.output), spec.outputs),
    ):
        wanted = [tensor.name for tensor in tensors]
        if [info.name for info in infos] != wanted:
            raise Failed(f"{route} wrote the {kind}s {[info.name for info in infos]} instead of {wanted}")
        for info, tensor in zip(infos, tensors, strict=True):
            dimensions = info.type.tensor_type.shape.dim
            sizes = [size.dim_value if size.HasField("dim_value") else None for size in dimensions]
            fits = len(sizes) == len(tensor.shape) and all(
                size == wanted or (size is None and wanted is not None)
                for size, wanted in zip(sizes, tensor.shape, strict=True)
            )
            if not fits:
                raise Failed(f"{route} wrote {kind} '{info.name}' as {sizes} instead of {list(tensor.shape)}")
            lost = [axis.name for axis, size in zip(tensor.axes, sizes, strict=True) if axis.size and size is None]
            if lost:
                yield f"the file leaves the size of axis {' and '.join(lost)} of {kind} '{info.name}' open"


def _folding(model: ModelProto, spec: ModelSpec) -> dict[str, Any]:
    """Which batch normalisations are no operator of their own any more."""
    layers = [layer.name for layer in spec.layers if layer.kind == "batch-normalisation"]
    kept_inputs = {node.input[1] for node in model.graph.node if node.op_type == "BatchNormalization"}
    kept = [name for name in layers if f"{name}.weight" in kept_inputs]
    count = len(kept_inputs)
    if count != len(kept):
        # Renamed by the exporter: how many are kept is known, but not which.
        return {"folded": count < len(layers), "batch_normalisations": {"model": len(layers), "file": count}}
    return {
        "folded": len(kept) < len(layers),
        "folded_layers": [name for name in layers if name not in kept],
        "batch_normalisations": {"model": len(layers), "file": count},
    }


def _operators(model: ModelProto) -> dict[str, int]:
    counts: dict[str, int] = {}
    for node in model.graph.node:
        counts[node.op_type] = counts.get(node.op_type, 0) + 1
    return dict(sorted(counts.items()))


def _version(package: str) -> dict[str, str]:
    import importlib.metadata

    try:
        return {package: importlib.metadata.version(package)}
    except importlib.metadata.PackageNotFoundError:
        return {}
