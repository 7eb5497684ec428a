"""The request ``export``, whatever the framework: one self-contained ONNX file, checked, and a record of what was written.

An exporter may do something else than it was asked for: the record is read from the file that was written.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import logging
import re
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.models.spec import ModelSpec
from harness.workers.engine import Array, BadInput, Failed, Refusal, Unsupported
from harness.workers.model_files import read_metadata, read_spec
from harness.workers.requests import existing_file, write_bytes, write_json
from harness.workers.tensors import read_tensors

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto

#: ``route(model, spec, opset, fold, path)`` writes an ONNX file and names the exporter that really ran.
Route = Callable[[Any, ModelSpec, int, bool, Path], str]
#: ``write(model, spec, folder)`` writes a model in a format of the framework's own and names what wrote it.
Writer = Callable[[Any, ModelSpec, Path], str]


@dataclass(frozen=True)
class Routes:
    """The routes of one runtime by name.

    ``build`` makes its model, in evaluation mode, from a specification, canonical parameters and the name of the file they
    came from. ``packages`` are those whose versions decide what is written. ``own``: routes to formats of the framework's own.
    ``keeps_batch_normalisation``: whether those to ONNX can leave it as an operator; a converter of Keras cannot.
    """

    runtime: str
    build: Callable[[ModelSpec, dict[str, Array], str], Any]
    by_name: Mapping[str, Route]
    packages: tuple[str, ...]
    own: Mapping[str, Writer] = field(default_factory=dict)
    keeps_batch_normalisation: bool = True

    def export(
        self, weights: str, out: str, route: str, opset: int, fold: bool = True, metadata: str | None = None
    ) -> dict[str, Any]:
        """Export a trained model and write ``model.onnx`` and ``export.json``.

        Args:
            weights: canonical parameters as safetensors, with ``model.json`` beside them.
            out: the folder to write to.
            route: the name of a route.
            opset: the opset asked for.
            fold: whether batch normalisation may be folded into the layer before it.
            metadata: JSON of the metadata keys; ``metadata.json`` beside the weights by default.

        Returns the record of what the exporter really did. Raises BadInput, Unsupported on an opset or operator that the
        exporter refuses, Failed where the file it wrote is not valid.
        """
        source, folder = existing_file(weights), Path(out)
        if not folder.is_dir():
            raise BadInput(f"out: {out}: no such folder")
        if route not in (*self.by_name, *self.own):
            raise Unsupported(
                f"route '{route}' is not supported by {self.runtime}; there are {', '.join((*self.by_name, *self.own))}"
            )
        if not isinstance(opset, int) or isinstance(opset, bool) or not isinstance(fold, bool):
            raise BadInput(f"opset must be an integer and fold true or false, not {opset!r} and {fold!r}")
        spec = read_spec(source.with_name("model.json"))
        model = self.build(spec, read_tensors(source), str(source))
        described = read_metadata(
            existing_file(metadata) if metadata is not None else source.with_name("metadata.json")
        )
        if route in self.own:
            return self._write(model, spec, route, folder, described)
        written, record = self.export_model(model, spec, route, opset, fold, described)
        write_bytes(folder / "model.onnx", written)
        write_json(folder / "export.json", record)
        return record

    def _write(self, model: Any, spec: ModelSpec, route: str, folder: Path, metadata: dict[str, str]) -> dict[str, Any]:
        """A format of the framework's own, with specification and metadata beside it."""
        started = time.perf_counter()
        with _caught() as lines:
            try:
                exporter = self.own[route](model, spec, folder)
            except Exception as error:
                if isinstance(error, MemoryError | OSError | Refusal):
                    raise
                raise _refusal(error, route) from error
        written = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        write_bytes(folder / "model.json", (spec.to_json() + "\n").encode())
        write_json(folder / "metadata.json", metadata)
        record = {
            "route": route,
            "exporter": exporter,
            "warnings": lines,
            "bytes": written,
            "seconds": time.perf_counter() - started,
            "versions": _versions(self.packages),
        }
        write_json(folder / "export.json", record)
        return record

    def export_model(
        self, model: Any, spec: ModelSpec, route: str, opset: int, fold: bool, metadata: dict[str, str]
    ) -> tuple[bytes, dict[str, Any]]:
        """The bytes of the ONNX file for a model in evaluation mode, and the record of what the exporter really did.

        The same model gives the same bytes: what depends on the machine or the moment is left out of the file.
        """
        import onnx

        if not fold and not self.keeps_batch_normalisation:
            raise Unsupported(
                f"{route} writes batch normalisation as arithmetic and cannot keep it; ask for fold: true"
            )
        with tempfile.TemporaryDirectory(prefix="export-") as scratch, _caught() as lines:
            path = Path(scratch) / "model.onnx"
            started = time.perf_counter()
            try:
                exporter = self.by_name[route](model, spec, opset, fold, path)
            except Exception as error:
                if isinstance(error, MemoryError | OSError | Refusal):
                    raise
                raise _refusal(error, route, opset) from error
            seconds = time.perf_counter() - started
            file = onnx.load(str(path))
            beside = sorted(file.name for file in Path(scratch).iterdir() if file != path)
        if beside:
            raise Failed(f"{route} wrote more than one file: {', '.join(beside)}")
        _clean(file)
        onnx.helper.set_model_props(file, dict(sorted(metadata.items())))
        try:
            onnx.checker.check_model(file, full_check=True)
        except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
            raise Failed(f"{route} wrote a file that is not valid: {str(error).splitlines()[0]}") from error
        lines += _interface(file, spec, route)
        written: bytes = file.SerializeToString(deterministic=True)
        standard = {entry.domain: entry.version for entry in file.opset_import}
        record = {
            "route": route,
            "asked": {"opset": opset, "fold": fold},
            "exporter": exporter,
            "opset": standard.get("", standard.get("ai.onnx")),
            "opsets": standard,
            "ir_version": file.ir_version,
            **_folding(file, spec),
            "nodes": len(file.graph.node),
            "operators": _operators(file),
            "warnings": lines,
            "bytes": len(written),
            "seconds": seconds,
            "versions": _versions(self.packages),
        }
        return written, record


