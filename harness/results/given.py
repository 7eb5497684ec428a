"""A model that one already has: a file and a probe, without a scenario.

Alone, the file itself is the yardstick. With the weights that it was made from, these are its source, and a comparison
is a cell of a scenario.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from harness.compare.decisions import compare_decisions
from harness.compare.held import compare_held
from harness.compare.outputs import compare_route, compare_runtime, noise_floor
from harness.compare.records import (
    CellResult,
    DecisionComparison,
    Floor,
    ParameterComparison,
    RouteComparison,
    RuntimeComparison,
    Verdict,
)
from harness.compare.structure import head_of, summarise
from harness.compare.verdict import combine, describe_failure
from harness.errors import DataError, ModelError, ScenarioError
from harness.files.arrays import load_arrays
from harness.files.onnx_external_data import external_files
from harness.models import model
from harness.models.layouts import WEIGHT_FILES
from harness.models.spec import Head
from harness.pipeline.execution import Failure, Finished
from harness.pipeline.plan import REFERENCE, Cell, Plan, Step, Timed, layers_step, oracle_runtimes, timing_step
from harness.pipeline.provenance import file_hash
from harness.pipeline.source import input_orders
from harness.results.evaluate import Probe, Source, evaluate, layers_of, with_explanation
from harness.runtimes.registry import RUNTIMES, framework_runtime, runtime
from harness.scenario.sections import IMPORTING, LayersSection, LimitsSection, TimingSection
from harness.version_names import split

Array = NDArray[Any]

#: What a file's route is called: nothing was converted here.
ROUTE = "as-given"


@dataclass(frozen=True)
class Given:
    """A model file, the runtimes to open it in, and the probe to compare them on.

    ``probe``: ``.npy`` files by input name, or one under "" for a model with one input. ``labels`` (sample,) int64 index
    the classes, ``ids`` (sample,) int64 name the samples. ``layers``: samples of the probe that are followed node by node.
    ``weights``: what the file was made from; ``architecture`` names their model and ``head`` its head, where neither a
    ``model.json`` beside them nor the file's metadata holds the specification; they are run in ``framework``.
    """

    model: Path
    targets: tuple[str, ...]
    probe: Mapping[str, Path]
    labels: Path | None = None
    ids: Path | None = None
    weights: Path | None = None
    architecture: str | None = None
    head: Head | None = None
    framework: str = "pytorch"
    batch_size: int = 64
    threads: int = 1
    layers: int = LayersSection().samples
    timing: TimingSection | None = None
    limits: LimitsSection = field(default_factory=LimitsSection)

    @property
    def name(self) -> str:
        """The name of the results folder, after the file."""
        kept = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in self.model.stem)
        return f"compare_{kept or 'model'}"


def given_plan(given: Given) -> Plan:
    """The steps and cells of a given model. Raises ModelError, DataError or ScenarioError on what cannot be used."""
    if not given.model.is_file():
        raise ModelError("no such file", where=str(given.model), hint="name an .onnx file")
    if given.model.suffix != ".onnx":
        raise ModelError(
            f"is {given.model.suffix or 'a file without an ending'}, not .onnx",
            where=str(given.model),
            hint="export it to ONNX first; other formats need their framework",
        )
    arrays = {}
    for name, path in given.probe.items():
        if not path.is_file():
            raise DataError("no such file", where=str(path), hint="name a .npy file for the probe")
        arrays[name] = {"path": str(path.resolve()), "sha256": file_hash(path)}
    running = {"batch_size": given.batch_size, "threads": given.threads}
    steps = [
        Step("given", "given", None, _given_files(given.model)),
        Step("structure", "structure", REFERENCE, {}, ("given",)),
        Step("probe", "probe", None, {"arrays": arrays}, ("structure",)),
        *_yardstick_steps(given, running),
    ]
    oracles = []
    for name in oracle_runtimes("onnx"):
        steps.append(Step(f"oracle {name}", "oracle", name, running, ("given", "probe")))
        oracles.append(f"oracle {name}")
    cells = []
    for target in given.targets:
        row = runtime(target)
        if "onnx" not in row.reads:
            readers = ", ".join(name for name, other in RUNTIMES.items() if "onnx" in other.reads)
            raise ScenarioError(f"{target} does not read .onnx files", where="--to", hint=f"choose among {readers}")
        steps.append(Step(f"target {target}", "target", target, running, ("given", "probe")))
        layers = None
        if given.layers:
            layers = f"layers {target}"
            needs = ("given", "probe", f"oracle {REFERENCE}", f"target {target}")
            steps.append(layers_step(layers, target, given.layers, given.threads, needs))
        cells.append(
            Cell(
                f"{given.name}.{ROUTE}.{target.replace('/', '-')}",
                f"{target} via {ROUTE}",
                ROUTE,
                ROUTE,
                target,
                "given",
                tuple(oracles),
                f"target {target}",
                layers,
            )
        )
    timed = []
    if given.timing is not None:
        if given.weights is not None:
            named = f"source ({given.framework})"
            trainer = framework_runtime(given.framework).name
            steps.append(timing_step("timing source", trainer, given.timing, given.threads, ("import", "source")))
            timed.append(Timed(named, trainer, "", "timing source"))
        for target in given.targets:
            # The first one named is the reference that the others are set against.
            steps.append(timing_step(f"timing {target}", target, given.timing, given.threads, ("given", "probe")))
            timed.append(Timed(target, target, ROUTE, f"timing {target}"))
    return Plan(tuple(steps), tuple(sorted(cells, key=lambda cell: cell.id)), tuple(timed))


def _given_files(model: Path) -> dict[str, Any]:
    """The model file, and those beside it that its tensors lie in, with their hashes."""
    beside = {name: {"path": str(path), "sha256": file_hash(path)} for name, path in external_files(model).items()}
    files = {"path": str(model.resolve()), "sha256": file_hash(model)}
    return files | ({"external": beside} if beside else {})


def _yardstick_steps(given: Given, running: dict[str, Any]) -> list[Step]:
    """What targets are compared with beside the graph in float64: the reference's float32, or the source itself."""
    if given.weights is None:
        if given.architecture is not None or given.head is not None:
            raise ScenarioError(
                "an architecture is that of weights", where="--model", hint="name the weights by --from"
            )
        if given.framework != "pytorch":
            raise ScenarioError("a framework runs weights", where="--framework", hint="name the weights by --from")
        return [Step("reference", "reference", REFERENCE, running, ("given", "probe"))]
    if split(given.framework)[0] not in IMPORTING:
        raise ScenarioError(
            f"weights from a file are not run in {given.framework}",
            where="--framework",
            hint=f"choose one of {', '.join(IMPORTING)}",
        )
    if not given.weights.is_file():
        raise ModelError("no such file", where=str(given.weights), hint=f"name a file of weights ({_endings()})")
    if given.weights.suffix not in WEIGHT_FILES:
        raise ModelError(
            f"is {given.weights.suffix or 'a file without an ending'}, no file of weights that can be read",
            where=str(given.weights),
            hint=f"give one of {_endings()}; docs/rds-and-bson.md shows how to make one from R's and Julia's own files",
        )
    if given.head is not None and given.architecture is None:
        raise ScenarioError("a head is that of a model", where="--head", hint="name the model too, by --model")
    if given.architecture is not None:
        model(given.architecture)
    beside = given.weights.with_name("model.json").resolve()
    imported = {
        "path": str(given.weights.resolve()),
        "model": given.architecture,
        "head": given.head,
        "spec": str(beside) if given.architecture is None and beside.is_file() else None,
    }
    trainer = framework_runtime(given.framework).name
    return [
        Step("import", "import", trainer, imported, ("structure",)),
        Step("source", "source", trainer, running, ("import", "structure", "probe")),
    ]


