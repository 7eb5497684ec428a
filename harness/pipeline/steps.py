"""How each kind of step is done: by the harness itself, or by asking a worker."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from harness.errors import ModelError
from harness.files.atomic import to_json, write_atomically
from harness.pipeline.context import Context
from harness.pipeline.fingerprint import data_config
from harness.pipeline.plan import REFERENCE
from harness.pipeline.port import port
from harness.pipeline.provenance import file_hash
from harness.pipeline.source import WEIGHTS, import_weights, source, train
from harness.runtimes.registry import runtime
from harness.scenario.sections import RouteSection


def carry_out(context: Context) -> None:
    """Do one step; its files are in ``context.folder`` afterwards.

    Raises HarnessError: WorkerError costs the cells that need the step, anything else ends the run.
    """
    _KINDS[context.step.kind](context)


def _data(context: Context) -> None:
    from harness.data.prepare import prepare

    parameters = context.step.parameters
    prepare(data_config(parameters["data"]), parameters["seed"], parameters["probe"], context.folder)


def _inputs(context: Context) -> None:
    """The test samples that every runtime predicts, as a file with the model's input alone."""
    from safetensors.numpy import save_file

    from harness.data.open_prepared import open_prepared

    prepared = open_prepared(context.needed("data"))
    total, wanted = sum(prepared.counts["test"].values()), context.step.parameters["evaluate"]
    indices = np.arange(total)
    if wanted is not None and wanted < total:
        chosen = np.random.default_rng([context.step.parameters["seed"], 1]).permutation(total)[:wanted]
        indices = np.sort(chosen)
    save_file(prepared.test_inputs(indices), context.folder / "test.safetensors")
    write_atomically(
        context.folder / "evaluation.json", to_json({"indices": indices.tolist(), "of": total, "samples": len(indices)})
    )


def _export(context: Context) -> None:
    from harness.models.spec import ModelSpec
    from harness.pipeline.stac import exported_item, read_item, write_item

    route = RouteSection(**context.step.parameters["route"])
    weights = context.needed(*WEIGHTS)
    context.ask(
        "export",
        weights=str(weights / "weights.safetensors"),
        metadata=str(weights / "metadata.json"),
        out=str(context.folder),
        route=route.tool,
        opset=route.opset,
        fold=route.fold,
    )
    if route.writes != "onnx":
        return
    spec = ModelSpec.from_json((weights / "model.json").read_text(encoding="utf-8"))
    write_item(context.folder, exported_item(context.folder, spec, read_item(weights)))


def model_file(export: Path) -> Path:
    """The model file of an export's or training's folder."""
    names = ("model.onnx", "model.keras", "savedmodel/saved_model.pb")
    return next((export / name for name in names if (export / name).exists()), export / "weights.safetensors")


def _model(context: Context) -> Path:
    """The model file of whichever step made or was given it."""
    return model_file(context.needed("export", "given", *WEIGHTS))


def _probe_file(context: Context) -> Path:
    """The probe: drawn with the data, or given, or as the source of a given file takes it."""
    return context.needed("data", "probe", "source") / "probe.safetensors"


def _batch_size(context: Context, loaded: dict[str, Any]) -> int:
    """Samples per call: as many as the run asks for, or as the file takes, where it takes one number of them alone."""
    asked: int = context.step.parameters["batch_size"]
    sizes = [info["shape"][0] for info in loaded["inputs"] if info["shape"]]
    return next((size for size in sizes if isinstance(size, int)), asked)


def _oracle(context: Context) -> None:
    model = _model(context)
    loaded = context.ask("load", path=str(model), precision="float64")
    context.predict(_probe_file(context), "probe.float64.safetensors", _batch_size(context, loaded))
    if model.suffix == ".onnx":
        context.ask("structure", path=str(model), outputs=str(context.folder / "structure.json"))


def _target(context: Context) -> None:
    described = context.ask("describe")
    described.pop("operators", None)
    loaded = context.ask("load", path=str(_model(context)), precision="float32")
    batch_size = _batch_size(context, loaded)
    context.ask("parameters", outputs=str(context.folder / "parameters.safetensors"))
    record = {"describe": described, "load": loaded}
    record["probe"] = context.predict(_probe_file(context), "probe.float32.safetensors", batch_size)
    if "inputs" in context.needs:
        test = context.needed("inputs") / "test.safetensors"
        record["test"] = context.predict(test, "test.float32.safetensors", batch_size)
    write_atomically(context.folder / "target.json", to_json(record))


