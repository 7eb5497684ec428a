"""A user's expected outputs, under the names of the model's outputs."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from harness.files.arrays import save_arrays, stored_texts
from harness.files.atomic import to_json, write_atomically
from harness.pipeline.source_code import code_hash
from harness.pipeline.step import PLACE, Context, Step


@dataclass(frozen=True, kw_only=True)
class ExpectedStep(Step):
    """``path`` and ``sha256`` of the file that holds them. Needs the structure, the probe and its samples."""

    kind: ClassVar[str] = "expected"

    path: str = field(metadata=PLACE)
    sha256: str

    def outside(self) -> dict[str, Any]:
        """What reads and checks them."""
        return {"code": code_hash(__name__)}

    def carry_out(self, context: Context) -> None:
        """Write ``expected.safetensors`` and, of which type they are, ``expected.json``. Raises DataError on what does not fit."""
        from harness.data.expected import read_expected

        loaded = json.loads((context.needed("structure") / "load.json").read_text())
        probe = json.loads((context.needed("probe") / "probe.json").read_text())
        sampling = json.loads((context.needed("samples") / "samples.json").read_text())
        arrays = read_expected(Path(self.path), loaded["outputs"], sampling["axes"], probe["samples"])
        types = {name: array.dtype.name if array.dtype.kind in "biuf" else "string" for name, array in arrays.items()}
        save_arrays(
            context.folder / "expected.safetensors",
            {name: stored_texts(array) if array.dtype.kind == "U" else array for name, array in arrays.items()},
        )
        write_atomically(context.folder / "expected.json", to_json({"sha256": self.sha256, "types": types}))
