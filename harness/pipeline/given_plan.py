"""The steps and cells of a model file that one already has, without a scenario."""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from harness.compare.asked_decision import AskedDecision
from harness.errors import DataError, ModelError, ScenarioError
from harness.files.digests import file_hash
from harness.files.onnx_external_data import external_files, model_file
from harness.models import model
from harness.models.layouts import WEIGHT_FILES
from harness.models.spec import Head
from harness.pipeline.plan import Cell, Plan, Timed, agreement_step, oracle_runtimes, timing_step
from harness.pipeline.step import Step
from harness.pipeline.steps.expected import ExpectedStep
from harness.pipeline.steps.given import MODEL, GivenStep
from harness.pipeline.steps.import_weights import ImportStep
from harness.pipeline.steps.layers import LayersStep
from harness.pipeline.steps.oracle import OracleStep
from harness.pipeline.steps.place import PlaceStep, PlaceWholeStep
from harness.pipeline.steps.probe import ProbeStep
from harness.pipeline.steps.reference import ReferenceStep
from harness.pipeline.steps.samples import SamplesStep
from harness.pipeline.steps.source import SourceStep
from harness.pipeline.steps.structure import StructureStep
from harness.pipeline.steps.target import TargetStep
from harness.pipeline.steps.whole_source import WholeSourceStep
from harness.runtimes.registry import REFERENCE, RUNTIMES, framework_runtime, runtime
from harness.runtimes.table import importing_frameworks
from harness.runtimes.whole_models import WholeModel, files_of, whole_model
from harness.scenario.sections import LayersSection, LimitsSection, TimingSection
from harness.version_names import split

#: What a file's route is called: nothing was converted here.
ROUTE = "as-given"

#: Samples per call where neither user nor file names a number.
BATCH_SIZE = 64

#: Samples on which a file is walked beside its source.
PLACED_SAMPLES = 4

#: The steps that whoever runs the file needs.
FILE = ("given", "probe", "samples")


@dataclass(frozen=True)
class Given:
    """A model file, the runtimes to open it in, and the probe to compare them on.

    ``probe``: files by input name, or one under "" that holds all. ``expected``: a file of the outputs that the user's own
    framework gave for it. ``labels`` (sample,) int64 index
    the classes, or are 0 and 1 (sample, label), or classes of pixels (sample, row, column), negative where none is known;
    ``ignored_label`` stands where none is known, too. ``ids`` (sample,) int64 name the samples. ``decision``: what is decided on
    the output ``decision_output``, which is the file's first where none is named; None: as the file tells. ``layers``: samples
    of the probe that are followed node by node.
    ``weights``: what the file was made from; ``architecture`` names their model and ``head`` its head, where neither a
    ``model.json`` beside them nor the file's metadata holds the specification; they are run in ``framework``.
    ``weights`` may be a whole model, too; ``trust_source``: it may be a program, which is run.
    ``batch_size``: samples per call, :data:`BATCH_SIZE` where the user names none.
    ``sample_axes``, ``shared``: what the user says of the axes of inputs and outputs, by name.
    ``allow_nan``: the probe may hold NaN and infinities, which the model means.
    """

    model: Path
    targets: tuple[str, ...]
    probe: Mapping[str, Path]
    expected: Path | None = None
    labels: Path | None = None
    ignored_label: int | None = None
    ids: Path | None = None
    decision: AskedDecision | None = None
    decision_output: str | None = None
    weights: Path | None = None
    trust_source: bool = False
    architecture: str | None = None
    head: Head | None = None
    framework: str = "pytorch"
    batch_size: int | None = None
    sample_axes: Mapping[str, int] = field(default_factory=dict)
    shared: tuple[str, ...] = ()
    allow_nan: bool = False
    threads: int = 1
    layers: int = LayersSection().samples
    timing: TimingSection | None = None
    limits: LimitsSection = field(default_factory=LimitsSection)

    @cached_property
    def whole(self) -> WholeModel | None:
        """The whole model that the file was made from, where it was given and is no file of weights of a model known here."""
        if self.weights is None or self.architecture is not None:
            return None
        found = whole_model(self.weights)
        if found is not None and self.weights.suffix == ".keras" and self._known():
            return None
        return found

    @property
    def imports(self) -> bool:
        """Whether weights of a model of the harness were given."""
        return self.weights is not None and self.whole is None

    def _known(self) -> bool:
        """Whether something says which model of the harness the weights are of."""
        assert self.weights is not None
        if self.weights.with_name("model.json").is_file():
            return True
        # The metadata of an .onnx file are plain text in it.
        return self.model.is_file() and self.model.stat().st_size > 0 and _holds(self.model, b"harness.spec")

    @property
    def name(self) -> str:
        """The name of the results folder, after the file."""
        kept = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in self.model.stem)
        return f"compare_{kept or 'model'}"


