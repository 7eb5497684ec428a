"""A port held against the source: outputs, layers, what would make them one function, and how both are trained.

The worker of the port is asked to be what each hypothesis says; nothing is read off the two specifications.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.compare.port import (
    Convention,
    LayerGap,
    PortComparison,
    Tried,
    first_to_part,
    is_same,
    relative_gap,
    root_mean_square,
    taken_from_divisor,
    weight_of_new,
)
from harness.errors import BadInputError, ModelError, UnsupportedError
from harness.models import build_for
from harness.models.hypotheses import Hypothesis, applied, combinations, hypotheses_of
from harness.models.spec import ModelSpec
from harness.step_context import Context
from harness.store import to_json, write_atomically

Array = NDArray[Any]
Arrays = dict[str, Array]
#: ``ask(request, **arguments)``: the result of a worker's answer. Raises WorkerError.
Ask = Callable[..., dict[str, Any]]

#: Sequences in the batch on which one step of training is compared.
_BATCH = 4

#: Most sets of hypotheses that are tried.
_MOST = 400


def port(context: Context) -> None:
    """See `PortComparison`; leaves it as ``port.json``, beside the port's own outputs."""
    parameters = context.step.parameters
    folder = context.folder
    weights = context.needed("train", "import")
    source_spec = ModelSpec.from_json((weights / "model.json").read_text(encoding="utf-8"))
    arrays = _load(weights / "weights.safetensors")
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
    answered = _load(folder / "probe.float64.safetensors")[output]
    oracle = _load(context.needed("source") / "probe.float64.safetensors")[output]
    probe = {
        name: array[: parameters["samples"]]
        for name, array in _load(context.needed("data") / "probe.safetensors").items()
    }
    search = _Search(source, context, source_spec, weights / "weights.safetensors", probe)
    gaps = search.layers(spec, arrays)
    tried = search.tried(spec, arrays, parameters["together"])
    closing = next((found for found in search.sets if found[1].closes), None)
    notes = [*search.notes]
    conventions: list[Convention] = []
    try:
        training = _Training(context, source, source_spec, spec, parameters["loss"], parameters["seed"])
        conventions = [*training.beginnings()]
        # Statistics of a batch compare where both implementations compute the same function.
        chosen = () if closing is None else closing[0]
        if closing is None and not is_same(relative_gap(answered, oracle)):
            notes.append("No hypothesis closes the gap, so that statistics of a batch differ for that reason, too.")
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
        gap=relative_gap(answered, oracle),
        layers=gaps,
        tried=tried,
        conventions=tuple(conventions),
        notes=tuple(notes),
        expected=parameters["expect"],
    )
    write_atomically(folder / "port.json", to_json(found.model_dump(mode="json")))


def _port_spec(context: Context, source: ModelSpec) -> ModelSpec:
    from harness.data.prepared_frames import open_prepared

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

    def __init__(self, source: Ask, context: Context, spec: ModelSpec, weights: Path, probe: Arrays) -> None:
        self.context, self.folder = context, context.folder
        self.output = spec.outputs[0].name
        # What the last layer gives is the model's output, with or without its activation, as frameworks draw the line.
        self.kinds = {layer.name: layer.kind for layer in spec.layers[:-1]}
        self.inputs = self.folder / "samples.safetensors"
        _save(self.inputs, probe)
        self.notes: list[str] = []
        self.sets: list[tuple[tuple[Hypothesis, ...], Tried]] = []
        source("load", path=str(weights), precision="float64")
        self.reference = self._answers(source)

    def _answers(self, ask: Ask) -> Arrays:
        layers, outputs = self.folder / "layers.safetensors", self.folder / "outputs.safetensors"
        ask("activations", inputs=str(self.inputs), names=list(self.kinds), outputs=str(layers))
        ask("predict", inputs=str(self.inputs), outputs=str(outputs), batch_size=None)
        found = {**_load(layers), self.output: _load(outputs)[self.output]}
        layers.unlink()
        outputs.unlink()
        return found

    def _port(self, spec: ModelSpec, arrays: Arrays) -> Arrays:
        """What the port answers as the specification has it."""
        folder = self.folder / "tried"
        folder.mkdir(exist_ok=True)
        _write_model(folder, spec, arrays)
        try:
            self.context.ask("load", path=str(folder / "weights.safetensors"), precision="float64")
            return self._answers(self.context.ask)
        finally:
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()

    def layers(self, spec: ModelSpec, arrays: Arrays) -> tuple[LayerGap, ...]:
        """How far every layer and the output are apart, as the port is."""
        found = self._port(spec, arrays)
        return tuple(
            LayerGap(layer=name, kind=kind, relative_rms=relative_gap(found[name], self.reference[name]))
            for name, kind in {**self.kinds, self.output: "output"}.items()
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
                remaining=relative_gap(found[self.output], self.reference[self.output]),
                parts_at=first_to_part({**self.kinds, self.output: "output"}, found, self.reference),
            )
        self.sets.append((chosen, tried))
        return tried