def _given(context: Context) -> None:
    """A copy of the user's model, so that it cannot change while it is compared; tensors that lie in other files too."""
    parameters = context.step.parameters
    for name, file in {"model.onnx": parameters, **parameters.get("external", {})}.items():
        copy = context.folder / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file["path"], copy)
        if file_hash(copy) != file["sha256"]:
            raise ModelError("changed while it was being read", where=file["path"], hint="run the same command again")


def _structure(context: Context) -> None:
    model = _model(context)
    context.ask("structure", path=str(model), outputs=str(context.folder / "structure.json"))
    loaded = context.ask("load", path=str(model), precision="float32")
    context.ask("parameters", outputs=str(context.folder / "parameters.safetensors"))
    write_atomically(context.folder / "load.json", to_json(loaded))


def _probe(context: Context) -> None:
    """The user's arrays under the names of the model's inputs."""
    from safetensors.numpy import save_file

    from harness.data.probe import hash_of, read_probe

    parameters = context.step.parameters
    inputs = json.loads((context.needed("structure") / "load.json").read_text())["inputs"]
    arrays = read_probe({name: Path(array["path"]) for name, array in parameters["arrays"].items()}, inputs)
    save_file(arrays, context.folder / "probe.safetensors")
    samples = len(next(iter(arrays.values())))
    record = {"sha256": hash_of(arrays), "samples": samples}
    write_atomically(context.folder / "probe.json", to_json(record))


def _reference(context: Context) -> None:
    """A given graph has no source: its own float32 run in the reference implementation gives the noise floor."""
    loaded = context.ask("load", path=str(_model(context)), precision="float32")
    context.predict(_probe_file(context), "probe.float32.safetensors", _batch_size(context, loaded))


def _timing(context: Context) -> None:
    """In processes of their own: a pooled worker has predicted before, and holds memory of other models."""
    from harness.runtimes.process_timing import measure

    parameters = context.step.parameters
    row = runtime(context.step.runtime or "")

    def tell(text: str) -> None:
        if context.progress is not None:
            context.progress({"done": 0, "total": 0, "text": text})

    began = time.perf_counter()
    found = measure(
        row,
        _model(context),
        _probe_file(context),
        context.workers.logs / f"timing-{row.name.replace('/', '-')}.log",
        batch_sizes=parameters["batch_sizes"],
        seconds=parameters["seconds"],
        processes=parameters["processes"],
        threads=parameters["threads"],
        timeout=context.limits.request_seconds,
        tell=tell,
    )
    starts = sum(process["start_seconds"] or 0.0 for process in found["processes"])
    number = len(found["processes"])
    context.workers.note(row.name, number, starts, time.perf_counter() - began - starts)
    write_atomically(context.folder / "timing.json", to_json(found))


def _layers(context: Context) -> None:
    from safetensors.numpy import load_file

    from harness.pipeline.layers import walk_layers

    def reference(request: str, **arguments: Any) -> dict[str, Any]:
        return context.workers.request(
            REFERENCE, request, timeout=context.limits.request_seconds, progress=None, **arguments
        )

    with tempfile.TemporaryDirectory(prefix="layers-", dir=context.folder) as scratch:
        found = walk_layers(
            target=context.ask,
            reference=reference,
            note=runtime(context.step.runtime or "").inner_values_note,
            model=_model(context),
            probe=load_file(_probe_file(context)),
            samples=context.step.parameters["samples"],
            structure=json.loads((context.needed("oracle") / "structure.json").read_text()),
            scratch=Path(scratch),
        )
    write_atomically(context.folder / "layers.json", to_json(found.model_dump(mode="json")))


_KINDS: dict[str, Callable[[Context], None]] = {
    "data": _data,
    "inputs": _inputs,
    "train": train,
    "import": import_weights,
    "source": source,
    "export": _export,
    "oracle": _oracle,
    "target": _target,
    "given": _given,
    "structure": _structure,
    "probe": _probe,
    "reference": _reference,
    "layers": _layers,
    "port": port,
    "timing": _timing,
}