def given_plan(given: Given) -> Plan:
    """The steps and cells of a given model. Raises ModelError, DataError or ScenarioError on what cannot be used."""
    steps: list[Step] = [
        *structure_plan(given.model).steps,
        _probe_step(given),
        _samples_step(given),
        *_expected_steps(given),
        *_baseline_steps(given),
    ]
    batch_size, threads = given.batch_size or BATCH_SIZE, given.threads
    oracles: list[str] = []
    for name in oracle_runtimes("onnx"):
        beside = tuple(oracles) if len(oracles) >= 2 else ()
        oracles.append(f"oracle {name}")
        steps.append(
            OracleStep(
                id=oracles[-1],
                runtime=runtime(name),
                needs=FILE,
                beside=beside,
                batch_size=batch_size,
                threads=threads,
            )
        )
    place = _place_step(given)
    steps += [] if place is None else [place]
    steps.append(agreement_step("agreement", tuple(oracles), FILE, batch_size))
    cells = []
    for target in given.targets:
        row = runtime(target)
        if "onnx" not in row.reads:
            readers = ", ".join(name for name, other in RUNTIMES.items() if "onnx" in other.reads)
            raise ScenarioError(f"{target} does not read .onnx files", where="--to", hint=f"choose among {readers}")
        step = f"target {target}"
        needs = FILE
        steps.append(TargetStep(id=step, runtime=row, needs=needs, batch_size=batch_size, threads=threads))
        layers = None
        if given.layers:
            layers = f"layers {target}"
            reads = (*needs, "structure", step)
            steps.append(LayersStep(id=layers, runtime=row, needs=reads, samples=given.layers, threads=threads))
        cells.append(
            Cell(
                f"{given.name}.{ROUTE}.{target.replace('/', '-')}",
                f"{target} via {ROUTE}",
                ROUTE,
                ROUTE,
                target,
                "given",
                tuple(oracles),
                step,
                layers,
                None if place is None else place.id,
                "agreement",
            )
        )
    timed = []
    if given.timing is not None:
        if given.weights is not None and given.whole is None:
            named = f"source ({given.framework})"
            trainer = framework_runtime(given.framework)
            steps.append(timing_step("timing source", trainer, given.timing, threads, ("import", "source")))
            timed.append(Timed(named, trainer.name, "", "timing source"))
        for target in given.targets:
            # The first one named is the reference that the others are set against.
            step = f"timing {target}"
            steps.append(timing_step(step, runtime(target), given.timing, threads, FILE))
            timed.append(Timed(target, target, ROUTE, step))
    return Plan(tuple(steps), tuple(sorted(cells, key=lambda cell: cell.id)), tuple(timed))


def structure_plan(model: Path) -> Plan:
    """The steps by which inputs, outputs and graph of a model file are known. Raises ModelError on what cannot be used."""
    if not model.is_file():
        raise ModelError("no such file", where=str(model), hint="name an .onnx file")
    if model.suffix.lower() != ".onnx":
        raise ModelError(
            f"is {model.suffix or 'a file without an ending'}, not .onnx",
            where=str(model),
            hint="export it to ONNX first; other formats need their framework",
        )
    others = _others(oracle_runtimes("onnx"))
    structure = StructureStep(id="structure", runtime=runtime(REFERENCE), needs=("given",), others=others)
    return Plan((_given_step(model), structure), (), ())


def _others(oracles: Iterable[str]) -> tuple[str, ...]:
    """The oracles in that order, but for the reference itself."""
    return tuple(name for name in oracles if name != REFERENCE)


def _place_step(given: Given) -> PlaceStep | PlaceWholeStep | None:
    """What says where the file parts from its source, where there is any."""
    if (whole := given.whole) is not None:
        return PlaceWholeStep(
            id="place",
            runtime=runtime(REFERENCE),
            needs=(*FILE, "structure", "whole", f"oracle {REFERENCE}"),
            source_runtime=runtime(whole.runtime),
            path=str(whole.file.resolve()),
            samples=PLACED_SAMPLES,
            threads=given.threads,
        )
    if not given.imports:
        return None
    return PlaceStep(
        id="place",
        runtime=runtime(REFERENCE),
        needs=(*FILE, "structure", "import", "source", f"oracle {REFERENCE}"),
        source_runtime=framework_runtime(given.framework),
        samples=PLACED_SAMPLES,
        threads=given.threads,
    )


