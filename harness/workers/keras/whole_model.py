"""python/keras-file: a ``.keras`` file of built-in layers as the source that a file is compared with, by Keras on TensorFlow.

Keras' safe mode refuses code in the file, and layers that are not Keras' own are not known here.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

# Keras fixes its backend at import; TensorFlow reads its variables then, too.
os.environ |= {"KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "2"}

import keras
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
    environment_threads,
)
from harness.workers.keras import tensorflow_threads
from harness.workers.keras.archive import widened_config
from harness.workers.keras.model import in_double, round_settings
from harness.workers.program_layers import ProgramLayer, write_layers
from harness.workers.requests import existing_file, output_file
from harness.workers.tensors import read_tensors


class WholeKerasModel(LoadedModel):
    """A model of a ``.keras`` file; inputs and outputs by the names that Keras gives them."""

    def __init__(self, path: Path, precision: Precision) -> None:
        try:
            self.model = keras.saving.load_model(str(path), compile=False, safe_mode=True)
        except Exception as error:
            raise BadInput(f"{path}: {_refusal(error)}") from error
        self.metadata = {}
        self.widened = precision == "float64"
        self._held = {weight.path: np.asarray(weight) for weight in self.model.weights}
        if not getattr(self.model, "inputs", None):
            raise BadInput(f"{path}: the model was never built; call it on an array once, and save it again")
        self.inputs = [_info(tensor) for tensor in self.model.inputs]
        self.outputs = [_info(tensor, place) for place, tensor in enumerate(self.model.outputs)]
        if self.widened:
            self.model = _in_float64(self.model)

    def run(self, feeds: dict[str, Array], watch: Stopwatch) -> dict[str, Array]:
        """See LoadedModel."""
        found = self._call(self.model, feeds, watch)
        return {info.name: value for info, value in zip(self.outputs, found, strict=True)}

    def _call(self, model: keras.Model, feeds: dict[str, Array], watch: Stopwatch) -> list[Array]:
        given = [tensorflow.constant(feeds[info.name]) for info in self.inputs]
        with in_double(), watch:
            found = model(given[0] if len(given) == 1 else given, training=False)
        return [np.asarray(value) for value in tensorflow.nest.flatten(found)]

    def parameters(self) -> dict[str, Array]:
        """Its variables by their paths."""
        return {path: value for path, value in self._held.items() if value.dtype.kind == "f"}

    def layers(self) -> list[ProgramLayer]:
        """The layers with their classes."""
        told = [
            layer
            for layer in self.model.layers
            if not isinstance(layer, keras.layers.InputLayer) and _single(layer) is not None
        ]
        names = {id(_single(layer)): layer.name for layer in told}
        return [
            ProgramLayer(
                layer.name,
                type(layer).__name__,
                layer.name,
                inputs=tuple(names[id(tensor)] for tensor in keras.tree.flatten(layer.input) if id(tensor) in names),
            )
            for layer in told
        ]

    def activations(self, feeds: dict[str, Array], names: list[str]) -> dict[str, Array]:
        """Outputs of layers as Keras has them, channels last."""
        known = {layer.name: layer for layer in self.model.layers}
        if unknown := [name for name in names if name not in known]:
            raise BadInput(f"the model has no layer '{unknown[0]}'")
        if not names:
            return {}
        part = keras.Model(self.model.inputs, [_single(known[name]) for name in names])
        return dict(zip(names, self._call(part, feeds, Stopwatch()), strict=True))


def _in_float64(model: keras.Model) -> keras.Model:
    """The same model computed in float64, with its variables widened."""
    wide: keras.Model = type(model).from_config(widened_config(model.get_config()))
    if not wide.built:
        wide.build(model.input_shape)
    wide.set_weights([np.asarray(weight).astype(np.float64) for weight in model.weights])
    round_settings(wide)
    return wide


def _single(layer: Any) -> Any:
    """The one output of a layer; None where it has several, or is called several times."""
    try:
        output = layer.output
    except (AttributeError, ValueError):
        return None
    return None if isinstance(output, list | tuple | dict) else output


def _info(tensor: Any, place: int | None = None) -> TensorInfo:
    name = tensor.name if place is None else f"output_{place}"
    return TensorInfo(name, keras.backend.standardize_dtype(tensor.dtype), tuple(tensor.shape))


def _refusal(error: Exception) -> str:
    text = " ".join(str(error).split())
    if "safe_mode" in text or "Lambda" in text:
        return "holds code (a Lambda layer), which is not run; export its outputs and give them as --expected"
    return f"Keras cannot load it in safe mode, with its own layers alone: {text[:200]}"


class KerasFiles(Engine):
    """Keras behind the worker contract, for files that hold their architecture."""

    runtime: ClassVar[str] = "python/keras-file"

    def __init__(self) -> None:
        tensorflow_threads.pin()
        tensorflow.config.experimental.enable_op_determinism()
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy("float32")
        self._model: WholeKerasModel | None = None

    def versions(self) -> dict[str, str]:
        """See Engine."""
        return {"keras": keras.__version__, "tensorflow": tensorflow.__version__, "numpy": np.__version__}

    def threads(self) -> dict[str, int]:
        """See Engine."""
        return tensorflow_threads.sizes() | environment_threads()

    def load(self, path: Path, precision: Precision) -> WholeKerasModel:
        """See Engine; ``path`` is a ``.keras`` file."""
        self._model = WholeKerasModel(path, precision)
        return self._model

    def requests(self, progress: Progress) -> dict[str, Callable[..., dict[str, Any]]]:
        """``layers``, and ``export`` of the model that is loaded."""
        return {"layers": functools.partial(self._layers), "export": self._export}

    def _export(self, out: str, inputs: str, opset: int, fold: bool) -> dict[str, Any]:
        """Write the model as ONNX by Keras' own export, which folds; ``inputs``: what it is called on once. Raises Failed."""
        if self._model is None or self._model.widened:
            raise BadInput("export takes a model that is loaded in float32")
        path = output_file(out)
        example = read_tensors(existing_file(inputs))
        try:
            # Keras exports only what was called since it was read.
            self._model.run({name: array[:1] for name, array in example.items()}, Stopwatch())
            self._model.model.export(str(path), format="onnx", opset_version=opset, verbose=False)
        except Exception as error:
            raise Failed(f"Keras cannot export the model: {' '.join(str(error).split())[:200]}") from error
        return {"bytes": path.stat().st_size}

    def _layers(self, outputs: str) -> dict[str, Any]:
        return write_layers(self._model, outputs)


ENGINE = KerasFiles
