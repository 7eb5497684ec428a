"""The graph of a given file, and the parameters in it, as the reference implementation reads them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from harness.errors import AccidentError, WorkerError
from harness.files.atomic import to_json, write_atomically
from harness.files.parameter_places import refer_to_model
from harness.pipeline.fingerprint import of_runtime
from harness.pipeline.source_code import code_hash
from harness.pipeline.step import Context, Step
from harness.pipeline.steps.weights import model_of
from harness.runtimes.registry import availability, runtime


@dataclass(frozen=True, kw_only=True)
class StructureStep(Step):
    """Leaves ``structure.json``, ``parameters.safetensors`` and, with inputs and metadata, ``load.json``.

    ``others``: runtimes that are asked in turn to load the file where the reference implementation refuses it.
    """

    kind: ClassVar[str] = "structure"

    others: tuple[str, ...] = ()

    def outside(self) -> dict[str, Any]:
        """The reference implementation and its worker, and those that may be asked in its place."""
        return {
            **of_runtime(self.worker),
            "others": [of_runtime(runtime(name)) for name in self.others],
            "code": code_hash(__name__),
        }

    def carry_out(self, context: Context) -> None:
        """Load the file and write what it is."""
        model = model_of(context)
        context.ask("structure", path=str(model), outputs=str(context.folder / "structure.json"))
        refusal: WorkerError | None = None
        parameters = context.folder / "parameters.safetensors"
        for name in (self.worker.name, *self.others):
            if not availability(runtime(name)).installed:
                continue
            try:
                loaded = context.ask_other(name, "load", path=str(model), precision="float32")
                context.ask_other(name, "parameters", outputs=str(parameters))
            except AccidentError:
                raise
            except WorkerError as error:
                # The first one's words: whoever is asked after it is asked because of them.
                refusal = refusal or error
                continue
            refer_to_model(parameters, model)
            write_atomically(context.folder / "load.json", to_json(loaded))
            return
        assert refusal is not None
        raise refusal
