"""The steps and cells of a model file that one already has, without a scenario."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import DataError, ModelError, ScenarioError
from harness.files.onnx_external_data import external_files
from harness.models import model
from harness.models.layouts import WEIGHT_FILES
from harness.models.spec import Head
from harness.pipeline.plan import REFERENCE, Cell, Plan, Step, Timed, layers_step, oracle_runtimes, timing_step
from harness.pipeline.provenance import file_hash
from harness.runtimes.registry import RUNTIMES, framework_runtime, runtime
from harness.runtimes.table import importing_frameworks
from harness.scenario.sections import LayersSection, LimitsSection, TimingSection
from harness.version_names import split

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
        if given.framework != Given.framework:
            raise ScenarioError("a framework runs weights", where="--framework", hint="name the weights by --from")
        return [Step("reference", "reference", REFERENCE, running, ("given", "probe"))]
    if split(given.framework)[0] not in (importing := importing_frameworks()):
        raise ScenarioError(
            f"weights from a file are not run in {given.framework}",
            where="--framework",
            hint=f"choose one of {', '.join(importing)}",
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
