"""A model of ``native/pytorch`` built from its specification and filled with canonical parameters."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch

from harness.models.layouts import some
from harness.models.spec import ModelSpec
from harness.workers.engine import Array, BadInput
from harness.workers.model_files import check_parameters, native_module


def build(spec: ModelSpec) -> torch.nn.Module:
    """The module of a specification with PyTorch's own random start. Raises Unsupported on an unknown model."""
    native = native_module("pytorch", spec, "python/pytorch")
    try:
        built: torch.nn.Module = native.MODEL(**spec.hyperparameters, head=spec.head)
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
    check_parameters(spec, arrays, where)
    expected = {parameter.name: parameter.shape for parameter in spec.parameters}
    state: dict[str, Any] = canonical_state(module)
    differing = {name for name in expected if name not in state or tuple(state[name].shape) != expected[name]}
    if differing or set(state) - set(expected):
        raise BadInput(f"model '{spec.model}' and its specification disagree about {some(sorted(differing))}")
    with torch.no_grad():
        for name, value in state.items():
            value.copy_(torch.from_numpy(arrays[name]))


def widened(module: torch.nn.Module) -> torch.nn.Module:
    """A copy that computes the float32 model in float64: the source oracle.

    Numbers other than tensors (``eps``, ``negative_slope``) are rounded to float32 first, as the float32 model uses them and
    file formats store them. In double, a slope of 0.3 alone would move the oracle by 4e-8 from every faithful export.
    """
    wide = copy.deepcopy(module).double()
    for layer in wide.modules():
        for name, value in vars(layer).items():
            if isinstance(value, float):
                setattr(layer, name, float(np.float32(value)))
    return wide
