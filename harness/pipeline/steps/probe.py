"""A user's probe, under the names of the model's inputs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from harness.data.sample_axes import ToldAxes
from harness.files.atomic import to_json, write_atomically
from harness.pipeline.source_code import code_hash
from harness.pipeline.step import PLACE, Context, Step


@dataclass(frozen=True, kw_only=True)
class ProbeStep(Step):
    """``paths`` and ``sha256`` of ``.npy`` files by input name, or of one under "" for a model with one input.

    ``axes``, ``shared``: what the user says of sample axes, by name. ``allow_nan``: arrays may hold NaN and infinities.
    """

    kind: ClassVar[str] = "probe"

    paths: Mapping[str, str] = field(metadata=PLACE)
    sha256: Mapping[str, str]
    axes: Mapping[str, int] = field(default_factory=dict)
    shared: tuple[str, ...] = ()
    allow_nan: bool = False

    def outside(self) -> dict[str, Any]:
        """What reads and checks them."""
        return {"code": code_hash(__name__)}

    def carry_out(self, context: Context) -> None:
        """Write ``probe.safetensors`` and its hash. Raises DataError on arrays that the model does not take."""
        from safetensors.numpy import save_file

        from harness.compare.not_finite import describe_input
        from harness.data.prepared import probe_hash
        from harness.data.probe import read_probe

        loaded = json.loads((context.needed("structure") / "load.json").read_text())
        files = {name: Path(path) for name, path in self.paths.items()}
        told = ToldAxes(self.axes, self.shared)
        arrays, samples = read_probe(files, loaded["inputs"], loaded["outputs"], told, allow_nan=self.allow_nan)
        save_file(arrays, context.folder / "probe.safetensors")
        about = {"sha256": probe_hash(arrays), "samples": samples.samples, "inputs": asdict(samples)}
        if self.allow_nan:
            about["not_finite"] = {name: text for name, array in arrays.items() if (text := describe_input(array))}
        write_atomically(context.folder / "probe.json", to_json(about))
