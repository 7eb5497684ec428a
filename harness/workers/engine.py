"""What all Python engines share: refusals, checked inputs and stopwatches."""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Precision = Literal["float32", "float64"]
ErrorKind = Literal["unsupported", "bad-input", "failed"]
#: ``progress(done, total, text)``: how far a long request has come.
Progress = Callable[[int, int, str], None]


class Refusal(Exception):
    """A request that ends in an error of the worker contract; the message is one line."""

    kind: ErrorKind = "failed"

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class Unsupported(Refusal):
    """The runtime does not support this."""

    kind: ErrorKind = "unsupported"


class BadInput(Refusal):
    """The request is wrong: a missing file, a wrong name, dtype or shape, a corrupt model."""

    kind: ErrorKind = "bad-input"


class Failed(Refusal):
    """Any other failure with a one-line reason, e.g. a loss that is no longer finite."""


def thread_count() -> int:
    """Threads that each pool of this worker may use: ``HARNESS_THREADS``, one where it is not set."""
    text = os.environ.get("HARNESS_THREADS", "1")
    if not text.isdigit() or int(text) < 1:
        raise BadInput(f"HARNESS_THREADS must be a positive integer, not '{text}'")
    return int(text)


def environment_threads() -> dict[str, int]:
    """Sizes of the thread pools that environment variables set before anything is imported, by variable."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return {name: int(os.environ[name]) for name in names if os.environ.get(name, "").isdigit()}


@dataclass(frozen=True)
class TensorInfo:
    """A named input or output of a loaded model.

    ``dtype`` is a NumPy name; empty where a program does not tell it. ``shape`` holds a size, the name of a dynamic dimension, or
    None; it is None itself where the file does not state a rank.
    """

    name: str
    dtype: str
    shape: tuple[int | str | None, ...] | None

    def to_json(self) -> dict[str, Any]:
        """As the worker contract writes it."""
        return {
            "name": self.name,
            "dtype": self.dtype,
            "shape": None if self.shape is None else list(self.shape),
        }


@dataclass
class Stopwatch:
    """Adds up wall and CPU seconds (of all threads of the process) of the blocks it is opened around."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    _started: tuple[float, float] = field(default=(0.0, 0.0), repr=False)

    def __enter__(self) -> Stopwatch:
        self._started = (time.perf_counter(), time.process_time())
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._started[0]
        self.cpu_seconds += time.process_time() - self._started[1]


class LoadedModel(ABC):
    """A model that an engine has loaded and can run.

    ``inputs`` and ``outputs`` state the dtypes of the file. Where the model is ``widened`` (precision float64),
    floating-point inputs may come in the file's dtype, which is widened exactly, or as float64; outputs are float64.
    """

    widened: bool = False
    inputs: list[TensorInfo]
    outputs: list[TensorInfo]
    metadata: dict[str, str]

    @abstractmethod
    def run(self, feeds: dict[str, Array], watch: Stopwatch) -> dict[str, Array]:
        """Outputs by name for checked inputs; only the framework's own call runs under ``watch``."""

    def prepared(self, feeds: dict[str, Array]) -> Callable[[], object]:
        """The framework's own call on checked inputs, converted beforehand, to be repeated and timed."""
        return lambda: self.run(feeds, Stopwatch())

    @abstractmethod
    def parameters(self) -> dict[str, Array]:
        """The parameters as the runtime has them in memory, under the names and in the dtypes of the file."""

    def activations(self, feeds: dict[str, Array], names: list[str]) -> dict[str, Array]:
        """The named tensors of the graph for checked inputs."""
        raise Unsupported("activations are not supported by this runtime")


class Engine(ABC):
    """A framework behind the worker contract. One engine per process; it holds one model at a time."""

    runtime: ClassVar[str]
    #: The precisions in which a file can be loaded.
    precisions: ClassVar[tuple[Precision, ...]] = ("float32", "float64")

    @abstractmethod
    def versions(self) -> dict[str, str]:
        """Versions of what computes, by package name."""

    @abstractmethod
    def threads(self) -> dict[str, int]:
        """Size of every thread pool, by its name."""

    @abstractmethod
    def load(self, path: Path, precision: Precision) -> LoadedModel:
        """Read a model file. Raises BadInput or Unsupported before anything is computed."""

    def structure(self, path: Path) -> dict[str, Any]:
        """The graph of a model file, see the worker contract."""
        raise Unsupported(f"structure is not supported by {self.runtime}")

    def requests(self, progress: Progress) -> dict[str, Callable[..., dict[str, Any]]]:
        """Requests that this engine alone answers, by name."""
        return {}


