"""The exported graph in float64, by one of the runtimes that can."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from harness.pipeline.fingerprint import of_runtime
from harness.pipeline.source_code import code_hash
from harness.pipeline.step import Context, Step
from harness.pipeline.steps.weights import model_of, probe_of, sampling_of


@dataclass(frozen=True, kw_only=True)
class OracleStep(Step):
    """Leaves the outputs on the probe in float64 and, of an ONNX file, its structure."""

    kind: ClassVar[str] = "oracle"

    batch_size: int
    threads: int

    def outside(self) -> dict[str, Any]:
        """The runtime and its worker."""
        return {**of_runtime(self.worker), "code": code_hash(__name__)}

    def carry_out(self, context: Context) -> None:
        """Load the file in float64 and predict the probe."""
        model = model_of(context)
        loaded = context.ask("load", path=str(model), precision="float64")
        sampling = sampling_of(context)
        batch_size = sampling.per_call(self.batch_size, loaded)
        context.predict(probe_of(context), "probe.float64.safetensors", batch_size, sampling.of(loaded))
        if model.suffix == ".onnx":
            context.ask("structure", path=str(model), outputs=str(context.folder / "structure.json"))