def _refusal(error: Exception, route: str, opset: int | None = None) -> Exception:
    """Unsupported where an exporter's exception says by name or message that it refuses the model, else Failed."""
    while type(error).__name__ == "ConversionError" and isinstance(error.__cause__, Exception):
        # PyTorch's newer exporter names only the step that failed; the reason is in the cause.
        error = error.__cause__
    text = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    # The rest of the message is a dump of the graph.
    text = text.partition(" [Caused by the value")[0]
    words = (
        "Unsupported",
        "unsupported",
        "not supported",
        "opset",
        "not implemented",
        "NotImplemented",
        "No ONNX function",
    )
    if any(word in f"{type(error).__name__} {text}" for word in words):
        where = f" opset {opset}" if opset is not None else ""
        return Unsupported(f"{route} refuses{where}: {_without_paths(text)}")
    return Failed(f"{route}: {type(error).__name__}: {_without_paths(text)}")


@contextlib.contextmanager
def _caught() -> Iterator[list[str]]:
    """Warnings of Python and of the exporters' loggers within the block, as short lines, each once, in order."""
    lines: list[str] = []

    def note(text: str) -> None:
        first = next((line.strip() for line in text.splitlines() if line.strip()), "").partition(
            " [Caused by the value"
        )[0]
        # It concerns operators that no model here has.
        if first.startswith("torchvision is not installed"):
            return
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
    """The text with paths shortened to file names: folders differ between machines."""
    return re.sub(r"(?<![\w:/.])(?:/[^\s/:'\"]+)+/([^\s/:'\"]+)", r"\1", text)


def _clean(model: ModelProto) -> None:
    """Remove what an exporter writes about its own run: stack traces with the paths of this machine."""
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
    """Sizes that the specification fixes and the file leaves open, and those it leaves open and the file fixes, in words.

    Raises Failed unless inputs and outputs have the names, ranks and sizes of the specification.
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
                size == wanted or size is None or wanted is None
                for size, wanted in zip(sizes, tensor.shape, strict=True)
            )
            if not fits:
                raise Failed(f"{route} wrote {kind} '{info.name}' as {sizes} instead of {list(tensor.shape)}")
            frozen = [axis.name for axis, size in zip(tensor.axes, sizes, strict=True) if axis.size is None and size]
            if frozen:
                yield f"the file fixes the size of axis {' and '.join(frozen)} of {kind} '{info.name}'"
            lost = [axis.name for axis, size in zip(tensor.axes, sizes, strict=True) if axis.size and size is None]
            if lost:
                yield f"the file leaves the size of axis {' and '.join(lost)} of {kind} '{info.name}' open"


def _folding(model: ModelProto, spec: ModelSpec) -> dict[str, Any]:
    """Which batch normalisations are no longer operators in the file."""
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


def _versions(packages: tuple[str, ...]) -> dict[str, str]:
    """Versions by package, without those that are not installed. A package may go by several names: ``a|b``."""
    found = {}
    for names in packages:
        for name in names.split("|"):
            with contextlib.suppress(importlib.metadata.PackageNotFoundError):
                found[names.partition("|")[0]] = importlib.metadata.version(name)
                break
    return found
