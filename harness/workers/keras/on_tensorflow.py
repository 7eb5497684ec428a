"""python/keras-tensorflow: Keras on TensorFlow, and the routes that begin there."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from harness.files.cache import cache_folder

# Keras and TensorFlow read these when they are imported: the backend, no file in the user's home, the CPU, a quiet log.
os.environ |= {
    "KERAS_BACKEND": "tensorflow",
    "KERAS_HOME": str(cache_folder() / "keras"),
    "CUDA_VISIBLE_DEVICES": "-1",
    "TF_CPP_MIN_LOG_LEVEL": "2",
}

import tensorflow

from harness.models.spec import ModelSpec
from harness.workers.keras import tensorflow_threads
from harness.workers.keras.engine import KerasEngine
from harness.workers.keras.formats import to_keras_file, to_saved_model
from harness.workers.keras.routes import export_signature, finish_onnx, must_export_onnx, trained_model
from harness.workers.onnx.export import Routes

if TYPE_CHECKING:
    import keras


def _keras_export(model: keras.Model, spec: ModelSpec, opset: int, fold: bool, path: Path) -> str:
    must_export_onnx("keras-export")
    signature = export_signature(spec)
    model.export(str(path), format="onnx", verbose=False, input_signature=signature, opset_version=opset)
    finish_onnx(path, spec)
    return f"keras model.export, by tf2onnx {_tf2onnx().__version__}"


def _from_keras(model: keras.Model, spec: ModelSpec, opset: int, fold: bool, path: Path) -> str:
    signature = [tensorflow.TensorSpec(tensor.shape, tensor.dtype, name=tensor.name) for tensor in spec.inputs]
    _tf2onnx().convert.from_keras(model, input_signature=signature, opset=opset, output_path=str(path))
    finish_onnx(path, spec)
    return f"tf2onnx {_tf2onnx().__version__} (from_keras)"


def _from_saved_model(model: keras.Model, spec: ModelSpec, opset: int, fold: bool, path: Path) -> str:
    from tf2onnx import tf_loader

    with tempfile.TemporaryDirectory(prefix="savedmodel-") as folder:
        signature = export_signature(spec)
        model.export(folder, format="tf_saved_model", verbose=False, input_signature=signature)
        graph, inputs, outputs = tf_loader.from_saved_model(
            folder, None, None, tag="serve", signatures=["serving_default"]
        )
    _tf2onnx().convert.from_graph_def(
        graph, input_names=list(inputs), output_names=list(outputs), opset=opset, output_path=str(path)
    )
    finish_onnx(path, spec)
    return f"tf2onnx {_tf2onnx().__version__} (SavedModel)"


def _tf2onnx() -> Any:
    import tf2onnx
    from tf2onnx.graph import Node

    # It iterates over sets of nodes; which of equal nodes it keeps would depend on their addresses in memory.
    Node.__hash__ = _hash_of_name
    return tf2onnx


def _hash_of_name(node: Any) -> int:
    return hash(node.name)


class KerasTensorflow(KerasEngine):
    """Keras on TensorFlow behind the worker contract."""

    runtime: ClassVar[str] = "python/keras-tensorflow"
    framework: ClassVar[str] = "keras-tensorflow"
    routes: ClassVar[Routes] = Routes(
        "python/keras-tensorflow",
        trained_model,
        {"keras-export": _keras_export, "tf2onnx": _from_keras, "tf2onnx-savedmodel": _from_saved_model},
        ("keras", "tensorflow|tensorflow-cpu", "tf2onnx", "onnx"),
        {"keras-to-savedmodel": to_saved_model, "keras-backend-swap": to_keras_file},
        keeps_batch_normalisation=False,
    )

    def pin_threads(self) -> None:
        """See KerasEngine; only deterministic operations from here on."""
        tensorflow_threads.pin()
        tensorflow.config.experimental.enable_op_determinism()

    def backend_threads(self) -> dict[str, int]:
        """See KerasEngine."""
        return tensorflow_threads.sizes()

    def backend_versions(self) -> dict[str, str]:
        """See KerasEngine."""
        return {"tensorflow": tensorflow.__version__}


ENGINE = KerasTensorflow
