"""From a scenario to steps and cells: a pure function, without a look at what is installed or finished."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from harness.runtimes import registry
from harness.runtimes.registry import RUNTIMES, framework_runtime
from harness.scenario.sections import Scenario, TimingSection

StepKind = Literal[
    "data",
    "inputs",
    "train",
    "import",
    "source",
    "export",
    "oracle",
    "target",
    "given",
    "structure",
    "probe",
    "reference",
    "timing",
    "layers",
    "port",
]

#: The runtime that takes graphs apart, and whose float32 run is the floor of their nodes and of a given file.
REFERENCE = "python/onnx-reference"


@dataclass(frozen=True)
class Step:
    """One unit of work. ``parameters`` and the steps it needs decide its result.

    ``runtime`` does it; None: the harness itself.
    """

    id: str
    kind: StepKind
    runtime: str | None
    parameters: dict[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()


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


def layers_step(identity: str, target: str, samples: int, threads: int, needs: tuple[str, ...]) -> Step:
    """The step that compares a target node by node. ``needs``: probe, graph, the reference's oracle and the target."""
    return Step(identity, "layers", target, {"samples": samples, "threads": threads}, needs)


def make_plan(scenario: Scenario) -> Plan:
    """The steps and cells of a scenario."""
    trainer = framework_runtime(scenario.source.framework).name
    data = scenario.data.model_dump(mode="json")
    weights = _weights_step(scenario, trainer)
    running = {"batch_size": scenario.batch_size, "threads": scenario.threads}
    steps = [
        Step("data", "data", None, {"data": data, "seed": scenario.seed, "probe": scenario.probe.samples}),
        Step("inputs", "inputs", None, {"evaluate": scenario.evaluate, "seed": scenario.seed}, ("data",)),
        weights,
        Step("source", "source", trainer, running, ("data", "inputs", weights.id)),
    ]
    cells = []
    for route in scenario.routes:
        export = weights.id
        if route.writes != "safetensors":
            export = f"export {route.label}"
            exporter = framework_runtime(route.exporter(scenario.source.framework)).name
            steps.append(Step(export, "export", exporter, {"route": route.model_dump(mode="json")}, (weights.id,)))
        oracles = []
        for runtime in oracle_runtimes(route.writes):
            # An environment of a gigabyte is made for nobody who does not ask for its runtime.
            if registry.runtime(runtime).environment is not None and runtime not in (*scenario.targets, trainer):
                continue
            identity = f"oracle {route.label} {runtime}"
            steps.append(Step(identity, "oracle", runtime, running, ("data", export)))
            oracles.append(identity)
        for target in scenario.targets:
            if route.writes not in registry.runtime(target).reads:
                continue
            identity = f"target {route.label} {target}"
            steps.append(Step(identity, "target", target, running, ("data", "inputs", export)))
            name = f"{scenario.model.name}.{scenario.source.framework}.{route.label}.{target.replace('/', '-')}"
            label = f"{target} via {route.label}"
            layers = None
            if route.writes == "onnx" and scenario.layers.samples:
                layers = f"layers {route.label} {target}"
                needs = ("data", export, f"oracle {route.label} {REFERENCE}", identity)
                steps.append(layers_step(layers, target, scenario.layers.samples, scenario.threads, needs))
            cells.append(Cell(name, label, route.tool, route.label, target, export, tuple(oracles), identity, layers))
    steps += _port_step(scenario, trainer, weights.id)
    timings, timed = _timings(scenario, trainer, weights.id, cells)
    return Plan((*steps, *timings), tuple(sorted(cells, key=lambda cell: cell.id)), timed)


def _weights_step(scenario: Scenario, trainer: str) -> Step:
    """The step that makes the source's weights: its training, or the import of a file."""
    section = scenario.model.model_dump(mode="json")
    if scenario.source.file is not None:
        return Step("import", "import", trainer, {"model": section, "path": scenario.source.file}, ("data",))
    parameters = {
        "model": section,
        "training": scenario.source.training.model_dump(mode="json"),
        "seed": scenario.seed,
        "threads": scenario.threads,
    }
    return Step("train", "train", trainer, parameters, ("data",))


def _port_step(scenario: Scenario, trainer: str, weights: str) -> list[Step]:
    """The step that holds a port against the source, where there is one."""
    section = scenario.port
    if section is None:
        return []
    parameters = section.model_dump(mode="json") | {
        "source_framework": scenario.source.framework,
        "source_runtime": trainer,
        "loss": scenario.source.training.loss,
        "batch_size": scenario.batch_size,
        "seed": scenario.seed,
        "threads": scenario.threads,
    }
    runtime = framework_runtime(section.framework).name
    return [Step("port", "port", runtime, parameters, ("data", "inputs", weights, "source"))]


def timing_step(identity: str, runtime: str, section: TimingSection, threads: int, needs: tuple[str, ...]) -> Step:
    """The step that times a model file in a runtime. ``needs``: the probe and the file."""
    return Step(identity, "timing", runtime, section.measured() | {"threads": threads}, needs)


def _timings(scenario: Scenario, trainer: str, weights: str, cells: list[Cell]) -> tuple[list[Step], tuple[Timed, ...]]:
    """The steps that time, after all others: the source in its own framework, then every cell of the routes named."""
    section = scenario.timing
    if section is None:
        return [], ()
    label = f"source ({scenario.source.framework})"
    steps = [timing_step("timing source", trainer, section, scenario.threads, ("data", weights))]
    timed = [Timed(label, trainer, "", "timing source")]
    for cell in sorted(cells, key=lambda cell: cell.id):
        # The source's own file in its own framework is the reference itself.
        if not section.times(cell.route, cell.route_label) or (cell.export, cell.target) == (weights, trainer):
            continue
        identity = f"timing {cell.route_label} {cell.target}"
        steps.append(timing_step(identity, cell.target, section, scenario.threads, ("data", cell.export)))
        timed.append(Timed(cell.label, cell.target, cell.route_label, identity))
    return steps, tuple(timed)
