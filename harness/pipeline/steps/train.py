"""The training of a scenario's model in its framework."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from harness.pipeline.fingerprint import of_runtime
from harness.pipeline.source_code import code_hash
from harness.pipeline.step import Context, Step
from harness.pipeline.steps.weights import write_described
from harness.scenario.sections import ModelSection, TrainingSection


@dataclass(frozen=True, kw_only=True)
class TrainStep(Step):
    """Leaves ``weights.safetensors``, the model's specification and metadata, the log, and a STAC item."""

    kind: ClassVar[str] = "train"
    makes_source: ClassVar[bool] = True
    resumable: ClassVar[bool] = True

    model: ModelSection
    training: TrainingSection
    seed: int
    threads: int

    def outside(self) -> dict[str, Any]:
        """The framework, its worker, and what describes the model."""
        return {**of_runtime(self.worker), "code": code_hash(__name__, f"harness.models.{self.model.name}")}

    def carry_out(self, context: Context) -> None:
        """Train the model on the data of the scenario."""
        from harness.pipeline.stac import trained_item, write_item

        spec, prepared = write_described(context, self.model)
        context.ask(
            "train",
            data=str(context.needed("data")),
            out=str(context.folder),
            seed=self.seed,
            **self.training.model_dump(mode="json"),
        )
        write_item(context.folder, trained_item(context.folder, spec, prepared))
