"""``.keras`` files as Keras 3.15 writes them, made by h5py: the same members, groups, attributes and order of variables."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from harness.models.layouts import KerasLayer

Array = NDArray[Any]

FLOAT32 = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"}, "registered_name": None}


def layer(kind: str, name: str, *arrays: Array, **settings: Any) -> KerasLayer:
    """A layer with the settings that Keras gives it."""
    usual: dict[str, dict[str, Any]] = {
        "Conv1D": {
            "padding": "same",
            "strides": [1],
            "dilation_rate": [1],
            "groups": 1,
            "data_format": "channels_last",
            "activation": "linear",
            "use_bias": True,
        },
        "BatchNormalization": {"axis": -1, "epsilon": 1e-5, "momentum": 0.9, "center": True, "scale": True},
        "Dense": {"activation": "linear", "use_bias": True},
        "Activation": {"activation": "relu"},
        "ReLU": {"max_value": None, "negative_slope": 0.0, "threshold": 0.0},
        "Dropout": {"rate": 0.1},
        "Permute": {"dims": [2, 1]},
    }
    own = {"name": name, "dtype": FLOAT32, **usual.get(kind, {}), **settings}
    return KerasLayer(kind, name, own, arrays)


def tempcnn_layers(parameters: dict[str, Array], head: str = "linear", permuted: bool = False) -> list[KerasLayer]:
    """TempCNN of canonical parameters as Keras' layers; ``permuted``: with (channel, time) restored before flattening."""
    kinds = ("weight", "bias", "running_mean", "running_var")
    layers = [layer("InputLayer", "input_layer")]
    index = 1
    while f"conv{index}.weight" in parameters:
        kernel = np.ascontiguousarray(parameters[f"conv{index}.weight"].transpose(2, 1, 0))
        layers += [
            layer("Conv1D", f"c{index}", kernel, parameters[f"conv{index}.bias"]),
            layer("BatchNormalization", f"n{index}", *(parameters[f"norm{index}.{kind}"] for kind in kinds)),
            layer("Activation", f"a{index}"),
            layer("Dropout", f"d{index}"),
        ]
        channels = kernel.shape[-1]
        index += 1
    weight = parameters["dense.weight"]
    width, dates = weight.shape[0], weight.shape[1] // channels
    kernel = weight.reshape(width, channels, dates).transpose(2, 1, 0).reshape(-1, width)
    if permuted:
        kernel = weight.T
        layers.append(layer("Permute", "p"))
    layers += [
        layer("Flatten", "f"),
        layer("Dense", "wide", np.ascontiguousarray(kernel), parameters["dense.bias"]),
        layer("BatchNormalization", "wide_norm", *(parameters[f"dense_norm.{kind}"] for kind in kinds)),
        layer("ReLU", "r"),
        layer(
            "Dense",
            "classes",
            np.ascontiguousarray(parameters["classifier.weight"].T),
            parameters["classifier.bias"],
            activation=head,
        ),
    ]
    return layers


def write_keras(
    path: Path,
    layers: list[KerasLayer],
    *,
    functional: bool = False,
    change: Callable[[h5py.File], object] = lambda file: None,
    members: dict[str, bytes] | None = None,
    compression: int = zipfile.ZIP_STORED,
) -> Path:
    """Write a file; ``change`` may spoil the HDF5, ``members`` replace what the archive holds."""
    entries = []
    for before, one in zip([None, *layers], layers, strict=False):
        entry: dict[str, Any] = {"class_name": one.kind, "config": one.settings, "registered_name": None}
        if functional:
            history = [] if before is None else [{"args": [{"config": {"keras_history": [before.name, 0, 0]}}]}]
            entry |= {"name": one.name, "inbound_nodes": history}
        entries.append(entry)
    config = {"class_name": "Functional" if functional else "Sequential", "config": {"layers": entries}}
    content = io.BytesIO()
    counts: dict[str, int] = {}
    with h5py.File(content, "w") as file:
        file.create_group("vars")
        for one in layers:
            kind = re.sub("([a-z])([A-Z])", r"\1_\2", re.sub("(.)([A-Z][a-z]+)", r"\1_\2", one.kind)).lower()
            number = counts[kind] = counts.get(kind, -1) + 1
            group = file.create_group(f"layers/{kind}" + (f"_{number}" if number else "") + "/vars")
            group.attrs["name"] = one.name
            for index, array in enumerate(one.arrays):
                group[str(index)] = array
        change(file)
    held = {
        "metadata.json": json.dumps({"keras_version": "3.15.1"}).encode(),
        "config.json": json.dumps(config).encode(),
        "model.weights.h5": content.getvalue(),
    }
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in (held | (members or {})).items():
            archive.writestr(name, data)
    return path
