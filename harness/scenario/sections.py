"""The sections of a scenario: which cells to run and what to measure. `harness.scenario.read` reads the file."""

from __future__ import annotations

import difflib
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from harness.models import MODELS, model
from harness.models.spec import Head
from harness.runtimes.routes import ROUTES
from harness.runtimes.table import RUNTIMES, frameworks
from harness.tasks import all_losses
from harness.version_names import joined, split

#: Verdicts that a scenario may expect: those of a comparison, and that a runtime refuses the model.
Expectation = Literal["identical", "equivalent", "undecided", "drifted", "divergent", "unsupported"]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DataSection(_Section):
    """Which data, how dates are drawn and how values are normalised; ``options`` are the source's own."""

    source: str = Field(description="name of a data source, see `harness data list`")
    options: dict[str, Any] = Field(default_factory=dict, description="options of the data source")
    dates: int | None = Field(default=None, gt=0, description="dates per series; the source's own default if left out")
    sampling: Literal["frozen", "per-epoch"] = Field(
        default="frozen", description="draw the dates of a series once, or anew at every epoch of training"
    )
    normalisation: Literal["scale", "percentile", "standard", "none"] | None = Field(
        default=None, description="fitted on training data only; the source's own default if left out"
    )


class ModelSection(_Section):
    """Which reference model, with a preset, single hyper-parameters that override it, and its head."""

    name: str = Field(description="name of a model")
    preset: str | None = Field(default=None, description="named hyper-parameters of the model")
    hyperparameters: dict[str, Any] = Field(default_factory=dict, description="override those of the preset")
    head: Head | None = Field(default=None, description="what the model puts out; the model's own default if left out")

    @field_validator("name")
    @classmethod
    def _known_model(cls, name: str) -> str:
        _known(name, MODELS, "model")
        return name

    @field_validator("preset")
    @classmethod
    def _known_preset(cls, preset: str | None, info: ValidationInfo) -> str | None:
        # An unknown name is an error of its own, and has no presets.
        if preset is not None and (name := info.data.get("name")) is not None:
            _known(preset, tuple(model(name).PRESETS), f"preset of {name}")
        return preset


class TrainingSection(_Section):
    """How the source is trained: Adam, with BreizhCrops' tuned learning rate and weight decay by default."""

    epochs: int = Field(default=10, gt=0)
    batch_size: int = Field(default=256, gt=1)
    learning_rate: float = Field(default=2.38e-4, gt=0)
    weight_decay: float = Field(default=5.18e-5, ge=0)
    loss: str | None = Field(default=None, description="one of the losses of the model's task; its default if left out")

    @field_validator("loss")
    @classmethod
    def _known_loss(cls, loss: str | None) -> str | None:
        if loss is not None:
            _known(loss, all_losses(), "loss")
        return loss


class SourceSection(_Section):
    """The framework of the source, and where its weights come from: a training, or a file of weights."""

    framework: str = Field(
        default="pytorch",
        description="what trains; a version may follow: pytorch@2.8, keras-tensorflow@keras3.10+tf2.19",
    )
    frameworks: list[str] = Field(
        default_factory=list,
        description="in place of one framework several, each of which trains a source of its own, with its own results",
    )
    file: str | None = Field(
        default=None,
        description="weights that were trained before (.safetensors, .pt, .pth or .keras), in place of a training; "
        "found from the current folder or below the environment variable HARNESS_DATA",
    )
    training: TrainingSection = TrainingSection()

    @model_validator(mode="after")
    def _file_or_training(self) -> SourceSection:
        if self.file is not None and "training" in self.model_fields_set:
            raise ValueError("both a file of weights and a training are given; keep one of them")
        if self.frameworks and "framework" in self.model_fields_set:
            raise ValueError("both framework and frameworks are given; keep one of them")
        if len(set(self.frameworks)) < len(self.frameworks):
            raise ValueError("a framework is named twice; name each of them once")
        return self

    @property
    def all_frameworks(self) -> tuple[str, ...]:
        """The frameworks that train a source each."""
        return tuple(self.frameworks) or (self.framework,)


