"""python/keras-jax: Keras on JAX, and its export."""

from __future__ import annotations

import importlib.metadata
import os
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from harness.files.cache import cache_folder
from harness.workers.engine import thread_count

# Keras, JAX and XLA read these when they are imported: the backend, no file in the user's home, the CPU, the number of threads of
# XLA (which has no other setting for it), and no user setting that changes what is computed.
os.environ |= {
    "KERAS_BACKEND": "jax",
    "KERAS_HOME": str(cache_folder() / "keras"),
    "KERAS_NNX_ENABLED": "false",
    "JAX_PLATFORMS": "cpu",
    "JAX_ENABLE_X64": "0",
    "NPROC": str(thread_count()),
    "XLA_FLAGS": "",
}

import jax
import jaxlib

from harness.models.spec import ModelSpec
from harness.workers.keras.engine import KerasEngine
from harness.workers.keras.formats import to_keras_file
from harness.workers.keras.routes import export_signature, finish_onnx, must_export_onnx, must_know_opset, trained_model
from harness.workers.onnx.export import Routes

if TYPE_CHECKING:
    import keras


def _keras_export(model: keras.Model, spec: ModelSpec, opset: int, fold: bool, path: Path) -> str:
    must_know_opset(opset)
    must_export_onnx("keras-export")
    signature = export_signature(spec)
    model.export(str(path), format="onnx", verbose=False, input_signature=signature, opset_version=opset)
    finish_onnx(path, spec)
    return f"keras model.export, by jax2onnx {importlib.metadata.version('jax2onnx')}"


class KerasJax(KerasEngine):
    """Keras on JAX behind the worker contract."""

    runtime: ClassVar[str] = "python/keras-jax"
    framework: ClassVar[str] = "keras-jax"
    routes: ClassVar[Routes] = Routes(
        "python/keras-jax",
        trained_model,
        {"keras-export": _keras_export},
        ("keras", "jax", "jax2onnx", "onnx"),
        {"keras-backend-swap": to_keras_file},
        keeps_batch_normalisation=False,
    )

    def pin_threads(self) -> None:
        """See KerasEngine; XLA makes its pool at the first array, of the size that it read above."""

    def backend_threads(self) -> dict[str, int]:
        """See KerasEngine."""
        return {"xla": thread_count()}

    def backend_versions(self) -> dict[str, str]:
        """See KerasEngine."""
        return {"jax": jax.__version__, "jaxlib": jaxlib.__version__}


ENGINE = KerasJax