def checked_inputs(
    given: dict[str, Array],
    model: LoadedModel,
    sample_axes: Mapping[str, int | None] | None = None,
    *,
    convert: bool = True,
) -> dict[str, Array]:
    """The inputs of a model, row-major, and as float64 where it is widened; as they are without ``convert``.

    Checks names, dtypes, ranks and fixed sizes, all but the number of samples. ``sample_axes``: by name of an input the axis
    that is the sample, 0 where it is not named; None for an input that all samples share. Raises BadInput.
    """
    axes = sample_axes or {}
    expected = model.inputs
    names = [info.name for info in expected]
    missing = [name for name in names if name not in given]
    unknown = [name for name in given if name not in names]
    if missing or unknown:
        found = ", ".join(f"'{name}'" for name in given) or "nothing"
        wanted = ", ".join(f"'{name}'" for name in names)
        raise BadInput(f"the model's inputs are {wanted}; given was {found}")
    feeds = {}
    for info in expected:
        array = given[info.name]
        if info.dtype == "string" and array.dtype == np.uint8 and array.ndim:
            array = texts_of_bytes(array)
            feeds[info.name] = array
            continue
        floating = _is_floating(info.dtype)
        if (
            info.dtype
            and array.dtype.name != info.dtype
            and not (model.widened and floating and array.dtype.name == "float64")
        ):
            raise BadInput(f"input '{info.name}' must be {info.dtype}, not {array.dtype.name}")
        if info.shape is not None:
            if array.ndim != len(info.shape):
                raise BadInput(_shape_message(info, array))
            for axis, size in enumerate(info.shape):
                if axis != axes.get(info.name, 0) and isinstance(size, int) and array.shape[axis] != size:
                    raise BadInput(_shape_message(info, array))
        feeds[info.name] = converted(array, info, model) if convert else array
    return feeds


def converted(array: Array, info: TensorInfo, model: LoadedModel) -> Array:
    """An input as the model takes it: row-major, and as float64 where it is widened."""
    widen = model.widened and (_is_floating(info.dtype) or (not info.dtype and array.dtype.kind == "f"))
    return np.require(array, np.float64 if widen else None, requirements="C")


def texts_of_bytes(array: Array) -> Array:
    """Texts that travelled as bytes (..., byte): UTF-8, filled with zeros; see :func:`harness.workers.tensors.text_bytes`."""
    rows = np.ascontiguousarray(array).reshape(-1, array.shape[-1])
    texts = [row.tobytes().rstrip(b"\0").decode() for row in rows]
    return np.array(texts, dtype=object).reshape(array.shape[:-1])


def _is_floating(dtype: str) -> bool:
    return dtype.startswith(("float", "bfloat"))


def check_batch(batch: dict[str, Array], expected: list[TensorInfo]) -> None:
    """Check sizes that depend on the batch: a fixed number of samples, and dimensions of one name. Raises BadInput."""
    named: dict[str, tuple[int, str]] = {}
    for info in expected:
        for axis, size in enumerate(info.shape or ()):
            found = batch[info.name].shape[axis]
            if isinstance(size, int) and found != size:
                raise BadInput(_shape_message(info, batch[info.name]))
            if isinstance(size, str):
                first = named.setdefault(size, (found, info.name))
                if first[0] != found:
                    raise BadInput(
                        f"dimension '{size}' is {first[0]} in input '{first[1]}' but {found} in input '{info.name}'"
                    )


def _shape_message(info: TensorInfo, array: Array) -> str:
    wanted = ", ".join("?" if size is None else str(size) for size in info.shape or ())
    return f"input '{info.name}' must have shape ({wanted}), not {tuple(array.shape)}"
