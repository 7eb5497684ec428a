"""Keras' own formats as routes: a SavedModel for TensorFlow without Keras, and a ``.keras`` file for another backend."""

from __future__ import annotations

from pathlib import Path

import keras

from harness.models.spec import ModelSpec
from harness.workers.keras.routes import export_signature


def to_saved_model(model: keras.Model, spec: ModelSpec, folder: Path) -> str:
    """Write ``savedmodel/``, with one endpoint for inputs of any number of samples; names what wrote it."""
    model.export(
        str(folder / "savedmodel"), format="tf_saved_model", verbose=False, input_signature=export_signature(spec)
    )
    return f"keras model.export (tf_saved_model), Keras {keras.__version__}"


def to_keras_file(model: keras.Model, spec: ModelSpec, folder: Path) -> str:
    """Write ``model.keras``; names what wrote it."""
    model.save(str(folder / "model.keras"))
    return f"keras model.save, Keras {keras.__version__} on {keras.backend.backend()}"
