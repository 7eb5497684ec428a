"""What the JSON schema of the machine-learning-model extension asks of an item beyond STAC itself, as plain checks.

Written from the rules of the published schema (https://github.com/stac-extensions/mlm, json-schema/schema.json), because
a test may not depend on a download. Stricter where the schema is lax: versions without suffix, as many bands as the
axis is long, and the bands of the model asset in the order of the input.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

ITEM_FIELDS = {
    "mlm:name",
    "mlm:architecture",
    "mlm:tasks",
    "mlm:framework",
    "mlm:framework_version",
    "mlm:memory_size",
    "mlm:total_parameters",
    "mlm:pretrained",
    "mlm:pretrained_source",
    "mlm:batch_size_suggestion",
    "mlm:accelerator",
    "mlm:accelerator_constrained",
    "mlm:accelerator_summary",
    "mlm:accelerator_count",
    "mlm:input",
    "mlm:output",
    "mlm:hyperparameters",
}
ONLY_OF_ITEMS = {"mlm:name", "mlm:input", "mlm:output", "mlm:hyperparameters"}
ASSET_FIELDS = ITEM_FIELDS - ONLY_OF_ITEMS | {"mlm:artifact_type", "mlm:compile_method", "mlm:entrypoint"}
REQUIRED = ("mlm:name", "mlm:architecture", "mlm:tasks", "mlm:input", "mlm:output")
TASKS = {
    "regression",
    "classification",
    "scene-classification",
    "detection",
    "object-detection",
    "segmentation",
    "semantic-segmentation",
    "instance-segmentation",
    "panoptic-segmentation",
    "similarity-search",
    "generative",
    "image-captioning",
    "super-resolution",
    "downscaling",
}
ACCELERATORS = {None, "amd64", "cuda", "xla", "amd-rocm", "intel-ipex-cpu", "intel-ipex-gpu", "macos-arm"}
SCALINGS = {
    "min-max": {"minimum", "maximum"},
    "z-score": {"mean", "stddev"},
    "clip": {"minimum", "maximum"},
    "clip-min": {"minimum"},
    "clip-max": {"maximum"},
    "offset": {"value"},
    "scale": {"value"},
}
DATA_TYPES = {f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)} | {
    "float16",
    "float32",
    "float64",
    "cint16",
    "cint32",
    "cfloat32",
    "cfloat64",
    "other",
}
NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_.\-\s]+[a-zA-Z0-9]")
VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
DIMENSION = re.compile(r"[a-z\-_]+")
KEY = re.compile(r"[0-9a-zA-Z_.-]+")
EO = re.compile(r"https://stac-extensions\.github\.io/eo/v1\.\d+\.\d+/schema\.json")


def violations(item: dict[str, Any], uri: str) -> list[str]:
    """Every rule that an item breaks, in words; ``uri`` is the extension's, at the version that is asked for."""
    return list(_violations(item, uri))


def _violations(item: dict[str, Any], uri: str) -> Iterator[str]:
    properties, assets = item["properties"], item["assets"]
    if uri not in item["stac_extensions"]:
        yield f"{uri} is not among the extensions"
    for field in REQUIRED:
        if field not in properties:
            yield f"{field} is missing"
    yield from _unknown("properties", properties, ITEM_FIELDS)
    for key, asset in assets.items():
        yield from _unknown(f"asset {key}", asset, ASSET_FIELDS)
        if ("mlm:model" in asset.get("roles", ())) != bool(asset.get("mlm:artifact_type")):
            yield f"asset {key}: mlm:artifact_type belongs to the role mlm:model and to no other"
        if "mlm:entrypoint" in asset and "code" not in asset.get("roles", ()):
            yield f"asset {key}: an entrypoint asks for the role code"
    models = [asset for asset in assets.values() if "mlm:model" in asset.get("roles", ())]
    if not models:
        yield "no asset has the role mlm:model"
    yield from _scalars("properties", properties)
    for key, asset in assets.items():
        yield from _scalars(f"asset {key}", asset)
    for tensor in properties.get("mlm:input", ()):
        yield from _input(tensor)
    for tensor in properties.get("mlm:output", ()):
        yield from _output(tensor)
    bands = [tensor["bands"] for tensor in properties.get("mlm:input", ()) if tensor.get("bands")]
    if bands:
        if not any(EO.fullmatch(extension) for extension in item["stac_extensions"]):
            yield "bands are named, but the eo extension 1.x is not among the extensions"
        for asset in models:
            if [band.get("name") for band in asset.get("eo:bands", ())] != bands[0]:
                yield "eo:bands of the model asset are not the bands of the input, in their order"