def _endings() -> str:
    return ", ".join(WEIGHT_FILES)


@dataclass(frozen=True)
class Yardstick:
    """What the targets are compared with: outputs of the file in float64 and, for the noise floor, in float32."""

    structure: dict[str, Any]
    metadata: dict[str, str]
    parameters: dict[str, Array]
    probe_sha256: str
    samples: int
    float32: dict[str, Array]
    float64: dict[str, Array]
    others: dict[str, dict[str, Array]]
    oracle: str
    ids: NDArray[np.int64]
    source: Source | None = None

    @property
    def output(self) -> str:
        """Name of the output that decisions are made on: the graph's first."""
        return str(self.structure["outputs"][0]["name"])

    @property
    def head(self) -> Head:
        """What the file says of its head, else what its last operators tell."""
        if self.source is not None:
            return self.source.spec.head
        stated = self.metadata.get("harness.head")
        return stated if stated in get_args(Head) else head_of(self.structure)  # type: ignore[return-value]

    @property
    def class_names(self) -> list[str]:
        """Names of the classes where the file has them, else their numbers; empty where there are no classes."""
        first = self.float64[self.output]
        if first.ndim != 2 or first.shape[1] < 2:
            return []
        try:
            named = json.loads(self.metadata.get("harness.classes", "[]"))
        except ValueError:
            named = []
        if isinstance(named, list) and len(named) == first.shape[1]:
            return [str(name) for name in named]
        return [str(index) for index in range(first.shape[1])]


