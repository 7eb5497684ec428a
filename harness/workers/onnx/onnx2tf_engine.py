"""python/onnx2tf: an .onnx file turned into a TensorFlow model by the package onnx2tf, and run by TensorFlow.

The file is converted in this process whenever it is loaded, from a copy, since onnx2tf writes into the file that it is given.
onnx2tf lays data out channels-last by itself; here it is told to keep every input as the file has it (its option ``-kat``),
without which a model of (sample, time, band) silently takes (sample, band, time). It has no such option for outputs, which it
leaves channels-last: they are transposed back to the shape that the file declares.
"""

from __future__ import annotations

import functools
import importlib.metadata
import itertools
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

# TensorFlow reads these at import; onnx2tf needs Keras 2.
os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "2", "TF_USE_LEGACY_KERAS": "1", "CUDA_VISIBLE_DEVICES": "-1"}

import numpy as np
import onnx
import onnx2tf
import onnx2tf.onnx2tf as converter
import tensorflow
from onnx import ModelProto

from harness.workers.engine import (
    Array,
    Engine,
    LoadedModel,
    Precision,
    Stopwatch,
    TensorInfo,
    Unsupported,
    environment_threads,
)
from harness.workers.keras import tensorflow_threads
from harness.workers.onnx.file import inputs_of, metadata_of, outputs_of, read_model, stored
from harness.workers.onnx.structure import structure
from harness.workers.tensors import dtype_of


def _no_download() -> Array:
    raise Unsupported("onnx2tf wants test images from the network, which a worker never fetches")


converter.download_test_image_data = _no_download


