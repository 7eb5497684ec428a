"""The graph of a given file, and the parameters in it, as the reference implementation reads them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from harness.files.atomic import to_json, write_atomically
from harness.files.parameter_places import refer_to_model
from harness.pipeline.fingerprint import of_runtime
from harness.pipeline.source_code import code_hash
from harness.pipeline.step import Context, Step
from harness.pipeline.steps.weights import model_of


@dataclass(frozen=True, kw_only=True)
class StructureStep(Step):
    """Leaves ``structure.json``, ``parameters.safetensors`` and, with inputs and metadata, ``load.json``."""

    kind: ClassVar[str] = "structure"

    def outside(self) -> dict[str, Any]:
        """The reference implementation and its worker."""
        return {**of_runtime(self.worker), "code": code_hash(__name__)}

    def carry_out(self, context: Context) -> None:
        """Load the file and write what it is."""
        model = model_of(context)
        context.ask("structure", path=str(model), outputs=str(context.folder / "structure.json"))
        loaded = context.ask("load", path=str(model), precision="float32")
        parameters = context.folder / "parameters.safetensors"
        context.ask("parameters", outputs=str(parameters))
        refer_to_model(parameters, model)
        write_atomically(context.folder / "load.json", to_json(loaded))
