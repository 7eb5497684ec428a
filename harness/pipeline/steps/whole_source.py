"""A whole model as the source of a given file: its answers to the probe, and what it tells of its layers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from harness.errors import BadInputError, ModelError, UnsupportedError
from harness.files.arrays import Array, load_arrays, save_arrays
from harness.files.atomic import to_json, write_atomically
from harness.files.digests import file_hash
from harness.models.sampling import Sampling
from harness.pipeline.fingerprint import of_runtime
from harness.pipeline.source_code import code_hash
from harness.pipeline.step import PLACE, Context, Step
from harness.pipeline.steps.weights import sampling_of


@dataclass(frozen=True, kw_only=True)
class WholeSourceStep(Step):
    """``path``: the file that the worker loads; ``sha256`` of all that it reads. Needs structure, probe and samples.

    Leaves the outputs on the probe in both precisions under the names of the file's outputs, its parameters, and ``whole.json``:
    its interface, how it is matched with the file's, and its layers.
    """

    kind: ClassVar[str] = "whole"
    makes_source: ClassVar[bool] = True

    path: str = field(metadata=PLACE)
    sha256: Mapping[str, str]
    batch_size: int
    threads: int

    def outside(self) -> dict[str, Any]:
        """The framework, its worker, and what matches the two interfaces."""
        return {**of_runtime(self.worker), "code": code_hash(__name__)}

    def carry_out(self, context: Context) -> None:
        """Run the model in float32 and in float64. Raises ModelError where it cannot be loaded or does not fit the file."""
        file = json.loads((context.needed("structure") / "load.json").read_text())
        try:
            own = context.ask("load", path=self.path, precision="float32")
            inputs = matched(own["inputs"], file["inputs"], "input")
            outputs = matched(own["outputs"], file["outputs"], "output")
            sampling = sampling_of(context)
            renamed = Sampling(
                {
                    **{theirs: sampling.axes.get(ours, 0) for theirs, ours in inputs.items()},
                    **{theirs: sampling.axes.get(ours, 0) for theirs, ours in outputs.items()},
                },
                sampling.whole,
            )
            probe = load_arrays(context.needed("probe") / "probe.safetensors")
            save_arrays(context.folder / "probe.safetensors", {theirs: probe[ours] for theirs, ours in inputs.items()})
            batch_size = renamed.per_call(self.batch_size, own)
            context.ask("parameters", outputs=str(context.folder / "parameters.safetensors"))
            context.ask("layers", outputs=str(context.folder / "layers.json"))
            self._predict(context, "float32", batch_size, renamed.of(own), outputs)
            context.ask("load", path=self.path, precision="float64")
            self._predict(context, "float64", batch_size, renamed.of(own), outputs)
        except (BadInputError, UnsupportedError) as error:
            what, _, hint = error.what.removeprefix(f"{self.path}: ").partition("; ")
            raise ModelError(what, where=self.path, hint=hint or "give its outputs as --expected instead") from error
        if file_hash(Path(self.path)) not in self.sha256.values():
            raise ModelError("changed while it was being read", where=self.path, hint="run the same command again")
        record = {
            "inputs": inputs,
            "outputs": outputs,
            "interface": {name: own[name] for name in ("inputs", "outputs")},
        }
        write_atomically(context.folder / "whole.json", to_json(record))

    def _predict(
        self,
        context: Context,
        precision: str,
        batch_size: int | None,
        axes: Mapping[str, int | None],
        outputs: Mapping[str, str],
    ) -> None:
        """The outputs in a precision, under the file's names."""
        name = f"probe.{precision}.safetensors"
        context.predict(context.folder / "probe.safetensors", name, batch_size, axes)
        found: dict[str, Array] = load_arrays(context.folder / name)
        save_arrays(context.folder / name, {ours: found[theirs] for theirs, ours in outputs.items()})


def matched(own: list[dict[str, Any]], file: list[dict[str, Any]], kind: str) -> dict[str, str]:
    """Names of a source's inputs or outputs to those of the file: equal names, else their places.

    Exporters rename both. Raises ModelError where the numbers differ.
    """
    theirs, ours = ([str(entry["name"]) for entry in entries] for entries in (own, file))
    if len(theirs) != len(ours):
        raise ModelError(
            f"the source has {len(theirs)} {kind}s ({', '.join(theirs)}), the file {len(ours)} ({', '.join(ours)})",
            hint="give the model that the file was made from",
        )
    if set(theirs) == set(ours):
        return {name: name for name in theirs}
    return dict(zip(theirs, ours, strict=True))
