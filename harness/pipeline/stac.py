"""A STAC item with the machine-learning-model extension (MLM) beside every model that is trained or exported.

STAC 1.1.0 (https://stacspec.org) with the extensions mlm 1.6.0, eo 1.1.0 (bands), file 2.1.0 (size and checksum) and
scientific 1.0.0 (citation). The item is plain JSON and holds nothing that differs between two equal runs: no clock, no
machine, no user.

Where and when the training data were observed is not recorded with a data set: the geometry is null, and the time is the
open interval that MLM's best practices name for a model without a period of its own.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.data.dataset import Band, DatasetInfo
from harness.data.normalisation import Normalisation
from harness.data.prepared import Prepared, PreparedData
from harness.files.atomic import to_json, write_atomically
from harness.files.digests import file_hash
from harness.models import model
from harness.models.spec import ModelSpec, TensorSpec
from harness.runtimes.table import frameworks
from harness.tasks import task

ITEM_FILE = "item.json"
STAC_VERSION = "1.1.0"
MLM = "https://stac-extensions.github.io/mlm/v1.6.0/schema.json"
EO = "https://stac-extensions.github.io/eo/v1.1.0/schema.json"
FILE = "https://stac-extensions.github.io/file/v2.1.0/schema.json"
SCIENTIFIC = "https://stac-extensions.github.io/scientific/v1.0.0/schema.json"

#: The open interval of MLM's best practices: STAC asks for both ends where ``datetime`` is null.
START, END = "1900-01-01T00:00:00Z", "9999-12-31T23:59:59Z"

#: The harness's axes in MLM's words; an axis that is not here keeps its name. MLM asks for ``bands`` by that very name.
_DIMENSIONS = {"sample": "batch", "band": "bands"}

#: What ``training.json`` says that is the same in every equal run.
_TRAINING = ("batch_size", "epochs", "learning_rate", "loss", "optimiser", "seed", "weight_decay")

#: Data types that STAC knows; any other, such as bool, is ``other``.
_DATA_TYPES = re.compile(r"u?int(8|16|32|64)|float(16|32|64)")

_DOI = re.compile(r"10\.[0-9a-zA-Z]{4,}/\S+")


def trained_item(folder: Path, spec: ModelSpec, prepared: Prepared) -> dict[str, Any]:
    """The item of a training's folder, which holds its files already. Its id is the folder's name."""
    training = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    records = {
        "training": ("training.json", "Record of the training"),
        "epochs": ("training.csv", "Losses and metrics by epoch"),
    }
    return _weights_item(folder, spec, prepared, training, records)


def imported_item(folder: Path, spec: ModelSpec, prepared: Prepared) -> dict[str, Any]:
    """The item of weights that were given as a file: as `trained_item`, but it says nothing of a training.

    ``mlm:pretrained`` is true and ``mlm:pretrained_source`` the name of the file, with its SHA-256. Data and bands are those
    of the scenario, which the weights are used on; that they were trained on them nobody has said.
    """
    imported = json.loads((folder / "import.json").read_text(encoding="utf-8"))
    item = _weights_item(folder, spec, prepared, imported, {"import": ("import.json", "Record of the import")})
    properties = item["properties"]
    title = f"{model(spec.model).TITLE}, weights given as a file, on {prepared.info.name}"
    properties["title"] = f"{title}: trained weights"
    properties["description"] = (
        f"{model(spec.model).TITLE} with weights that were given as a {imported['format']} file and not trained here, used "
        f"with {properties['mlm:framework']} on: {prepared.info.title}. Data, bands and citation are those that the weights "
        "are used on; what they were trained on is not recorded, nor is a licence of the weights."
    )
    properties["mlm:pretrained"] = True
    properties["mlm:pretrained_source"] = f"{imported['file']} (SHA-256 {imported['sha256']})"
    return item


def _weights_item(
    folder: Path,
    spec: ModelSpec,
    prepared: Prepared,
    training: Mapping[str, Any],
    records: dict[str, tuple[str, str]],
) -> dict[str, Any]:
    info = prepared.info
    title = model(spec.model).TITLE
    framework = frameworks().get(training["framework"])
    name, package = (training["framework"],) * 2 if framework is None else framework.mlm
    version = bare_version(training["versions"].get(package, ""))
    properties = {
        "title": f"{title} on {info.name}: trained weights",
        "description": _description(title, name, info),
        "datetime": None,
        "start_datetime": START,
        "end_datetime": END,
        # Of the weights nobody has said it; the licence of the data stands in their own record below.
        "license": "other",
        "mlm:name": _mlm_name(f"{title} on {info.name}"),
        "mlm:architecture": title,
        "mlm:tasks": [task(spec.task).stac_name],
        "mlm:framework": name,
        **({"mlm:framework_version": version} if version else {}),
        "mlm:total_parameters": sum(_size(parameter.shape) for parameter in spec.parameters),
        "mlm:pretrained": False,
        "mlm:pretrained_source": None,
        "mlm:accelerator": None,
        "mlm:accelerator_constrained": False,
        "mlm:input": [_input(tensor, prepared) for tensor in spec.inputs],
        "mlm:output": [_output(tensor, spec, info) for tensor in spec.outputs],
        "mlm:hyperparameters": {
            **spec.hyperparameters,
            **{name: training[name] for name in _TRAINING if name in training},
            **({"preset": spec.preset} if spec.preset else {}),
        },
        **_citation(info, spec),
        "harness:synthetic": info.synthetic,
        "harness:data": {
            "name": info.name,
            "title": info.title,
            "synthetic": info.synthetic,
            "licence": info.licence,
            "doi": info.doi,
            "citation": info.citation,
            "url": info.url,
            "notes": list(info.notes),
        },
    }
    weights = _asset(
        folder / "weights.safetensors",
        "Weights under their canonical names, in canonical layout (safetensors)",
        "application/octet-stream; profile=safetensors",
        ("mlm:model", "mlm:weights", "model", "weights"),
    )
    weights |= {"mlm:artifact_type": "safetensors", "eo:bands": [_band(band) for band in info.bands]}
    assets = {"model": weights} | _records(
        folder,
        {
            "specification": ("model.json", "Specification of the model"),
            "metadata": ("metadata.json", "Classes, bands, axes and normalisation, as exported files carry them"),
            **records,
        },
    )
    return _item(folder.name, properties, assets, _links(properties, info.url))


def exported_item(folder: Path, spec: ModelSpec, trained: Mapping[str, Any]) -> dict[str, Any]:
    """The item of an export's folder, from the item of the training that it was exported from.

    The framework of the item stays the one that trained the model; the asset names ONNX as its own.
    """
    export = json.loads((folder / "export.json").read_text(encoding="utf-8"))
    source = trained["properties"]
    properties = dict(source)
    properties["title"] = source["title"].removesuffix("trained weights") + f"ONNX file by {export['route']}"
    properties["description"] = (
        f"{source['description']} Exported to ONNX (opset {export['opset']}) by {export['exporter']}; "
        f"batch normalisation {'folded' if export['folded'] else 'not folded'}."
    )
    del properties["mlm:total_parameters"]
    if (count := _file_parameters(spec, export)) is not None:
        properties["mlm:total_parameters"] = count
    properties["harness:trained"] = trained["id"]
    properties["harness:export"] = {key: export[key] for key in ("route", "exporter", "opset", "folded")}
    onnx = _asset(
        folder / "model.onnx",
        "The model with its weights (ONNX)",
        "application/octet-stream; framework=onnx",
        ("mlm:model", "mlm:compiled", "model"),
    )
    onnx |= {
        "mlm:artifact_type": "onnx",
        "mlm:framework": "ONNX",
        "eo:bands": trained["assets"]["model"]["eo:bands"],
    }
    if version := bare_version(export["versions"].get("onnx", "")):
        onnx["mlm:framework_version"] = version
    assets = {"model": onnx} | _records(folder, {"export": ("export.json", "What the exporter really did")})
    return _item(folder.name, properties, assets, list(trained["links"]))


def write_item(folder: Path, item: Mapping[str, Any]) -> None:
    """Write ``item.json``: equal items give equal bytes."""
    write_atomically(folder / ITEM_FILE, to_json(item))


def read_item(folder: Path) -> dict[str, Any]:
    """What ``item.json`` of a folder holds."""
    item: dict[str, Any] = json.loads((folder / ITEM_FILE).read_text(encoding="utf-8"))
    return item


def bare_version(text: str) -> str | None:
    """Major, minor and patch of a version and nothing else (``2.13.0+cpu`` -> ``2.13.0``), or None where there is none.

    Semantic versions (https://semver.org) have three numbers without leading zeros; missing ones are 0.
    """
    numbers = re.match(r"v?(\d+)(?:\.(\d+))?(?:\.(\d+))?", text)
    return ".".join(str(int(number or 0)) for number in numbers.groups()) if numbers else None


def value_scaling(normalisation: Normalisation) -> list[dict[str, Any]] | None:
    """A normalisation in MLM's words, per band in the order of the bands; None where values are taken as they are.

    (x − offset) · scale is ``min-max`` from offset to offset + 1/scale, ``z-score`` of mean offset and deviation 1/scale,
    or, without an offset, ``scale``, which divides by its value.
    """
    if normalisation.kind == "none":
        return None
    scaling: list[dict[str, Any]] = []
    for offset, scale in zip(normalisation.offset, normalisation.scale, strict=True):
        if normalisation.kind == "percentile":
            scaling.append({"type": "min-max", "minimum": offset, "maximum": offset + 1 / scale})
        elif normalisation.kind == "scale" and offset == 0:
            scaling.append({"type": "scale", "value": 1 / scale})
        else:
            scaling.append({"type": "z-score", "mean": offset, "stddev": 1 / scale})
    return scaling


def class_objects(names: Sequence[str]) -> list[dict[str, Any]]:
    """Classes of the classification extension: the index, the exact name as description, and a name for machines.

    Names for machines hold letters, digits, ``-`` and ``_`` alone; where two would be equal, the index is added.
    """
    machine = [_slug(name) or "class" for name in names]
    return [
        {
            "value": index,
            "name": slug if machine.count(slug) == 1 and slug != "class" else f"{slug}-{index}",
            "description": name,
        }
        for index, (slug, name) in enumerate(zip(machine, names, strict=True))
    ]


def _slug(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^0-9A-Za-z_]+", "-", plain).strip("-")


def _mlm_name(text: str) -> str:
    """A name that begins with a letter and holds letters, digits, spaces, ``_``, ``.`` and ``-`` alone."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-zA-Z0-9_.\- ]+", "-", plain).strip("-_. ")


