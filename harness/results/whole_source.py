"""What a whole model that was given as a source tells beside its outputs: its interface, and its tensors."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.files.arrays import Array, load_arrays


@dataclass(frozen=True)
class WholeSource:
    """``inputs`` and ``outputs``: the source's names to the file's. ``parameters``: its floating-point tensors."""

    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    parameters: Mapping[str, Array]

    @classmethod
    def read(cls, folder: Path) -> WholeSource:
        """What a ``whole`` step left in its folder."""
        record = json.loads((folder / "whole.json").read_text())
        return cls(record["inputs"], record["outputs"], load_arrays(folder / "parameters.safetensors"))

    def sentences(self, file: Mapping[str, Array]) -> list[str]:
        """What is told of it; ``file``: the tensors of the file by name."""
        said = []
        for kind, names in (("input", self.inputs), ("output", self.outputs)):
            renamed = [f"{theirs} is {ours}" for theirs, ours in names.items() if theirs != ours]
            if renamed:
                said.append(f"{kind}s were matched by their places: {', '.join(renamed)}")
        missing = self.not_held(file)
        if self.parameters and not missing:
            said.append(f"all {len(self.parameters)} tensors of the source are in the file bit for bit")
        elif self.parameters:
            shown = ", ".join(missing[:5]) + (" ..." if len(missing) > 5 else "")
            said.append(
                f"{len(self.parameters) - len(missing)} of {len(self.parameters)} tensors of the source are in the file bit for "
                f"bit; others were folded, or changed: {shown}"
            )
        return said

    def not_held(self, file: Mapping[str, Array]) -> list[str]:
        """Names of its tensors whose values the file does not hold, in whatever layout and under whatever name."""
        held = Counter(_values(array) for array in file.values() if array.dtype.kind == "f")
        return [name for name, array in self.parameters.items() if _values(array) not in held]


def _values(array: Array) -> tuple[str, bytes]:
    return array.dtype.name, np.sort(array, axis=None).tobytes()
