"""The source under each hypothesis about what implementations disagree on, against what a file answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from harness.compare.placement import TriedHypothesis
from harness.errors import BadInputError, ModelError, UnsupportedError
from harness.files.arrays import Array, load_arrays, save_arrays
from harness.models import model
from harness.models.hypotheses import applied, hypotheses_of
from harness.models.spec import ModelSpec
from harness.pipeline.port_search import Ask, write_model

#: How far the output of a file is from an output of a source; None where it cannot be told.
Gap = Callable[[Array], float | None]


def tried_hypotheses(
    ask: Ask,
    spec: ModelSpec,
    weights: Path,
    inputs: Mapping[str, Array],
    output: str,
    gap: Gap,
    scratch: Path,
) -> list[TriedHypothesis]:
    """Every hypothesis of the model alone, those first that leave least; none where the model has none.

    ``gap`` of an output of the source under a hypothesis: how far the file's is from it.
    """
    if not getattr(model(spec.model), "HYPOTHESES", ()):
        return []
    arrays = load_arrays(weights / "weights.safetensors")
    given, outputs = scratch / "samples.safetensors", scratch / "outputs.safetensors"
    save_arrays(given, inputs)
    tried = []
    for hypothesis in hypotheses_of(spec.model):
        if not hypothesis.changes(spec):
            continue
        remaining = None
        try:
            write_model(scratch, *applied(spec, arrays, [hypothesis]))
            ask("load", path=str(scratch / "weights.safetensors"), precision="float64")
            ask("predict", inputs=str(given), outputs=str(outputs), batch_size=None)
            remaining = gap(load_arrays(outputs)[output])
        except (BadInputError, UnsupportedError, ModelError):
            pass
        tried.append(TriedHypothesis(label=hypothesis.label, remaining=remaining))
    return sorted(tried, key=lambda one: (one.remaining is None, one.remaining))
