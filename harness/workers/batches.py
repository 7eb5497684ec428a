"""Samples in batches: cut from the inputs along their sample axes, joined again along those of the outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.files.nearly_equal import nearly_equal
from harness.workers.engine import (
    Array,
    BadInput,
    LoadedModel,
    Stopwatch,
    TensorInfo,
    check_batch,
    checked_inputs,
    converted,
)
from harness.workers.tensors import RowsFile

#: By name of an input or output the axis that is the sample; None: of all samples. A name that is absent has axis 0.
SampleAxes = Mapping[str, int | None]

#: An output of no sample may differ between batches by the rounding of float32, relative to its largest magnitude.
SAME = 1e-5


@dataclass(frozen=True)
class Prediction:
    """Outputs by name, and what their computation took inside the framework's own calls.

    ``filled``: samples that were added to fill the last batch of a file with one number of samples, and cut off again.
    """

    outputs: dict[str, Array]
    seconds: float
    cpu_seconds: float
    batches: int
    filled: int = 0


def checked_axes(sample_axes: Any, model: LoadedModel) -> dict[str, int | None]:
    """The sample axes of a request. Raises BadInput on what is no axis, and on names that the model does not have."""
    if sample_axes is None:
        return {}
    if not isinstance(sample_axes, dict):
        raise BadInput(f"sample_axes must be an object of names and axes, not {sample_axes!r}")
    shapes = {info.name: info.shape for info in (*model.inputs, *model.outputs)}
    for name, axis in sample_axes.items():
        if name not in shapes:
            known = ", ".join(f"'{known}'" for known in shapes)
            raise BadInput(f"sample_axes names '{name}'; the model's inputs and outputs are {known}")
        if axis is not None and (not isinstance(axis, int) or isinstance(axis, bool) or axis < 0):
            raise BadInput(f"the sample axis of '{name}' must be null or an integer from 0, not {axis!r}")
        shape = shapes[name]
        if axis is not None and shape is not None and axis >= max(len(shape), 1):
            raise BadInput(f"the sample axis of '{name}' cannot be {axis}: it has {len(shape)} axes, counted from 0")
    return sample_axes


def predict(
    model: LoadedModel,
    inputs: dict[str, Array],
    batch_size: int | None,
    sample_axes: Any = None,
    *,
    into: Path | None = None,
    after_batch: Callable[[], None] = lambda: None,
) -> Prediction:
    """Outputs of a model for ``inputs``, in batches along the sample axes, or all at once where ``batch_size`` is None.

    ``into``: a file that outputs of several batches are written to as they come, where samples lie along axis 0 of all of them;
    they are then not among those returned. ``after_batch`` is called after each.

    A file that fixes the number of samples B is run in batches of B, the last one filled with its last sample and cut.
    Inputs of all samples are given whole to every batch. Raises BadInput on a wrong name, dtype, shape or axis, on a batch
    size that the file does not take, and on an output that cannot be joined.
    """
    axes = checked_axes(sample_axes, model)
    inputs = checked_inputs(inputs, model, axes, convert=False)
    if batch_size is not None and batch_size < 1:
        raise BadInput(f"batch_size must be at least 1, not {batch_size}")
    watch = Stopwatch()
    samples = _samples(inputs, model, axes, batch_size)
    infos = {info.name: info for info in model.inputs}
    if samples is None:
        inputs = {name: converted(array, infos[name], model) for name, array in inputs.items()}
        check_batch(inputs, model.inputs)
        outputs = model.run(inputs, watch)
        return Prediction(outputs, watch.seconds, watch.cpu_seconds, 1)
    pieces: dict[str, list[Array]] = {info.name: [] for info in model.outputs}
    rows: RowsFile | None = None
    with ExitStack() as stack:
        for given, size in _batches(inputs, axes, samples):
            batch = {name: converted(array, infos[name], model) for name, array in given.items()}
            check_batch(batch, model.inputs)
            made = {
                name: _piece(name, np.asarray(array), size, samples, axes.get(name, 0))
                for name, array in model.run(batch, watch).items()
            }
            first = rows is None and not any(pieces.values())
            several = into is not None and len(samples.starts) > 1 and all(axes.get(name, 0) == 0 for name in made)
            if first and several and into is not None and RowsFile.takes(made):
                rows = stack.enter_context(RowsFile(into, samples.total, made))
            if rows is not None:
                rows.add(made)
            else:
                for name, array in made.items():
                    pieces[name].append(array)
            after_batch()
    outputs = {name: _joined(name, parts, axes.get(name, 0)) for name, parts in pieces.items() if parts}
    return Prediction(outputs, watch.seconds, watch.cpu_seconds, len(samples.starts), samples.filled)


@dataclass(frozen=True)
class _Samples:
    """``total`` samples in batches of ``size``; ``fixed``: every batch has that size, by filling the last one."""

    total: int
    size: int
    fixed: bool

    @property
    def starts(self) -> range:
        return range(0, max(self.total, 1), self.size)

    @property
    def filled(self) -> int:
        return -self.total % self.size if self.fixed else 0


def _samples(inputs: dict[str, Array], model: LoadedModel, axes: SampleAxes, batch_size: int | None) -> _Samples | None:
    """How to make batches; None where all is run at once."""
    sampled = {info.name: info for info in model.inputs if axes.get(info.name, 0) is not None}
    if not sampled or (batch_size is None and _fits(inputs, model.inputs)):
        return None
    fixed = {
        name: size for name, info in sampled.items() if (size := fixed_samples(info, axes.get(name, 0))) is not None
    }
    if len(set(fixed.values())) > 1:
        if batch_size is None:
            return None
        raise BadInput(f"inputs fix different numbers of samples: {fixed}; sample_axes can say which are shared (null)")
    size = next(iter(fixed.values()), batch_size)
    if size is None:
        return None
    if batch_size not in (None, size):
        raise BadInput(f"the file takes {size} samples per call, not {batch_size}; ask with batch_size {size} or null")
    lengths = {name: _length(name, inputs[name], axes.get(name, 0)) for name in sampled}
    if len(set(lengths.values())) != 1:
        raise BadInput(f"inputs have no common length along their sample axes to make batches of: {lengths}")
    total = next(iter(lengths.values()))
    if fixed and (total == 0 or size == 0):
        raise BadInput(f"input '{next(iter(sampled))}' has no samples to fill a batch of {size} with")
    return _Samples(total, size, bool(fixed))


def fixed_samples(info: TensorInfo, axis: int | None) -> int | None:
    """The number of samples that a file fixes for an input; None where it takes any."""
    if axis is None or info.shape is None or axis >= len(info.shape):
        return None
    size = info.shape[axis]
    return size if isinstance(size, int) else None


def _length(name: str, array: Array, axis: int | None) -> int:
    if axis is None or axis >= array.ndim:
        raise BadInput(
            f"input '{name}' has shape {array.shape}: no axis {axis} to make batches of; "
            f"sample_axes can say that it is shared (null)"
        )
    return int(array.shape[axis])


def _fits(inputs: dict[str, Array], expected: list[TensorInfo]) -> bool:
    """Whether the inputs are one batch that the model takes as it is."""
    try:
        check_batch(inputs, expected)
    except BadInput:
        return False
    return True


def _batches(inputs: dict[str, Array], axes: SampleAxes, samples: _Samples) -> Iterator[tuple[dict[str, Array], int]]:
    """Every batch, and how many of the given samples it holds."""
    for start in samples.starts:
        size = min(samples.size, samples.total - start)
        # The last sample stands for those that are missing.
        filling = samples.size - size if samples.fixed else 0
        batch = {}
        for name, array in inputs.items():
            axis = axes.get(name, 0)
            if axis is None:
                batch[name] = array if array.flags.writeable else array.copy()
                continue
            # A copy: frameworks warn of arrays that cannot be written, and a file's map cannot.
            part = np.array(array[(slice(None),) * axis + (slice(start, start + size),)], order="C")
            if filling:
                last = array[(slice(None),) * axis + (slice(start + size - 1, start + size),)]
                part = np.concatenate([part, *[last] * filling], axis=axis)
            batch[name] = part
        yield batch, size


def _piece(name: str, array: Array, size: int, samples: _Samples, axis: int | None) -> Array:
    """What of a batch's output is kept. Raises BadInput where its axis is not the sample."""
    if axis is None:
        return array
    made = samples.size if samples.fixed else size
    if axis >= array.ndim or array.shape[axis] != made:
        raise BadInput(
            f"output '{name}' has shape {array.shape} for a batch of {made}: no axis {axis} to batch along; "
            f"name its sample axis in sample_axes, or ask with batch_size null"
        )
    return array if size == made else array[(slice(None),) * axis + (slice(0, size),)]


def _joined(name: str, parts: list[Array], axis: int | None) -> Array:
    """An output from those of the batches. Raises BadInput where one of no sample differs between them."""
    if axis is not None:
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=axis)
    for place, part in enumerate(parts):
        if not nearly_equal(parts[0], part, SAME):
            raise BadInput(
                f"output '{name}' belongs to no sample, but differs between batch 1 and batch {place + 1}: "
                f"it depends on the samples; ask with batch_size null"
            )
    return parts[0]
