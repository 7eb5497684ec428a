"""Which axis of a model's inputs and outputs is the sample, and how many samples a file takes per call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.models.spec import ModelSpec

Array = NDArray[Any]


@dataclass(frozen=True)
class Sampling:
    """The sample axes of a model by name, None for inputs and outputs of no sample; ``whole``: all samples in one call."""

    axes: Mapping[str, int | None] = field(default_factory=dict)
    whole: bool = False

    @classmethod
    def of_spec(cls, spec: ModelSpec) -> Sampling:
        """What a specification says."""
        return cls({tensor.name: tensor.sample_axis for tensor in (*spec.inputs, *spec.outputs)})

    def of(self, loaded: Mapping[str, Any]) -> dict[str, int | None]:
        """``sample_axes`` of a request: what a loaded model has by that name and does not have along axis 0."""
        names = {info["name"] for info in (*loaded["inputs"], *loaded["outputs"])}
        return {name: axis for name, axis in self.axes.items() if name in names and axis != 0}

    def fixed(self, loaded: Mapping[str, Any]) -> int | None:
        """The number of samples that a loaded file takes, where it takes one number of them alone."""
        for info in loaded["inputs"]:
            axis = self.axes.get(info["name"], 0)
            if axis is not None and info["shape"] and isinstance(info["shape"][axis], int):
                return int(info["shape"][axis])
        return None

    def per_call(self, asked: int, loaded: Mapping[str, Any]) -> int | None:
        """As many samples as the run asks for, or as a loaded file takes; None for all."""
        return None if self.whole else self.fixed(loaded) or asked

    def taken(self, arrays: Mapping[str, Array], chosen: Sequence[int] | NDArray[np.int64]) -> dict[str, Array]:
        """The samples of those places of every array that has samples, row-major."""
        return {
            name: np.require(array if (axis := self.axes.get(name, 0)) is None else array.take(chosen, axis), None, "C")
            for name, array in arrays.items()
        }

    def count(self, arrays: Mapping[str, Array]) -> int:
        """How many samples arrays have; the fewest where they differ."""
        axes = {name: self.axes.get(name, 0) for name in arrays}
        return min(int(arrays[name].shape[axis]) for name, axis in axes.items() if axis is not None)

    def samples_first(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """Arrays by name with the sample moved to axis 0; those of no sample as they are."""
        return {name: self.sample_first(name, array) for name, array in arrays.items()}

    def sample_first(self, name: str, array: Array) -> Array:
        """One of them."""
        axis = self.axes.get(name, 0)
        return array if not axis or axis >= array.ndim else np.ascontiguousarray(np.moveaxis(array, axis, 0))