class RouteSection(_Section):
    """One conversion: the tool by name, the opset asked for, and whether batch normalisation may be folded.

    The name may end in a version of the source's framework: ``torch-script@2.8`` exports with PyTorch 2.8, whatever version
    trained the model.
    """

    route: str = Field(description="name of a route; a version of the source's framework may follow: torch-script@2.8")
    opset: int = Field(default=18, ge=7)
    fold: bool = True

    @property
    def label(self) -> str:
        """A name that differs between the routes of one scenario."""
        # Labels are compared before it is known whether there are such routes.
        if self.tool in ROUTES and not ROUTES[self.tool].options:
            return self.route
        return f"{self.route}-opset{self.opset}-{'folded' if self.fold else 'unfolded'}"

    @property
    def tool(self) -> str:
        """The name of the route without a version."""
        return split(self.route)[0]

    @property
    def version(self) -> str:
        """The version of the framework that exports; empty where it is the source's own."""
        return split(self.route)[1]

    @property
    def frameworks(self) -> tuple[str, ...]:
        """The frameworks whose models the route converts; every one where none is named."""
        return ROUTES[self.tool].frameworks

    @property
    def writes(self) -> str:
        """The file format the route writes."""
        return ROUTES[self.tool].writes

    def converts(self, framework: str) -> bool:
        """Whether the route converts models of a framework, whatever its version."""
        return ROUTES[self.tool].fits(framework)

    def exporter(self, framework: str) -> str:
        """The framework, with its version, that converts a source of a framework."""
        return joined(split(framework)[0], self.version) if self.version else framework


def _route_by_name(value: Any) -> Any:
    return {"route": value} if isinstance(value, str) else value


class ProbeSection(_Section):
    """The fixed inputs on which runtimes are compared, drawn once from the test part."""

    samples: int = Field(
        default=256, ge=1, description="a model asks for a number at least: 64 for series, 8 for frames"
    )


class LayersSection(_Section):
    """Error node by node: over how many samples of the probe; none where there are 0."""

    samples: int = Field(default=8, ge=0, description="samples of the probe; 0 or `layers: false` leave it out")


def _layers_switch(value: Any) -> Any:
    if isinstance(value, bool):
        return {} if value else {"samples": 0}
    return value


class TimingSection(_Section):
    """What is timed: batch sizes, fresh processes per runtime and route, seconds per batch size and process."""

    batch_sizes: list[Annotated[int, Field(ge=1, le=1 << 20)]] = Field(
        default=[1, 64], min_length=1, max_length=16, description="samples per timed call"
    )
    processes: int = Field(
        default=3, ge=1, le=100, description="fresh processes per runtime and route, one after another"
    )
    seconds: float = Field(default=1.0, gt=0, le=600, description="seconds of calls per batch size and process")
    routes: list[str] | None = Field(default=None, description="routes by name or label; all of them if left out")

    @field_validator("batch_sizes")
    @classmethod
    def _distinct_sizes(cls, sizes: list[int]) -> list[int]:
        for size in sizes:
            if sizes.count(size) > 1:
                raise ValueError(f"batch size {size} is named twice")
        return sizes

    def times(self, route: str, label: str) -> bool:
        """Whether a route is timed."""
        return self.routes is None or route in self.routes or label in self.routes


def _timing_switch(value: Any) -> Any:
    if isinstance(value, bool):
        return {} if value else None
    return value


class LimitsSection(_Section):
    """What one request to a worker may take, of time and of memory, before its cell is given up."""

    request_seconds: float = Field(default=900.0, gt=0)
    training_seconds: float = Field(default=7200.0, gt=0)
    memory_gb: float | None = Field(
        default=None, gt=0, description="memory that a worker may hold, in 10^9 bytes; any if left out"
    )

    @property
    def memory_bytes(self) -> float | None:
        """The limit of memory in bytes."""
        return None if self.memory_gb is None else self.memory_gb * 1e9


class PortSection(_Section):
    """A second implementation that claims to be the same model: it gets the source's weights and is compared with the source."""

    framework: str = Field(description="framework of the port")
    preset: str | None = Field(default=None, description="named hyper-parameters of the port")
    hyperparameters: dict[str, Any] = Field(default_factory=dict, description="override those of the preset")
    samples: int = Field(default=2, ge=1, description="samples of the probe on which hypotheses are tried")
    together: int = Field(default=2, ge=1, le=4, description="most hypotheses that are tried at once")
    expect: Literal["same", "other"] = Field(default="same", description="the same function as the source, or another")


