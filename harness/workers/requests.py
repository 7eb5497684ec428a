"""The requests of the worker contract that all Python engines answer in the same way."""

from __future__ import annotations

import json
import mmap
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

from harness.workers import call_timing
from harness.workers.batches import Prediction, checked_axes, predict
from harness.workers.engine import (
    BadInput,
    Engine,
    LoadedModel,
    Precision,
    Progress,
    Stopwatch,
    checked_inputs,
)
from harness.workers.tensors import read_tensors, write_tensors

Handler = Callable[..., dict[str, Any]]


#: Bytes of an inputs' file from which on it is read batch by batch.
STREAMED = 1 << 26


class Requests:
    """The handlers of one engine by request name; every handler takes the request's arguments by keyword."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._model: LoadedModel | None = None

    def table(self, progress: Progress) -> dict[str, Handler]:
        """Handlers by request name; an engine's own (``train``, ``export``) report to ``progress``."""
        shared: dict[str, Handler] = {
            "describe": self.describe,
            "load": self.load,
            "parameters": self.parameters,
            "structure": self.structure,
            "predict": self.predict,
            "activations": self.activations,
            "time": self.time,
            "echo": self.echo,
        }
        return shared | self.engine.requests(progress)

    def describe(self) -> dict[str, Any]:
        """Describe the runtime: versions, threads, requests, precisions."""
        language, _, name = self.engine.runtime.partition("/")
        return {
            "runtime": self.engine.runtime,
            "language": language,
            "engine": name,
            "versions": {"python": platform.python_version()} | self.engine.versions(),
            "threads": self.engine.threads(),
            "requests": sorted([*self.table(lambda done, total, text: None), "shutdown"]),
            "precisions": list(self.engine.precisions),
        }

    def load(self, path: str, precision: str = "float32") -> dict[str, Any]:
        """Load the model of a file in place of the one before."""
        if precision not in get_args(Precision):
            raise BadInput(f"precision must be float32 or float64, not {precision!r}")
        file = existing_file(path)
        self._model = None
        started = time.perf_counter()
        model = self.engine.load(file, precision)  # type: ignore[arg-type]
        self._model = model
        return {
            "inputs": [info.to_json() for info in model.inputs],
            "outputs": [info.to_json() for info in model.outputs],
            "metadata": model.metadata,
            "seconds": time.perf_counter() - started,
        }

    def parameters(self, outputs: str) -> dict[str, Any]:
        """Write the parameters of the loaded model."""
        found = self._loaded().parameters()
        write_tensors(output_file(outputs), found)
        return {"count": len(found)}

    def structure(self, path: str, outputs: str) -> dict[str, Any]:
        """Write the graph of a file as JSON."""
        graph = self.engine.structure(existing_file(path))
        write_json(output_file(outputs), graph)
        return {"nodes": len(graph["nodes"])}

    def predict(
        self, inputs: str, outputs: str, batch_size: int | None = None, sample_axes: dict[str, int | None] | None = None
    ) -> dict[str, Any]:
        """Run the loaded model over a file of inputs."""
        if batch_size is not None and (not isinstance(batch_size, int) or isinstance(batch_size, bool)):
            raise BadInput(f"batch_size must be an integer or null, not {batch_size!r}")
        model = self._loaded()
        file, target = existing_file(inputs), output_file(outputs)
        if batch_size is None or file.stat().st_size < STREAMED:
            done = predict(model, read_tensors(file), batch_size, sample_axes, into=target)
        else:
            done = _streamed(model, file, target, batch_size, sample_axes)
        if done.outputs:
            write_tensors(target, done.outputs)
        said: dict[str, Any] = {"seconds": done.seconds, "cpu_seconds": done.cpu_seconds, "batches": done.batches}
        return said | ({"filled": done.filled} if done.filled else {})

    def activations(self, inputs: str, names: list[str], outputs: str) -> dict[str, Any]:
        """Write named tensors of the graph for a file of inputs."""
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise BadInput("names must be a list of tensor names")
        model = self._loaded()
        feeds = checked_inputs(read_tensors(existing_file(inputs)), model)
        found = model.activations(feeds, names)
        write_tensors(output_file(outputs), found)
        return {"count": len(found)}

    def time(
        self,
        inputs: str,
        batch_sizes: list[int],
        seconds: float,
        repeats: int = call_timing.DEFAULT_SAMPLES,
        sample_axes: dict[str, int | None] | None = None,
    ) -> dict[str, Any]:
        """Time the loaded model's own call, see harness.workers.call_timing."""
        sizes, limit, most = call_timing.checked_request(batch_sizes, seconds, repeats)
        model = self._loaded()
        axes = checked_axes(sample_axes, model)
        measured = call_timing.measure(model, read_tensors(existing_file(inputs)), sizes, limit, most, axes)
        return {
            "batches": measured,
            "resident_peak_bytes": call_timing.resident_peak(),
            "threads": self.engine.threads(),
        }

    def echo(self, inputs: str, outputs: str) -> dict[str, Any]:
        """Read a file of arrays and write it again, to measure what passing arrays costs."""
        source, target = existing_file(inputs), output_file(outputs)
        reading, writing = Stopwatch(), Stopwatch()
        with reading:
            arrays = read_tensors(source)
        with writing:
            write_tensors(target, arrays)
        return {
            "bytes": sum(array.nbytes for array in arrays.values()),
            "read_seconds": reading.seconds,
            "write_seconds": writing.seconds,
        }

    def _loaded(self) -> LoadedModel:
        if self._model is None:
            raise BadInput("no model is loaded")
        return self._model


def _streamed(model: LoadedModel, file: Path, target: Path, batch_size: int, sample_axes: Any) -> Prediction:
    """A prediction that holds one batch of the inputs at a time."""
    mapped: list[mmap.mmap] = []
    arrays = read_tensors(file, mapped)

    def forget() -> None:
        for one in mapped:
            if hasattr(mmap, "MADV_DONTNEED"):
                one.madvise(mmap.MADV_DONTNEED)

    return predict(model, arrays, batch_size, sample_axes, into=target, after_batch=forget)


def existing_file(path: Any) -> Path:
    """A path argument that must name a file. Raises BadInput."""
    if not isinstance(path, str) or not path:
        raise BadInput(f"a path must be a string, not {path!r}")
    file = Path(path)
    if not file.is_file():
        raise BadInput(f"{path}: is a folder, not a file" if file.is_dir() else f"{path}: no such file")
    return file


def output_file(path: Any) -> Path:
    """A path argument to be written, in a folder that exists. Raises BadInput."""
    if not isinstance(path, str) or not path:
        raise BadInput(f"a path must be a string, not {path!r}")
    if not Path(path).parent.is_dir():
        raise BadInput(f"{path}: its folder does not exist")
    return Path(path)


def write_json(path: Path, content: Any) -> None:
    """Write finite JSON with sorted keys, complete or not at all."""
    text = json.dumps(content, sort_keys=True, allow_nan=False, indent=1, ensure_ascii=False) + "\n"
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file complete or not at all."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        beside.write_bytes(content)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
