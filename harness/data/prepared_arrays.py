"""The folder ``data-<hash>/`` of samples as arrays by name: how it is read.

As for series (:mod:`harness.data.prepared`), but a part holds a model's inputs as ``input.<name>`` and the targets of its task as
``target.<name>``; ``dataset.json`` says under ``arrays`` which there are, of what sizes, and which inputs all samples share.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.dataset import Part
from harness.data.prepared import Prepared, read_tensors

#: Before the names of inputs and targets in the file of a part, which may share a name.
INPUT, TARGET = "input.", "target."

#: Under which ``counts`` names what there is of each part.
SAMPLES = "samples"


def named(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    """The inputs or the targets among the arrays of a part, by their own names."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


@dataclass(frozen=True)
class PreparedArrays(Prepared):
    """A prepared data set of arrays by name, for models of one task."""

    array_sizes: Mapping[str, int]
    shared_inputs: tuple[str, ...] = ()

    @property
    def sizes(self) -> dict[str, int]:
        """See Prepared."""
        return dict(self.array_sizes)

    @property
    def shared(self) -> tuple[str, ...]:
        """See Prepared."""
        return self.shared_inputs

    def test_inputs(self, places: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """See Prepared."""
        held = named(self.part("test"), INPUT)
        return {
            name: np.ascontiguousarray(array if name in self.shared else array[places]) for name, array in held.items()
        }

    def test_target(self, places: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """See Prepared."""
        return {name: array[places] for name, array in named(self.part("test"), TARGET).items()}

    def part(self, part: Part) -> dict[str, NDArray[Any]]:
        """The arrays of a part as its file names them. Raises DataError where it is missing or truncated."""
        return read_tensors(self.part_path(part))
