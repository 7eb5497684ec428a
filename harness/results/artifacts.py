"""The artifacts of a run's steps, read for comparison: of a source, of an export, and of a target."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.compare.partings import decided, followed
from harness.compare.records import Verdict
from harness.files.arrays import Array, load_arrays, texts_of
from harness.files.parameter_places import load_parameters
from harness.models.sampling import Sampling
from harness.models.spec import ModelSpec
from harness.pipeline.execution import Failure
from harness.pipeline.plan import MORE_VOTERS, Cell
from harness.pipeline.steps.agreement import read_agreement
from harness.pipeline.steps.oracle import OUTPUTS, answered
from harness.pipeline.steps.weights import read_sampling
from harness.results.evaluate import Exported, SourceModel
from harness.results.evaluate import Target as RunTarget
from harness.runtimes.registry import runtime
from harness.tasks import task
from harness.tasks.base import Target
from harness.tasks.decision_rule import DecisionRule
from harness.version_names import split


@dataclass(frozen=True)
class Probe:
    """The fixed inputs on which a source and its targets are compared, as far as comparisons and tables name them."""

    sha256: str
    samples: int
    ids: NDArray[np.int64]
    #: ``dataset.json``, and the targets of the samples by name; empty where a user gave the probe.
    record: Mapping[str, Any] = field(default_factory=dict)
    target: Target = field(default_factory=dict)

    def decision(self, spec: ModelSpec) -> DecisionRule | None:
        """How decisions are made on a model's answers to this probe; None where nothing is decided, or nothing is known."""
        return task(spec.task).decision_rule(spec.problem(self.record), self.ids, self.target) if self.record else None


@dataclass(frozen=True)
class SourceArtifacts:
    """A source as artifacts: the folder of its weights, that of its answers, and the probe they are answers to.

    ``file_spec``: the specification with the axes of its inputs in the order of a given file, where that differs.
    """

    weights: Path
    predictions: Path
    probe: Probe
    file_spec: ModelSpec | None = None

    @cached_property
    def spec(self) -> ModelSpec:
        """The model specification."""
        return ModelSpec.from_json((self.weights / "model.json").read_text())

    @cached_property
    def metadata(self) -> dict[str, str]:
        """The metadata that every exported file must carry; empty where nothing is recorded of the weights."""
        path = self.weights / "metadata.json"
        metadata: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        return metadata

    @property
    def imported(self) -> dict[str, Any] | None:
        """``import.json`` where the weights were given as a file."""
        path = self.weights / "import.json"
        return json.loads(path.read_text()) if path.exists() else None

    @property
    def output(self) -> str:
        """Name of the output that decisions are made on."""
        return self.spec.decided_output.name

    @cached_property
    def float32(self) -> dict[str, Array]:
        """The source's own float32 outputs on the probe, axis 0 the sample; the one that decisions are made on is the first."""
        return self._outputs("probe.float32.safetensors")

    @cached_property
    def float64(self) -> dict[str, Array]:
        """The source oracle: the same model's float64 outputs on the probe."""
        return self._outputs("probe.float64.safetensors")

    def _outputs(self, name: str) -> dict[str, Array]:
        found = read_outputs(self.predictions / name, Sampling.of_spec(self.spec))
        names = [tensor.name for tensor in self.spec.outputs]
        return {name: found[name] for name in sorted(names, key=lambda name: name != self.output)}

    @property
    def probe64(self) -> Array:
        """The source oracle of the output that decisions are made on."""
        return self.float64[self.output]

    @cached_property
    def model(self) -> SourceModel:
        """What targets are compared with."""
        return SourceModel(
            spec=self.spec,
            parameters=load_arrays(self.weights / "weights.safetensors"),
            float32=self.float32,
            float64=self.float64,
            metadata=self.metadata,
            decision=self.probe.decision(self.spec),
            file_spec=self.file_spec,
        )