def read_yardstick(given: Given, finished: Finished) -> Yardstick:
    """From the artifacts. Raises the failure of the first step without which nothing can be compared."""
    folders = finished.folders
    oracles = [name for name in finished.folders if name.startswith("oracle ")]
    for step in ("structure", "reference", "import", "source"):
        if step in finished.failures:
            raise finished.failures[step].of_the_run()
    if not oracles:
        raise next(iter(finished.failures.values())).of_the_run()
    load = json.loads((folders["structure"] / "load.json").read_text())
    probe = json.loads((folders["probe"] / "probe.json").read_text())
    ids = np.arange(probe["samples"])
    if given.ids is not None:
        ids = read_column(given.ids, probe["samples"])
    structure = json.loads((folders["structure"] / "structure.json").read_text())
    float32 = load_arrays(folders["source" if given.weights else "reference"] / "probe.float32.safetensors")
    float64 = load_arrays(folders[oracles[0]] / "probe.float64.safetensors")
    yardstick = Yardstick(
        structure=structure,
        metadata=load.get("metadata", {}),
        parameters=load_arrays(folders["structure"] / "parameters.safetensors"),
        probe_sha256=probe["sha256"],
        samples=probe["samples"],
        float32=float32,
        float64=float64,
        others={
            name.partition(" ")[2]: load_arrays(folders[name] / "probe.float64.safetensors") for name in oracles[1:]
        },
        oracle=oracles[0].partition(" ")[2],
        ids=ids,
    )
    return yardstick if given.weights is None else _with_source(yardstick, load["inputs"], folders)


def _with_source(yardstick: Yardstick, inputs: list[dict[str, Any]], folders: Mapping[str, Path]) -> Yardstick:
    """The yardstick of a file whose weights are known: the source's own answers, under the name of the file's output."""
    probe = Probe(yardstick.probe_sha256, yardstick.samples, yardstick.ids, yardstick.class_names)
    source = Source(folders["import"], folders["source"], probe)
    arrays = load_arrays(folders["probe"] / "probe.safetensors")
    orders = input_orders(source.spec, [arrays[str(entry["name"])].shape for entry in inputs])
    turned = tuple(tensor.arranged(order) for tensor, order in zip(source.spec.inputs, orders, strict=True))
    if turned != source.spec.inputs:
        source = replace(source, arranged=source.spec.model_copy(update={"inputs": turned}))
    output = yardstick.output
    return replace(
        yardstick,
        metadata={**source.metadata, **yardstick.metadata},
        float32={output: source.probe32},
        float64={output: source.probe64},
        source=source,
    )


def read_column(path: Path, samples: int) -> NDArray[np.int64]:
    """Labels or ids: a ``.npy`` file of whole numbers (sample,). Raises DataError on anything else."""
    from harness.data.probe import read_array

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


