"""A given file has no source: its own float32 run in the reference implementation gives the noise floor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from harness.pipeline.fingerprint import of_runtime
from harness.pipeline.source_code import code_hash
from harness.pipeline.step import Context, Step
from harness.pipeline.steps.weights import model_of, probe_of, sampling_of


@dataclass(frozen=True, kw_only=True)
class ReferenceStep(Step):
    """Leaves the outputs on the probe in float32."""

    kind: ClassVar[str] = "reference"

    batch_size: int
    threads: int

    def outside(self) -> dict[str, Any]:
        """The reference implementation and its worker."""
        return {**of_runtime(self.worker), "code": code_hash(__name__)}

    def carry_out(self, context: Context) -> None:
        """Load the file in float32 and predict the probe."""
        loaded = context.ask("load", path=str(model_of(context)), precision="float32")
        sampling = sampling_of(context)
        batch_size = sampling.per_call(self.batch_size, loaded)
        context.predict(probe_of(context), "probe.float32.safetensors", batch_size, sampling.of(loaded))