def _given_step(model: Path) -> GivenStep:
    """The copy of the model file, and of those beside it that its tensors lie in."""
    paths = {MODEL: model_file(model).resolve(), **external_files(model)}
    return GivenStep(
        id="given",
        paths={name: str(path) for name, path in paths.items()},
        sha256={name: file_hash(path) for name, path in paths.items()},
    )


def _samples_step(given: Given) -> SamplesStep:
    """Which axes are the sample."""
    return SamplesStep(
        id="samples",
        runtime=runtime(REFERENCE),
        needs=("given", "probe", "structure"),
        runtimes=tuple(dict.fromkeys((REFERENCE, *oracle_runtimes("onnx")))),
        axes=dict(given.sample_axes),
        shared=given.shared,
        batch_size=given.batch_size,
    )


def _probe_step(given: Given) -> ProbeStep:
    """The user's arrays. Raises DataError where a file does not exist."""
    probe = given.probe
    for path in probe.values():
        if not path.is_file():
            raise DataError(
                "no such file", where=str(path), hint="name a .npy, .npz or .safetensors file for the probe"
            )
    return ProbeStep(
        id="probe",
        needs=("structure",),
        paths={name: str(path.resolve()) for name, path in probe.items()},
        sha256={name: file_hash(path) for name, path in probe.items()},
        axes=dict(given.sample_axes),
        shared=given.shared,
        allow_nan=given.allow_nan,
    )


def _expected_steps(given: Given) -> list[Step]:
    """What the user's own framework gave. Raises DataError where there is no such file."""
    path = given.expected
    if path is None:
        return []
    if given.weights is not None:
        raise ScenarioError("there are two sources", where="--expected", hint="leave it or --from out")
    if not path.is_file():
        raise DataError("no such file", where=str(path), hint="name a .npy, .npz or .safetensors file of outputs")
    needs = ("structure", "probe", "samples")
    return [ExpectedStep(id="expected", needs=needs, path=str(path.resolve()), sha256=file_hash(path))]


def _baseline_steps(given: Given) -> list[Step]:
    """What targets are compared with beside the graph in float64: the reference's float32, or the source itself."""
    batch_size, threads = given.batch_size or BATCH_SIZE, given.threads
    if (whole := given.whole) is not None:
        return [_whole_step(given, whole)]
    if given.weights is None:
        if given.architecture is not None or given.head is not None:
            raise ScenarioError(
                "an architecture is that of weights", where="--model", hint="name the weights by --from"
            )
        if given.framework != Given.framework:
            raise ScenarioError("a framework runs weights", where="--framework", hint="name the weights by --from")
        needs: tuple[str, ...] = FILE
        row = runtime(REFERENCE)
        # In single precision R rounds what it computed in double: it comes last.
        others = _others(reversed(oracle_runtimes("onnx")))
        return [
            ReferenceStep(
                id="reference", runtime=row, needs=needs, batch_size=batch_size, threads=threads, others=others
            )
        ]
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
    trainer = framework_runtime(given.framework)
    needs = ("import", "structure", "probe")
    return [
        ImportStep(
            id="import",
            runtime=trainer,
            needs=("structure",),
            path=str(given.weights.resolve()),
            architecture=given.architecture,
            head=given.head,
            spec=str(beside) if given.architecture is None and beside.is_file() else None,
        ),
        SourceStep(id="source", runtime=trainer, needs=needs, batch_size=batch_size, threads=threads),
    ]


def _holds(path: Path, text: bytes) -> bool:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(text) >= 0


def _whole_step(given: Given, whole: WholeModel) -> WholeSourceStep:
    """The whole model in its own framework. Raises ScenarioError on a program that the user did not say to trust."""
    if whole.program and not given.trust_source:
        raise ScenarioError(
            f"is a {whole.program}, which would be run here",
            where=str(given.weights),
            hint="say --trust-source if you trust whoever made it, or give its outputs as --expected",
        )
    if given.head is not None:
        raise ScenarioError("a head is that of a model", where="--head", hint="name the model too, by --model")
    row = runtime(whole.runtime)
    return WholeSourceStep(
        id="whole",
        runtime=row,
        needs=("structure", "probe", "samples"),
        path=str(whole.file.resolve()),
        sha256={name: file_hash(path) for name, path in files_of(whole).items()},
        batch_size=given.batch_size or BATCH_SIZE,
        threads=given.threads,
    )


def _endings() -> str:
    return ", ".join(WEIGHT_FILES)
