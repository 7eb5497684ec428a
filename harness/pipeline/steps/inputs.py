"""The test samples that every runtime predicts, as a file with the model's inputs alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from harness.files.atomic import to_json, write_atomically
from harness.pipeline.source_code import code_hash
from harness.pipeline.step import Context, Step


@dataclass(frozen=True, kw_only=True)
class InputsStep(Step):
    """``evaluate``: how many of the test samples are drawn; all of them where it is None."""

    kind: ClassVar[str] = "inputs"

    evaluate: int | None
    seed: int

    def outside(self) -> dict[str, Any]:
        """The code that draws and writes them."""
        return {"code": code_hash(__name__)}

    def carry_out(self, context: Context) -> None:
        """Write ``test.safetensors`` and, of which samples it is made, ``evaluation.json``."""
        import numpy as np
        from safetensors.numpy import save_file

        from harness.data.open_prepared import open_prepared

        prepared = open_prepared(context.needed("data"))
        total = sum(prepared.counts["test"].values())
        indices = np.arange(total)
        if self.evaluate is not None and self.evaluate < total:
            chosen = np.random.default_rng([self.seed, 1]).permutation(total)[: self.evaluate]
            indices = np.sort(chosen)
        save_file(prepared.test_inputs(indices), context.folder / "test.safetensors")
        record = {"indices": indices.tolist(), "of": total, "samples": len(indices)}
        write_atomically(context.folder / "evaluation.json", to_json(record))
