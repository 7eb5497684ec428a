"""A port held against the source: outputs, layers, what would make them one function, and how both are trained.

The worker of the port is asked to be what each hypothesis says; nothing is read off the two specifications.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.compare.outputs import relative_rms
from harness.compare.port import (
    Convention,
    LayerGap,
    PortComparison,
    Tried,
    first_to_part,
    is_same,
)
from harness.errors import BadInputError, ModelError, UnsupportedError
from harness.files.arrays import Array, load_arrays, save_arrays
from harness.files.atomic import to_json, write_atomically
from harness.models import build_for
from harness.models.hypotheses import Hypothesis, applied, combinations, hypotheses_of
from harness.models.spec import ModelSpec
from harness.pipeline.context import Context
from harness.pipeline.port_training import Conventions

Arrays = dict[str, Array]
#: ``ask(request, **arguments)``: the result of a worker's answer. Raises WorkerError.
Ask = Callable[..., dict[str, Any]]

#: Most sets of hypotheses that are tried.
_MOST = 400


def port(context: Context) -> None:
    """Hold the port against the source; leaves the `PortComparison` as ``port.json``, beside the port's own outputs.

    Raises ModelError where the port cannot hold the source's weights, WorkerError where one of the two breaks. Where one of them
    cannot train as is asked, a note says so.
    """
    parameters = context.step.parameters
    folder = context.folder
    weights = context.needed("train", "import")
    source_spec = ModelSpec.from_json((weights / "model.json").read_text(encoding="utf-8"))
    arrays = load_arrays(weights / "weights.safetensors")
    spec = _port_spec(context, source_spec)
    runtime = parameters["source_runtime"]

    def source(request: str, **arguments: Any) -> dict[str, Any]:
        return context.workers.request(
            runtime, request, timeout=context.limits.request_seconds, progress=None, **arguments
        )

    described = context.ask("describe")
    _write_model(folder, spec, arrays)
    model, size = folder / "weights.safetensors", parameters["batch_size"]
    context.ask("load", path=str(model), precision="float32")
    context.predict(context.needed("inputs") / "test.safetensors", "test.float32.safetensors", size)
    context.ask("load", path=str(model), precision="float64")
    context.predict(context.needed("data") / "probe.safetensors", "probe.float64.safetensors", size)
    output = spec.outputs[0].name
    answered = load_arrays(folder / "probe.float64.safetensors")[output]
    oracle = load_arrays(context.needed("source") / "probe.float64.safetensors")[output]
    probe = {
        name: array[: parameters["samples"]]
        for name, array in load_arrays(context.needed("data") / "probe.safetensors").items()
    }
    notes: list[str] = []
    conventions: list[Convention] = []
    with tempfile.TemporaryDirectory(prefix="port-", dir=folder) as name:
        scratch = Path(name)
        search = _Search(source, context, source_spec, weights / "weights.safetensors", probe, scratch)
        gaps = search.gaps(spec, arrays)
        tried = search.tried(spec, arrays, parameters["together"])
        notes += search.notes
        closing = next((found for found in search.sets if found[1].closes), None)
        if closing is None and not is_same(relative_rms(answered, oracle)):
            notes.append("No hypothesis closes the gap, so that statistics of a batch differ for that reason, too.")
        # Statistics of a batch compare where both implementations compute the same function.
        chosen = () if closing is None else closing[0]
        specs, data = (source_spec, spec), context.needed("data")
        try:
            training = Conventions(source, context.ask, specs, data, scratch, parameters["loss"], parameters["seed"])
            conventions += training.beginnings()
            conventions += training.statistics(arrays, *applied(spec, arrays, chosen))
            notes += training.notes
        except (UnsupportedError, BadInputError) as error:
            notes.append(f"One step of training was not compared: {error.what}.")
    found = PortComparison(
        framework=parameters["framework"],
        source_framework=parameters["source_framework"],
        preset=parameters["preset"],
        versions=described["versions"],
        samples=min(parameters["samples"], len(answered)),
        gap=relative_rms(answered, oracle),
        layers=gaps,
        tried=tried,
        conventions=tuple(conventions),
        notes=tuple(notes),
        expected=parameters["expect"],
    )
    write_atomically(folder / "port.json", to_json(found.model_dump(mode="json")))


def _port_spec(context: Context, source: ModelSpec) -> ModelSpec:
    from harness.data.open_prepared import open_prepared

    parameters = context.step.parameters
    spec = build_for(
        source.model,
        open_prepared(context.needed("data")).sizes,
        head=source.head,
        preset=parameters["preset"],
        hyperparameters=parameters["hyperparameters"],
    )
    shapes = [{known.name: known.shape for known in one.parameters} for one in (source, spec)]
    if shapes[0] != shapes[1]:
        raise ModelError(
            "the port has other parameters than the source, so that it cannot hold the same weights",
            where="port.hyperparameters",
            hint="give it the filters and kernels of the source",
        )
    return spec


class _Search:
    """Outputs of layers under hypotheses, held against the source's."""

    def __init__(
        self, source: Ask, context: Context, spec: ModelSpec, weights: Path, probe: Arrays, scratch: Path
    ) -> None:
        self.context, self.scratch = context, scratch
        self.output = spec.outputs[0].name
        # What the last layer gives is the model's output, with or without its activation, as frameworks draw the line.
        self.layers = {layer.name: layer.kind for layer in spec.layers[:-1]}
        self.kinds = {**self.layers, self.output: "output"}
        self.inputs = self.scratch / "samples.safetensors"
        save_arrays(self.inputs, probe)
        self.notes: list[str] = []
        self.sets: list[tuple[tuple[Hypothesis, ...], Tried]] = []
        source("load", path=str(weights), precision="float64")
        self.reference = self._answers(source)

    def _answers(self, ask: Ask) -> Arrays:
        layers, outputs = self.scratch / "layers.safetensors", self.scratch / "outputs.safetensors"
        ask("activations", inputs=str(self.inputs), names=list(self.layers), outputs=str(layers))
        ask("predict", inputs=str(self.inputs), outputs=str(outputs), batch_size=None)
        return {**load_arrays(layers), self.output: load_arrays(outputs)[self.output]}

    def _port(self, spec: ModelSpec, arrays: Arrays) -> Arrays:
        """What the port answers as the specification has it."""
        _write_model(self.scratch, spec, arrays)
        self.context.ask("load", path=str(self.scratch / "weights.safetensors"), precision="float64")
        return self._answers(self.context.ask)

    def gaps(self, spec: ModelSpec, arrays: Arrays) -> tuple[LayerGap, ...]:
        """How far every layer and the output are apart, as the port is."""
        found = self._port(spec, arrays)
        return tuple(
            LayerGap(layer=name, kind=kind, relative_rms=relative_rms(found[name], self.reference[name]))
            for name, kind in self.kinds.items()
        )

    def tried(self, spec: ModelSpec, arrays: Arrays, together: int) -> tuple[Tried, ...]:
        """Every hypothesis alone; where none closes the gap, two of them, then three, up to so many ``together``."""
        offered = [hypothesis for hypothesis in hypotheses_of(spec.model) if hypothesis.changes(spec)]
        alone = [self._try(spec, arrays, (hypothesis,)) for hypothesis in offered]
        kept = alone
        for size in range(2, together + 1):
            if any(tried.closes for tried in kept):
                break
            several = []
            for chosen in combinations(offered, size):
                if len(self.sets) == _MOST:
                    self.notes.append(f"Only {_MOST} sets of hypotheses were tried, not all of {size}.")
                    break
                several.append(self._try(spec, arrays, chosen))
            # Of those that close nothing only the best say something.
            kept = [tried for tried in several if tried.closes] or sorted(several, key=_remaining)[:3]
            alone = [*alone, *kept]
        return tuple(alone)

    def _try(self, spec: ModelSpec, arrays: Arrays, chosen: tuple[Hypothesis, ...]) -> Tried:
        settings = tuple(hypothesis.setting for hypothesis in chosen)
        values = tuple(hypothesis.value for hypothesis in chosen)
        if self.context.progress is not None:
            text = " and ".join(hypothesis.label for hypothesis in chosen)
            self.context.progress({"done": 0, "total": 0, "text": f"hypothesis {text}"})
        try:
            found = self._port(*applied(spec, arrays, chosen))
        except (UnsupportedError, BadInputError) as error:
            tried = Tried(settings=settings, values=values, remaining=None, refused=error.what)
        else:
            tried = Tried(
                settings=settings,
                values=values,
                remaining=relative_rms(found[self.output], self.reference[self.output]),
                parts_at=first_to_part(self.kinds, found, self.reference),
            )
        self.sets.append((chosen, tried))
        return tried


def _remaining(tried: Tried) -> float:
    return float("inf") if tried.remaining is None else tried.remaining


def _write_model(folder: Path, spec: ModelSpec, arrays: Arrays) -> None:
    save_arrays(folder / "weights.safetensors", arrays)
    write_atomically(folder / "model.json", spec.to_json() + "\n")


def read_port(folder: Path) -> PortComparison:
    """What a ``port`` step left in its folder."""
    return PortComparison.model_validate(json.loads((folder / "port.json").read_text()))
