"""The request ``import``: weights that were trained elsewhere, written as the files of a training.

The ending names the format: ``.safetensors``, ``.pt`` or ``.pth``, ``.keras``. Nothing in a file is executed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np

from harness.errors import ModelError
from harness.files.digests import file_hash
from harness.models.layouts import (
    WEIGHT_FILES,
    Canonical,
    check_canonical,
    check_finite,
    from_keras,
    from_state_dict,
    spec_of,
)
from harness.models.spec import Head, ModelSpec
from harness.workers.engine import BadInput, Unsupported
from harness.workers.model_files import read_spec
from harness.workers.requests import existing_file, write_bytes, write_json
from harness.workers.tensors import read_tensors, write_tensors

#: Largest file that is read.
_MAX_BYTES = 1 << 32


@dataclass(frozen=True)
class Importer:
    """The import of weights into one framework.

    ``build`` makes its model of a specification, to find out whether it can; ``versions`` are those of what runs the model;
    ``reads_pytorch`` says whether its worker has PyTorch, which alone reads ``.pt``.
    """

    framework: str
    build: Callable[[ModelSpec], object]
    versions: Mapping[str, str]
    reads_pytorch: bool

    def import_weights(
        self,
        weights: str,
        out: str,
        spec: str | None = None,
        model: str | None = None,
        head: str | None = None,
        ends_in: str = "logits",
    ) -> dict[str, Any]:
        """Read weights and write ``weights.safetensors``, ``model.json`` and ``import.json``.

        Args:
            weights: the file; its ending names its format.
            out: the folder to write to.
            spec: JSON of the model specification that the weights must fit.
            model: without ``spec``, the name of the model, whose sizes are then read off the weights.
            head: with ``model``, the model's head; the file's own where it tells it, if left out.
            ends_in: the head where neither ``head`` nor the file tells it.

        Returns the record: ``framework``, ``format``, ``file``, ``sha256``, ``bytes``, ``layout`` (what names and layout were
        before), ``parameters`` (scalars), ``head_from`` (``specification``, ``stated``, ``file`` or ``otherwise``),
        ``versions``. Raises BadInput on a file that is not what its ending says or does not hold the model's parameters,
        finite and as float32.
        """
        source, folder = existing_file(weights), Path(out)
        if not folder.is_dir():
            raise BadInput(f"out: {out}: no such folder")
        for value in (head, ends_in):
            if value is not None and value not in get_args(Head):
                raise BadInput(f"a head is {', '.join(get_args(Head))}, not {value!r}")
        if (spec is None) == (model is None) or not isinstance(model, str | None):
            raise BadInput("import takes either 'spec' or 'model'")
        asked = read_spec(existing_file(spec)) if spec is not None else None
        content = _content(source)
        if WEIGHT_FILES[source.suffix] == "pytorch" and not self.reads_pytorch:
            raise Unsupported(
                f"{weights}: is read by PyTorch alone; name the framework pytorch, or save it as safetensors"
            )
        versions = {**self.versions, "numpy": np.__version__}
        try:
            found, wrote = _canonical(source, asked.model if asked else str(model))
            fitting, told_by = (asked, "specification") if asked else _fitting(str(model), found, head, ends_in)
            if asked is not None and WEIGHT_FILES[source.suffix] == "keras" and found.head != asked.head:
                raise ModelError(f"ends in {found.head}, the model in {asked.head}")
            check_canonical(fitting, found.parameters)
            check_finite(found.parameters)
        except ModelError as error:
            raise BadInput(f"{weights}: {error.what}" + (f"; {error.hint}" if error.hint else "")) from error
        # A specification that no module can be built from is refused here, not by every later step.
        self.build(fitting)
        write_tensors(folder / "weights.safetensors", found.parameters)
        write_bytes(folder / "model.json", (fitting.to_json() + "\n").encode())
        record = {
            "framework": self.framework,
            "format": WEIGHT_FILES[source.suffix],
            "file": source.name,
            **content,
            "layout": found.layout,
            "parameters": sum(int(array.size) for array in found.parameters.values()),
            "head_from": told_by,
            "versions": versions | wrote,
        }
        write_json(folder / "import.json", record)
        return record


def _content(source: Path) -> dict[str, Any]:
    if source.suffix not in WEIGHT_FILES:
        raise Unsupported(
            f"{source}: weights are read from {', '.join(WEIGHT_FILES)}, not from {source.suffix or 'files without an ending'}"
        )
    size = source.stat().st_size
    if size > _MAX_BYTES:
        raise Unsupported(f"{source}: {size} bytes are more than are read ({_MAX_BYTES})")
    return {"sha256": file_hash(source), "bytes": size}


def _canonical(source: Path, name: str) -> tuple[Canonical, dict[str, str]]:
    """Canonical parameters, and the versions of what wrote the file, where it says so."""
    if WEIGHT_FILES[source.suffix] == "keras":
        from harness.workers.keras.file import read_keras_file

        version, layers = read_keras_file(source)
        return from_keras(name, layers), {"keras (file)": version}
    if WEIGHT_FILES[source.suffix] == "pytorch":
        from harness.workers.pytorch.state_dict_file import read_torch_file

        return from_state_dict(name, read_torch_file(source)), {}
    return from_state_dict(name, read_tensors(source)), {}


def _fitting(name: str, found: Canonical, head: str | None, ends_in: str) -> tuple[ModelSpec, str]:
    """The specification that fits the weights, and where its head is from."""
    told_by = "stated" if head is not None else "file" if found.head is not None else "otherwise"
    if found.layout == "Keras' layers" and head not in (None, found.head):
        raise ModelError(f"ends in {found.head}, not in {head}")
    chosen: Any = head or found.head or ends_in
    return spec_of(name, found.parameters, chosen), told_by
