"""What of the difference between source and port remains under each hypothesis, layer by layer in float64."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.compare.outputs import relative_rms
from harness.compare.port import LayerGap, Tried, first_different_layer
from harness.errors import BadInputError, UnsupportedError
from harness.files.arrays import Array, load_arrays, save_arrays
from harness.files.atomic import write_atomically
from harness.models.hypotheses import Hypothesis, applied, combinations, hypotheses_of
from harness.models.spec import ModelSpec
from harness.pipeline.step import Context

Arrays = dict[str, Array]
#: ``ask(request, **arguments)``: the result of a worker's answer. Raises WorkerError.
Ask = Callable[..., dict[str, Any]]

#: The most sets of hypotheses that are tried.
MAX_SETS = 400


class PortSearch:
    """Outputs of layers under hypotheses, compared with the source's."""

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
        write_model(self.scratch, spec, arrays)
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
                if len(self.sets) == MAX_SETS:
                    self.notes.append(f"Only {MAX_SETS} sets of hypotheses were tried, not all of {size}.")
                    break
                several.append(self._try(spec, arrays, chosen))
            # Of those that close nothing only the best say something.
            kept = [tried for tried in several if tried.closes] or sorted(several, key=_remaining)[:3]
            alone = [*alone, *kept]
        return tuple(alone)

    def _try(self, spec: ModelSpec, arrays: Arrays, chosen: tuple[Hypothesis, ...]) -> Tried:
        settings = tuple(hypothesis.setting for hypothesis in chosen)
        values = tuple(hypothesis.value for hypothesis in chosen)
        self.context.tell("hypothesis " + " and ".join(hypothesis.label for hypothesis in chosen))
        try:
            found = self._port(*applied(spec, arrays, chosen))
        except (UnsupportedError, BadInputError) as error:
            tried = Tried(settings=settings, values=values, remaining=None, refused=error.what)
        else:
            tried = Tried(
                settings=settings,
                values=values,
                remaining=relative_rms(found[self.output], self.reference[self.output]),
                parts_at=first_different_layer(self.kinds, found, self.reference),
            )
        self.sets.append((chosen, tried))
        return tried


def _remaining(tried: Tried) -> float:
    return float("inf") if tried.remaining is None else tried.remaining


def write_model(folder: Path, spec: ModelSpec, arrays: Arrays) -> None:
    """Write weights and their specification as a worker loads them."""
    save_arrays(folder / "weights.safetensors", arrays)
    write_atomically(folder / "model.json", spec.to_json() + "\n")
