"""From a scenario to steps and cells: a pure function, without a look at what is installed or finished."""

from __future__ import annotations

from dataclasses import dataclass

from harness.models import model
from harness.pipeline.step import Step
from harness.pipeline.steps.agreement import AgreementStep
from harness.pipeline.steps.data import DataStep
from harness.pipeline.steps.export import ExportStep
from harness.pipeline.steps.import_weights import ImportStep
from harness.pipeline.steps.inputs import InputsStep
from harness.pipeline.steps.layers import LayersStep
from harness.pipeline.steps.oracle import OracleStep
from harness.pipeline.steps.port import PortStep
from harness.pipeline.steps.source import SourceStep
from harness.pipeline.steps.target import TargetStep
from harness.pipeline.steps.timing import TimingStep
from harness.pipeline.steps.train import TrainStep
from harness.runtimes import registry
from harness.runtimes.registry import REFERENCE, RUNTIMES, framework_runtime
from harness.runtimes.row import Runtime
from harness.scenario.sections import RouteSection, Scenario, TimingSection

#: Runtimes beside the oracles that are asked for single nodes: what they compute in double precision is not all of a graph.
MORE_VOTERS = ("python/onnxruntime",)


@dataclass(frozen=True)
class Cell:
    """One (model, source, route, target) and the steps its comparisons read."""

    id: str
    label: str
    route: str
    route_label: str
    target: str
    export: str
    oracles: tuple[str, ...]
    step: str
    #: The step that compares node by node, where there is a graph and it is asked for.
    layers: str | None = None
    #: The step that says where a given file parts from its source.
    place: str | None = None
    #: The step that tells how the oracles agree, where there is a graph.
    agreement: str | None = None


@dataclass(frozen=True)
class Timed:
    """One model file in one runtime whose calls are timed by a step; ``label`` names it in tables and legends."""

    label: str
    target: str
    route_label: str
    step: str


@dataclass(frozen=True)
class Plan:
    """Steps in an order in which each comes after what it needs, and the cells made of them.

    ``timed``: what is timed, the reference that others are set against first; empty where nothing is.
    """

    steps: tuple[Step, ...]
    cells: tuple[Cell, ...]
    timed: tuple[Timed, ...] = ()

    def step(self, identity: str) -> Step:
        """The step of that id."""
        return next(step for step in self.steps if step.id == identity)


def oracle_runtimes(file_format: str) -> tuple[str, ...]:
    """Runtimes that compute the output of a file of a format in float64, the first one preferred."""
    return tuple(
        name
        for name, row in RUNTIMES.items()
        if (row.oracle and file_format in row.reads) or file_format in row.oracle_of
    )


def agreement_step(identity: str, oracles: tuple[str, ...], needs: tuple[str, ...], batch_size: int) -> AgreementStep:
    """The step that tells how the oracles of an ONNX file agree. ``needs``: the probe and the file."""
    return AgreementStep(
        id=identity,
        runtime=registry.runtime(REFERENCE),
        needs=needs,
        beside=oracles,
        voters=(*oracle_runtimes("onnx"), *MORE_VOTERS),
        batch_size=batch_size,
    )


def make_plan(scenario: Scenario) -> Plan:
    """The steps and cells of a scenario."""
    trainer = framework_runtime(scenario.source.framework)
    weights = _weights_step(scenario, trainer)
    steps: list[Step] = [
        DataStep(
            id="data",
            data=scenario.data,
            seed=scenario.seed,
            probe=scenario.probe.samples,
            task=model(scenario.model.name).TASK,
        ),
        InputsStep(id="inputs", needs=("data",), evaluate=scenario.evaluate, seed=scenario.seed),
        weights,
        SourceStep(
            id="source",
            runtime=trainer,
            needs=("data", "inputs", weights.id),
            batch_size=scenario.batch_size,
            threads=scenario.threads,
        ),
    ]
    cells: list[Cell] = []
    for route in scenario.routes:
        more, made = _route_steps(scenario, route, trainer, weights.id)
        steps += more
        cells += made
    steps += _port_step(scenario, trainer, weights.id)
    timings, timed = _timings(scenario, trainer, weights.id, cells)
    return Plan((*steps, *timings), tuple(sorted(cells, key=lambda cell: cell.id)), timed)


