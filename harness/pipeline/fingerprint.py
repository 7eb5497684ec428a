"""What the result of a step depends on beside its parameters and the steps it needs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from harness.pipeline.plan import REFERENCE, Step
from harness.pipeline.provenance import hardware, library_versions, sources
from harness.pipeline.source import imported_files
from harness.runtimes.python import distribution_version
from harness.runtimes.registry import availability, runtime
from harness.runtimes.registry import sources as sources_of
from harness.runtimes.routes import ROUTES
from harness.scenario.sections import DataSection, RouteSection


def data_config(section: dict[str, Any]) -> Any:
    """The data room's configuration of a scenario's ``data`` section. Raises DataError on bad options."""
    from harness.data.prepare import DataConfig

    return DataConfig(**DataSection(**section).model_dump())


def fingerprint(step: Step) -> dict[str, Any]:
    """What a step's result depends on beside its parameters and needs: sources and versions, without importing any."""
    if step.kind in ("data", "inputs"):
        from harness.data.prepare import fingerprint as of_data

        versions = library_versions()
        outside = of_data(data_config(step.parameters["data"])) if step.kind == "data" else ""
        return {"sources": sources("data"), "versions": [versions["numpy"], versions["h5py"]], "outside": outside}
    if step.kind in ("given", "probe"):
        return {"sources": sources("pipeline/steps.py", "data")}
    if step.kind == "timing":
        # A timing is a fact of one machine.
        own = fingerprint(Step(step.id, "target", step.runtime))
        return {"target": own, "timing": sources("runtimes/process_timing.py"), "hardware": hardware()}
    if step.kind == "layers":
        # Two runtimes work on it, and the errors are told here.
        rooms = ("workers", "pipeline/layers.py", "compare/layers.py", "compare/outputs.py", "compare/gates.py")
        own = fingerprint(replace(step, kind="target"))
        return {
            "sources": sources(*rooms),
            "note": runtime(step.runtime or "").inner_values_note,
            "target": own,
            "versions": availability(runtime(REFERENCE)).versions,
        }
    if step.kind == "port":
        own, other = (
            fingerprint(Step(step.id, "target", name)) for name in (step.runtime, step.parameters["source_runtime"])
        )
        return {
            "sources": sources("pipeline/port.py", "pipeline/port_training.py", "models", "compare"),
            "port": own,
            "source": other,
        }
    row = runtime(step.runtime or "")
    code = sources(*sources_of(row))
    if step.kind in ("train", "import", "export"):
        code += sources("pipeline/stac.py")
    found = {"sources": code, "versions": availability(row).versions}
    if step.kind == "export":
        # Those of an environment of its own are in its lock.
        tools = ROUTES[RouteSection(**step.parameters["route"]).tool].tools
        found["tools"] = {name: distribution_version(name) for name in tools}
    if step.kind in ("import", "source"):
        found["steps"] = sources("pipeline/source.py", "models")
    if step.kind == "import":
        found["files"] = imported_files(step.parameters)
    return found
