"""python/tensorflow-program: a SavedModel that the user trusts, as the source that a file is compared with."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

# TensorFlow reads these when it is imported: the CPU, a quiet log.
os.environ |= {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "2"}

import numpy as np
import tensorflow

from harness.workers.engine import (
    Array,
    BadInput,
    Engine,
    Failed,
    LoadedModel,
    Precision,
    Progress,
    Stopwatch,
    TensorInfo,
    Unsupported,
    environment_threads,
)
from harness.workers.keras import tensorflow_threads
from harness.workers.keras.saved_model import in_double
from harness.workers.program_layers import write_layers
from harness.workers.requests import output_file


class SavedProgram(LoadedModel):
    """The endpoint ``serving_default`` of a SavedModel; inputs and outputs by its own names."""

    def __init__(self, path: Path, precision: Precision) -> None:
        try:
            self._held = tensorflow.saved_model.load(str(path.parent))
            endpoint = self._held.signatures["serving_default"]
        except (OSError, ValueError, KeyError) as error:
            first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
            raise BadInput(f"{path}: not a SavedModel with an endpoint 'serving_default': {first[:200]}") from error
        self.metadata = {}
        self.folder = path.parent
        self.widened = precision == "float64"
        self.inputs = [_info(name, spec) for name, spec in endpoint.structured_input_signature[1].items()]
        self.outputs = [_info(name, spec) for name, spec in sorted(endpoint.structured_outputs.items())]
        self._call: Callable[..., dict[str, Any]] = _in_double(path, endpoint) if self.widened else endpoint

    def run(self, feeds: dict[str, Array], watch: Stopwatch) -> dict[str, Array]:
        """See LoadedModel."""
        given = {name: tensorflow.constant(array) for name, array in feeds.items()}
        with watch:
            found = self._call(**given)
        return {info.name: found[info.name].numpy() for info in self.outputs}

    def parameters(self) -> dict[str, Array]:
        """Its variables by name."""
        return {one.name: one.numpy() for one in getattr(self._held, "variables", ()) if one.dtype.is_floating}


def _in_double(path: Path, endpoint: Any) -> Callable[..., dict[str, Any]]:
    """See in_double. Raises Unsupported where an operation has no float64."""
    try:
        return in_double(endpoint)
    except ValueError as error:
        raise Unsupported(f"{path}: cannot be computed in float64: {' '.join(str(error).split())[:200]}") from error


def _info(name: str, spec: Any) -> TensorInfo:
    shape = None if spec.shape.rank is None else tuple(spec.shape.as_list())
    return TensorInfo(name, spec.dtype.name, shape)


class TensorflowPrograms(Engine):
    """TensorFlow behind the worker contract, for programs."""

    runtime: ClassVar[str] = "python/tensorflow-program"

    def __init__(self) -> None:
        tensorflow_threads.pin()
        tensorflow.config.experimental.enable_op_determinism()
        self._model: SavedProgram | None = None

    def versions(self) -> dict[str, str]:
        """See Engine."""
        return {"tensorflow": tensorflow.__version__, "numpy": np.__version__}

    def threads(self) -> dict[str, int]:
        """See Engine."""
        return tensorflow_threads.sizes() | environment_threads()

    def load(self, path: Path, precision: Precision) -> SavedProgram:
        """See Engine; ``path`` is ``saved_model.pb``."""
        self._model = SavedProgram(path, precision)
        return self._model

    def requests(self, progress: Progress) -> dict[str, Callable[..., dict[str, Any]]]:
        """``layers``: it tells none; and ``export`` of the program that is loaded."""
        return {"layers": functools.partial(write_layers, None), "export": self._export}

    def _export(self, out: str, inputs: str, opset: int, fold: bool) -> dict[str, Any]:
        """Write the program as ONNX by tf2onnx, by its own names; no example is needed, and it always folds. Raises Failed."""
        if self._model is None:
            raise BadInput("export takes a program that is loaded")
        path = output_file(out)
        try:
            import tf2onnx

            graph, given, found, own_names = tf2onnx.tf_loader.from_saved_model(
                str(self._model.folder),
                None,
                None,
                tag="serve",
                signatures=["serving_default"],
                return_tensors_to_rename=True,
            )
            tf2onnx.convert.from_graph_def(
                graph,
                input_names=list(given),
                output_names=list(found),
                opset=opset,
                tensors_to_rename=own_names,
                output_path=str(path),
            )
        except Exception as error:
            raise Failed(f"tf2onnx cannot export the program: {' '.join(str(error).split())[:200]}") from error
        return {"bytes": path.stat().st_size}


ENGINE = TensorflowPrograms
