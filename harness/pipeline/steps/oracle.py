"""The exported graph in float64, by one of the runtimes that can.

Two that agree are enough: a third one is asked only where they part, or where one of them could not compute it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, ClassVar

from harness.compare import gates
from harness.compare.oracle_votes import largest_distance
from harness.files.arrays import load_arrays
from harness.files.atomic import to_json, write_atomically
from harness.pipeline.fingerprint import of_runtime
from harness.pipeline.source_code import code_hash
from harness.pipeline.step import Context, Step
from harness.pipeline.steps.weights import model_of, probe_of, sampling_of

#: The outputs in an oracle's folder; ``not_asked.json`` stands in their place where two others agree.
OUTPUTS = "probe.float64.safetensors"


def answered(folder: Path | None) -> bool:
    """Whether an oracle was asked and left its outputs in its folder."""
    return folder is not None and (folder / OUTPUTS).exists()


@dataclass(frozen=True, kw_only=True)
class OracleStep(Step):
    """Leaves the outputs on the probe in float64 and, of an ONNX file, its structure.

    ``beside``: oracles that were asked before. Where two of them agree, this one is not asked.
    """

    kind: ClassVar[str] = "oracle"

    batch_size: int
    threads: int

    def outside(self) -> dict[str, Any]:
        """The runtime and its worker."""
        return {**of_runtime(self.worker), "code": code_hash(__name__)}

    def carry_out(self, context: Context) -> None:
        """Load the file in float64 and predict the probe, unless two others agree."""
        if pair := self._agreeing(context):
            context.tell(f"not asked: {' and '.join(pair)} agree")
            write_atomically(context.folder / "not_asked.json", to_json({"agreeing": pair}))
            return
        model = model_of(context)
        loaded = context.ask("load", path=str(model), precision="float64")
        sampling = sampling_of(context)
        batch_size = sampling.per_call(self.batch_size, loaded)
        context.predict(probe_of(context), OUTPUTS, batch_size, sampling.of(loaded))
        if model.suffix == ".onnx":
            context.ask("structure", path=str(model), outputs=str(context.folder / "structure.json"))

    def _agreeing(self, context: Context) -> list[str]:
        """The first two of the oracles asked before that agree."""
        found = [name for name in self.beside if answered(context.needs.get(name))]
        for pair in combinations(found, 2):
            one, other = (load_arrays(context.needs[name] / OUTPUTS) for name in pair)
            if largest_distance(one, other) <= gates.ORACLE_AGREEMENT:
                return [*pair]
        return []