def oracle_folders(
    oracles: Sequence[str], agreement: str | None, folders: Mapping[str, Path], target: str = ""
) -> dict[str, Path]:
    """The folders of what is compared with, by the runtimes that computed it, the preferred one first; empty where nobody could.

    ``oracles`` and ``agreement`` name steps. Where oracles part, those that a majority is for, not counting the vote of the engine
    that the runtime ``target`` calls itself; where it is for none of a whole graph, what was put together node by node.
    """
    agreed = read_agreement(None if agreement is None else folders.get(agreement))
    computed = {_runtime(name): folders[name] for name in oracles if answered(folders.get(name))}
    own = own_engine(target) if target else ""
    if agreed.by_node and agreement is not None and (decided(agreed, own) or not computed):
        return {" and ".join(agreed.by_node): folders[agreement]}
    return {name: computed[name] for name in followed(agreed, [*computed], own)}


def oracles_of(cell: Cell, folders: Mapping[str, Path]) -> dict[str, Path]:
    """Those of a cell."""
    return oracle_folders(cell.oracles, cell.agreement, folders, cell.target)


def own_engine(target: str) -> str:
    """The runtime among those that vote which computes with a target's engine, in whatever version or language it is called."""
    engine = runtime(target).engine
    return next((name for name in MORE_VOTERS if runtime(name).engine == engine), split(target)[0])


def read_structure(cell: Cell, folders: Mapping[str, Path]) -> dict[str, Any] | None:
    """The graph that a cell's target opened; None for a file that has none."""
    places = [folders[name] for name in ("structure", *cell.oracles) if name in folders]
    path = next((folder / "structure.json" for folder in places if (folder / "structure.json").exists()), None)
    return None if path is None else json.loads(path.read_text())


def read_exported(cell: Cell, folders: Mapping[str, Path], failures: Mapping[str, Failure]) -> Exported:
    """What was exported for a cell, by the oracles that it follows. Raises IndexError where none could compute it."""
    oracles = oracles_of(cell, folders)
    structure = read_structure(cell, folders)
    sampling, declared = read_sampling(folders), [] if structure is None else structure["outputs"]
    return Exported(
        structure=structure,
        oracles={name: read_outputs(folder / OUTPUTS, sampling, declared) for name, folder in oracles.items()},
        agreement=read_agreement(None if cell.agreement is None else folders.get(cell.agreement)),
        own=own_engine(cell.target),
        passed_over={
            _runtime(name): failures[name].error
            for name in cell.oracles
            # One that is not installed has refused nothing.
            if name in failures and failures[name].verdict is not Verdict.UNAVAILABLE
        },
    )


def read_outputs(path: Path, sampling: Sampling, declared: Sequence[Mapping[str, Any]] = ()) -> dict[str, Array]:
    """A file of outputs by name, each with the sample as axis 0; those that are ``declared`` to be texts as such."""
    arrays = load_arrays(path)
    texts = [str(entry["name"]) for entry in declared if entry.get("dtype") == "string"]
    arrays |= {name: texts_of(arrays[name]) for name in texts if name in arrays}
    return sampling.samples_first(arrays)


def read_target(folder: Path, sampling: Sampling, given: Path | None = None) -> tuple[RunTarget, dict[str, str]]:
    """What a target holds and answers, and the versions of its software; ``given``: the folder of a given model file."""
    record = json.loads((folder / "target.json").read_text())
    target = RunTarget(
        metadata=record["load"].get("metadata", {}),
        parameters=load_parameters(folder / "parameters.safetensors", given),
        outputs=read_outputs(folder / "probe.float32.safetensors", sampling, record["load"].get("outputs", [])),
    )
    return target, record["describe"].get("versions", {})


def export_record(folder: Path) -> dict[str, Any] | None:
    """``export.json`` of an export, without what differs from run to run; None for a route that exports nothing."""
    path = folder / "export.json"
    if not path.exists():
        return None
    record: dict[str, Any] = json.loads(path.read_text())
    record.pop("seconds", None)
    return record


def only_output(path: Path, name: str, sampling: Sampling | None = None) -> Array:
    """The output of that name in a file of outputs, axis 0 the sample; where the file names its only output otherwise, that one."""
    arrays = load_arrays(path)
    found = name if name in arrays else next(iter(arrays))
    return arrays[found] if sampling is None else sampling.sample_first(found, arrays[found])


def _runtime(step: str) -> str:
    """The runtime that an oracle's step names last."""
    return step.rpartition(" ")[2]
