"""The cases of one generation in two files: 25,000 variants as 100,000 small files would take minutes to write.

``cases.bin`` holds every distinct content once; ``index.json`` holds a record per variant, with where its contents
lie, and what was left out with its reason.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

import onnx

from harness.workers.tensors import write_tensors
from tests.conformance.cases import NEWEST_OPSET, OLDEST_OPSET, Array, Exclusions, Variant, published_cases, variants

#: Content of a variant to the name of its file.
FILES = {"model": "model.onnx", "inputs": "inputs.safetensors", "outputs": "outputs.safetensors"}


class Pack:
    """A folder of packed cases.

    Attributes:
        records: one per variant: ``case``, ``opset``, ``folder`` (``<opset>/<case>``), ``operators``, ``since``
            (operator to since-version), ``inputs``, ``outputs`` (names in graph order), ``rtol``, ``atol``,
            ``changes`` (what was rewritten), ``first_of_signature`` and ``place`` (content to offset and length).
        excluded: ``pairs`` of case and opset left out, ``by_reason`` and ``by_case``.
    """

    def __init__(self, folder: Path) -> None:
        index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        self.records: list[dict[str, Any]] = index["cases"]
        self.excluded: dict[str, Any] = index["excluded"]
        self._contents = (folder / "cases.bin").read_bytes()

    @classmethod
    def make(cls, folder: Path, operators: frozenset[str] | None = None, opsets: Iterable[int] | None = None) -> Pack:
        """Generate cases into an existing folder.

        Args:
            folder: where to write.
            operators: only cases all of whose operators are among these; None for all.
            opsets: the opsets that are wanted; None for all from 7 to the newest.
        """
        wanted = sorted(opsets) if opsets is not None else list(range(OLDEST_OPSET, NEWEST_OPSET + 1))
        exclusions = Exclusions()
        records = []
        with (folder / "cases.bin").open("wb") as file:
            writer = _Writer(file, folder / "arrays.safetensors")
            for case in published_cases(exclusions, wanted, operators):
                records += [_record(variant, writer) for variant in variants(case, wanted, exclusions)]
        excluded = {
            "pairs": sum(exclusions.by_reason.values()),
            "by_reason": dict(exclusions.by_reason.most_common()),
            "by_case": exclusions.by_case,
        }
        index = {"onnx": onnx.__version__, "opsets": wanted, "cases": records, "excluded": excluded}
        (folder / "index.json").write_text(json.dumps(index), encoding="utf-8")
        return cls(folder)

    def place(self, record: dict[str, Any], folder: Path) -> None:
        """Write the files of one variant into a folder; made if missing, overwritten if there."""
        folder.mkdir(parents=True, exist_ok=True)
        for content, name in FILES.items():
            offset, length = record["place"][content]
            (folder / name).write_bytes(self._contents[offset : offset + length])


class _Writer:
    """Appends contents to a file, each distinct one once."""

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


def _record(variant: Variant, writer: _Writer) -> dict[str, Any]:
    return {
        "case": variant.case.name,
        "opset": variant.opset,
        "folder": f"{variant.opset}/{variant.case.name}",
        "operators": list(variant.case.operators),
        "since": variant.since,
        "inputs": list(variant.inputs),
        "outputs": list(variant.outputs),
        "rtol": variant.case.rtol,
        "atol": variant.case.atol,
        "changes": list(variant.changes),
        "first_of_signature": variant.first_of_signature,
        "place": {
            "model": writer.add(variant.model.SerializeToString()),
            "inputs": writer.add_arrays(variant.inputs),
            "outputs": writer.add_arrays(variant.outputs),
        },
    }
