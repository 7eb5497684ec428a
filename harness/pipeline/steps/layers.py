"""The comparison of a target node by node."""

from __future__ import annotations

import functools
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from harness.files.arrays import mapped_arrays
from harness.files.atomic import to_json, write_atomically
from harness.pipeline.fingerprint import of_runtime
from harness.pipeline.layers import walk_layers
from harness.pipeline.source_code import code_hash
from harness.pipeline.step import Context, Step
from harness.pipeline.steps.weights import model_of, probe_of, sampling_of
from harness.runtimes.registry import REFERENCE, runtime


@dataclass(frozen=True, kw_only=True)
class LayersStep(Step):
    """``samples`` of the probe are followed. Needs the probe, the graph, the reference's oracle and the target."""

    kind: ClassVar[str] = "layers"

    samples: int
    threads: int

    def outside(self) -> dict[str, Any]:
        """Two runtimes work on it, the target and the reference; the errors are computed here."""
        return {
            **of_runtime(self.worker),
            "reference": of_runtime(runtime(REFERENCE)),
            "code": code_hash(__name__),
            "note": self.worker.inner_values_note,
        }

    def carry_out(self, context: Context) -> None:
        """Walk the graph and write the rows as ``layers.json``."""
        with tempfile.TemporaryDirectory(prefix="layers-", dir=context.folder) as scratch:
            found = walk_layers(
                target=context.ask,
                reference=functools.partial(context.ask_other, REFERENCE),
                note=self.worker.inner_values_note,
                model=model_of(context),
                probe=mapped_arrays(probe_of(context)),
                samples=self.samples,
                sampling=sampling_of(context),
                structure=json.loads((context.needed("structure", "oracle") / "structure.json").read_text()),
                scratch=Path(scratch),
                progress=context.progress,
            )
        write_atomically(context.folder / "layers.json", to_json(found.model_dump(mode="json")))
