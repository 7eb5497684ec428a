"""A model that one already has: a file and a probe, without a scenario.

Alone, the file itself is what targets are compared with. With the weights that it was made from, these are its source,
and a comparison is that of a scenario's cell.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from harness.compare.decision_choice import ChosenDecision, GivenOutput, choose_decision
from harness.compare.expected_outputs import said_of
from harness.compare.records import CellResult
from harness.compare.structure import head_of
from harness.data.expected import check_shapes
from harness.errors import DataError
from harness.files.arrays import Array, load_arrays
from harness.files.parameter_places import load_parameters
from harness.models.sampling import Sampling
from harness.models.spec import Head
from harness.pipeline.execution import Finished
from harness.pipeline.given_plan import Given
from harness.pipeline.plan import Cell, oracle_runtimes
from harness.pipeline.steps.oracle import OUTPUTS
from harness.pipeline.steps.source import input_orders
from harness.pipeline.steps.weights import read_sampling
from harness.results.artifacts import Probe, SourceArtifacts, oracle_folders, read_outputs
from harness.results.cell import Labels, evaluate
from harness.results.evaluate import DecisionRule, Source, SourceFile
from harness.results.whole_source import WholeSource


@dataclass(frozen=True)
class Reference:
    """What the targets are compared with: outputs of the file in float64 and, for the noise floor, in float32."""

    structure: dict[str, Any]
    metadata: dict[str, str]
    parameters: dict[str, Array]
    probe_sha256: str
    samples: int
    float32: dict[str, Array]
    float64: dict[str, Array]
    ids: NDArray[np.int64]
    #: The weights that the file was made from, where they were given.
    source: SourceArtifacts | None = None
    #: Which axes of the file are the sample, and what is told of them.
    sampling: Sampling = field(default_factory=Sampling)
    samples_said: tuple[str, ...] = ()
    #: Whether NaN and infinities are meant, and how many of each input of the probe are.
    allow_nan: bool = False
    not_finite: Mapping[str, str] = field(default_factory=dict)
    #: Outputs that the user's own framework gave, by name, or a whole model in float64.
    expected: dict[str, Array] = field(default_factory=dict)
    #: What a whole model that was given tells beside its outputs; `float32` is then its own.
    whole: WholeSource | None = None
    #: What is decided, and on which output.
    decision: ChosenDecision = field(default_factory=lambda: ChosenDecision("", "none", "it was not asked for"))

    @property
    def output(self) -> str:
        """Name of the output that decisions are made on."""
        return self.decision.output

    @property
    def exact(self) -> Array:
        """The source oracle of the output that decisions are made on: what was expected of it, else that of the file itself."""
        return self.expected.get(self.output, self.float64[self.output])

    @property
    def expected_said(self) -> list[str]:
        """What can be seen by the expected outputs, and which were not given."""
        if self.whole is not None:
            return self.whole.sentences(self.parameters)
        said = [said_of(name, array, self.float64[name]) for name, array in self.expected.items()]
        if self.expected and (others := [name for name in self.float64 if name not in self.expected]):
            said.append(f"nothing was expected of {', '.join(others)}")
        return said

    @property
    def head(self) -> Head:
        """What the file says of its head, else what its last operators tell."""
        if self.source is not None:
            return self.source.spec.head
        stated = self.metadata.get("harness.head")
        return stated if stated in get_args(Head) else head_of(self.structure)  # type: ignore[return-value]

    @property
    def class_names(self) -> list[str]:
        """Names of the classes or labels where the file has them, else their numbers; empty where there are none."""
        return list(self.decision.names)

    @property
    def per_class(self) -> bool:
        """Whether the output that is decided on is (sample, class): one number per class or label."""
        return self.float64[self.output].ndim == 2 and self.float64[self.output].shape[1] == len(self.class_names)

    @cached_property
    def compared(self) -> Source:
        """The source of the comparisons: the weights, or else the file itself."""
        if self.source is not None:
            model = self.source.model
            # The same outputs in the same order, by the file's names and by the model's own.
            ordered = sorted(zip(self.float64, model.float64, strict=True), key=lambda pair: pair[0] != self.output)
            exact = {name: model.float64[name] for _, name in ordered}
            return replace(model, float64=exact, decision=self._rule, allow_nan=self.allow_nan)
        # Decisions are made on the first.
        names = sorted(
            (str(entry["name"]) for entry in self.structure["outputs"]), key=lambda name: name != self.output
        )
        return SourceFile(
            parameters=self.parameters,
            float32=self.float32,
            float64={name: self.expected.get(name, self.float64[name]) for name in names},
            decision=self._rule,
            allow_nan=self.allow_nan,
            expected=self.expected.keys(),
            # The floor is that of whoever answered in single precision.
            file64={} if self.whole is not None else {name: self.float64[name] for name in self.expected},
            called="the expected outputs" if self.expected and self.whole is None else "the source",
        )

    @property
    def _rule(self) -> DecisionRule | None:
        chosen = self.decision
        if chosen.rule == "none":
            return None
        thresholds: float | tuple[float, ...] | None = chosen.thresholds or None
        if len(chosen.thresholds) == 1:
            (thresholds,) = chosen.thresholds
        return DecisionRule(chosen.rule, chosen.names, self.ids, thresholds, axis=chosen.axis)


def read_reference(given: Given, finished: Finished) -> Reference:
    """From the artifacts. Raises the failure of the first step without which nothing can be compared."""
    folders = finished.folders
    oracles = oracle_folders([f"oracle {name}" for name in oracle_runtimes("onnx")], "agreement", folders)
    for step in ("structure", "samples", "expected", "reference", "import", "source", "whole"):
        if step in finished.failures:
            raise finished.failures[step].of_the_run()
    if not oracles:
        raise next(iter(finished.failures.values())).of_the_run()
    exact = next(iter(oracles.values())) / OUTPUTS
    reference = _known(given, folders, lambda sampling, outputs: read_outputs(exact, sampling, outputs))
    reference = replace(reference, decision=_decision(given, reference))
    if given.whole is not None:
        return _with_expected(reference, str(given.weights), folders["whole"] / "probe.float64.safetensors")
    if given.expected is not None:
        return _with_expected(reference, str(given.expected), folders["expected"] / "expected.safetensors")
    return reference


def _with_expected(reference: Reference, where: str, path: Path) -> Reference:
    """The reference with the outputs that the user's framework gave. Raises DataError on other sizes than the file's own."""
    expected = read_outputs(path, reference.sampling, reference.structure["outputs"])
    check_shapes(where, expected, reference.float64)
    return replace(reference, expected=expected)


def foreseen_reference(given: Given, folders: Mapping[str, Path]) -> Reference | None:
    """The reference as far as it is known before any oracle or target is asked; ``folders``: of the steps that are done.

    Its outputs are single precision's or, before there are such, zeros of the right shapes; None where these do not tell
    what is decided. Raises DataError as :func:`read_reference` does.
    """
    if given.imports or "reference" in folders or "whole" in folders:
        reference = _known(given, folders, lambda sampling, outputs: {})
        if reference.source is None:
            reference = replace(reference, float64=reference.float32)
        return replace(reference, decision=_decision(given, reference))
    found = json.loads((folders["samples"] / "samples.json").read_text())
    reference = _known(given, folders, lambda sampling, outputs: _zeros(outputs, found["rows"], folders))
    name = _decided(given, reference)
    dtype = next(str(entry["dtype"]) for entry in reference.structure["outputs"] if str(entry["name"]) == name)
    if name not in found["rows"] or not dtype.startswith(("float", "double", "bfloat")):
        return None
    decision = _decision(given, reference)
    # Classes that an output holds are told by its values.
    return None if decision.rule == "classes" else replace(reference, decision=decision)


def _zeros(
    outputs: list[dict[str, Any]], rows: Mapping[str, list[int]], folders: Mapping[str, Path]
) -> dict[str, Array]:
    samples = json.loads((folders["probe"] / "probe.json").read_text())["samples"]
    shapes = {str(entry["name"]): (samples, *rows.get(str(entry["name"]), ())) for entry in outputs}
    return {name: np.broadcast_to(np.zeros(()), shape) for name, shape in shapes.items()}


#: Outputs in float64 by name, from what is known of samples and of the file's outputs.
_Exact = Callable[[Sampling, list[dict[str, Any]]], dict[str, Array]]


def _known(given: Given, folders: Mapping[str, Path], exact: _Exact) -> Reference:
    """All of the reference but the decision; without float32 where there is none yet."""
    load = json.loads((folders["structure"] / "load.json").read_text())
    probe = json.loads((folders["probe"] / "probe.json").read_text())
    ids = np.arange(probe["samples"])
    if given.ids is not None:
        ids = read_ids(given.ids, probe["samples"])
    structure = json.loads((folders["structure"] / "structure.json").read_text())
    sampling = read_sampling(folders)
    float32: dict[str, Array] = {}
    if "reference" in folders:
        float32 = read_outputs(folders["reference"] / "probe.float32.safetensors", sampling, structure["outputs"])
    elif "whole" in folders:
        float32 = read_outputs(folders["whole"] / "probe.float32.safetensors", sampling, structure["outputs"])
    reference = Reference(
        structure=structure,
        metadata=load.get("metadata", {}),
        parameters=load_parameters(folders["structure"] / "parameters.safetensors", folders["given"]),
        probe_sha256=probe["sha256"],
        samples=probe["samples"],
        float32=float32,
        float64=exact(sampling, structure["outputs"]),
        ids=ids,
        sampling=sampling,
        samples_said=tuple(json.loads((folders["samples"] / "samples.json").read_text())["said"]),
        allow_nan=given.allow_nan,
        not_finite=probe.get("not_finite", {}),
        whole=WholeSource.read(folders["whole"]) if "whole" in folders else None,
    )
    return reference if not given.imports else _with_source(reference, load["inputs"], folders)


def _decided(given: Given, reference: Reference) -> str:
    """The name of the output that decisions are made on. Raises DataError where there is none of the name that was given."""
    names = [str(entry["name"]) for entry in reference.structure["outputs"]]
    names = [name for name in names if name in reference.float64]
    if given.decision_output is not None and given.decision_output not in names:
        raise DataError(
            f"the model has no output '{given.decision_output}'",
            where="--decision-output",
            hint=f"it has {', '.join(names)}",
        )
    # Those of a source begin with the one that its model names; a file's are as its graph has them.
    ordered = [name for name in reference.float64 if name in names] if reference.source else names
    of_samples = [name for name in ordered if reference.sampling.axes.get(name, 0) is not None]
    return given.decision_output or next(iter(of_samples or ordered or names))


def _decision(given: Given, reference: Reference) -> ChosenDecision:
    """What is decided, and on which output. Raises DataError where it cannot be made, or there is no such output."""
    name = _decided(given, reference)
    entry = next(entry for entry in reference.structure["outputs"] if str(entry["name"]) == name)
    metadata = reference.metadata
    if reference.source is not None:
        spec = reference.source.spec
        metadata = {**metadata, "harness.task": spec.task, "harness.head": spec.head}
    output = GivenOutput(
        name,
        reference.float64[name],
        str(entry.get("dtype")),
        reference.structure,
        metadata,
        reference.sampling.axes.get(name, 0),
    )
    return choose_decision(output, given.decision)


def _with_source(reference: Reference, inputs: list[dict[str, Any]], folders: Mapping[str, Path]) -> Reference:
    """The reference where a file's weights are known: the source's own answers, under the name of the file's output."""
    probe = Probe(reference.probe_sha256, reference.samples, reference.ids)
    source = SourceArtifacts(folders["import"], folders["source"], probe)
    arrays = load_arrays(folders["probe"] / "probe.safetensors")
    orders = input_orders(source.spec, [arrays[str(entry["name"])].shape for entry in inputs])
    turned = tuple(tensor.arranged(order) for tensor, order in zip(source.spec.inputs, orders, strict=True))
    if turned != source.spec.inputs:
        source = replace(source, file_spec=source.spec.model_copy(update={"inputs": turned}))
    # The file's outputs in its order are the model's in its own, the one that decisions are made on first.
    names = [tensor.name for tensor in source.spec.outputs]
    named = {name: str(entry["name"]) for name, entry in zip(names, reference.structure["outputs"], strict=False)}
    return replace(
        reference,
        metadata={**source.metadata, **reference.metadata},
        float32={named.get(name, name): array for name, array in source.float32.items()},
        float64={named.get(name, name): array for name, array in source.float64.items()},
        source=source,
    )


def read_ids(path: Path, samples: int) -> NDArray[np.int64]:
    """Ids: a ``.npy`` file of whole numbers (sample,). Raises DataError on anything else."""
    from harness.data.named_arrays import read_array

    column = read_array(path)
    if column.dtype.kind not in "iu" or column.ndim != 1:
        raise DataError(
            f"holds {column.dtype.name} of {column.ndim} axes", where=str(path), hint="save whole numbers (sample,)"
        )
    if len(column) != samples:
        raise DataError(
            f"holds {len(column)} numbers for {samples} samples", where=str(path), hint="give one for each sample"
        )
    return column.astype(np.int64)


def evaluate_given(given: Given, cell: Cell, reference: Reference, finished: Finished) -> CellResult:
    """Compare one target with the source or else the file itself, or say why it could not be compared."""
    if reference.source is not None:
        labels = Labels.of(reference.source, given.framework)
    else:
        source = "file" if given.whole is None or given.weights is None else given.weights.name
        labels = Labels(given.model.name, source, reference.head, reference.probe_sha256, reference.samples)
    return evaluate(cell, reference.compared, labels, finished.folders, finished.failures)
