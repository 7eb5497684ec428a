"""The data card: what the data are, whose they are, and how they were prepared."""

from __future__ import annotations

from typing import Any

from harness.report.document import Block, Bullets, Column, Definitions, Paragraph, Section, Table, TableBlock
from harness.report.formatting import significant
from harness.report.read import Results
from harness.report.sections.verdicts_section import synthetic_note
from harness.report.task_reports import report_of


def bands_table(results: Results) -> Table:
    """Bands in the order of the channel axis, with unit and normalisation."""
    data = results.manifest.data
    offsets, scales = data.normalisation.offset, data.normalisation.scale
    rows = tuple(
        {
            "position": index + 1,
            "band": band.name,
            "unit": band.unit,
            "description": band.description,
            "offset": offsets[index] if index < len(offsets) else None,
            "scale": scales[index] if index < len(scales) else None,
        }
        for index, band in enumerate(data.bands)
    )
    return Table(
        "bands",
        f"Bands in the order of the channel axis; normalised = (x − offset) · scale, kind “{data.normalisation.kind}”, "
        "what was fitted was fitted on the training part only.",
        (
            Column("band", "Band", "code"),
            Column("position", "Channel", "integer"),
            Column("unit", "Unit"),
            Column("description", "Description"),
            Column("offset", "Offset", "number"),
            Column("scale", "Scale", "number"),
        ),
        rows,
        empty="The data source names no bands.",
    )


def data_section(results: Results) -> Section:
    """Source, licence, citation, bands, classes, normalisation and the notes of the data source."""
    data = results.manifest.data
    items = [
        ("Data set", f"{data.title or data.name} ({data.name})"),
        ("Kind", "SYNTHETIC: made by a formula, not observed" if data.synthetic else "observed"),
        ("Licence", data.licence or "not stated"),
        ("DOI", f"https://doi.org/{data.doi}" if data.doi else "none"),
        ("Citation", data.citation or "not stated"),
    ]
    if data.url:
        items.append(("Address", data.url))
    if data.dates is not None:
        sampling = {"frozen": "drawn once by seed", "per-epoch": "drawn anew at every epoch of training"}
        how = f", {sampling.get(data.sampling, data.sampling)}" if data.sampling else ""
        items.append(("Dates per series", f"{data.dates}{how}"))
    if data.seed is not None:
        items.append(("Seed", str(data.seed)))
    blocks: list[Block] = []
    if data.synthetic:
        blocks.append(synthetic_note(results))
    blocks.append(Definitions(tuple(items)))
    if data.notes:
        blocks.append(Bullets(data.notes))
    blocks += [TableBlock(report_of(results).data_table(results)), TableBlock(bands_table(results))]
    return Section("data", "Data card", tuple(blocks))


def model_section(results: Results) -> Section:
    """Architecture, sizes and training of the source model."""
    model = results.manifest.model
    if model is None:
        return Section("model", "Model", (Paragraph("The manifest holds no model specification."),))
    training = results.manifest.training
    items = [
        ("Model", model.model + (f", preset {model.preset}" if model.preset else "")),
        ("Trainable parameters", f"{model.trainable_count:,}"),
        ("Inputs", "; ".join(_tensor(tensor) for tensor in model.inputs)),
        ("Outputs", "; ".join(_tensor(tensor) for tensor in model.outputs)),
        ("Head", model.head),
        ("Decision", model.decision),
        ("Hyper-parameters", _pairs(model.hyperparameters)),
    ]
    if model.paper:
        items.append(("Paper", model.paper))
    for key, value in sorted(results.manifest.imported.items()):
        if key != "versions":
            items.append((f"Weights: {key.replace('_', ' ')}", _plain(value)))
    for key, value in sorted(training.items()):
        if key not in ("seconds", "versions") and value is not None:
            items.append(
                (f"Training: {key.replace('_', ' ')}", _pairs(value) if isinstance(value, dict) else _plain(value))
            )
    return Section("model", "Model", (Definitions(tuple(items)),))


def _tensor(tensor: Any) -> str:
    axes = ", ".join(f"{axis.name} {axis.size}" if axis.size is not None else axis.name for axis in tensor.axes)
    shared = ", the same for all samples" if tensor.sample_axis is None else ""
    return f"{tensor.name}: {tensor.dtype} ({axes}){shared}"


def _pairs(values: dict[str, Any]) -> str:
    return ", ".join(f"{key.replace('_', ' ')} {_plain(value)}" for key, value in sorted(values.items()))


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return significant(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_plain(item) for item in value) + "]"
    return str(value)