def _unknown(where: str, fields: dict[str, Any], known: set[str]) -> Iterator[str]:
    for field in fields:
        if field.startswith("mlm:") and field not in known:
            yield f"{where}: {field} is not allowed here"


def _scalars(where: str, fields: dict[str, Any]) -> Iterator[str]:
    if "mlm:name" in fields and not NAME.fullmatch(fields["mlm:name"]):
        yield f"{where}: mlm:name {fields['mlm:name']!r}"
    if "mlm:framework_version" in fields and not VERSION.fullmatch(fields["mlm:framework_version"]):
        yield f"{where}: mlm:framework_version {fields['mlm:framework_version']!r}"
    if fields.get("mlm:accelerator") not in ACCELERATORS:
        yield f"{where}: mlm:accelerator {fields['mlm:accelerator']!r}"
    if fields.get("mlm:pretrained") is False and fields.get("mlm:pretrained_source", "") is not None:
        yield f"{where}: trained from scratch asks for mlm:pretrained_source null"
    for field in ("mlm:total_parameters", "mlm:memory_size", "mlm:batch_size_suggestion"):
        if field in fields and (type(fields[field]) is not int or fields[field] < 0):
            yield f"{where}: {field} {fields[field]!r}"
    if "mlm:tasks" in fields:
        yield from _tasks(where, fields["mlm:tasks"])
    if "mlm:hyperparameters" in fields:
        keys = list(fields["mlm:hyperparameters"])
        if not keys or not all(KEY.fullmatch(key) for key in keys):
            yield f"{where}: mlm:hyperparameters {keys}"


def _tasks(where: str, tasks: list[str]) -> Iterator[str]:
    if len(set(tasks)) < len(tasks) or not set(tasks) <= TASKS:
        yield f"{where}: tasks {tasks}"


def _structure(where: str, structure: dict[str, Any], bands: list[Any]) -> Iterator[str]:
    shape, order = structure["shape"], structure["dim_order"]
    if not shape or not all(type(size) is int and (size == -1 or size > 0) for size in shape):
        yield f"{where}: shape {shape}"
    if len(order) != len(shape) or len(set(order)) < len(order) or not all(DIMENSION.fullmatch(name) for name in order):
        yield f"{where}: dim_order {order}"
    if structure["data_type"] not in DATA_TYPES:
        yield f"{where}: data_type {structure['data_type']}"
    if bool(bands) != ("bands" in order):
        yield f"{where}: a dimension 'bands' belongs to named bands"
    elif bands and shape[order.index("bands")] != len(bands):
        yield f"{where}: {len(bands)} bands on an axis of {shape[order.index('bands')]}"


def _input(tensor: dict[str, Any]) -> Iterator[str]:
    where = f"input {tensor.get('name')!r}"
    if not tensor.get("name"):
        yield f"{where}: no name"
    bands = tensor.get("bands", [])
    yield from _structure(where, tensor["input"], bands)
    scaling = tensor.get("value_scaling")
    if scaling is None:
        return
    if len(scaling) not in (1, len(bands)):
        yield f"{where}: {len(scaling)} scalings of {len(bands)} bands"
    for one in scaling:
        needs = SCALINGS.get(one.get("type"))
        if needs is None or not needs <= set(one) or not all(isinstance(one[key], int | float) for key in needs):
            yield f"{where}: value_scaling {one}"


def _output(tensor: dict[str, Any]) -> Iterator[str]:
    where = f"output {tensor.get('name')!r}"
    if not tensor.get("name"):
        yield f"{where}: no name"
    yield from _tasks(where, tensor["tasks"])
    yield from _structure(where, tensor["result"], tensor.get("bands", []))
    classes = tensor.get("classification:classes", [])
    for one in classes:
        if type(one.get("value")) is not int or not isinstance(one.get("description"), str):
            yield f"{where}: class {one}"
    names = [one["name"] for one in classes if "name" in one]
    if len(set(names)) < len(names):
        yield f"{where}: class names {names}"
