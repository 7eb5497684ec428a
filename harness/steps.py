"""How each kind of step is done: by the harness itself, or by asking a worker."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from harness.errors import ModelError, StoreError, WorkerError
from harness.plan import REFERENCE, Step
from harness.provenance import file_hash, hardware, library_versions, sources
from harness.runtimes.process import Worker
from harness.runtimes.registry import RUNTIMES, availability
from harness.scenario import DataSection, LimitsSection, ModelSection, RouteSection
from harness.store import to_json, write_atomically

Progress = Callable[[dict[str, Any]], None]


class Workers:
    """The running workers of one run, one per runtime, started when first asked for and again after a death."""

    def __init__(self, logs: Path, threads: int) -> None:
        self.logs = logs
        self.threads = threads
        self.start_seconds: dict[str, float] = {}
        self.busy_seconds: dict[str, float] = {}
        self.starts: dict[str, int] = {}
        self._running: dict[str, Worker] = {}

    def request(
        self, runtime: str, request: str, *, timeout: float, progress: Progress | None = None, **arguments: Any
    ) -> dict[str, Any]:
        """Ask a runtime's worker; see Worker.request."""
        worker = self._worker(runtime, timeout)
        started = time.perf_counter()
        try:
            return worker.request(request, timeout=timeout, progress=progress, **arguments)
        except WorkerError as error:
            raise _disk_full(error) or error from error
        finally:
            self.busy_seconds[runtime] = self.busy_seconds.get(runtime, 0.0) + time.perf_counter() - started

    def _worker(self, runtime: str, timeout: float) -> Worker:
        worker = self._running.get(runtime)
        if worker is not None and worker.alive:
            return worker
        if worker is not None:
            worker.close()
        started = time.perf_counter()
        worker = Worker.start(RUNTIMES[runtime], self.logs / f"{runtime.replace('/', '-')}.log", threads=self.threads)
        self._running[runtime] = worker
        worker.request("describe", timeout=min(timeout, 300.0))
        self.start_seconds[runtime] = self.start_seconds.get(runtime, 0.0) + time.perf_counter() - started
        self.starts[runtime] = self.starts.get(runtime, 0) + 1
        return worker

    def note(self, runtime: str, starts: int, start_seconds: float, busy_seconds: float) -> None:
        """Count workers that a step started for itself."""
        self.starts[runtime] = self.starts.get(runtime, 0) + starts
        self.start_seconds[runtime] = self.start_seconds.get(runtime, 0.0) + start_seconds
        self.busy_seconds[runtime] = self.busy_seconds.get(runtime, 0.0) + busy_seconds

    def record(self) -> dict[str, Any]:
        """By runtime, of those that were started: ``starts``, ``start_seconds`` of all of them, and ``warnings``.

        A warning is a line of a worker's log that says so; of equal ones there is one, with the number of its kind.
        """
        return {
            runtime: {
                "starts": starts,
                "start_seconds": self.start_seconds.get(runtime, 0.0),
                "warnings": _warnings(self.logs, runtime.replace("/", "-")),
            }
            for runtime, starts in sorted(self.starts.items())
        }

    def close(self) -> None:
        """End all workers."""
        for worker in self._running.values():
            worker.close()
        self._running.clear()


#: The line of source that Python prints under a warning says so too.
_QUOTED = ("warnings.warn(", "warn(")


def _warnings(logs: Path, stem: str) -> list[dict[str, Any]]:
    """``line`` and ``times`` of the warnings in a runtime's logs, in their order."""
    found: dict[str, int] = {}
    for path in (logs / f"{stem}.log", logs / f"timing-{stem}.log"):
        if not path.exists():
            continue
        lines = [line.strip() for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]
        for text, following in zip(lines, [*lines[1:], ""], strict=False):
            if text in ("Warning message:", "Warning messages:"):
                # R says in the next line what it is about.
                text = f"{text} {following}"
            if "warning" in text.lower() and not text.startswith(_QUOTED):
                found[text] = found.get(text, 0) + 1
    return [{"line": line[:400], "times": times} for line, times in found.items()]


def _disk_full(error: WorkerError) -> StoreError | None:
    """A worker's full disk is not the fault of its cell: the run cannot go on for any of them."""
    for sign in ("No space left on device", "File too large", "Disk quota exceeded"):
        if sign.lower() in error.what.lower():
            return StoreError(
                f"no room to write: {sign}",
                where=error.where,
                hint="free some space, then run the same command again: it goes on from here",
            )
    return None


