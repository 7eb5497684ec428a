"""A model file opened in the runtime that is compared: what it holds after loading, and what it answers in float32."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from harness.files.atomic import to_json, write_atomically
from harness.files.parameter_places import refer_to_model
from harness.pipeline.fingerprint import of_runtime
from harness.pipeline.source_code import code_hash
from harness.pipeline.step import Context, Step
from harness.pipeline.steps.weights import model_of, probe_of, sampling_of


@dataclass(frozen=True, kw_only=True)
class TargetStep(Step):
    """Leaves parameters, outputs on the probe and on the test samples where there are any, and the worker's words."""

    kind: ClassVar[str] = "target"

    batch_size: int
    threads: int

    def outside(self) -> dict[str, Any]:
        """The runtime and its worker."""
        return {**of_runtime(self.worker), "code": code_hash(__name__)}

    def carry_out(self, context: Context) -> None:
        """Load the file in float32, write its parameters and predict."""
        described = context.ask("describe")
        described.pop("operators", None)
        loaded = context.ask("load", path=str(model_of(context)), precision="float32")
        sampling = sampling_of(context)
        batch_size, axes = sampling.per_call(self.batch_size, loaded), sampling.of(loaded)
        parameters = context.folder / "parameters.safetensors"
        context.ask("parameters", outputs=str(parameters))
        if "given" in context.needs:
            refer_to_model(parameters, model_of(context))
        record = {"describe": described, "load": loaded}
        record["probe"] = context.predict(probe_of(context), "probe.float32.safetensors", batch_size, axes)
        if "inputs" in context.needs:
            test = context.needed("inputs") / "test.safetensors"
            record["test"] = context.predict(test, "test.float32.safetensors", batch_size, axes)
        write_atomically(context.folder / "target.json", to_json(record))