class BackInTensorflow(LoadedModel):
    """A model that onnx2tf made of a file, as a graph of TensorFlow."""

    def __init__(self, path: Path, model: ModelProto) -> None:
        self.inputs, self.outputs = inputs_of(model), outputs_of(model)
        self.metadata = metadata_of(model)
        self._stored = {name: onnx.numpy_helper.to_array(tensor) for name, tensor in stored(model).items()}
        self._nodes = list(model.graph.node)
        self._model = _converted(model, [info.name for info in self.inputs])
        by_place = dict(zip(self._model.input_names, self._model.inputs, strict=True))
        if len(by_place) != len(self.inputs):
            raise Unsupported(f"onnx2tf made a model of {len(by_place)} inputs of a file of {len(self.inputs)}")
        for info, given in zip(self.inputs, by_place.values(), strict=True):
            _check_shape(info, tuple(given.shape))
        signature = [tensorflow.TensorSpec(given.shape, given.dtype) for given in by_place.values()]
        called = tensorflow.function(lambda *tensors: self._model(list(tensors) if len(tensors) > 1 else tensors[0]))
        try:
            self._function = called.get_concrete_function(*signature)
        except (ValueError, TypeError, tensorflow.errors.OpError) as error:
            raise Unsupported(f"onnx2tf made a model that does not run: {_words(error)}") from error
        made = list(self._model.outputs)
        self._channels_last = [
            _is_channels_last(info, value.shape) for info, value in zip(self.outputs, made, strict=True)
        ]

    def run(self, feeds: dict[str, Array], watch: Stopwatch) -> dict[str, Array]:
        """See LoadedModel."""
        call = self.prepared(feeds)
        with watch:
            found = call()
        values = list(found) if isinstance(found, list | tuple) else [found]
        return {
            info.name: np.require(
                np.moveaxis(value.numpy(), -1, 1) if channels_last else value.numpy(), dtype_of(info.dtype), "C"
            )
            for info, value, channels_last in zip(self.outputs, values, self._channels_last, strict=True)
        }

    def prepared(self, feeds: dict[str, Array]) -> Callable[[], Any]:
        """See LoadedModel."""
        return functools.partial(self._function, *(tensorflow.constant(feeds[info.name]) for info in self.inputs))

    def parameters(self) -> dict[str, Array]:
        """Tensors of the file that the graph holds bit for bit, with their axes in whatever order; onnx2tf keeps no names.

        A batch normalisation that became a scale and an offset counts as found where both follow from the file's four tensors
        within rounding. Other arrays of the graph with more than one number are named by a number, and have no partner.
        """
        held = list(self._held())
        taken: set[int] = set()
        found: dict[str, Array] = {}
        for name, tensor in self._stored.items():
            # Two equal tensors of a file may be one of the graph.
            if tensor.dtype.kind == "f" and (same := [i for i, value in enumerate(held) if _is_turned(value, tensor)]):
                found[name] = tensor
                taken.update(same)
        # TensorFlow counts in 32 bits where ONNX takes 64: whole numbers are the same ones.
        whole = [value for value in self._constants() if value.dtype.kind in "iu"]
        for name, tensor in self._stored.items():
            if tensor.dtype.kind in "iu" and any(np.array_equal(value, tensor) for value in whole):
                found[name] = tensor
        for scale, offset, names in self._normalisations():
            places = [[i for i, value in enumerate(held) if _nearly(value, wanted)] for wanted in (scale, offset)]
            if all(places):
                found |= {name: self._stored[name] for name in names}
                taken.update(*places)
        rest = [value for i, value in enumerate(held) if i not in taken and value.size > 1]
        return found | {f"onnx2tf.{index}": value for index, value in enumerate(rest)}

    def _held(self) -> Iterator[Array]:
        """Floating-point constants of the graph and what it captured."""
        captured = (tensor.numpy() for tensor in self._function.captured_inputs if tensor.dtype.is_numpy_compatible)
        yield from (value for value in (*captured, *self._constants()) if value.dtype.kind == "f")

    def _constants(self) -> Iterator[Array]:
        for operation in self._function.graph.get_operations():
            if operation.type == "Const":
                yield tensorflow.make_ndarray(operation.get_attr("value"))

    def _normalisations(self) -> Iterator[tuple[Array, Array, list[str]]]:
        """Scale and offset in float64 of every batch normalisation of the file, and the names of its four tensors."""
        for node in self._nodes:
            names = list(node.input)[1:]
            if node.op_type != "BatchNormalization" or any(name not in self._stored for name in names):
                continue
            epsilon = next((entry.f for entry in node.attribute if entry.name == "epsilon"), 1e-5)
            weight, bias, mean, variance = (self._stored[name].astype(np.float64) for name in names)
            scale = weight / np.sqrt(variance + epsilon)
            yield scale, bias - mean * scale, names


def _is_turned(value: Array, tensor: Array) -> bool:
    """Whether a value is a tensor bit for bit, but for the order of its axes and axes of length one."""
    value, tensor = np.squeeze(value), np.squeeze(tensor)
    if value.dtype != tensor.dtype or sorted(value.shape) != sorted(tensor.shape):
        return False
    return any(
        value.transpose(order).shape == tensor.shape and np.array_equal(value.transpose(order), tensor, equal_nan=True)
        for order in itertools.permutations(range(value.ndim))
    )


#: Relative error that a scale or offset computed in float32 may have, against its largest value.
_LAST_PLACES = 4 * 2.0**-23


def _nearly(value: Array, wanted: Array) -> bool:
    value = np.squeeze(value)
    if value.shape != np.squeeze(wanted).shape or not value.size:
        return False
    return bool(np.abs(value - np.squeeze(wanted)).max() <= _LAST_PLACES * np.abs(wanted).max())


def _check_shape(info: TensorInfo, shape: tuple[int | None, ...]) -> None:
    """Raises Unsupported where the converted model takes its input otherwise than the file does."""
    known = tuple(size if isinstance(size, int) else None for size in info.shape or shape)
    if len(known) != len(shape) or not _fits(known, shape):
        raise Unsupported(f"onnx2tf turned input '{info.name}' of shape {known} into {shape}")


