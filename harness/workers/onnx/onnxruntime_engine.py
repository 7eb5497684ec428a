"""python/onnxruntime: Microsoft's ONNX Runtime on the CPU, as its users run it."""

from __future__ import annotations

import functools
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import onnxruntime
from onnx import ModelProto
from onnxruntime.capi import onnxruntime_pybind11_state as state

from harness.workers.engine import (
    Array,
    BadInput,
    Engine,
    LoadedModel,
    Precision,
    Stopwatch,
    TensorInfo,
    Unsupported,
    environment_threads,
    thread_count,
)
from harness.workers.onnx.file import inputs_of, outputs_of, plain_value, read_model, read_sorted, stored
from harness.workers.onnx.structure import structure
from harness.workers.onnx.widen import widen

#: Words in ONNX Runtime's errors that mean "not supported here" rather than "the file is wrong".
_UNSUPPORTED = (
    "NOT_IMPLEMENTED",
    "is under development",
    "Unsupported model IR version",
    "is not a registered function/op",
    "Could not find an implementation",
    "No Op registered",
    "Type 'tensor(double)'",
)

#: Dtypes that pass between NumPy and ONNX Runtime; bfloat16 and those of under a byte do not.
_NUMPY_DTYPES = {"bool", "string", "complex64", "complex128", "float16", "float32", "float64"} | {
    f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)
}


def _options(level: Any = None) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = thread_count()
    options.inter_op_num_threads = thread_count()
    # Errors are raised as exceptions; the log gets nothing below errors.
    options.log_severity_level = 3
    if level is not None:
        options.graph_optimization_level = level
    return options


def _session(model: str | bytes, options: Any) -> Any:
    """An InferenceSession; its errors are raised as those of the worker contract."""
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except (state.NotImplemented, state.EPFail) as error:
        raise Unsupported(_reason(error)) from error
    except (state.InvalidGraph, state.Fail, state.InvalidArgument, state.InvalidProtobuf, state.NoSuchFile) as error:
        kind = Unsupported if any(word in str(error) for word in _UNSUPPORTED) else BadInput
        raise kind(_reason(error)) from error


def _reason(error: Exception) -> str:
    """The useful part of ONNX Runtime's message: without source locations and error codes."""
    text = " ".join(str(error).split()).removeprefix("[ONNXRuntimeError] : ")
    # Locations in its sources, and the name of the file, are removed.
    text = re.sub(r"\S+\.(?:cc|cpp|h):\d+ \S.*?\)(?: const)? ", "", re.sub(r"Load model from .*? failed: ?", "", text))
    parts = [part for part in text.split(" : ") if not part.strip().isdigit()]
    return f"onnxruntime: {' : '.join(parts)[:600]}"


class RuntimeModel(LoadedModel):
    """A model in an InferenceSession with all optimisations, which are its default."""

    def __init__(self, path: Path, model: ModelProto, precision: Precision) -> None:
        self._path = path
        self.widened = precision == "float64"
        #: The graph as it is run; that of the file is read again where it is asked for: the session holds the weights already.
        self._wide = widen(model) if precision == "float64" else None
        self._source: str | bytes = str(path) if self._wide is None else self._wide.SerializeToString()
        self._file_names = set(stored(model))
        self.inputs: list[TensorInfo] = inputs_of(model)
        self.outputs: list[TensorInfo] = outputs_of(model)
        for info in (*self.inputs, *self.outputs):
            if not self.widened and info.dtype not in _NUMPY_DTYPES:
                raise Unsupported(
                    f"'{info.name}' is {info.dtype}, which onnxruntime's Python interface cannot hand over"
                )
        self._session = _session(self._source, _options())
        self.metadata = dict(self._session.get_modelmeta().custom_metadata_map)

    def run(self, feeds: dict[str, Array], watch: Stopwatch) -> dict[str, Array]:
        """See LoadedModel."""
        names = [info.name for info in self.outputs]
        with watch:
            found = self._session.run(names, feeds)
        return {
            info.name: plain_value(info, value, self.widened) for info, value in zip(self.outputs, found, strict=True)
        }

    def prepared(self, feeds: dict[str, Array]) -> Callable[[], object]:
        """See LoadedModel."""
        names = [info.name for info in self.outputs]
        return functools.partial(self._session.run, names, feeds)

    def parameters(self) -> dict[str, Array]:
        """The parameters of a session, from the file as onnxruntime writes it back without optimisation."""
        with tempfile.TemporaryDirectory(prefix="onnxruntime-") as folder:
            written = Path(folder) / "held.onnx"
            options = _options(onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL)
            options.optimized_model_filepath = str(written)
            # Tensors in external files would only be referred to again.
            weights = "session.optimized_model_external_initializers_"
            options.add_session_config_entry(f"{weights}file_name", "held.weights")
            options.add_session_config_entry(f"{weights}min_size_in_bytes", "0")
            _session(str(self._path), options)
            held = onnx.load(str(written))
        return {
            name: onnx.numpy_helper.to_array(tensor)
            for name, tensor in stored(held).items()
            if name in self._file_names
        }

    def activations(self, feeds: dict[str, Array], names: list[str]) -> dict[str, Array]:
        """See LoadedModel: the names become outputs of a session of their own, which keeps them from being fused."""
        wider = ModelProto()
        if self._wide is None:
            wider = read_model(self._path, OnnxRuntime.runtime)
        else:
            wider.CopyFrom(self._wide)
        known = {value for node in wider.graph.node for value in node.output if value}
        for name in names:
            if name not in known:
                raise BadInput(f"the graph has no tensor '{name}'")
        present = {info.name for info in wider.graph.output}
        wider.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in present)
        session = _session(wider.SerializeToString(), _options())
        known_outputs = {info.name: info for info in self.outputs}
        return {
            name: plain_value(known_outputs[name], value, self.widened) if name in known_outputs else value
            for name, value in zip(names, session.run(names, feeds), strict=True)
        }


class OnnxRuntime(Engine):
    """onnxruntime behind the worker contract."""

    runtime: ClassVar[str] = "python/onnxruntime"

    def versions(self) -> dict[str, str]:
        """See Engine."""
        return {"onnxruntime": onnxruntime.__version__, "onnx": onnx.__version__, "numpy": np.__version__}

    def threads(self) -> dict[str, int]:
        """See Engine."""
        options = _options()
        return {
            "onnxruntime intra-op": options.intra_op_num_threads,
            "onnxruntime inter-op": options.inter_op_num_threads,
        } | environment_threads()

    def load(self, path: Path, precision: Precision) -> RuntimeModel:
        """See Engine."""
        return RuntimeModel(path, read_model(path, self.runtime), precision)

    def structure(self, path: Path) -> dict[str, Any]:
        """See Engine."""
        model, moved = read_sorted(path, self.runtime)
        return structure(model, path, moved)


ENGINE = OnnxRuntime
