"""A ``.keras`` file read without Keras: configuration as data, variables from HDF5; nothing in it is executed."""

from __future__ import annotations

import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from harness.models.layouts import KerasLayer
from harness.workers.engine import Array, BadInput

#: Largest size of an unpacked member in bytes, for configurations (text) and weights.
_MAX_BYTES = {"config.json": 1 << 24, "metadata.json": 1 << 20, "model.weights.h5": 1 << 32}

#: Largest ratio by which a member may be compressed.
_MAX_RATIO = 200


def read_keras_file(path: Path) -> tuple[str, list[KerasLayer]]:
    """The version of Keras that wrote a file, and its layers in order with their variables (float32, Keras' layout).

    Only a chain of layers can be read, Sequential or Functional. Raises BadInput on anything else, on an archive that
    claims absurd sizes, and on HDF5 that points outside of itself.
    """
    members = _members(path)
    version = _json(members["metadata.json"], "metadata.json", path).get("keras_version", "unknown")
    config = _json(members["config.json"], "config.json", path)
    try:
        described = _chain(config)
    except (KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise BadInput(f"{path}: config.json does not describe a chain of layers ({error})") from error
    try:
        with h5py.File(io.BytesIO(members["model.weights.h5"]), "r") as file:
            layers = _with_variables(file, described, path)
    except (OSError, RuntimeError, KeyError) as error:
        first = next((line for line in str(error).splitlines() if line.strip()), "")
        raise BadInput(f"{path}: model.weights.h5 cannot be read: {first}") from error
    return str(version), layers


def _members(path: Path) -> dict[str, bytes]:
    """The three members of the archive, each in memory and bounded; nothing is unpacked to disk."""
    found: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for name, most in _MAX_BYTES.items():
                if name not in archive.namelist():
                    raise BadInput(f"{path}: holds no {name}; save the model with model.save('model.keras') of Keras 3")
                info = archive.getinfo(name)
                if info.file_size > most or info.file_size > _MAX_RATIO * max(info.compress_size, 1):
                    raise BadInput(f"{path}: {name} claims {info.file_size} bytes, which is absurd")
                with archive.open(info) as member:
                    found[name] = member.read(info.file_size + 1)
                if len(found[name]) != info.file_size:
                    raise BadInput(f"{path}: {name} has another size than it claims")
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError) as error:
        raise BadInput(f"{path}: not a .keras file, or a truncated one: {error}") from error
    return found


def _json(content: bytes, name: str, path: Path) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path}: {name} is not JSON") from error
    if not isinstance(value, dict):
        raise BadInput(f"{path}: {name} does not hold a JSON object")
    return value


def _chain(config: dict[str, Any]) -> list[KerasLayer]:
    """The layers that ``config.json`` describes, without variables, each fed by the one before it."""
    if config["class_name"] not in ("Sequential", "Functional"):
        raise KeyError(f"it is a {config['class_name']}")
    before: str | None = None
    layers = []
    for entry in config["config"]["layers"]:
        settings = entry["config"]
        layer = KerasLayer(str(entry["class_name"]), str(settings["name"]), settings, ())
        if entry.get("registered_name") not in (None, layer.kind):
            raise KeyError(f"layer '{layer.name}' is {entry['registered_name']}")
        if config["class_name"] == "Functional" and before is not None:
            fed_by = _histories(entry["inbound_nodes"])
            if fed_by != [before]:
                raise KeyError(f"layer '{layer.name}' is fed by {fed_by}, not by '{before}'")
        before = layer.name
        layers.append(layer)
    return layers


def _histories(value: Any) -> list[str]:
    """Names of the layers whose outputs a node takes."""
    if isinstance(value, dict):
        if "keras_history" in value:
            return [str(value["keras_history"][0])]
        return [name for part in value.values() for name in _histories(part)]
    if isinstance(value, list):
        return [name for part in value for name in _histories(part)]
    return []


def _with_variables(file: h5py.File, layers: list[KerasLayer], path: Path) -> list[KerasLayer]:
    """Layers with their variables: groups are named by class, counted in the order of the layers."""
    counts: dict[str, int] = {}
    filled = []
    taken = 0
    for layer in layers:
        kind = _snake_case(layer.kind)
        number = counts[kind] = counts.get(kind, -1) + 1
        group = f"layers/{kind}" + (f"_{number}" if number else "")
        arrays = _variables(file, f"{group}/vars", layer, path)
        taken += len(arrays)
        filled.append(KerasLayer(layer.kind, layer.name, layer.settings, tuple(arrays)))
    stored = _datasets(_member(file, "layers", path), path, set())
    if stored != taken:
        raise BadInput(f"{path}: model.weights.h5 holds {stored} variables of layers, config.json tells of {taken}")
    return filled


def _snake_case(name: str) -> str:
    """Keras' own rule: ``BatchNormalization`` to ``batch_normalization``, ``Conv1D`` to ``conv1d``, ``ReLU`` to ``re_lu``."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def _member(parent: h5py.Group, name: str, path: Path) -> Any:
    """What a group holds under a name. Only hard links are followed: others may lead to any file of the machine."""
    if name not in parent:
        raise BadInput(f"{path}: model.weights.h5 holds no '{name}'")
    if not isinstance(parent.get(name, getlink=True), h5py.HardLink):
        raise BadInput(f"{path}: '{name}' in model.weights.h5 is a link that leads elsewhere")
    return parent[name]


def _variables(file: h5py.File, place: str, layer: KerasLayer, path: Path) -> list[Array]:
    here: Any = file
    for part in place.split("/"):
        if not isinstance(here, h5py.Group) or part not in here:
            return []
        here = _member(here, part, path)
    if not isinstance(here, h5py.Group):
        raise BadInput(f"{path}: '{place}' in model.weights.h5 is no group of variables")
    named = here.attrs.get("name")
    if named is not None and named != layer.name:
        raise BadInput(f"{path}: '{place}' in model.weights.h5 belongs to '{named}', not to '{layer.name}'")
    names = sorted(here, key=lambda name: (len(name), name))
    if names != [str(index) for index in range(len(names))]:
        raise BadInput(f"{path}: '{place}' in model.weights.h5 holds variables named {names[:4]}")
    return [_array(_member(here, name, path), f"{place}/{name}", path) for name in names]


def _array(dataset: Any, place: str, path: Path) -> Array:
    if not isinstance(dataset, h5py.Dataset):
        raise BadInput(f"{path}: '{place}' in model.weights.h5 is no array")
    if dataset.dtype != np.dtype("<f4"):
        raise BadInput(f"{path}: '{place}' in model.weights.h5 must be float32, not {dataset.dtype}")
    # All its bytes are in this file: no compression, no values that were never written, no other file.
    if dataset.external or dataset.is_virtual or dataset.id.get_storage_size() != dataset.size * 4:
        raise BadInput(f"{path}: '{place}' in model.weights.h5 is not stored as Keras stores a variable")
    array: Array = dataset[()]
    return array


def _datasets(here: Any, path: Path, seen: set[int]) -> int:
    """How many arrays there are in a group and below, each counted once."""
    address = h5py.h5o.get_info(here.id).addr
    if address in seen:
        return 0
    seen.add(address)
    if not isinstance(here, h5py.Group):
        return 1
    return sum(_datasets(_member(here, name, path), path, seen) for name in here)
