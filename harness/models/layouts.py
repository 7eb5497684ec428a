"""Weights as files of other makers name and lay them out, and how they become canonical parameters.

A model may have a module of rules beside it, ``<model>_layouts``, which offers ``STATE_DICTS`` (a tuple of
`StateDictLayout`, the canonical names first), ``sizes_of(shapes)`` (what ``build`` of the model needs beside the head) and
``from_keras(layers)``. Without one, weights come under their canonical names. Rules are explicit: a name that no rule knows
is an error and never guessed at.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import ModelError
from harness.models import model
from harness.models.spec import Head, ModelSpec

Array = NDArray[Any]

#: Endings of files of weights that can be read, and the name of their format.
WEIGHT_FILES = {".safetensors": "safetensors", ".pt": "pytorch", ".pth": "pytorch", ".keras": "keras"}

#: What wrappers put before every name of a state dict: data parallelism, Lightning, ``torch.compile``.
_WRAPPERS = ("module.", "model.", "_orig_mod.")

#: Entries of a state dict that are no parameters.
_COUNTERS = "num_batches_tracked"


@dataclass(frozen=True)
class StateDictLayout:
    """One way to name a model's parameters, in PyTorch's own layout, which is the canonical one.

    ``rules``: pattern of a whole name and what it is called canonically (as in ``re.sub``). ``head``: that of the class
    that these names belong to, where it is known.
    """

    name: str
    rules: tuple[tuple[str, str], ...]
    head: Head | None = None

    def canonical(self, name: str) -> str | None:
        """The canonical name, or None where no rule knows it."""
        for pattern, replacement in self.rules:
            if re.fullmatch(pattern, name):
                return re.sub(pattern, replacement, name)
        return None


@dataclass(frozen=True)
class KerasLayer:
    """A layer of a chain of Keras layers: its class, its name, its configuration as data, its variables in order."""

    kind: str
    name: str
    settings: Mapping[str, Any]
    arrays: tuple[Array, ...]


@dataclass(frozen=True)
class Canonical:
    """Canonical parameters by name, what the names and layout were before, and the head where the file tells it."""

    parameters: dict[str, Array]
    layout: str
    head: Head | None = None


def layouts(name: str) -> ModuleType | None:
    """The rules of a model, None where it has none. Raises ModelError where there is no model of that name."""
    model(name)
    return import_module(f"harness.models.{name}_layouts") if find_spec(f"harness.models.{name}_layouts") else None


def from_state_dict(name: str, arrays: Mapping[str, Array]) -> Canonical:
    """A state dict of the model of that name, by the first layout that knows all of its names.

    Counters of batches are left out, and wrappers' prefixes taken off. Raises ModelError on a name that nobody knows.
    """
    kept = {key: array for key, array in arrays.items() if key.rpartition(".")[2] != _COUNTERS}
    bare = _unwrapped(kept)
    rules = layouts(name)
    if not bare:
        raise ModelError("holds no parameters")
    if rules is None:
        return Canonical(bare, "canonical names")
    known: tuple[StateDictLayout, ...] = rules.STATE_DICTS
    renamed = [{key: layout.canonical(key) for key in bare} for layout in known]
    fits = [sum(new is not None for new in names.values()) for names in renamed]
    best = max(range(len(known)), key=lambda index: fits[index])
    unknown = sorted(key for key, new in renamed[best].items() if new is None)
    if unknown:
        raise ModelError(
            f"holds '{unknown[0]}', which is no parameter of {name} ({known[best].name} names)",
            hint=f"known are {_listed([layout.name for layout in known])} names of {name}",
        )
    parameters: dict[str, Array] = {}
    for key, new in renamed[best].items():
        if new in parameters:
            raise ModelError(f"holds '{new}' twice under different names")
        parameters[str(new)] = bare[key]
    return Canonical(parameters, f"{known[best].name} names", known[best].head)


def from_keras(name: str, layers: Sequence[KerasLayer]) -> Canonical:
    """Keras layers of the model of that name. Raises ModelError on anything that the model does not compute."""
    if (rules := layouts(name)) is None:
        raise ModelError(f"weights of {name} cannot be read from Keras' files")
    found: Canonical = rules.from_keras(layers)
    return found


def spec_of(name: str, parameters: Mapping[str, Array], head: Head) -> ModelSpec:
    """The specification that fits canonical parameters, with a head that parameters cannot tell.

    What only matters in training (dropout) is 0. Raises ModelError where no specification of the model fits.
    """
    if (rules := layouts(name)) is None:
        raise ModelError(
            f"the sizes of {name} cannot be read off its weights",
            hint="put the model.json of its specification beside them",
        )
    sizes = rules.sizes_of({key: tuple(array.shape) for key, array in parameters.items()})
    built: ModelSpec = model(name).build(**sizes, head=head, preset=None)
    return built


def check_canonical(spec: ModelSpec, parameters: Mapping[str, Array]) -> None:
    """Raises ModelError unless there is every parameter of the specification and no other, in its shape, as float32."""
    expected = {parameter.name: parameter.shape for parameter in spec.parameters}
    missing = [name for name in expected if name not in parameters]
    extra = [name for name in parameters if name not in expected]
    if missing or extra:
        parts = [f"lacks {some(missing)}"] if missing else []
        parts += [f"has {some(extra)}, which {spec.model} does not have"] if extra else []
        raise ModelError(" and ".join(parts))
    for name, shape in expected.items():
        array = parameters[name]
        if array.shape != shape:
            raise ModelError(f"'{name}' must have shape {shape}, not {tuple(array.shape)}")
        if array.dtype.name != "float32":
            raise ModelError(f"'{name}' must be float32, not {array.dtype.name}")


def check_finite(parameters: Mapping[str, Array]) -> None:
    """Raises ModelError where a parameter is not finite: such a source is no reference."""
    for name, array in parameters.items():
        broken = np.argwhere(~np.isfinite(array))
        if len(broken):
            place = [int(index) for index in broken[0]]
            raise ModelError(f"'{name}' is not finite at {place} ({len(broken)} of {array.size} values)")


def _unwrapped(arrays: Mapping[str, Array]) -> dict[str, Array]:
    bare = dict(arrays)
    while bare and any(all(key.startswith(wrapper) for key in bare) for wrapper in _WRAPPERS):
        bare = {key.partition(".")[2]: array for key, array in bare.items()}
    return bare


def some(names: list[str]) -> str:
    """The first few of some names, quoted, and how many more there are."""
    shown = ", ".join(f"'{name}'" for name in names[:4])
    return shown if len(names) <= 4 else f"{shown} and {len(names) - 4} more"


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]
