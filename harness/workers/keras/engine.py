"""Keras behind the worker contract, whatever its backend: the models of ``native/keras``, their training and their export.

The module of a backend sets it before this one is imported: Keras fixes its backend at import.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np

from harness.workers.engine import (
    Array,
    BadInput,
    Engine,
    LoadedModel,
    Precision,
    Progress,
    Stopwatch,
    environment_threads,
)
from harness.workers.keras.archive import load_keras_file
from harness.workers.keras.learner import KerasLearner
from harness.workers.keras.model import build, canonical_parameters, fill, in_double
from harness.workers.model_files import read_metadata, read_spec, tensor_infos
from harness.workers.onnx.export import Routes
from harness.workers.tensors import read_tensors
from harness.workers.training.import_weights import Importer
from harness.workers.training.train import train


class KerasModel(LoadedModel):
    """A model with canonical parameters from a safetensors file, or from a ``.keras`` file.

    It predicts by ``predict_on_batch``, as users of Keras do.
    """

    def __init__(self, path: Path, precision: Precision) -> None:
        self.spec = read_spec(path.with_name("model.json"))
        self.widened = precision == "float64"
        with self._arithmetic():
            if path.suffix == ".keras":
                self.model = load_keras_file(path, self.spec, precision)
            else:
                self.model = build(self.spec, precision)
                fill(self.model, self.spec, read_tensors(path), str(path))
        self.inputs, self.outputs = tensor_infos(self.spec)
        self.metadata = read_metadata(path.with_name("metadata.json"))

    def run(self, feeds: dict[str, Array], watch: Stopwatch) -> dict[str, Array]:
        """See LoadedModel."""
        given = self._given(feeds)
        with self._arithmetic(), watch:
            found = self.model.predict_on_batch(given)
        found = found if isinstance(found, list | tuple) else [found]
        return {info.name: np.asarray(value) for info, value in zip(self.outputs, found, strict=True)}

    def prepared(self, feeds: dict[str, Array]) -> Callable[[], object]:
        """See LoadedModel."""
        given = self._given(feeds)

        def call() -> object:
            with self._arithmetic():
                return self.model.predict_on_batch(given)

        # A context manager would be timed with the call.
        return call if self.widened else functools.partial(self.model.predict_on_batch, given)

    def _arithmetic(self) -> contextlib.AbstractContextManager[None]:
        return in_double() if self.widened else contextlib.nullcontext()

    def _given(self, feeds: dict[str, Array]) -> Any:
        with self._arithmetic():
            tensors = [keras.ops.convert_to_tensor(feeds[info.name]) for info in self.inputs]
        return tensors[0] if len(tensors) == 1 else tensors

    def parameters(self) -> dict[str, Array]:
        """The variables under canonical names, in canonical layout, by the rules of ``harness.models.keras_layout``."""
        return canonical_parameters(self.model, self.spec)

    def activations(self, feeds: dict[str, Array], names: list[str]) -> dict[str, Array]:
        """Outputs of layers, named as in the specification (``conv1``, ``dense_norm``), channels after samples as there."""
        layers = {layer.name: layer for layer in self.model.layers}
        for name in names:
            if name not in layers:
                raise BadInput(f"the model has no layer '{name}'")
        if not names:
            return {}
        part = keras.Model(self.model.inputs, [layers[name].output for name in names])
        with self._arithmetic():
            found = part.predict_on_batch(self._given(feeds))
        arrays = zip(names, found if isinstance(found, list | tuple) else [found], strict=True)
        return {name: np.ascontiguousarray(np.moveaxis(np.asarray(array), -1, 1)) for name, array in arrays}


class KerasEngine(Engine):
    """Keras on one backend; the module of each backend has a subclass."""

    framework: ClassVar[str]
    routes: ClassVar[Routes]

    def __init__(self) -> None:
        wanted = self.framework.removeprefix("keras-")
        if keras.backend.backend() != wanted:
            raise RuntimeError(
                f"Keras was imported with the backend {keras.backend.backend()} before {wanted} was asked for"
            )
        # A user's own configuration of Keras must not change what is computed.
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy("float32")
        keras.config.set_image_data_format("channels_last")
        keras.config.set_epsilon(1e-7)
        self.pin_threads()

    def pin_threads(self) -> None:
        """Size the backend's thread pools."""
        raise NotImplementedError

    def backend_threads(self) -> dict[str, int]:
        """Sizes of the backend's thread pools by name."""
        raise NotImplementedError

    def backend_versions(self) -> dict[str, str]:
        """Versions of the backend's packages by name."""
        raise NotImplementedError

    def versions(self) -> dict[str, str]:
        """See Engine."""
        return {"keras": keras.__version__} | self.backend_versions() | {"numpy": np.__version__}

    def threads(self) -> dict[str, int]:
        """See Engine."""
        return self.backend_threads() | environment_threads()

    def load(self, path: Path, precision: Precision) -> KerasModel:
        """See Engine; ``path`` is the safetensors file, beside which ``model.json`` lies."""
        return KerasModel(path, precision)

    def requests(self, progress: Progress) -> dict[str, Callable[..., dict[str, Any]]]:
        """``train``, ``export`` and ``import``."""
        versions = {"keras": keras.__version__} | self.backend_versions()
        learner = functools.partial(
            KerasLearner,
            framework=self.framework,
            versions=versions,
            threads=next(iter(self.backend_threads().values())),
        )
        return {
            "train": functools.partial(train, learner=learner, progress=progress),
            "export": self.routes.export,
            "import": Importer(self.framework, build, versions, self.framework == "keras-torch").import_weights,
        }