def _description(title: str, framework: str, info: DatasetInfo) -> str:
    sentences = [f"{title}, trained from scratch with {framework} on: {info.title}."]
    if info.synthetic:
        sentences.append("The training data are synthetic: predictions say nothing about real land.")
    sentences.append(
        "Place and period of the training data are not recorded: the geometry is null, the time an open interval. "
        "Citation and DOI are those of the training data, whose licence is given under harness:data; no licence of "
        "the weights has been stated."
    )
    return " ".join(sentences)


def _structure(tensor: TensorSpec) -> dict[str, Any]:
    return {
        "shape": [-1 if size is None else size for size in tensor.shape],
        "dim_order": [_DIMENSIONS.get(axis.name, axis.name) for axis in tensor.axes],
        "data_type": tensor.dtype if _DATA_TYPES.fullmatch(tensor.dtype) else "other",
    }


def _input(tensor: TensorSpec, prepared: Prepared) -> dict[str, Any]:
    of_bands = any(axis.name == "band" for axis in tensor.axes)
    described: dict[str, Any] = {
        "name": tensor.name,
        "bands": [band.name for band in prepared.info.bands] if of_bands else [],
        "input": _structure(tensor),
        "value_scaling": value_scaling(prepared.normalisation) if of_bands else None,
        "resize_type": None,
        "pre_processing_function": None,
    }
    if of_bands:
        what = f"at {prepared.dates} dates" if isinstance(prepared, PreparedData) else "in frames one after another"
        described["description"] = f"Values of the bands {what}, normalised as value_scaling says"
    return described


