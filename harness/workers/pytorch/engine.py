"""python/pytorch: the models of ``native/pytorch``, their training and their export."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

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
from harness.workers.model_files import read_metadata, read_spec, tensor_infos
from harness.workers.onnx.export import Routes
from harness.workers.pytorch import torch_threads
from harness.workers.pytorch.learner import PytorchLearner
from harness.workers.pytorch.model import build, fill, state_arrays, widened
from harness.workers.pytorch.routes import ROUTES
from harness.workers.tensors import read_tensors
from harness.workers.training.import_weights import Importer
from harness.workers.training.train import train


class PytorchModel(LoadedModel):
    """A module in evaluation mode with canonical parameters from a safetensors file."""

    def __init__(self, path: Path, precision: Precision) -> None:
        self.spec = read_spec(path.with_name("model.json"))
        self.module = build(self.spec).eval()
        fill(self.module, self.spec, read_tensors(path), str(path))
        self.widened = precision == "float64"
        if self.widened:
            self.module = widened(self.module)
        self.inputs, self.outputs = tensor_infos(self.spec)
        self.metadata = read_metadata(path.with_name("metadata.json"))

    def run(self, feeds: dict[str, Array], watch: Stopwatch) -> dict[str, Array]:
        """See LoadedModel."""
        tensors = {name: torch.from_numpy(array) for name, array in feeds.items()}
        with torch.inference_mode(), watch:
            found = self.module(**tensors)
        found = found if isinstance(found, tuple) else (found,)
        return {info.name: value.numpy() for info, value in zip(self.outputs, found, strict=True)}

    def prepared(self, feeds: dict[str, Array]) -> Callable[[], object]:
        """See LoadedModel."""
        tensors = {name: torch.from_numpy(array) for name, array in feeds.items()}
        call: Callable[[], object] = torch.inference_mode()(functools.partial(self.module, **tensors))
        return call

    def parameters(self) -> dict[str, Array]:
        """The state under canonical names; parameters widened to float64 are narrowed again, which is exact."""
        return state_arrays(self.module)

    def activations(self, feeds: dict[str, Array], names: list[str]) -> dict[str, Array]:
        """Outputs of layers, named as in the specification (``conv1``, ``dense_norm``)."""
        layers = dict(self.module.named_modules())
        found: dict[str, Array] = {}
        handles = []
        for name in names:
            if not name or name not in layers:
                raise BadInput(f"the model has no layer '{name}'")

            def keep(layer: Any, given: Any, output: torch.Tensor, name: str = name) -> None:
                found[name] = output.numpy().copy()

            handles.append(layers[name].register_forward_hook(keep))
        try:
            self.run(feeds, Stopwatch())
        finally:
            for handle in handles:
                handle.remove()
        return found


IMPORTER = Importer("pytorch", build, {"torch": torch.__version__}, reads_pytorch=True)


class Pytorch(Engine):
    """PyTorch behind the worker contract."""

    runtime: ClassVar[str] = "python/pytorch"
    routes: ClassVar[Routes] = ROUTES

    def __init__(self) -> None:
        torch_threads.pin()

    def versions(self) -> dict[str, str]:
        """See Engine."""
        return {"torch": torch.__version__, "numpy": np.__version__}

    def threads(self) -> dict[str, int]:
        """See Engine."""
        return torch_threads.sizes() | environment_threads()

    def load(self, path: Path, precision: Precision) -> PytorchModel:
        """See Engine; ``path`` is the safetensors file, beside which ``model.json`` lies."""
        return PytorchModel(path, precision)

    def requests(self, progress: Progress) -> dict[str, Callable[..., dict[str, Any]]]:
        """``train``, ``export`` and ``import``."""
        return {
            "train": functools.partial(train, learner=PytorchLearner, progress=progress),
            "export": self.routes.export,
            "import": IMPORTER.import_weights,
        }


ENGINE = Pytorch