def _is_channels_last(info: TensorInfo, shape: Iterable[int | None]) -> bool:
    """Whether an output stands as (sample, ..., channel) where the file declares (sample, channel, ...), by its shape alone.

    Sizes that fit both are taken as the file declares them.
    """
    made = tuple(shape)
    if not info.shape or len(info.shape) != len(made) or len(made) < 3:
        return False
    declared = tuple(size if isinstance(size, int) else None for size in info.shape)
    turned = (declared[0], *declared[2:], declared[1])
    return not _fits(declared, made) and _fits(turned, made)


def _fits(known: tuple[int | None, ...], shape: tuple[int | None, ...]) -> bool:
    return all(a is None or b is None or a == b for a, b in zip(known, shape, strict=True))


def _without_names_of_dimensions(model: ModelProto) -> ModelProto:
    """A copy whose inputs leave a size open without a name: of five axes onnx2tf takes the name for the size of a batch."""
    copy = ModelProto()
    copy.CopyFrom(model)
    for given in copy.graph.input:
        for dimension in given.type.tensor_type.shape.dim:
            if dimension.HasField("dim_param"):
                dimension.ClearField("dim_param")
    return copy


def _converted(model: ModelProto, inputs: list[str]) -> Any:
    """The model that onnx2tf makes. Raises Unsupported with its own words."""
    with tempfile.TemporaryDirectory(prefix="onnx2tf-") as folder:
        copy = Path(folder) / "model.onnx"
        onnx.save(_without_names_of_dimensions(model), str(copy))
        try:
            return onnx2tf.convert(
                input_onnx_file_path=str(copy),
                output_folder_path=str(Path(folder) / "saved_model"),
                keep_shape_absolutely_input_names=inputs,
                # It is a program on the path and would change the conversion.
                not_use_onnxsim=True,
                disable_model_save=True,
                non_verbose=True,
                verbosity="error",
            )
        except (Exception, SystemExit) as error:
            if isinstance(error, MemoryError | Unsupported):
                raise
            # Most of its refusals exit the process, with the reason in the log only.
            reason = "it gave up; the log has its words" if isinstance(error, SystemExit) else _words(error)
            raise Unsupported(f"onnx2tf does not convert it: {reason}") from error


def _words(error: Exception) -> str:
    """What TensorFlow says is wrong: the first sentence after the layers and the lines of code that it names before."""
    lines = iter(line.strip() for line in str(error).splitlines())
    for line in lines:
        if line.startswith("File "):
            next(lines, None)
        elif line and line != "in user code:" and "Exception encountered when calling layer" not in line:
            # The name of a node that TensorFlow made up, and its tensors, say nothing of the file.
            line = re.sub(r"\{\{function_node .*?\}\}\s*", "", line).split(" for '{{node")[0]
            return line if line.startswith(type(error).__name__) else f"{type(error).__name__}: {line}"
    return type(error).__name__


class OnnxToTensorflow(Engine):
    """onnx2tf behind the worker contract."""

    runtime: ClassVar[str] = "python/onnx2tf"

    def __init__(self) -> None:
        tensorflow_threads.pin()

    def versions(self) -> dict[str, str]:
        """See Engine."""
        return {
            "onnx2tf": importlib.metadata.version("onnx2tf"),
            "tensorflow": tensorflow.__version__,
            "onnx": onnx.__version__,
            "numpy": np.__version__,
        }

    def threads(self) -> dict[str, int]:
        """See Engine."""
        return tensorflow_threads.sizes() | environment_threads()

    def load(self, path: Path, precision: Precision) -> BackInTensorflow:
        """See Engine."""
        if precision == "float64":
            raise Unsupported("float64 is not supported by python/onnx2tf: it converts to float32")
        return BackInTensorflow(path, read_model(path, self.runtime))

    def structure(self, path: Path) -> dict[str, Any]:
        """See Engine."""
        return structure(read_model(path, self.runtime), path)


ENGINE = OnnxToTensorflow