def _route_steps(
    scenario: Scenario, route: RouteSection, trainer: Runtime, weights: str
) -> tuple[list[Step], list[Cell]]:
    """The steps and cells of one route: its export, the oracles of what it writes, and the targets that read it."""
    steps: list[Step] = []
    batch_size, threads = scenario.batch_size, scenario.threads
    export = weights
    if route.writes != "safetensors":
        export = f"export {route.label}"
        exporter = framework_runtime(route.exporter(scenario.source.framework))
        steps.append(ExportStep(id=export, runtime=exporter, needs=(weights,), route=route))
    oracles: list[str] = []
    for name in oracle_runtimes(route.writes):
        row = registry.runtime(name)
        # An environment of its own may take a gigabyte: it is made only where a scenario names its runtime.
        if row.environment is not None and name not in (*scenario.targets, trainer.name):
            continue
        identity = f"oracle {route.label} {name}"
        needs: tuple[str, ...] = _each("data", export, weights)
        beside = tuple(oracles) if len(oracles) >= 2 else ()
        steps.append(
            OracleStep(id=identity, runtime=row, needs=needs, beside=beside, batch_size=batch_size, threads=threads)
        )
        oracles.append(identity)
    agreement = None
    if route.writes == "onnx":
        agreement = f"agreement {route.label}"
        needs = _each("data", export, weights)
        steps.append(agreement_step(agreement, tuple(oracles), needs, batch_size))
    cells = []
    for target in scenario.targets:
        row = registry.runtime(target)
        if route.writes not in row.reads:
            continue
        identity = f"target {route.label} {target}"
        needs = _each("data", "inputs", export, weights)
        steps.append(TargetStep(id=identity, runtime=row, needs=needs, batch_size=batch_size, threads=threads))
        layers = None
        if route.writes == "onnx" and scenario.layers.samples:
            layers = f"layers {route.label} {target}"
            needs = _each("data", export, weights, f"oracle {route.label} {REFERENCE}", identity)
            steps.append(
                LayersStep(id=layers, runtime=row, needs=needs, samples=scenario.layers.samples, threads=threads)
            )
        name = f"{scenario.model.name}.{scenario.source.framework}.{route.label}.{target.replace('/', '-')}"
        label = f"{target} via {route.label}"
        cells.append(
            Cell(
                name,
                label,
                route.tool,
                route.label,
                target,
                export,
                tuple(oracles),
                identity,
                layers,
                agreement=agreement,
            )
        )
    return steps, cells


def _each(*steps: str) -> tuple[str, ...]:
    """The steps in order, each once: the weights themselves may be what is opened. Their specification names the axes."""
    return tuple(dict.fromkeys(steps))


def _weights_step(scenario: Scenario, trainer: Runtime) -> Step:
    """The step that makes the source's weights: its training, or the import of a file."""
    if scenario.source.file is not None:
        return ImportStep(
            id="import", runtime=trainer, needs=("data",), path=scenario.source.file, model=scenario.model
        )
    return TrainStep(
        id="train",
        runtime=trainer,
        needs=("data",),
        model=scenario.model,
        training=scenario.source.training,
        seed=scenario.seed,
        threads=scenario.threads,
    )


def _port_step(scenario: Scenario, trainer: Runtime, weights: str) -> list[Step]:
    """The step that holds a port against the source, where there is one."""
    if scenario.port is None:
        return []
    step = PortStep(
        id="port",
        runtime=framework_runtime(scenario.port.framework),
        needs=("data", "inputs", weights, "source"),
        port=scenario.port,
        source_framework=scenario.source.framework,
        source_runtime=trainer,
        loss=scenario.source.training.loss,
        batch_size=scenario.batch_size,
        seed=scenario.seed,
        threads=scenario.threads,
    )
    return [step]


def timing_step(identity: str, row: Runtime, section: TimingSection, threads: int, needs: tuple[str, ...]) -> Step:
    """The step that times a model file in a runtime. ``needs``: the probe and the file."""
    return TimingStep(
        id=identity,
        runtime=row,
        needs=needs,
        batch_sizes=tuple(section.batch_sizes),
        processes=section.processes,
        seconds=section.seconds,
        threads=threads,
    )


def _timings(
    scenario: Scenario, trainer: Runtime, weights: str, cells: list[Cell]
) -> tuple[list[Step], tuple[Timed, ...]]:
    """The steps that time, after all others: the source in its own framework, then every cell of the routes named."""
    section = scenario.timing
    if section is None:
        return [], ()
    label = f"source ({scenario.source.framework})"
    steps = [timing_step("timing source", trainer, section, scenario.threads, ("data", weights))]
    timed = [Timed(label, trainer.name, "", "timing source")]
    for cell in sorted(cells, key=lambda cell: cell.id):
        # The source's own file in its own framework is the reference itself.
        if not section.times(cell.route, cell.route_label) or (cell.export, cell.target) == (weights, trainer.name):
            continue
        identity = f"timing {cell.route_label} {cell.target}"
        row = registry.runtime(cell.target)
        steps.append(timing_step(identity, row, section, scenario.threads, _each("data", cell.export, weights)))
        timed.append(Timed(cell.label, cell.target, cell.route_label, identity))
    return steps, tuple(timed)
