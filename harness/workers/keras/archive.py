"""A ``.keras`` file that any backend wrote, loaded with its own architecture in Keras' safe mode."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np

from harness.models.spec import ModelSpec
from harness.workers.engine import BadInput, Precision
from harness.workers.keras.model import round_settings
from harness.workers.model_files import native_module


def load_keras_file(path: Path, spec: ModelSpec, precision: Precision) -> keras.Model:
    """The model of a file, whose layers may be Keras' own and those of ``native/keras``.

    Safe mode refuses code in the file. With ``float64`` the file's own configuration is built anew in float64 and gets its
    variables, widened. Raises BadInput on what Keras cannot load.
    """
    # Importing it registers its layers with Keras.
    native_module("keras", spec, f"python/keras-{keras.backend.backend()}")
    try:
        model: keras.Model = keras.saving.load_model(str(path), compile=False, safe_mode=True)
    except (ValueError, TypeError, OSError, KeyError) as error:
        first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise BadInput(f"{path}: Keras cannot load it: {first}") from error
    if precision == "float32":
        return model
    wide: keras.Model = keras.Model.from_config(widened_config(model.get_config()))
    wide.set_weights(
        [
            np.asarray(keras.ops.convert_to_numpy(weight)).astype(target.dtype)
            for weight, target in zip(model.weights, wide.weights, strict=True)
        ]
    )
    round_settings(wide)
    return wide


def widened_config(config: Any) -> Any:
    """A configuration with every float32 in it as float64."""
    if isinstance(config, dict):
        return {name: widened_config(value) for name, value in config.items()}
    if isinstance(config, list | tuple):
        return type(config)(widened_config(value) for value in config)
    return "float64" if config == "float32" else config