@dataclass
class Context:
    """What a step may use: its own folder, the folders of the steps it needs, workers and their limits."""

    step: Step
    folder: Path
    needs: dict[str, Path]
    workers: Workers
    limits: LimitsSection
    progress: Progress | None = None

    def ask(self, request: str, **arguments: Any) -> dict[str, Any]:
        """Ask the worker of the step's runtime, within the limit of a request."""
        if self.step.runtime is None:
            raise ValueError(f"step {self.step.id} has no runtime to ask")
        timeout = self.limits.training_seconds if request == "train" else self.limits.request_seconds
        return self.workers.request(self.step.runtime, request, timeout=timeout, progress=self.progress, **arguments)

    def needed(self, kind: str) -> Path:
        """The folder of the one needed step whose id begins with ``kind``."""
        return next(path for name, path in self.needs.items() if name.partition(" ")[0] == kind)


def data_config(section: dict[str, Any]) -> Any:
    """The data room's configuration of a scenario's ``data`` section. Raises DataError on bad options."""
    from harness.data.prepare import DataConfig

    return DataConfig(**DataSection(**section).model_dump())


def fingerprint(step: Step) -> dict[str, Any]:
    """What a step's result depends on beside its parameters and needs: sources and versions, without importing any."""
    if step.kind in ("data", "inputs"):
        from harness.data.prepare import fingerprint as of_data

        versions = library_versions()
        outside = of_data(data_config(step.parameters["data"])) if step.kind == "data" else ""
        return {"sources": sources("data"), "versions": [versions["numpy"], versions["h5py"]], "outside": outside}
    if step.kind in ("given", "probe"):
        return {"sources": sources("steps.py", "data")}
    if step.kind == "timing":
        # A timing is a fact of one machine.
        own = fingerprint(Step(step.id, "target", step.runtime))
        return {"target": own, "timing": sources("runtimes/timing.py"), "hardware": hardware()}
    if step.kind == "layers":
        # Two runtimes work on it, and the errors are told here.
        rooms = ("workers", "layer_walk.py", "compare/layers.py", "compare/outputs.py", "compare/gates.py")
        own = fingerprint(replace(step, kind="target"))
        return {"sources": sources(*rooms), "target": own, "versions": availability(RUNTIMES[REFERENCE]).versions}
    row = RUNTIMES[step.runtime or ""]
    if row.language == "r":
        code = sources("native:r", "workers/rpy2_host.py")
    elif row.language == "julia":
        code = sources("native:julia")
    elif row.framework is not None:
        # One folder serves all backends of a framework.
        native = row.framework.partition("-")[0]
        code = sources("workers", "models", "compare/metrics.py", f"native:{native}")
    else:
        code = sources("workers")
    if step.kind in ("train", "export"):
        code += sources("stac.py")
    return {"sources": code, "versions": availability(row).versions}


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

    from harness.data.prepared_frames import open_prepared

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


def _train(context: Context) -> None:
    from harness.data.prepared_frames import open_prepared
    from harness.models import build_for
    from harness.stac import trained_item, write_item

    parameters = context.step.parameters
    data = context.needed("data")
    prepared = open_prepared(data)
    section = ModelSection(**parameters["model"])
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
    context.ask(
        "train",
        data=str(data),
        out=str(context.folder),
        seed=parameters["seed"],
        **parameters["training"],
    )
    write_item(context.folder, trained_item(context.folder, spec, prepared))


def _predict(context: Context, inputs: Path, outputs: str, batch_size: int | None) -> dict[str, Any]:
    return context.ask("predict", inputs=str(inputs), outputs=str(context.folder / outputs), batch_size=batch_size)


def _source(context: Context) -> None:
    weights = context.needed("train") / "weights.safetensors"
    probe = context.needed("data") / "probe.safetensors"
    batch_size = context.step.parameters["batch_size"]
    context.ask("load", path=str(weights), precision="float32")
    _predict(context, probe, "probe.float32.safetensors", batch_size)
    _predict(context, context.needed("inputs") / "test.safetensors", "test.float32.safetensors", batch_size)
    context.ask("load", path=str(weights), precision="float64")
    _predict(context, probe, "probe.float64.safetensors", batch_size)


