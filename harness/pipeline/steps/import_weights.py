"""The import of weights from a file, which leaves what a training leaves."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from harness.data.locate import find
from harness.errors import BadInputError, ModelError, UnsupportedError
from harness.files.atomic import write_atomically
from harness.files.digests import file_hash
from harness.models import model_heads
from harness.models.spec import Head
from harness.pipeline.fingerprint import of_runtime
from harness.pipeline.source_code import code_hash
from harness.pipeline.step import PLACE, Context, Step
from harness.pipeline.steps.weights import write_described
from harness.scenario.sections import ModelSection


@dataclass(frozen=True, kw_only=True)
class ImportStep(Step):
    """``path``: the file of weights, found as data are.

    In a scenario ``model`` says what they are weights of. For a given model file ``architecture`` and ``head`` do, or ``spec``,
    a ``model.json`` beside the weights, or else the metadata of the model file.
    """

    kind: ClassVar[str] = "import"
    makes_source: ClassVar[bool] = True

    path: str = field(metadata=PLACE)
    model: ModelSection | None = None
    architecture: str | None = None
    head: Head | None = None
    spec: str | None = field(default=None, metadata=PLACE)

    def outside(self) -> dict[str, Any]:
        """The framework, its worker, what describes the model, and the contents of all files that are read."""
        return {**of_runtime(self.worker), "code": code_hash(__name__, "harness.models"), "files": self._files()}

    def _files(self) -> dict[str, str]:
        """SHA-256 of the files by their part: what they hold, and not where they lie, decides what is made of them."""
        named = {"weights": find(self.path, None)}
        if self.spec is not None:
            named |= {"spec": Path(self.spec), "metadata": Path(self.spec).with_name("metadata.json")}
        return {name: file_hash(path) for name, path in named.items() if path.is_file()}

    def carry_out(self, context: Context) -> None:
        """Have the worker read the weights. Raises ModelError where the file cannot be used."""
        from harness.pipeline.stac import imported_item, write_item

        path = find(self.path, None)
        if self.model is not None:
            spec, prepared = write_described(context, self.model)
            # What was read does not change what was asked for: the worker writes the same specification again.
            _ask_import(context, path, spec=str(context.folder / "model.json"))
            write_item(context.folder, imported_item(context.folder, spec, prepared))
        elif self.architecture is not None:
            from harness.compare.structure import heads_of

            graph = json.loads((context.needed("structure") / "structure.json").read_text())
            there, own = heads_of(graph), model_heads(self.architecture)
            # What a model cannot end in was put behind it: it is found when file and source are compared.
            ends_in = next((head for head in there if head in own), own[0])
            _ask_import(context, path, model=self.architecture, head=self.head, ends_in=ends_in)
        elif self.spec is not None:
            _ask_import(context, path, spec=self.spec)
            if (metadata := Path(self.spec).with_name("metadata.json")).is_file():
                write_atomically(context.folder / "metadata.json", metadata.read_bytes())
        else:
            _write_carried_spec(context, path)
            _ask_import(context, path, spec=str(context.folder / "model.json"))


def _write_carried_spec(context: Context, path: Path) -> None:
    """The specification that the given model file carries, as the step's own ``model.json``. Raises ModelError."""
    carried: dict[str, str] = json.loads((context.needed("structure") / "load.json").read_text())["metadata"]
    if "harness.spec" not in carried:
        raise ModelError(
            "nothing says of which architecture these weights are: no model.json lies beside them, and the .onnx file "
            "carries no 'harness.spec'",
            where=str(path),
            hint="name it, for instance with --model tempcnn",
        )
    write_atomically(context.folder / "model.json", carried["harness.spec"])


def _ask_import(context: Context, path: Path, **arguments: Any) -> None:
    try:
        record = context.ask("import", weights=str(path), out=str(context.folder), **arguments)
    except (BadInputError, UnsupportedError) as error:
        what, _, hint = error.what.removeprefix(f"{path}: ").partition("; ")
        raise ModelError(what, where=str(path), hint=hint or None) from error
    if record["sha256"] != file_hash(path):
        raise ModelError("changed while it was being read", where=str(path), hint="run the same command again")