def _output(tensor: TensorSpec, spec: ModelSpec, info: DatasetInfo) -> dict[str, Any]:
    described: dict[str, Any] = {
        "name": tensor.name,
        "description": f"Head: {spec.head}; decision: {spec.decision}",
        "tasks": [task(spec.task).stac_name],
        "result": _structure(tensor),
        "post_processing_function": None,
    }
    if any(axis.name == "class" for axis in tensor.axes):
        described["classification:classes"] = class_objects(info.class_names)
    if any(axis.name == "band" for axis in tensor.axes):
        described["bands"] = [band.name for band in info.bands]
        described["description"] += "; values are scaled as those of the input are"
    return described


def _band(band: Band) -> dict[str, Any]:
    """A band of the eo extension, its unit in the description: the extension has no field for it."""
    words = "; ".join(part for part in (band.description, f"unit: {band.unit}" if band.unit else "") if part)
    return {"name": band.name} | ({"description": words} if words else {})


def _doi(text: str | None) -> str | None:
    """The bare DOI in a DOI or in its address, or None."""
    found = _DOI.search(text or "")
    return found.group(0) if found else None


def _citation(info: DatasetInfo, spec: ModelSpec) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if doi := _doi(info.doi):
        fields["sci:doi"] = doi
    if info.citation not in ("", "not stated"):
        fields["sci:citation"] = info.citation
    if paper := _doi(spec.paper):
        fields["sci:publications"] = [{"doi": paper}]
    return fields