class Scenario(_Section):
    """A scenario: one model, one source, and the product of routes and targets that fit together."""

    scenario: str = Field(
        pattern=r"^[a-z0-9][a-z0-9_-]*$", description="name of the scenario and of its results folder"
    )
    title: str
    description: str = ""
    seed: int = Field(default=0, ge=0, lt=2**32)
    data: DataSection
    model: ModelSection
    source: SourceSection = SourceSection()
    routes: list[Annotated[RouteSection, BeforeValidator(_route_by_name)]] = Field(min_length=1)
    targets: list[str] = Field(
        min_length=1, description="runtimes, written language/engine; a version may follow: python/onnxruntime@1.20"
    )
    probe: ProbeSection = ProbeSection()
    evaluate: int | None = Field(
        default=None, gt=0, description="test samples that every runtime predicts; all if left out"
    )
    batch_size: int = Field(default=64, gt=0, description="samples per call of a runtime")
    threads: int = Field(default=1, gt=0)
    layers: Annotated[LayersSection, BeforeValidator(_layers_switch)] = LayersSection()
    timing: Annotated[TimingSection | None, BeforeValidator(_timing_switch)] = Field(
        default=None, description="time every runtime's own calls; nothing is timed if left out or `timing: false`"
    )
    port: PortSection | None = Field(
        default=None, description="an implementation to compare with the source, with hypotheses about what differs"
    )
    limits: LimitsSection = LimitsSection()
    expect: Expectation | dict[str, Expectation] = Field(
        default="equivalent",
        description="the worst verdict a cell may have; or one per runtime (in all its versions, or in one) or cell "
        "(`python/onnxruntime@1.15 via torch-dynamo-opset18-folded`) or framework of the source, with `default` for the others",
    )
    require: list[str] = Field(default_factory=list, description="runtimes that must be installed")

    @field_validator("routes")
    @classmethod
    def _known_routes(cls, routes: list[RouteSection]) -> list[RouteSection]:
        labels = [route.label for route in routes]
        for label in labels:
            if labels.count(label) > 1:
                raise ValueError(f"route {label} is named twice")
        return routes

    @field_validator("targets")
    @classmethod
    def _distinct_targets(cls, targets: list[str]) -> list[str]:
        for target in targets:
            if targets.count(target) > 1:
                raise ValueError(f"target {target} is named twice")
        return targets

    def expected(self, target: str, route_label: str) -> str:
        """The worst verdict that the cell of this target and route may have."""
        if isinstance(self.expect, str):
            return self.expect
        source = self.source.framework
        named = (f"{target}{VIA}{route_label}", target, split(target)[0], source, split(source)[0], "default")
        return next((self.expect[name] for name in named if name in self.expect), "equivalent")


#: Separates target and route in the label of a cell.
VIA = " via "


def _known(name: str, names: tuple[str, ...], what: str) -> None:
    if name not in names:
        raise ValueError(f"there is no {what} '{name}'; {suggestion(name, names)}")


def suggestion(name: str, names: tuple[str, ...]) -> str:
    """What to write in place of an unknown name: the nearest one, or all of them."""
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean '{near[0]}'?" if near else f"choose one of {', '.join(names)}"


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a scenario file, for editors."""
    schema = Scenario.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    # The tables are read when the schema is made, so that it shows every row.
    known = "; ".join(f"{row.name} ({row.title})" for row in frameworks().values())
    schema["$defs"]["SourceSection"]["properties"]["framework"]["description"] += f". Known: {known}"
    known = "; ".join(f"{row.name} ({row.title})" for row in ROUTES.values())
    schema["$defs"]["RouteSection"]["properties"]["route"]["description"] += f". Known: {known}"
    schema["properties"]["targets"]["description"] += f". Known: {', '.join(RUNTIMES)}"
    schema["$defs"]["TrainingSection"]["properties"]["loss"]["enum"] = [*all_losses(), None]
    # The schema generator does not see what the validators accept: a route by its bare name,
    items = schema["properties"]["routes"]["items"]
    schema["properties"]["routes"]["items"] = {"anyOf": [{"type": "string", "enum": list(ROUTES)}, items]}
    # `timing` switched by a bare word,
    schema["properties"]["timing"]["anyOf"].append({"type": "boolean"})
    # and `layers` switched off by one.
    layers = schema["properties"]["layers"]
    schema["properties"]["layers"] = {"anyOf": [{"$ref": layers.pop("$ref")}, {"type": "boolean"}], **layers}
    return schema
