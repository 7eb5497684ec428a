"""What a whole model tells of its layers: where each comes from, in the order in which they are run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Protocol

from harness.workers.engine import LoadedModel
from harness.workers.requests import output_file, write_json


@dataclass(frozen=True)
class ProgramLayer:
    """One step of a model that gives a tensor of floating-point numbers.

    ``name``: as ``activations`` takes it. ``kind``: its operation or class. ``namespace``: the module that it belongs to, in the
    model's own words. ``source_line``: where it is written, as the framework stored it; empty where it did not. ``inputs``:
    names of the layers that it reads.
    """

    name: str
    kind: str
    namespace: str = ""
    source_line: str = ""
    inputs: tuple[str, ...] = ()


class Layered(Protocol):
    """A model that tells its layers."""

    def layers(self) -> list[ProgramLayer]:
        """All of them."""


def write_layers(model: LoadedModel | None, outputs: str) -> dict[str, Any]:
    """The request ``layers``: a JSON list of the layers of the loaded model."""
    found: list[ProgramLayer] = model.layers() if model is not None and hasattr(model, "layers") else []
    write_json(output_file(outputs), [asdict(layer) for layer in found])
    return {"count": len(found)}