def _links(properties: Mapping[str, Any], url: str | None) -> list[dict[str, Any]]:
    links = []
    if "sci:doi" in properties:
        address = f"https://doi.org/{properties['sci:doi']}"
        links.append({"rel": "cite-as", "href": address, "title": "The training data"})
    if url:
        links.append({"rel": "about", "href": url, "title": "The training data"})
    return links


def _asset(path: Path, title: str, media_type: str, roles: Sequence[str]) -> dict[str, Any]:
    return {
        "href": f"./{path.name}",
        "title": title,
        "type": media_type,
        "roles": list(roles),
        "file:size": path.stat().st_size,
        # A multihash: 0x12 is SHA-256, 0x20 its 32 bytes.
        "file:checksum": f"1220{file_hash(path)}",
    }


def _records(folder: Path, files: Mapping[str, tuple[str, str]]) -> dict[str, dict[str, Any]]:
    """Assets of the small files beside a model, without size and checksum: some hold seconds, which differ by run."""
    types = {".json": "application/json", ".csv": "text/csv"}
    return {
        key: {"href": f"./{name}", "title": title, "type": types[Path(name).suffix], "roles": ["metadata"]}
        for key, (name, title) in files.items()
        if (folder / name).is_file()
    }


def _size(shape: Sequence[int]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size


def _file_parameters(spec: ModelSpec, export: Mapping[str, Any]) -> int | None:
    """Scalars that an exported file holds: those of a folded batch normalisation have gone into another layer.

    None where some are folded and it is not known which.
    """
    normalisations = [layer for layer in spec.layers if layer.kind == "batch-normalisation"]
    kept = export["batch_normalisations"]["file"]
    if "folded_layers" in export:
        folded = set(export["folded_layers"])
    elif kept in (0, len(normalisations)):
        folded = set() if kept else {layer.name for layer in normalisations}
    else:
        return None
    layers = [layer for layer in spec.layers if layer.name not in folded]
    return sum(_size(parameter.shape) for layer in layers for parameter in layer.parameters)


def _item(
    identifier: str, properties: Mapping[str, Any], assets: Mapping[str, Any], links: list[dict[str, Any]]
) -> dict[str, Any]:
    extensions = [MLM, EO, FILE]
    if any(name.startswith("sci:") for name in properties):
        extensions.append(SCIENTIFIC)
    return {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": extensions,
        "id": identifier,
        "geometry": None,
        "properties": dict(properties),
        "links": links,
        "assets": dict(assets),
    }