def _remaining(tried: Tried) -> float:
    return float("inf") if tried.remaining is None else tried.remaining


class _Training:
    """How source and port begin and what one step moves, both asked for with the same request."""

    def __init__(
        self, context: Context, source: Ask, source_spec: ModelSpec, port_spec: ModelSpec, loss: str | None, seed: int
    ) -> None:
        self.context, self.source, self.loss, self.seed = context, source, loss, seed
        self.specs = (source_spec, port_spec)
        self.notes: list[str] = []

    def _train(self, ask: Ask, spec: ModelSpec, *, start: Arrays | None, epochs: int, repeats: int = 1) -> Arrays:
        """Weights after so many steps on one batch, whose sequences come ``repeats`` times; nothing is learned."""
        folder = self.context.folder / "training"
        data = folder / "data"
        data.mkdir(parents=True)
        whole = self.context.needed("data")
        (data / "dataset.json").write_bytes((whole / "dataset.json").read_bytes())
        for part in ("train", "valid"):
            tensors = _load(whole / f"{part}.safetensors")
            for name in ("starts", "ids"):
                tensors[name] = np.tile(tensors[name][:_BATCH], repeats)
            self.batch = len(tensors["starts"])
            _save(data / f"{part}.safetensors", tensors)
        write_atomically(folder / "model.json", spec.to_json() + "\n")
        write_atomically(folder / "metadata.json", "{}")
        arguments: dict[str, Any] = {}
        if start is not None:
            _save(folder / "start.safetensors", start)
            arguments["start"] = str(folder / "start.safetensors")
        try:
            ask(
                "train",
                data=str(data),
                out=str(folder),
                epochs=epochs,
                batch_size=max(self.batch, 2),
                seed=self.seed,
                learning_rate=0.0,
                weight_decay=0.0,
                loss=self.loss,
                **arguments,
            )
            return _load(folder / "weights.safetensors")
        finally:
            for path in sorted(folder.rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()
            folder.rmdir()

    def beginnings(self) -> Iterator[Convention]:
        """What untrained parameters of both begin with, where that differs."""
        asked = zip((self.source, self.context.ask), self.specs, strict=True)
        first, second = (self._train(ask, spec, start=None, epochs=0) for ask, spec in asked)
        # Equal findings of several layers are one.
        constants: dict[tuple[str, float, float], list[str]] = {}
        for name, part, place in _parts(self.specs[0]):
            held, ported = first[name][place], second[name][_place(self.specs[1], name, part)]
            # Of a single number nobody can say whether it was drawn.
            if held.size > 1 and np.ptp(held) == 0 and np.ptp(ported) == 0 and held[0] != ported[0]:
                constants.setdefault((part, float(held[0]), float(ported[0])), []).append(name)
        for (part, one, other), names in constants.items():
            yield Convention(
                setting=f"initial {part}",
                where=", ".join(names),
                source=one,
                port=other,
                hypothesis=f"begin with {one:g}",
                before=abs(one - other),
                after=0.0,
            )
        for parameter in self.specs[0].parameters:
            one, other = (float(np.std(arrays[parameter.name])) for arrays in (first, second))
            if parameter.role == "weight" and max(one, other) > 1.1 * min(one, other):
                yield Convention(setting="spread of initial weights", where=parameter.name, source=one, port=other)

    def statistics(self, arrays: Arrays, port_spec: ModelSpec, port_arrays: Arrays) -> Iterator[Convention]:
        """How a batch enters the moving statistics of batch normalisation."""
        named = [
            (parameter.name, parameter.role)
            for parameter in self.specs[0].parameters
            if parameter.role in ("mean", "variance")
        ]
        if not named:
            return
        moved = []
        for ask, spec, held in ((self.source, self.specs[0], arrays), (self.context.ask, port_spec, port_arrays)):
            from_zero, from_one = (
                self._train(ask, spec, start=held | _filled(held, named, value), epochs=1) for value in (0.0, 1.0)
            )
            twice = self._train(ask, spec, start=held | _filled(held, named, 0.0), epochs=1, repeats=2)
            moved.append([_flat(found, named) for found in (from_zero, from_one, twice)])
        weights = [weight_of_new(zero, one) for zero, one, _ in moved]
        ours, theirs = weights
        if abs(ours - theirs) > 1e-3 and abs(ours + theirs - 1.0) < 1e-3:
            self.notes.append(
                f"The port gives a new batch the weight that the source gives to the old statistics: {theirs:.3g} is "
                f"1 − {ours:.3g}, as if the number had been copied from one convention into the other."
            )
        batches = [zero / weight for (zero, _, _), weight in zip(moved, weights, strict=True)]
        yield Convention(
            setting="weight of a new batch in moving statistics",
            where="batch normalisation",
            source=ours,
            port=theirs,
            hypothesis=f"weigh it by {ours:.3g}",
            before=root_mean_square([moved[1][0] - moved[0][0]]),
            after=root_mean_square([ours * batches[1] - moved[0][0]]),
        )
        sizes = {axis.name: axis.size or 1 for axis in self.specs[0].inputs[0].axes[2:]}
        count = _BATCH * int(np.prod(list(sizes.values())))
        place = np.concatenate([np.full(arrays[name].size, role == "variance") for name, role in named])
        taken = [taken_from_divisor(zero[place], twice[place], count) for zero, _, twice in moved]
        variances = [batch[place] for batch in batches]
        factor = (count - taken[1]) / (count - taken[0])
        yield Convention(
            setting=f"taken from the number of values (n = {count:,}) that a variance is divided by",
            where="batch normalisation",
            source=taken[0],
            port=taken[1],
            hypothesis=f"divide by {'n' if round(taken[0]) == 0 else f'n − {round(taken[0])}'}",
            before=root_mean_square([variances[1] / variances[0] - 1.0]),
            after=root_mean_square([variances[1] * factor / variances[0] - 1.0]),
        )


def _parts(spec: ModelSpec) -> Iterator[tuple[str, str, slice]]:
    """Parameters that an implementation begins with one number: name, what it is, and where; biases of gates one by one."""
    gates = {"i": "input", "f": "forget", "o": "output", "g": "candidate"}
    for layer in spec.layers:
        for parameter in layer.parameters:
            if parameter.role == "weight":
                continue
            if layer.kind == "convolutional-lstm":
                size = parameter.shape[0] // 4
                for index, gate in enumerate(str(spec.hyperparameters["gate_order"])):
                    yield parameter.name, f"bias of the {gates[gate]} gate", slice(index * size, (index + 1) * size)
            else:
                yield parameter.name, f"{parameter.role} of {layer.kind.replace('-', ' ')}", slice(None)


def _place(spec: ModelSpec, name: str, part: str) -> slice:
    """Where a part of a parameter lies in the other specification, whose gates may have another order."""
    return next(place for other, known, place in _parts(spec) if (other, known) == (name, part))


def _filled(arrays: Arrays, named: Sequence[tuple[str, str]], value: float) -> Arrays:
    return {name: np.full_like(arrays[name], value) for name, _ in named}


def _flat(arrays: Arrays, named: Sequence[tuple[str, str]]) -> Array:
    return np.concatenate([np.asarray(arrays[name], np.float64).ravel() for name, _ in named])


def _write_model(folder: Path, spec: ModelSpec, arrays: Arrays) -> None:
    _save(folder / "weights.safetensors", arrays)
    write_atomically(folder / "model.json", spec.to_json() + "\n")


def _load(path: Path) -> Arrays:
    from safetensors.numpy import load_file

    arrays: Arrays = load_file(path)
    return arrays


def _save(path: Path, arrays: Arrays) -> None:
    from safetensors.numpy import save_file

    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path)


def read_port(folder: Path) -> PortComparison:
    """What a ``port`` step left in its folder."""
    return PortComparison.model_validate(json.loads((folder / "port.json").read_text()))
