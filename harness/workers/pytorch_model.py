"""A model of ``native/pytorch`` built from its specification and filled with canonical parameters."""

from __future__ import annotations

import copy
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError

from harness.models.spec import ModelSpec
from harness.native import native_folder
from harness.workers.engine import Array, BadInput, Unsupported


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


def build(spec: ModelSpec) -> torch.nn.Module:
    """The module of a specification with PyTorch's own random start. Raises Unsupported on an unknown model."""
    file = native_folder() / "pytorch" / f"{spec.model}.py"
    if not spec.model.isidentifier() or not file.is_file():
        raise Unsupported(f"model '{spec.model}' is not supported by python/pytorch")
    name = f"native_pytorch_{spec.model}"
    if name not in sys.modules:
        description = importlib.util.spec_from_file_location(name, file)
        assert description is not None
        assert description.loader is not None
        module = importlib.util.module_from_spec(description)
        sys.modules[name] = module
        description.loader.exec_module(module)
    try:
        built: torch.nn.Module = sys.modules[name].MODEL(**spec.hyperparameters, head=spec.head)
    except (TypeError, ValueError) as error:
        raise BadInput(f"model '{spec.model}' cannot be built: {error}") from error
    return built


def canonical_state(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The parameters and moving statistics by canonical name; counters of batches are no parameters."""
    return {name: value for name, value in module.state_dict().items() if not name.endswith("num_batches_tracked")}


def state_arrays(module: torch.nn.Module) -> dict[str, Array]:
    """Copies of the canonical parameters as float32 arrays."""
    return {
        name: value.detach().to(torch.float32, copy=True).contiguous().numpy()
        for name, value in canonical_state(module).items()
    }


def fill(module: torch.nn.Module, spec: ModelSpec, arrays: dict[str, Array], where: str) -> None:
    """Copy canonical parameters into a module, bit for bit.

    Raises BadInput unless ``arrays`` has exactly the parameters of the specification, in its shapes, as float32.
    """
    expected = {parameter.name: parameter.shape for parameter in spec.parameters}
    missing = [name for name in expected if name not in arrays]
    extra = [name for name in arrays if name not in expected]
    if missing or extra:
        parts = [f"lacks {_some(missing)}"] if missing else []
        parts += [f"has {_some(extra)}, which {spec.model} does not have"] if extra else []
        raise BadInput(f"{where}: {' and '.join(parts)}")
    for name, shape in expected.items():
        if arrays[name].shape != shape:
            raise BadInput(f"{where}: '{name}' must have shape {shape}, not {arrays[name].shape}")
        if arrays[name].dtype.name != "float32":
            raise BadInput(f"{where}: '{name}' must be float32, not {arrays[name].dtype.name}")
    state: dict[str, Any] = canonical_state(module)
    differing = {name for name in expected if name not in state or tuple(state[name].shape) != expected[name]}
    if differing or set(state) - set(expected):
        raise BadInput(f"model '{spec.model}' and its specification disagree about {_some(sorted(differing))}")
    with torch.no_grad():
        for name, value in state.items():
            value.copy_(torch.from_numpy(arrays[name]))


def widened(module: torch.nn.Module) -> torch.nn.Module:
    """A copy that computes in float64 what the float32 model says: the source oracle.

    Numbers that layers hold beside their tensors (``eps``, ``negative_slope``) are rounded to float32 first: in float32
    they act as such, and as such every file format stores them. Left in double, a slope of 0.3 alone would set the oracle
    4e-8 apart from every faithful export.
    """
    wide = copy.deepcopy(module).double()
    for layer in wide.modules():
        for name, value in vars(layer).items():
            if isinstance(value, float):
                setattr(layer, name, float(np.float32(value)))
    return wide


def _some(names: list[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:4])
    return shown if len(names) <= 4 else f"{shown} and {len(names) - 4} more"
