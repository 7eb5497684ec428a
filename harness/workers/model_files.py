"""The files that describe canonical parameters, and the modules of ``native/`` that build models; the same for all frameworks."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

from pydantic import ValidationError

from harness.errors import ModelError
from harness.files.native import native_folder
from harness.models.layouts import check_canonical
from harness.models.spec import ModelSpec
from harness.workers.engine import Array, BadInput, TensorInfo, Unsupported


def read_spec(path: Path) -> ModelSpec:
    """The model specification in a JSON file. Raises BadInput."""
    try:
        return ModelSpec.from_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from error
    except (ValidationError, UnicodeDecodeError) as error:
        first = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise BadInput(f"{path}: not a model specification: {first}") from error


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata keys of the worker contract from a JSON file; none where there is no file. Raises BadInput."""
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: not a file of metadata: {error}") from error
    if not isinstance(content, dict) or not all(isinstance(value, str) for value in content.values()):
        raise BadInput(f"{path}: metadata is a JSON object of strings")
    return content


def native_module(folder: str, spec: ModelSpec, runtime: str) -> ModuleType:
    """The file of a model in ``native/<folder>``, imported once. Raises Unsupported where there is none."""
    file = native_folder() / folder / f"{spec.model}.py"
    if not spec.model.isidentifier() or not file.is_file():
        raise Unsupported(f"model '{spec.model}' is not supported by {runtime}")
    name = f"native_{folder}_{spec.model}"
    if name not in sys.modules:
        description = importlib.util.spec_from_file_location(name, file)
        assert description is not None
        assert description.loader is not None
        module = importlib.util.module_from_spec(description)
        sys.modules[name] = module
        description.loader.exec_module(module)
    return sys.modules[name]


def check_parameters(spec: ModelSpec, arrays: dict[str, Array], where: str) -> None:
    """Raises BadInput unless ``arrays`` has exactly the parameters of the specification, in its shapes, as float32."""
    try:
        check_canonical(spec, arrays)
    except ModelError as error:
        raise BadInput(f"{where}: {error.what}") from error


def tensor_infos(spec: ModelSpec) -> tuple[list[TensorInfo], list[TensorInfo]]:
    """Inputs and outputs of a specification, dynamic axes by their names."""
    inputs, outputs = (
        [
            TensorInfo(
                tensor.name,
                tensor.dtype,
                tuple(axis.name if axis.size is None else axis.size for axis in tensor.axes),
            )
            for tensor in tensors
        ]
        for tensors in (spec.inputs, spec.outputs)
    )
    return inputs, outputs
