"""Cases in two files: many thousands of them as small files would take minutes to write.

``cases.bin`` holds every distinct content once; ``index.json`` holds a record per case, with where its contents lie, and
what was left out with its reason.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, BinaryIO

from harness.workers.engine import Array
from harness.workers.tensors import write_tensors

#: Content of a case to the name of its file.
FILES = {"model": "model.onnx", "inputs": "inputs.safetensors", "outputs": "outputs.safetensors"}


class Pack:
    """A folder of packed cases.

    Attributes:
        records: one per case: ``case`` (its name), ``opset``, ``folder``, ``operators``, ``inputs``, ``outputs`` (names in
            graph order), ``rtol``, ``atol``, ``place`` (content to offset and length), and what else its maker put in.
        excluded: what was left out, as its maker counts it.
        onnx: the version of the onnx package that the cases come from.
    """

    def __init__(self, folder: Path) -> None:
        index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        self.records: list[dict[str, Any]] = index["cases"]
        self.excluded: dict[str, Any] = index["excluded"]
        self.onnx: str = index["onnx"]
        self._contents = (folder / "cases.bin").read_bytes()

    def place(self, record: dict[str, Any], folder: Path) -> None:
        """Write the files of one case into a folder; made if missing, overwritten if there."""
        folder.mkdir(parents=True, exist_ok=True)
        for content, name in FILES.items():
            offset, length = record["place"][content]
            (folder / name).write_bytes(self._contents[offset : offset + length])


class PackWriter:
    """Appends contents to ``cases.bin`` of an open file, each distinct one once; ``scratch`` is a path to write at."""

    def __init__(self, file: BinaryIO, scratch: Path) -> None:
        self._file = file
        self._scratch = scratch
        self._places: dict[bytes, tuple[int, int]] = {}
        self._arrays: dict[int, tuple[dict[str, Array], tuple[int, int]]] = {}

    def add(self, content: bytes) -> tuple[int, int]:
        """Offset and length of a content."""
        key = hashlib.sha256(content).digest()
        if key not in self._places:
            self._places[key] = (self._file.tell(), len(content))
            self._file.write(content)
        return self._places[key]

    def add_arrays(self, arrays: dict[str, Array]) -> tuple[int, int]:
        """Offset and length of arrays as a safetensors file."""
        # The arrays are kept beside their place, so that no other object can take over their identity.
        if id(arrays) not in self._arrays:
            write_tensors(self._scratch, arrays)
            self._arrays[id(arrays)] = arrays, self.add(self._scratch.read_bytes())
            self._scratch.unlink()
        return self._arrays[id(arrays)][1]

    def add_case(self, model: bytes, inputs: dict[str, Array], outputs: dict[str, Array]) -> dict[str, tuple[int, int]]:
        """The ``place`` of a record."""
        return {"model": self.add(model), "inputs": self.add_arrays(inputs), "outputs": self.add_arrays(outputs)}
