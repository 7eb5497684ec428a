"""Reads a scenario file; every error is one line with the file, the line and what to write instead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from harness.errors import HarnessError, ScenarioError
from harness.models import model
from harness.runtimes.routes import ROUTES
from harness.runtimes.table import importing_frameworks
from harness.scenario.sections import VIA, RouteSection, Scenario, suggestion
from harness.scenario.yaml_text import line_of, parse
from harness.version_names import split


def read_scenario(path: Path) -> Scenario:
    """Read a scenario file.

    Raises ScenarioError with file and line for anything that is not a scenario: YAML that cannot be parsed, an unknown
    key, model, preset, route or runtime (with the nearest name), or a value out of range.
    """
    root, document = parse(path)
    try:
        scenario = Scenario.model_validate(document)
    except ValidationError as error:
        raise _scenario_error(path, root, document, error) from error
    _check_names(path, root, scenario)
    return scenario


def _scenario_error(path: Path, root: yaml.Node, document: Any, error: ValidationError) -> ScenarioError:
    problems = error.errors()
    # An unknown key is most often a misspelt one, and then another key seems missing.
    first = next((p for p in problems if p["type"] == "extra_forbidden"), problems[0])
    location = tuple(first["loc"])
    where = f"{path}:{line_of(root, location)}"
    names = ".".join(str(part) for part in location)
    if first["type"] == "extra_forbidden":
        keys = _keys_at(location[:-1])
        return ScenarioError(f"unknown key '{names}'", where=where, hint=suggestion(str(location[-1]), keys))
    if first["type"] == "missing":
        return ScenarioError(f"key '{names}' is missing", where=where, hint="add it; see `python -m harness schema`")
    message = first["msg"].removeprefix("Value error, ")
    if "; " in message:
        what, _, hint = message.partition("; ")
        return ScenarioError(f"{names}: {what}", where=where, hint=hint)
    given = first.get("input")
    shown = f" (found {given!r})" if isinstance(given, str | int | float | bool) or given is None else ""
    message = message[0].lower() + message[1:]
    return ScenarioError(f"{names}: {message}{shown}", where=where, hint="see `python -m harness schema`")


def _keys_at(location: tuple[int | str, ...]) -> tuple[str, ...]:
    """The keys that the scenario schema has at a location."""
    schema: dict[str, Any] = Scenario.model_json_schema()
    definitions = schema["$defs"]
    node = schema
    for part in location:
        node = node.get("items", {}) if isinstance(part, int) else node.get("properties", {}).get(part, {})
        node = next((choice for choice in node.get("anyOf", ()) if "$ref" in choice), node)
        while "$ref" in node:
            node = definitions[node["$ref"].rpartition("/")[2]]
    return tuple(node.get("properties", {}))


def _check_names(path: Path, root: yaml.Node, scenario: Scenario) -> None:
    """Names that other packages know: runtimes, frameworks, routes and data sources."""
    from harness.data.sources import source, source_names
    from harness.models.hypotheses import hypotheses_of
    from harness.runtimes.registry import framework_runtime, runtime

    def check(location: tuple[int | str, ...], look_up: Any) -> None:
        try:
            look_up()
        except HarnessError as error:
            names = ".".join(str(part) for part in location)
            raise ScenarioError(
                f"{names}: {error.what}", where=f"{path}:{line_of(root, location)}", hint=error.hint
            ) from error

    def choose(name: str, names: tuple[str, ...], what: str) -> None:
        if name not in names:
            raise ScenarioError(f"there is no {what} '{name}'", hint=suggestion(name, names))

    check(("data", "source"), lambda: choose(scenario.data.source, tuple(source_names()), "data source"))
    trainers = scenario.source.all_frameworks
    for index, framework in enumerate(trainers):
        place = ("source", "frameworks", index) if scenario.source.frameworks else ("source", "framework")
        check(place, lambda name=framework: framework_runtime(name))
        if scenario.source.file is not None:
            check(place, lambda name=framework: _check_importing(name))
    if (named := scenario.source.file) is not None:
        check(("source", "file"), lambda: _weights_file(named))
    for index, route in enumerate(scenario.routes):
        check(("routes", index, "route"), lambda name=route.tool: choose(name, tuple(ROUTES), "route"))
        # A route has to fit one of the frameworks; if it fits none, the error is about the last one.
        fits = [name for name in trainers if route.converts(name)] or trainers[-1:]
        for framework in fits:
            check(("routes", index, "route"), lambda route=route, name=framework: _check_framework(route, name))
    for index, framework in enumerate(scenario.source.frameworks):
        if not any(route.converts(framework) for route in scenario.routes):
            raise ScenarioError(
                f"source.frameworks.{index}: no route of this scenario converts models of {framework}",
                where=f"{path}:{line_of(root, ('source', 'frameworks', index))}",
                hint="add such a route or leave the framework out",
            )
    for section in ("targets", "require"):
        for index, target in enumerate(getattr(scenario, section)):
            check((section, index), lambda name=target: runtime(name))
    described = model(scenario.model.name)
    check(("model", "name"), lambda: source(scenario.data.source).check_serves(described.NAME, described.TASK))
    if (loss := scenario.source.training.loss) is not None:
        # Imported here: a scenario without a loss is read without NumPy.
        from harness.tasks import task

        check(("source", "training", "loss"), lambda: task(described.TASK).loss(loss))
    fewest = int(described.MINIMUM_PROBE)
    if scenario.probe.samples < fewest:
        raise ScenarioError(
            f"probe.samples: input should be greater than or equal to {fewest} (found {scenario.probe.samples})",
            where=f"{path}:{line_of(root, ('probe', 'samples'))}",
            hint="take more samples: fewer say too little of an error",
        )
    if isinstance(scenario.expect, dict):
        labels = tuple(route.label for route in scenario.routes)
        for name in scenario.expect:
            target, via, label = name.partition(VIA)
            if name != "default" and name not in trainers:
                check(("expect", name), lambda name=target: runtime(name))
            if via:
                check(("expect", name), lambda name=label: choose(name, labels, "route of this scenario"))
    if (port := scenario.port) is not None:
        check(("port", "framework"), lambda: framework_runtime(port.framework))
        check(("port",), lambda: hypotheses_of(scenario.model.name))
        if (preset := port.preset) is not None:
            presets = tuple(model(scenario.model.name).PRESETS)
            check(("port", "preset"), lambda: choose(preset, presets, f"preset of {scenario.model.name}"))
    if scenario.timing is not None:
        known = tuple(dict.fromkeys(name for route in scenario.routes for name in (route.label, route.tool)))
        for index, name in enumerate(scenario.timing.routes or ()):
            check(("timing", "routes", index), lambda name=name: choose(name, known, "route of this scenario"))
    formats = {route.writes for route in scenario.routes}
    for index, target in enumerate(scenario.targets):
        if not formats & set(runtime(target).reads):
            needed = " or ".join(runtime(target).reads)
            raise ScenarioError(
                f"no route of this scenario writes what {target} reads ({needed})",
                where=f"{path}:{line_of(root, ('targets', index))}",
                hint="add such a route or leave the runtime out",
            )


def _check_framework(route: RouteSection, framework: str) -> None:
    """Raises ScenarioError where a route cannot convert the models of a framework, or not in that version."""
    from harness.runtimes.registry import framework_runtime

    framework = split(framework)[0]
    if "@" in route.route:
        if not route.frameworks:
            raise ScenarioError(f"{route.tool} is not written by a framework", hint="leave its version out")
        framework_runtime(f"{framework}@{route.version}")
    if not route.converts(framework):
        fitting = [name for name, other in ROUTES.items() if other.fits(framework)]
        raise ScenarioError(
            f"{route.route} converts models of {' and '.join(route.frameworks)}, not of {framework}",
            hint=f"choose one of {', '.join(fitting)}",
        )


def _check_importing(framework: str) -> None:
    """Raises ScenarioError where weights from a file cannot be run in a framework."""
    if split(framework)[0] not in (importing := importing_frameworks()):
        raise ScenarioError(
            f"weights from a file are run in {' or '.join(importing)}, not in {framework}",
            hint="name that framework, or train the source",
        )


def _weights_file(name: str) -> None:
    """Raises ScenarioError where there is no such file of weights, or none of that kind can be read."""
    from harness.data.locate import ENVIRONMENT_VARIABLE, find
    from harness.models.layouts import WEIGHT_FILES

    if Path(name).suffix not in WEIGHT_FILES:
        raise ScenarioError(
            f"'{name}' is no file of weights that can be read", hint=f"give one of {', '.join(WEIGHT_FILES)}"
        )
    try:
        find(name, None)
    except HarnessError as error:
        raise ScenarioError(
            f"there is no file '{name}'",
            hint=f"paths are found from the current folder, or below the folder that {ENVIRONMENT_VARIABLE} names",
        ) from error