def _export(context: Context) -> None:
    from harness.models.spec import ModelSpec
    from harness.stac import exported_item, read_item, write_item

    route = RouteSection(**context.step.parameters["route"])
    train = context.needed("train")
    context.ask(
        "export",
        weights=str(train / "weights.safetensors"),
        metadata=str(train / "metadata.json"),
        out=str(context.folder),
        route=route.route,
        opset=route.opset,
        fold=route.fold,
    )
    spec = ModelSpec.from_json((train / "model.json").read_text(encoding="utf-8"))
    write_item(context.folder, exported_item(context.folder, spec, read_item(train)))


def model_file(export: Path) -> Path:
    """The model file of an export's or training's folder."""
    onnx = export / "model.onnx"
    return onnx if onnx.exists() else export / "weights.safetensors"


def _model(context: Context) -> Path:
    """The model file of whichever step made or was given it."""
    kinds = ("export", "train", "given")
    return model_file(next(path for name, path in context.needs.items() if name.partition(" ")[0] in kinds))


def _probe_file(context: Context) -> Path:
    """The probe: drawn with the data, or given."""
    kinds = ("data", "probe")
    folder = next(path for name, path in context.needs.items() if name.partition(" ")[0] in kinds)
    return folder / "probe.safetensors"


def _oracle(context: Context) -> None:
    model = _model(context)
    context.ask("load", path=str(model), precision="float64")
    _predict(context, _probe_file(context), "probe.float64.safetensors", context.step.parameters["batch_size"])
    if model.suffix == ".onnx":
        context.ask("structure", path=str(model), outputs=str(context.folder / "structure.json"))


def _target(context: Context) -> None:
    batch_size = context.step.parameters["batch_size"]
    described = context.ask("describe")
    described.pop("operators", None)
    loaded = context.ask("load", path=str(_model(context)), precision="float32")
    context.ask("parameters", outputs=str(context.folder / "parameters.safetensors"))
    record = {"describe": described, "load": loaded}
    record["probe"] = _predict(context, _probe_file(context), "probe.float32.safetensors", batch_size)
    if "inputs" in context.needs:
        test = context.needed("inputs") / "test.safetensors"
        record["test"] = _predict(context, test, "test.float32.safetensors", batch_size)
    write_atomically(context.folder / "target.json", to_json(record))


def _given(context: Context) -> None:
    """A copy of the user's model file, so that it cannot change while it is compared."""
    given = Path(context.step.parameters["path"])
    shutil.copyfile(given, context.folder / "model.onnx")
    if file_hash(context.folder / "model.onnx") != context.step.parameters["sha256"]:
        raise ModelError("changed while it was being read", where=str(given), hint="run the same command again")


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
    context.ask("load", path=str(_model(context)), precision="float32")
    batch_size = context.step.parameters["batch_size"]
    _predict(context, _probe_file(context), "probe.float32.safetensors", batch_size)


def _timing(context: Context) -> None:
    """In processes of their own: a pooled worker has predicted before, and holds memory of other models."""
    from harness.runtimes.timing import measure

    parameters = context.step.parameters
    runtime = RUNTIMES[context.step.runtime or ""]

    def tell(text: str) -> None:
        if context.progress is not None:
            context.progress({"done": 0, "total": 0, "text": text})

    began = time.perf_counter()
    found = measure(
        runtime,
        _model(context),
        _probe_file(context),
        context.workers.logs / f"timing-{runtime.name.replace('/', '-')}.log",
        batch_sizes=parameters["batch_sizes"],
        seconds=parameters["seconds"],
        processes=parameters["processes"],
        threads=parameters["threads"],
        timeout=context.limits.request_seconds,
        tell=tell,
    )
    starts = sum(process["start_seconds"] or 0.0 for process in found["processes"])
    number = len(found["processes"])
    context.workers.note(runtime.name, number, starts, time.perf_counter() - began - starts)
    write_atomically(context.folder / "timing.json", to_json(found))


def _layers(context: Context) -> None:
    from safetensors.numpy import load_file

    from harness.layer_walk import walk_layers

    def reference(request: str, **arguments: Any) -> dict[str, Any]:
        return context.workers.request(
            REFERENCE, request, timeout=context.limits.request_seconds, progress=None, **arguments
        )

    with tempfile.TemporaryDirectory(prefix="layers-", dir=context.folder) as scratch:
        found = walk_layers(
            target=context.ask,
            reference=reference,
            engine=RUNTIMES[context.step.runtime or ""].engine,
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
    "train": _train,
    "source": _source,
    "export": _export,
    "oracle": _oracle,
    "target": _target,
    "given": _given,
    "structure": _structure,
    "probe": _probe,
    "reference": _reference,
    "layers": _layers,
    "timing": _timing,
}
