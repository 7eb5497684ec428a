"""python/keras-torch: Keras on PyTorch, and its export."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from harness.files.cache import cache_folder

# Keras reads these when it is imported: the backend, no file in the user's home, the CPU.
os.environ |= {"KERAS_BACKEND": "torch", "KERAS_HOME": str(cache_folder() / "keras"), "KERAS_TORCH_DEVICE": "cpu"}

import torch

from harness.models.spec import ModelSpec
from harness.workers.keras.engine import KerasEngine
from harness.workers.keras.formats import to_keras_file
from harness.workers.keras.routes import export_signature, finish_onnx, must_export_onnx, must_know_opset, trained_model
from harness.workers.onnx.export import Routes
from harness.workers.pytorch import torch_threads

if TYPE_CHECKING:
    import keras

_LOG = logging.getLogger(__name__)


def _keras_export(model: keras.Model, spec: ModelSpec, opset: int, fold: bool, path: Path) -> str:
    must_know_opset(opset)
    must_export_onnx("keras-export")

    def export(samples: int | None) -> None:
        signature = export_signature(spec, samples)
        model.export(str(path), format="onnx", verbose=False, input_signature=signature, opset_version=opset)

    with _watched() as ran:
        try:
            export(None)
        except Exception:
            # The reason is in the log. Keras' convolutions over three axes cannot be exported with a dynamic batch.
            _LOG.warning("not exported for any number of samples; exported for one at a time")
            export(1)
    finish_onnx(path, spec)
    return f"keras model.export, by {ran[-1] if ran else 'an exporter that it does not name'}"


@contextlib.contextmanager
def _watched() -> Iterator[list[str]]:
    """The names of PyTorch's exporters that succeed within the block, in order; failures are logged.

    Keras tries one after the other and does not report it.
    """
    original = torch.onnx.export
    ran: list[str] = []

    def watched(*arguments: Any, **named: Any) -> Any:
        name = "torch.onnx (torch.export)" if named.get("dynamo") else "torch.onnx (TorchScript)"
        try:
            found = original(*arguments, **named)
        except Exception as error:
            first = next((line for line in str(error).splitlines() if line.strip()), "")
            _LOG.warning("%s failed: %s: %s", name, type(error).__name__, first)
            raise
        ran.append(name)
        return found

    torch.onnx.export = watched
    try:
        yield ran
    finally:
        torch.onnx.export = original


class KerasTorch(KerasEngine):
    """Keras on PyTorch behind the worker contract."""

    runtime: ClassVar[str] = "python/keras-torch"
    framework: ClassVar[str] = "keras-torch"
    routes: ClassVar[Routes] = Routes(
        "python/keras-torch",
        trained_model,
        {"keras-export": _keras_export},
        ("keras", "torch", "onnx", "onnxscript"),
        {"keras-backend-swap": to_keras_file},
        keeps_batch_normalisation=False,
    )

    def pin_threads(self) -> None:
        """See KerasEngine; only deterministic operations from here on."""
        torch_threads.pin()
        torch.use_deterministic_algorithms(True)

    def backend_threads(self) -> dict[str, int]:
        """See KerasEngine."""
        return torch_threads.sizes()

    def backend_versions(self) -> dict[str, str]:
        """See KerasEngine."""
        return {"torch": torch.__version__}


ENGINE = KerasTorch
