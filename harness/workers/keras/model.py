"""A model of ``native/keras`` built from its specification and filled with canonical parameters, on Keras' own backend."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import keras
import numpy as np

from harness.errors import ModelError
from harness.models.keras_layout import from_keras, to_keras
from harness.models.spec import ModelSpec
from harness.workers.engine import Array, BadInput, Precision, Unsupported
from harness.workers.model_files import check_parameters, native_module

#: Numbers other than variables that layers compute with.
_SETTINGS = ("epsilon", "negative_slope", "slope")

#: What layers of Keras must know of their inputs when they are made, and the axis whose size it is.
_FRAME = {"rows": "row", "columns": "column"}


@contextlib.contextmanager
def in_double() -> Iterator[None]:
    """Within the block Keras' rules of type promotion keep float64, and JAX supports it.

    On PyTorch and JAX they turn float64 into float32 inside of layers, batch normalisation among them, so that a float64 model
    is none. Raises Unsupported where this version of Keras cannot be told otherwise.
    """
    try:
        from keras.src.backend.common.dtypes import BIT64_TO_BIT32_DTYPE as narrowed
    except ImportError:
        narrowed = {}
    before = dict(narrowed)
    if "float64" in narrowed:
        narrowed["float64"] = "float64"
    try:
        if keras.backend.result_type("float64", "float32") != "float64":
            raise Unsupported(f"Keras {keras.__version__} on {keras.backend.backend()} computes float64 in float32")
        with _arrays_in_double():
            yield
    finally:
        narrowed.update(before)


def _arrays_in_double() -> contextlib.AbstractContextManager[object]:
    """JAX converts every float64 array to float32 unless this is switched on."""
    if keras.backend.backend() != "jax":
        return contextlib.nullcontext()
    import jax

    # Not for all of a process: float32 models draw other random numbers then.
    double: contextlib.AbstractContextManager[object] = jax.enable_x64(True)
    return double


def build(spec: ModelSpec, precision: Precision = "float32") -> keras.Model:
    """The model of a specification with Keras' own random start. Raises Unsupported on an unknown model.

    With ``float64`` it computes the float32 model in float64: numbers other than variables (``epsilon``, ``negative_slope``)
    are rounded to float32 first, since the float32 model uses them so.
    """
    native = native_module("keras", spec, f"python/keras-{keras.backend.backend()}")
    sizes = {axis.name: axis.size for tensor in spec.inputs for axis in tensor.axes}
    frame = {name: sizes[axis] for name, axis in _FRAME.items() if axis in sizes}
    before = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx(precision)
    keras.config.set_dtype_policy(precision)
    try:
        model: keras.Model = native.MODEL(**spec.hyperparameters, **frame, head=spec.head)
    except (TypeError, ValueError) as error:
        raise BadInput(f"model '{spec.model}' cannot be built: {error}") from error
    finally:
        keras.config.set_floatx(before[0])
        keras.config.set_dtype_policy(before[1])
    if precision == "float64":
        round_settings(model)
    return model


def round_settings(model: keras.Model) -> None:
    """Round numbers other than variables to float32, as the float32 model uses them."""
    # Activations inside of layers are layers, too.
    for layer in model._flatten_layers():
        for name in _SETTINGS:
            if isinstance(value := getattr(layer, name, None), float):
                setattr(layer, name, float(np.float32(value)))


def fill(model: keras.Model, spec: ModelSpec, arrays: dict[str, Array], where: str) -> None:
    """Set canonical parameters, bit for bit; a float64 model gets them widened, which is exact.

    Raises BadInput unless ``arrays`` has exactly the parameters of the specification, in its shapes, as float32.
    """
    check_parameters(spec, arrays, where)
    try:
        variables = to_keras(spec, arrays)
    except ModelError as error:
        raise Unsupported(f"{where}: {error.what}") from error
    owners = {layer.name: layer for layer in model.layers if layer.weights}
    fits = {name: [array.shape for array in held] for name, held in variables.items()}
    if {name: [tuple(weight.shape) for weight in layer.weights] for name, layer in owners.items()} != fits:
        raise BadInput(f"model '{spec.model}' in Keras and its specification disagree about layers or their shapes")
    for name, held in variables.items():
        owners[name].set_weights(held)


def canonical_parameters(model: keras.Model, spec: ModelSpec) -> dict[str, Array]:
    """The canonical parameters that a model holds, as float32; those of a float64 model are narrowed again."""
    held = {
        layer.name: [np.asarray(keras.ops.convert_to_numpy(weight), np.float32) for weight in layer.weights]
        for layer in model.layers
    }
    return from_keras(spec, held)
