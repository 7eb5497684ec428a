"""The steps that make a source: its training or the import of its weights, and its answers in its own framework."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.data.locate import find
from harness.errors import BadInputError, ModelError, UnsupportedError
from harness.files.atomic import to_json, write_atomically
from harness.models.spec import ModelSpec
from harness.pipeline.context import Context
from harness.pipeline.provenance import file_hash
from harness.scenario.sections import ModelSection

#: Kinds of steps that leave weights with their specification.
WEIGHTS = ("train", "import")


def train(context: Context) -> None:
    """Train the model of a scenario on its data."""
    from harness.pipeline.stac import trained_item, write_item

    parameters = context.step.parameters
    spec, prepared = _described(context)
    context.ask(
        "train",
        data=str(context.needed("data")),
        out=str(context.folder),
        seed=parameters["seed"],
        **parameters["training"],
    )
    write_item(context.folder, trained_item(context.folder, spec, prepared))


def _described(context: Context) -> tuple[ModelSpec, Any]:
    """Specification and metadata of a scenario's model, which its data size; both are written to the step's folder."""
    from harness.data.open_prepared import open_prepared
    from harness.models import build_for

    prepared = open_prepared(context.needed("data"))
    section = ModelSection(**context.step.parameters["model"])
    spec = build_for(
        section.name,
        prepared.sizes,
        head=section.head,
        preset=section.preset,
        hyperparameters=section.hyperparameters,
    )
    info = prepared.info
    metadata = {
        "harness.model": spec.model,
        "harness.spec": spec.to_json(),
        "harness.classes": json.dumps(list(info.class_names), ensure_ascii=False),
        "harness.class_base": "0",
        "harness.bands": json.dumps([band.name for band in info.bands], ensure_ascii=False),
        "harness.axes": json.dumps(
            {tensor.name: [axis.name for axis in tensor.axes] for tensor in (*spec.inputs, *spec.outputs)}
        ),
        "harness.normalisation": prepared.normalisation.model_dump_json(),
        "harness.head": spec.head,
        "harness.data": json.dumps(
            {
                "name": info.name,
                "synthetic": info.synthetic,
                "licence": info.licence,
                "doi": info.doi,
                "citation": info.citation,
            },
            ensure_ascii=False,
        ),
    }
    write_atomically(context.folder / "model.json", spec.to_json() + "\n")
    write_atomically(context.folder / "metadata.json", to_json(metadata))
    return spec, prepared


def import_weights(context: Context) -> None:
    """Read weights from a file, as what a training leaves. Raises ModelError where the file cannot be used."""
    from harness.pipeline.stac import imported_item, write_item

    parameters = context.step.parameters
    path = find(parameters["path"], None)
    if "data" in context.needs:
        spec, prepared = _described(context)
        # What was read does not change what was asked for: the worker writes the same specification again.
        _ask_import(context, path, spec=str(context.folder / "model.json"))
        write_item(context.folder, imported_item(context.folder, spec, prepared))
        return
    structure = context.needed("structure")
    carried: dict[str, str] = json.loads((structure / "load.json").read_text())["metadata"]
    if parameters["model"] is not None:
        from harness.compare.structure import head_of

        graph = json.loads((structure / "structure.json").read_text())
        _ask_import(context, path, model=parameters["model"], head=parameters["head"], ends_in=head_of(graph))
        return
    if parameters["spec"] is not None:
        beside = Path(parameters["spec"])
        _ask_import(context, path, spec=str(beside))
        if (metadata := beside.with_name("metadata.json")).is_file():
            write_atomically(context.folder / "metadata.json", metadata.read_bytes())
        return
    if "harness.spec" not in carried:
        raise ModelError(
            "nothing says of which architecture these weights are: no model.json lies beside them, and the .onnx file "
            "carries no 'harness.spec'",
            where=str(path),
            hint="name it, for instance with --model tempcnn",
        )
    write_atomically(context.folder / "model.json", carried["harness.spec"])
    _ask_import(context, path, spec=str(context.folder / "model.json"))


def imported_files(parameters: dict[str, Any]) -> dict[str, str]:
    """SHA-256 of the files that an import reads: what they hold, and not where they lie, decides what is made of them."""
    beside = parameters.get("spec")
    named = {"weights": find(parameters["path"], None), "spec": Path(beside) if beside else None}
    if beside is not None:
        named["metadata"] = Path(beside).with_name("metadata.json")
    return {name: file_hash(path) for name, path in named.items() if path is not None and path.is_file()}


def _ask_import(context: Context, path: Path, **arguments: Any) -> None:
    try:
        record = context.ask("import", weights=str(path), out=str(context.folder), **arguments)
    except (BadInputError, UnsupportedError) as error:
        what, _, hint = error.what.removeprefix(f"{path}: ").partition("; ")
        raise ModelError(what, where=str(path), hint=hint or None) from error
    if record["sha256"] != file_hash(path):
        raise ModelError("changed while it was being read", where=str(path), hint="run the same command again")


def source(context: Context) -> None:
    """The source's answers on the probe, in float32 and in float64, and on the test samples where there are any."""
    weights = context.needed(*WEIGHTS) / "weights.safetensors"
    batch_size = context.step.parameters["batch_size"]
    probe = context.needed("data", "probe") / "probe.safetensors"
    if "data" not in context.needs:
        probe = _in_source_order(context, probe)
    context.ask("load", path=str(weights), precision="float32")
    context.predict(probe, "probe.float32.safetensors", batch_size)
    if "inputs" in context.needs:
        context.predict(context.needed("inputs") / "test.safetensors", "test.float32.safetensors", batch_size)
    context.ask("load", path=str(weights), precision="float64")
    context.predict(probe, "probe.float64.safetensors", batch_size)


def _in_source_order(context: Context, probe: Path) -> Path:
    """A probe made for a given file, under the names and with the axes of the source, in the step's own folder."""
    import numpy as np
    from safetensors.numpy import load_file, save_file

    spec = ModelSpec.from_json((context.needed(*WEIGHTS) / "model.json").read_text())
    loaded = json.loads((context.needed("structure") / "load.json").read_text())
    names = [str(entry["name"]) for entry in loaded["inputs"]]
    arrays = load_file(probe)
    orders = input_orders(spec, [arrays[name].shape for name in names])
    turned = {
        tensor.name: np.ascontiguousarray(arrays[name].transpose(np.argsort(order)))
        for tensor, name, order in zip(spec.inputs, names, orders, strict=True)
    }
    save_file(turned, context.folder / "probe.safetensors")
    return context.folder / "probe.safetensors"


def input_orders(spec: ModelSpec, shapes: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Which axes of the model's inputs, in order, the axes of arrays of those shapes are.

    Raises ModelError where the arrays cannot be inputs of the model.
    """
    found = [tensor.order_in(shape) for tensor, shape in zip(spec.inputs, shapes, strict=False)]
    if len(spec.inputs) != len(shapes) or None in found:
        wanted = "; ".join(
            f"{tensor.name} (" + ", ".join(f"{axis.name} {axis.size or ''}".strip() for axis in tensor.axes) + ")"
            for tensor in spec.inputs
        )
        raise ModelError(
            f"the file takes inputs of shape {'; '.join(map(str, shapes))}, the model of the weights takes {wanted}",
            hint="give the weights that the file was made from",
        )
    return [order for order in found if order is not None]
