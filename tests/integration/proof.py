"""What the proof of the verdict is made with: sources, real exports of them, and the comparisons of a cell.

Sources, exporters and the oracle run in this process with one thread per pool, through the same engines and comparisons as
a run does; so does onnxruntime where no other target is asked (``targets.py``).
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.workers.serve import pin_threads

# Before a framework is imported.
pin_threads()

import numpy as np  # noqa: E402
import torch  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from harness.compare.records import DecisionComparison, ParameterComparison, Verdict  # noqa: E402
from harness.models.spec import ModelSpec  # noqa: E402
from harness.results import evaluate  # noqa: E402
from harness.results.artifacts import Probe  # noqa: E402
from harness.workers.batches import predict  # noqa: E402
from harness.workers.onnx.onnxruntime_engine import OnnxRuntime  # noqa: E402
from harness.workers.onnx.reference import OnnxReference  # noqa: E402
from harness.workers.pytorch.model import state_arrays, widened  # noqa: E402
from harness.workers.pytorch.routes import ROUTES  # noqa: E402

Array = NDArray[Any]
torch.set_num_threads(1)


def metadata_of(spec: ModelSpec) -> dict[str, str]:
    """The metadata of an exported file, as a run writes it."""
    bands, classes = spec.inputs[0].shape[1], spec.outputs[0].shape[1]
    return {
        "harness.model": spec.model,
        "harness.spec": spec.to_json(),
        "harness.classes": json.dumps([f"class {index}" for index in range(classes or 0)]),
        "harness.class_base": "0",
        "harness.bands": json.dumps([f"B{index}" for index in range(bands or 0)]),
        "harness.axes": json.dumps(
            {tensor.name: [axis.name for axis in tensor.axes] for tensor in (*spec.inputs, *spec.outputs)}
        ),
        "harness.normalisation": json.dumps({"kind": "none", "offset": [0.0], "scale": [1.0]}),
        "harness.head": spec.head,
    }


@dataclass
class Source:
    """A model with its probe (sample, band, time), its float32 outputs and its oracle, both (sample, class)."""

    spec: ModelSpec
    module: torch.nn.Module
    probe: Array
    parameters: dict[str, Array] = field(init=False)
    outputs32: Array = field(init=False)
    outputs64: Array = field(init=False)

    def __post_init__(self) -> None:
        self.module.eval()
        self.parameters = state_arrays(self.module)
        self.outputs32 = outputs_of(self.module, self.probe)
        self.outputs64 = outputs_of(widened(self.module), self.probe.astype(np.float64))

    @property
    def model(self) -> evaluate.SourceModel:
        """The same as the harness takes it."""
        metadata = metadata_of(self.spec)
        (output,) = self.spec.outputs
        record = {"class_names": json.loads(metadata["harness.classes"])}
        probe = Probe("", len(self.probe), np.arange(len(self.probe)), record)
        return evaluate.SourceModel(
            spec=self.spec,
            parameters=self.parameters,
            float32={output.name: self.outputs32},
            float64={output.name: self.outputs64},
            metadata=metadata,
            decision=probe.decision(self.spec),
        )

    def changed(self, change: Callable[[torch.nn.Module], object]) -> torch.nn.Module:
        """A copy of the model with a fault in it."""
        module = copy.deepcopy(self.module)
        with torch.no_grad():
            change(module)
        return module


def outputs_of(module: torch.nn.Module, probe: Array) -> Array:
    """Outputs of a module on a probe."""
    with torch.inference_mode():
        outputs: Array = module(torch.from_numpy(probe)).numpy()
    return outputs


@dataclass(frozen=True)
class Graph:
    """An exported file: its graph, and what it answers to the probe in float64."""

    path: Path
    structure: dict[str, Any]
    route64: Array


@dataclass(frozen=True)
class Opened:
    """What a target makes of a file: the metadata it read, the parameters it holds, its float32 answers to the probe."""

    metadata: dict[str, str]
    parameters: dict[str, Array]
    target32: Array


@dataclass(frozen=True)
class Exported:
    """An exported file as its readers see it: the graph, its float64 outputs, what a target holds and answers."""

    path: Path
    metadata: dict[str, str]
    structure: dict[str, Any]
    route64: Array
    parameters: dict[str, Array]
    target32: Array

    @classmethod
    def of(cls, graph: Graph, held: Opened) -> Exported:
        """Both sides of a file."""
        return cls(graph.path, held.metadata, graph.structure, graph.route64, held.parameters, held.target32)


def export(
    module: torch.nn.Module,
    source: Source,
    folder: Path,
    *,
    route: str = "torch-script",
    opset: int = 17,
    fold: bool = False,
    metadata: dict[str, str] | None = None,
) -> Path:
    """Write a module by a real exporter, in the module's own mode."""
    described = metadata_of(source.spec) if metadata is None else metadata
    content, _ = ROUTES.export_model(module, source.spec, route, opset, fold, described)
    path = folder / "model.onnx"
    path.write_bytes(content)
    return path


def graph_of(path: Path, probe: Array) -> Graph:
    """Load a file in onnx-reference in float64 and predict the probe."""
    oracle = OnnxReference()
    double = oracle.load(path, "float64")
    answers = next(iter(predict(double, {"x": probe}, None).outputs.values()))
    return Graph(path, oracle.structure(path), answers)


def read(path: Path, probe: Array) -> Exported:
    """Load a file in onnx-reference (float64) and in onnxruntime (float32) and predict the probe, all in this process."""
    single = OnnxRuntime().load(path, "float32")
    answers = next(iter(predict(single, {"x": probe}, None).outputs.values()))
    return Exported.of(graph_of(path, probe), Opened(single.metadata, single.parameters(), answers))


@dataclass(frozen=True)
class Judged:
    """What the harness judges of a cell, and what is asked of it here."""

    found: evaluate.Judged

    @property
    def parameters(self) -> ParameterComparison:
        return self.found.parameters

    @property
    def decisions(self) -> DecisionComparison:
        assert self.found.decisions is not None
        return self.found.decisions

    @property
    def verdict(self) -> Verdict:
        return self.found.judgement.verdict

    @property
    def found_by(self) -> set[str]:
        """The comparisons that object: those with a finding worse than ``equivalent``."""
        findings = self.found.judgement.findings
        return {finding.comparison for finding in findings if finding.verdict.rank > Verdict.EQUIVALENT.rank}

    @property
    def words(self) -> str:
        """Everything that is said, for assertions about it."""
        rows = [f"{row.name} {row.relation}: {row.note}" for row in self.parameters.rows]
        judgement = self.found.judgement
        return "\n".join([judgement.sentence, *(finding.message for finding in judgement.findings), *rows])


def judge(source: Source, exported: Exported, *, target32: Array | None = None) -> Judged:
    """Judge a cell: the source, the exported file, and a target that answers ``target32`` (onnxruntime by default)."""
    answers = exported.target32 if target32 is None else target32
    (output,) = source.spec.outputs
    return Judged(
        evaluate.judge(
            source.model,
            evaluate.Exported(exported.structure, {"python/onnx-reference": {output.name: exported.route64}}),
            evaluate.Target(exported.metadata, exported.parameters, {output.name: answers}),
        )
    )
