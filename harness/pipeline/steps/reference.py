"""A given file has no source: its own float32 run in the reference implementation gives the noise floor."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from harness.errors import AccidentError, WorkerError
from harness.files.arrays import load_arrays, save_arrays
from harness.files.atomic import to_json, write_atomically
from harness.pipeline.fingerprint import of_runtime
from harness.pipeline.node_votes import NodeVotes
from harness.pipeline.source_code import code_hash
from harness.pipeline.step import Context, Step
from harness.pipeline.steps.agreement import batches, declared, joined
from harness.pipeline.steps.weights import model_of, probe_of, sampling_of
from harness.runtimes.registry import availability, runtime

OUTPUTS = "probe.float32.safetensors"


@dataclass(frozen=True, kw_only=True)
class ReferenceStep(Step):
    """Leaves the outputs on the probe in float32; ``by.json`` where others than the reference computed some of its nodes.

    ``others``: runtimes that are asked in turn for a node that the reference cannot compute.
    """

    kind: ClassVar[str] = "reference"

    batch_size: int
    threads: int
    others: tuple[str, ...] = ()

    def outside(self) -> dict[str, Any]:
        """The reference implementation and its worker, and those that may be asked in its place."""
        return {
            **of_runtime(self.worker),
            "others": [of_runtime(runtime(name)) for name in self.others],
            "code": code_hash(__name__),
        }

    def carry_out(self, context: Context) -> None:
        """Load the file in float32 and predict the probe; node by node where the reference cannot."""
        try:
            loaded = context.ask("load", path=str(model_of(context)), precision="float32")
            sampling = sampling_of(context)
            batch_size = sampling.per_call(self.batch_size, loaded)
            context.predict(probe_of(context), OUTPUTS, batch_size, sampling.of(loaded))
        except AccidentError:
            raise
        except WorkerError as refusal:
            context.tell(f"{refusal.what}: asking for every node alone")
            try:
                self._by_node(context)
            except AccidentError:
                raise
            except WorkerError:
                raise refusal from None

    def _by_node(self, context: Context) -> None:
        inputs, outputs = declared(context)
        sampling, pieces, by = sampling_of(context), [], dict[str, None]()
        with tempfile.TemporaryDirectory(prefix="nodes-", dir=context.folder) as scratch:
            voters = (self.worker.name, *(name for name in self.others if availability(runtime(name)).installed))
            votes = NodeVotes(
                ask=context.ask_other,
                reader=self.worker.name,
                voters=voters,
                model=model_of(context),
                scratch=Path(scratch),
                precision="float32",
            )
            for batch, kept in batches(load_arrays(probe_of(context)), inputs, sampling, self.batch_size):
                made = votes.run(batch, outputs)
                pieces.append((made.outputs, kept))
                by |= dict.fromkeys(made.by)
        save_arrays(context.folder / OUTPUTS, joined(pieces, sampling))
        write_atomically(context.folder / "by.json", to_json({"by": [*by]}))
