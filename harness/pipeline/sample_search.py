"""Which axis of each output of a given file is the sample: found by running it, and proven by a sample run alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.sample_axes import InputSamples, ToldAxes
from harness.errors import DataError
from harness.files.nearly_equal import nearly_equal

Array = NDArray[Any]
#: ``run(inputs)``: the outputs of one call by name. Raises WorkerError.
Run = Callable[[Mapping[str, Array]], Mapping[str, Array]]

#: A sample run alone gives its row within this much of the output's largest magnitude: float32, summed in another order.
SAME = 1e-4


@dataclass(frozen=True)
class OutputSamples:
    """By name of an output its sample axis, None where it belongs to none.

    ``whole``: outputs that depend on all samples of a call together, so that batches would change them. ``unproven``: outputs
    of which a sample run alone does not give its row, with the reason. ``rows``: by name of an output its shape without the
    sample axis, of those that have one and are not ``whole``.
    """

    axes: Mapping[str, int | None]
    whole: tuple[str, ...] = ()
    unproven: tuple[str, ...] = ()
    rows: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def sentences(self) -> list[str]:
        """What is told of it: everything but outputs whose samples lie along axis 0."""
        said = []
        for name, axis in self.axes.items():
            if name in self.whole:
                said.append(f"output {name} belongs to all samples of a call together: all are run in one call")
            elif axis is None:
                said.append(f"output {name} belongs to no sample")
            elif axis:
                said.append(f"the sample axis of output {name} is {axis}")
        for name in self.unproven:
            said.append(
                f"a sample run alone does not give its row of output {name}: samples of one call change each other"
            )
        return said


def find_output_axes(
    run: Run,
    probe: Mapping[str, Array],
    inputs: InputSamples,
    outputs: Sequence[Mapping[str, Any]],
    told: ToldAxes,
) -> OutputSamples:
    """The sample axis of every output. ``probe``: whole inputs; ``outputs``: as a worker's ``load`` gives them.

    A file that takes any number of samples is run with two numbers that equal no other axis; one of a fixed number is run
    again with its samples in another order. Raises WorkerError where it cannot be run, and DataError on an axis that the user
    names and that is not the sample.
    """
    finder = _Finder(run, probe, inputs)
    made = finder.fixed() if inputs.fixed is not None else finder.two_numbers(_known_sizes(probe, inputs, outputs))
    axes: dict[str, int | None] = {}
    whole, unproven = [], []
    for name in [str(entry["name"]) for entry in outputs]:
        found = made.candidates(name)
        if name in told.axes:
            if told.axes[name] not in found:
                raise DataError(
                    f"output '{name}' has the shape {made.shape(name)} for {made.samples} samples: axis {told.axes[name]} is not "
                    f"the sample",
                    where="--sample-axis",
                    hint=f"it can be {' or '.join(map(str, found))}" if found else f"say --shared {name}",
                )
            found = [told.axes[name]]
        proven = [axis for axis in found if made.proves(name, axis)]
        if name in told.shared or not found:
            axes[name] = None
            if not made.constant(name):
                whole.append(name)
            continue
        axes[name] = (proven or found)[0]
        if not proven:
            unproven.append(name)
        if made.varies_elsewhere(name):
            whole.append(name)
    rows = {
        name: made.shape(name)[:axis] + made.shape(name)[axis + 1 :]
        for name, axis in axes.items()
        if axis is not None and name not in whole
    }
    return OutputSamples(axes, tuple(whole), tuple(unproven), rows)


def _known_sizes(probe: Mapping[str, Array], inputs: InputSamples, outputs: Sequence[Mapping[str, Any]]) -> set[int]:
    """Sizes of all axes that are not the sample, as far as they are known."""
    known = {
        size for name, array in probe.items() for axis, size in enumerate(array.shape) if axis != inputs.axes[name]
    }
    return known | {size for entry in outputs for size in entry["shape"] or () if isinstance(size, int)}


@dataclass(frozen=True)
class _Runs:
    """One call of ``samples`` samples, another to set beside it, and one of a sample alone.

    ``moved``: the place in ``second`` of each sample of ``first`` (-1: not there). ``alone``: the outputs of sample
    ``alone_sample`` of ``first``, run by itself, its own row being the first.
    """

    samples: int
    first: Mapping[str, Array]
    second: Mapping[str, Array]
    moved: tuple[int, ...]
    second_samples: int
    alone: Mapping[str, Array]
    alone_sample: int

    def shape(self, name: str) -> tuple[int, ...]:
        return self.first[name].shape

    def candidates(self, name: str) -> list[int]:
        """Axes with as many places as samples, in both calls."""
        one, other = self.first[name], self.second[name]
        if one.ndim != other.ndim:
            return []
        return [
            axis
            for axis in range(one.ndim)
            if (one.shape[axis], other.shape[axis]) == (self.samples, self.second_samples)
        ]

    def varies_elsewhere(self, name: str) -> bool:
        """Whether other axes change with the number of samples."""
        one, other = self.first[name].shape, self.second[name].shape
        changed = sum(size != beside for size, beside in zip(one, other, strict=False))
        return len(one) != len(other) or changed > (self.samples != self.second_samples)

    def constant(self, name: str) -> bool:
        """Whether an output is the same in both calls."""
        return nearly_equal(self.first[name], self.second[name], SAME)

    def proves(self, name: str, axis: int) -> bool:
        """Whether samples keep their rows in another call, and one run alone has its own."""
        one, other, alone = self.first[name], self.second[name], self.alone[name]
        pairs = [(place, there) for place, there in enumerate(self.moved) if there >= 0]
        kept = nearly_equal(one.take([p for p, _ in pairs], axis), other.take([q for _, q in pairs], axis), SAME, one)
        if not kept or alone.ndim != one.ndim or alone.shape[axis] == 0:
            return False
        return nearly_equal(alone.take([0], axis), one.take([self.alone_sample], axis), SAME, one)


class _Finder:
    """The calls that axes are found by."""

    def __init__(self, run: Run, probe: Mapping[str, Array], inputs: InputSamples) -> None:
        self._run, self._probe, self._inputs = run, probe, inputs

    def two_numbers(self, known: set[int]) -> _Runs:
        """Two numbers of samples, the smaller ones first; the samples begin again where the probe has too few."""
        fewer, more = _two(size for size in count(2) if size not in known)
        chosen = [place % self._inputs.samples for place in range(more)]
        return _Runs(
            samples=more,
            first=self._samples(chosen),
            second=self._samples(chosen[:fewer]),
            moved=tuple(place if place < fewer else -1 for place in range(more)),
            second_samples=fewer,
            alone=self._samples(chosen[-1:]),
            alone_sample=more - 1,
        )

    def fixed(self) -> _Runs:
        """The number of samples that the file takes, the same in another order, and one of them throughout."""
        size = self._inputs.fixed or 1
        chosen = [place % self._inputs.samples for place in range(size)]
        return _Runs(
            samples=size,
            first=self._samples(chosen),
            second=self._samples([*chosen[1:], chosen[0]]),
            moved=tuple((place - 1) % size for place in range(size)),
            second_samples=size,
            alone=self._samples([chosen[-1]] * size),
            alone_sample=size - 1,
        )

    def _samples(self, chosen: list[int]) -> Mapping[str, Array]:
        feeds = {}
        for name, array in self._probe.items():
            axis = self._inputs.axes[name]
            feeds[name] = array if axis is None else np.ascontiguousarray(array.take(chosen, axis=axis))
        return self._run(feeds)


def _two(sizes: Iterator[int]) -> tuple[int, int]:
    return next(sizes), next(sizes)
