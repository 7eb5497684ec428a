"""How source and port are trained: what parameters begin with, and what one step on one batch moves.

Both workers get the same request, with a learning rate of 0, so that nothing but moving statistics is moved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.compare.port import Convention, taken_from_divisor, weight_of_new
from harness.files.arrays import Array, load_arrays, save_arrays
from harness.files.atomic import write_atomically
from harness.models.spec import ModelSpec

Arrays = dict[str, Array]
#: ``ask(request, **arguments)``: the result of a worker's answer. Raises WorkerError.
Ask = Callable[..., dict[str, Any]]

#: The most sequences in the batch.
_SEQUENCES = 4


class Conventions:
    """Conventions of training, measured. ``data`` is the folder of the prepared data, ``scratch`` an empty one to work in.

    Raises WorkerError, from its methods, where one of the two workers cannot train as is asked.
    """

    def __init__(
        self,
        source: Ask,
        port: Ask,
        specs: tuple[ModelSpec, ModelSpec],
        data: Path,
        scratch: Path,
        loss: str | None,
        seed: int,
    ) -> None:
        self.source, self.port, self.specs = source, port, specs
        self.scratch, self.loss, self.seed = scratch, loss, seed
        self.notes: list[str] = []
        self.batches = {repeats: scratch / f"batch-{repeats}" for repeats in (1, 2)}
        self.sequences = self._write_batches(data)
        self._trained = 0

    def _write_batches(self, data: Path) -> int:
        """The first sequences of the training part, once and twice, as data of their own; returns their number."""
        tensors = load_arrays(data / "train.safetensors")
        starts = tensors["starts"][:_SEQUENCES]
        # Only the frames that they need.
        length = sum(
            axis.size or 0
            for tensor in (*self.specs[0].inputs, *self.specs[0].outputs)
            for axis in tensor.axes
            if axis.name in ("time", "step")
        )
        last = int(starts.max()) + length
        frames = {name: tensors[name][:last] for name in ("frames", "valid", "times")}
        for repeats, folder in self.batches.items():
            folder.mkdir()
            (folder / "dataset.json").write_bytes((data / "dataset.json").read_bytes())
            again = {name: np.tile(tensors[name][: len(starts)], repeats) for name in ("starts", "ids")}
            for part in ("train", "valid"):
                save_arrays(folder / f"{part}.safetensors", frames | again)
        return len(starts)

    def _train(self, ask: Ask, spec: ModelSpec, *, start: Arrays | None, epochs: int, repeats: int = 1) -> Arrays:
        """Weights after so many steps on the batch, whose sequences come ``repeats`` times."""
        self._trained += 1
        folder = self.scratch / f"training-{self._trained}"
        folder.mkdir()
        write_atomically(folder / "model.json", spec.to_json() + "\n")
        write_atomically(folder / "metadata.json", "{}")
        arguments: dict[str, Any] = {}
        if start is not None:
            save_arrays(folder / "start.safetensors", start)
            arguments["start"] = str(folder / "start.safetensors")
        ask(
            "train",
            data=str(self.batches[repeats]),
            out=str(folder),
            epochs=epochs,
            batch_size=max(self.sequences * repeats, 2),
            seed=self.seed,
            learning_rate=0.0,
            weight_decay=0.0,
            loss=self.loss,
            **arguments,
        )
        return load_arrays(folder / "weights.safetensors")

    def initial_values(self) -> Iterator[Convention]:
        """What untrained parameters of both begin with, where that differs."""
        asked = zip((self.source, self.port), self.specs, strict=True)
        first, second = (self._train(ask, spec, start=None, epochs=0) for ask, spec in asked)
        # Equal findings of several layers are one.
        constants: dict[tuple[str, float, float], list[str]] = {}
        for name, part, place in _parts(self.specs[0]):
            ours, theirs = first[name][place], second[name][_place(self.specs[1], name, part)]
            # Of a single number nobody can say whether it was drawn.
            if ours.size > 1 and np.ptp(ours) == 0 and np.ptp(theirs) == 0 and ours[0] != theirs[0]:
                constants.setdefault((part, float(ours[0]), float(theirs[0])), []).append(name)
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
        for ask, spec, start in ((self.source, self.specs[0], arrays), (self.port, port_spec, port_arrays)):
            from_zero, from_one = (
                self._train(ask, spec, start=start | _filled(start, named, value), epochs=1) for value in (0.0, 1.0)
            )
            twice = self._train(ask, spec, start=start | _filled(start, named, 0.0), epochs=1, repeats=2)
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
            before=_rms(moved[1][0] - moved[0][0]),
            after=_rms(ours * batches[1] - moved[0][0]),
        )
        sizes = {axis.name: axis.size or 1 for axis in self.specs[0].inputs[0].axes[2:]}
        count = self.sequences * int(np.prod(list(sizes.values())))
        place = np.concatenate([np.full(arrays[name].size, role == "variance") for name, role in named])
        # A channel that never varies says nothing of a divisor.
        place &= np.all([part > 0 for zero, _, twice in moved for part in (zero, twice)], axis=0)
        if not place.any():
            return
        taken = [taken_from_divisor(zero[place], twice[place], count) for zero, _, twice in moved]
        variances = [batch[place] for batch in batches]
        factor = (count - taken[1]) / (count - taken[0])
        yield Convention(
            setting=f"taken from the number of values (n = {count:,}) that a variance is divided by",
            where="batch normalisation",
            source=taken[0],
            port=taken[1],
            hypothesis=f"divide by {'n' if round(taken[0]) == 0 else f'n − {round(taken[0])}'}",
            before=_rms(variances[1] / variances[0] - 1.0),
            after=_rms(variances[1] * factor / variances[0] - 1.0),
        )


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


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
