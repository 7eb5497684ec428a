"""Which axes of a given file's inputs and outputs are the sample."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from harness.data.sample_axes import InputSamples, ToldAxes, sentences
from harness.errors import AccidentError, DataError, WorkerError
from harness.files.arrays import load_arrays, save_arrays, texts_of
from harness.files.atomic import to_json, write_atomically
from harness.pipeline.fingerprint import of_runtime
from harness.pipeline.sample_search import Array, OutputSamples, find_output_axes
from harness.pipeline.source_code import code_hash
from harness.pipeline.step import Context, Step
from harness.pipeline.steps.weights import model_of
from harness.runtimes.registry import availability, runtime


@dataclass(frozen=True, kw_only=True)
class SamplesStep(Step):
    """Leaves ``samples.json``: the axes by name, whether all samples are run in one call, and what is told of it.

    It holds ``rows`` too: the shapes of outputs without their sample axis, as far as the file could be run.

    ``runtimes``: those that are asked in turn until one can run the file. ``axes``, ``shared``: what the user says, by name.
    ``batch_size``: samples per call where the user names a number.
    """

    kind: ClassVar[str] = "samples"

    runtimes: tuple[str, ...]
    axes: Mapping[str, int] = field(default_factory=dict)
    shared: tuple[str, ...] = ()
    batch_size: int | None = None

    def outside(self) -> dict[str, Any]:
        """The runtimes that may be asked, and what finds the axes."""
        return {
            "runtimes": [of_runtime(runtime(name)) for name in self.runtimes],
            "code": code_hash(__name__),
        }

    def carry_out(self, context: Context) -> None:
        """Find the axes. Raises DataError on an axis or a batch size of the user's that cannot be."""
        about = json.loads((context.needed("probe") / "probe.json").read_text())
        outputs = json.loads((context.needed("structure") / "load.json").read_text())["outputs"]
        inputs = InputSamples(**about["inputs"])
        probe = load_arrays(context.needed("probe") / "probe.safetensors")
        found, inputs, why = self._search(context, probe, inputs, outputs)
        if self.batch_size is not None and inputs.fixed not in (None, self.batch_size):
            raise DataError(
                f"the file takes {inputs.fixed} samples per call, not {self.batch_size}",
                where="--batch-size",
                hint="leave it out: the last batch is filled and cut",
            )
        if self.batch_size is not None and self.batch_size < inputs.samples and found.whole:
            raise DataError(
                f"output '{found.whole[0]}' belongs to all samples of a call together, so that batches would change it",
                where="--batch-size",
                hint="leave it out: all samples are run in one call",
            )
        said = [*sentences(inputs), *found.sentences()]
        if why:
            said.append(f"which axes of the outputs are the sample could not be tried: {why}")
        content = {
            "axes": {**inputs.axes, **found.axes},
            "whole": bool(found.whole),
            "said": said,
            "rows": dict(found.rows),
        }
        write_atomically(context.folder / "samples.json", to_json(content))

    def _search(
        self, context: Context, probe: Mapping[str, Array], inputs: InputSamples, outputs: list[dict[str, Any]]
    ) -> tuple[OutputSamples, InputSamples, str]:
        """By the first runtime that can run the file; else axis 0, or what the user says, and why it could not be tried."""
        told = ToldAxes(self.axes, self.shared)
        # An input that may be of all samples is first taken for one that has them.
        shared = replace(inputs, axes={**inputs.axes, **dict.fromkeys(inputs.uncertain)})
        texts = [str(entry["name"]) for entry in outputs if entry["dtype"] == "string"]
        why = ""
        for name in self.runtimes:
            if not availability(runtime(name)).installed:
                continue
            for tried in [inputs, shared] if inputs.uncertain else [inputs]:
                try:
                    with tempfile.TemporaryDirectory(prefix="samples-", dir=context.folder) as scratch:
                        run = _Calls(context, name, Path(scratch), tried, texts)
                        return find_output_axes(run, probe, tried, outputs, told), tried, ""
                except AccidentError:
                    raise
                except WorkerError as error:
                    why = error.what
        axes = {str(entry["name"]): told.axes.get(str(entry["name"]), 0) for entry in outputs}
        return OutputSamples(axes | dict.fromkeys(name for name in axes if name in told.shared)), inputs, why


class _Calls:
    """Single calls of the file in one runtime."""

    def __init__(self, context: Context, name: str, scratch: Path, inputs: InputSamples, texts: list[str]) -> None:
        self._context, self._name, self._scratch, self._texts = context, name, scratch, texts
        self._axes = {tensor: axis for tensor, axis in inputs.axes.items() if axis != 0}
        context.ask_other(name, "load", path=str(model_of(context)), precision="float32")

    def __call__(self, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        given, outputs = self._scratch / "inputs.safetensors", self._scratch / "outputs.safetensors"
        save_arrays(given, feeds)
        asked: dict[str, Any] = {
            "inputs": str(given),
            "outputs": str(outputs),
            "batch_size": None,
            "sample_axes": self._axes,
        }
        self._context.ask_other(self._name, "predict", **asked)
        arrays = load_arrays(outputs)
        return arrays | {name: texts_of(arrays[name]) for name in self._texts if name in arrays}