def evaluate_given(given: Given, cell: Cell, yardstick: Yardstick, finished: Finished) -> CellResult:
    """Compare one target with the source or else the file itself, or say why it could not be compared."""
    if yardstick.source is not None:
        return evaluate(cell, yardstick.source, finished.folders, finished.failures, given.framework)
    named: dict[str, Any] = {
        "cell": cell.id,
        "model": given.model.name,
        "source": "file",
        "route": cell.route,
        "route_label": cell.route_label,
        "target": cell.target,
        "head": yardstick.head,
        "probe_sha256": yardstick.probe_sha256,
        "probe_samples": yardstick.samples,
    }
    broken = finished.failures.get(cell.step)
    if broken is not None:
        return failed_cell(named, broken)
    folder = finished.folders[cell.step]
    record = json.loads((folder / "target.json").read_text())
    outputs = load_arrays(folder / "probe.float32.safetensors")
    parameters = compare_held(yardstick.parameters, load_arrays(folder / "parameters.safetensors"))
    floor, runtime_comparison = _worst_output(yardstick, outputs)
    oracle = _oracle_agreement(yardstick)
    decisions = _decisions(yardstick, outputs, floor)
    judgement = combine(parameters=parameters, route=oracle, runtime=runtime_comparison, decisions=decisions)
    layers = layers_of(cell, finished.folders, finished.failures)
    return CellResult(
        **named,
        verdict=judgement.verdict,
        sentence=_sentence(judgement.verdict, judgement.sentence, parameters, runtime_comparison, decisions),
        findings=with_explanation(judgement.findings, layers, runtime_comparison),
        structure=summarise(yardstick.structure),
        parameters=parameters,
        floor=floor,
        route_comparison=oracle,
        runtime_comparison=runtime_comparison,
        decisions=decisions,
        layers=layers,
        versions=record["describe"].get("versions", {}),
    )


def failed_cell(named: dict[str, Any], failure: Failure) -> CellResult:
    """The result of a cell that could not be compared."""
    return CellResult(
        **named,
        verdict=failure.verdict,
        sentence=describe_failure(failure.verdict, failure.error, failure.hint),
        error=failure.error,
        hint=failure.hint,
        log_tail=[*failure.log_tail],
    )


def _worst_output(yardstick: Yardstick, outputs: dict[str, Array]) -> tuple[Floor, RuntimeComparison]:
    """Every output against its own floor; the worst of them stands for the target."""
    compared = []
    for entry in yardstick.structure["outputs"]:
        name = str(entry["name"])
        reference = yardstick.float64[name]
        floor = noise_floor(yardstick.float32[name], reference)
        empty = np.empty((0,), np.float32)
        found = compare_runtime(outputs.get(name, empty), reference, floor, source32=yardstick.float32[name])
        if len(yardstick.structure["outputs"]) > 1:
            for finding in found.findings:
                finding.message = f"output {name}: {finding.message}"
        compared.append((floor, found))
    return max(compared, key=lambda pair: (pair[1].verdict.rank, pair[1].rms_ratio or 0.0))


def _oracle_agreement(yardstick: Yardstick) -> RouteComparison:
    """The file in float64 by every implementation that can: nothing was converted, so they must simply agree."""
    name = yardstick.output
    reference = yardstick.float64[name]
    others = {runtime: arrays[name] for runtime, arrays in yardstick.others.items() if name in arrays}
    return compare_route(reference, reference, False, others, oracle=yardstick.oracle)


def _decisions(yardstick: Yardstick, outputs: dict[str, Array], floor: Floor) -> DecisionComparison | None:
    reference, target = yardstick.float64[yardstick.output], outputs.get(yardstick.output)
    names = yardstick.class_names
    if not names or target is None or target.shape != reference.shape:
        return None
    return compare_decisions("argmax", target, reference, floor, names=names, ids=yardstick.ids)


def _sentence(
    verdict: Verdict,
    sentence: str,
    parameters: ParameterComparison,
    runtime_comparison: RuntimeComparison,
    decisions: DecisionComparison | None,
) -> str:
    """Without a source the usual words would say too much: here the file itself is the yardstick."""
    if verdict is Verdict.IDENTICAL:
        return "Identical: it holds the file's parameters and answers as the reference implementation, bit for bit."
    if verdict is not Verdict.EQUIVALENT:
        return sentence
    text = "Equivalent: it holds the file's parameters"
    if runtime_comparison.rms_ratio is not None:
        text += f", and its error is {runtime_comparison.rms_ratio:.2g} times that of the reference implementation in float32"
    if decisions is not None:
        flips = decisions.flip_count
        text += f"; {flips or 'none'} of {decisions.decisions} decisions changed" + (
            " within that noise" if flips else ""
        )
    return text + "."
