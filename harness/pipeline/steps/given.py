"""A user's model file, copied so that it cannot change while it is compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from harness.errors import ModelError
from harness.files.copies import copy_file
from harness.files.digests import file_hash
from harness.pipeline.source_code import code_hash
from harness.pipeline.step import PLACE, Context, Step

#: What the copy of the model file is called.
MODEL = "model.onnx"


@dataclass(frozen=True, kw_only=True)
class GivenStep(Step):
    """``paths`` and ``sha256`` by the name of the copy: the model file, and the files beside it that its tensors lie in."""

    kind: ClassVar[str] = "given"

    paths: Mapping[str, str] = field(metadata=PLACE)
    sha256: Mapping[str, str]

    def outside(self) -> dict[str, Any]:
        """What copies them."""
        return {"code": code_hash(__name__)}

    def carry_out(self, context: Context) -> None:
        """Copy all files. Raises ModelError where one changes meanwhile."""
        for name, path in self.paths.items():
            copy = context.folder / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy_file(Path(path), copy)
            if file_hash(copy) != self.sha256[name]:
                raise ModelError("changed while it was being read", where=path, hint="run the same command again")
