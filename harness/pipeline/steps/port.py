"""A port compared with the source: outputs, layers, what would make them one function, and how both are trained.

The worker of the port is asked to be what each hypothesis says; nothing is read off the two specifications.
"""

from __future__ import annotations

import functools
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from harness.compare.outputs import relative_rms
from harness.compare.port import Convention, PortComparison, is_same
from harness.errors import BadInputError, ModelError, UnsupportedError
from harness.files.arrays import load_arrays
from harness.files.atomic import to_json, write_atomically
from harness.models import build_for
from harness.models.hypotheses import Hypothesis, applied
from harness.models.sampling import Sampling
from harness.models.spec import ModelSpec
from harness.pipeline.fingerprint import of_runtime
from harness.pipeline.port_search import Arrays, Ask, PortSearch, write_model
from harness.pipeline.port_training import Conventions
from harness.pipeline.source_code import code_hash
from harness.pipeline.step import Context, Step
from harness.pipeline.steps.weights import WEIGHTS, sampling_of
from harness.runtimes.row import Runtime
from harness.scenario.sections import PortSection


@dataclass(frozen=True, kw_only=True)
class PortStep(Step):
    """``runtime`` is that of the port; ``loss`` is the source's, with which one step of training is compared."""

    kind: ClassVar[str] = "port"

    port: PortSection
    source_framework: str
    source_runtime: Runtime
    loss: str | None
    batch_size: int
    seed: int
    threads: int

    def outside(self) -> dict[str, Any]:
        """Both frameworks with their workers, and what compares them."""
        return {
            **of_runtime(self.worker),
            "source": of_runtime(self.source_runtime),
            "code": code_hash(__name__, "harness.models"),
        }

    def carry_out(self, context: Context) -> None:
        """Leave the `PortComparison` as ``port.json``, beside the port's own outputs.

        Raises ModelError where the port cannot hold the source's weights, WorkerError where one of the two breaks. Where one
        of them cannot train as is asked, a note says so.
        """
        folder = context.folder
        weights = context.needed(*WEIGHTS)
        source_spec = ModelSpec.from_json((weights / "model.json").read_text(encoding="utf-8"))
        arrays = load_arrays(weights / "weights.safetensors")
        spec = self._port_spec(context, source_spec)
        source: Ask = functools.partial(context.ask_other, self.source_runtime.name)
        described = context.ask("describe")
        write_model(folder, spec, arrays)
        self._predict(context)
        sampling, output = Sampling.of_spec(spec), spec.decided_output.name
        answered, oracle = (
            sampling.sample_first(output, load_arrays(path / "probe.float64.safetensors")[output])
            for path in (folder, context.needed("source"))
        )
        probe = load_arrays(context.needed("data") / "probe.safetensors")
        probe = sampling.taken(probe, range(min(self.port.samples, sampling.count(probe))))
        with tempfile.TemporaryDirectory(prefix="port-", dir=folder) as name:
            scratch = Path(name)
            search = PortSearch(source, context, source_spec, weights / "weights.safetensors", probe, scratch)
            gaps = search.gaps(spec, arrays)
            tried = search.tried(spec, arrays, self.port.together)
            notes = [*search.notes]
            closing = next((found for found in search.sets if found[1].closes), None)
            if closing is None and not is_same(relative_rms(answered, oracle)):
                notes.append("No hypothesis closes the gap, so that statistics of a batch differ for that reason, too.")
            # Statistics of a batch compare where both implementations compute the same function.
            chosen = () if closing is None else closing[0]
            conventions, more = self._conventions(context, source, (source_spec, spec), arrays, chosen, scratch)
            notes += more
        found = PortComparison(
            framework=self.port.framework,
            source_framework=self.source_framework,
            preset=self.port.preset,
            versions=described["versions"],
            samples=min(self.port.samples, len(answered)),
            gap=relative_rms(answered, oracle),
            layers=gaps,
            tried=tried,
            conventions=tuple(conventions),
            notes=tuple(notes),
            expected=self.port.expect,
        )
        write_atomically(folder / "port.json", to_json(found.model_dump(mode="json")))

    def _port_spec(self, context: Context, source: ModelSpec) -> ModelSpec:
        """The specification of the port. Raises ModelError where it has other parameters than the source."""
        from harness.data.open_prepared import open_prepared

        spec = build_for(
            source.model,
            open_prepared(context.needed("data")).sizes,
            head=source.head,
            preset=self.port.preset,
            hyperparameters=self.port.hyperparameters,
        )
        shapes = [{known.name: known.shape for known in one.parameters} for one in (source, spec)]
        if shapes[0] != shapes[1]:
            raise ModelError(
                "the port has other parameters than the source, so that it cannot hold the same weights",
                where="port.hyperparameters",
                hint="give it the filters and kernels of the source",
            )
        return spec

    def _predict(self, context: Context) -> None:
        """The port's outputs with the source's weights: on the test samples in float32, on the probe in float64."""
        model = context.folder / "weights.safetensors"
        axes = sampling_of(context).of(context.ask("load", path=str(model), precision="float32"))
        test = context.needed("inputs") / "test.safetensors"
        context.predict(test, "test.float32.safetensors", self.batch_size, axes)
        context.ask("load", path=str(model), precision="float64")
        probe = context.needed("data") / "probe.safetensors"
        context.predict(probe, "probe.float64.safetensors", self.batch_size, axes)

    def _conventions(
        self,
        context: Context,
        source: Ask,
        specs: tuple[ModelSpec, ModelSpec],
        arrays: Arrays,
        chosen: tuple[Hypothesis, ...],
        scratch: Path,
    ) -> tuple[list[Convention], list[str]]:
        """What one step of training shows, and notes about it; a note alone where a worker cannot train so."""
        found: list[Convention] = []
        try:
            data = context.needed("data")
            training = Conventions(source, context.ask, specs, data, scratch, self.loss, self.seed)
            found += training.initial_values()
            found += training.statistics(arrays, *applied(specs[1], arrays, chosen))
        except (UnsupportedError, BadInputError) as error:
            return found, [f"One step of training was not compared: {error.what}."]
        return found, training.notes


def read_port(folder: Path) -> PortComparison:
    """What a ``port`` step left in its folder."""
    return PortComparison.model_validate(json.loads((folder / "port.json").read_text()))
