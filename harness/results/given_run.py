"""A given model from file to report: its steps, its comparisons, its result files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import Any

from harness.compare.placement import Placement
from harness.compare.records import CellResult
from harness.files.arrays import Array
from harness.files.digests import content_hash, file_hash
from harness.files.locks import exclusive
from harness.files.store import Store
from harness.pipeline.execution import Execution, Finished, Listener, availabilities, phase, step_keys
from harness.pipeline.given_plan import ROUTE, Given, given_plan
from harness.pipeline.plan import Plan
from harness.pipeline.provenance import package_hash
from harness.pipeline.steps.oracle import OUTPUTS
from harness.pipeline.steps.place import read_placement
from harness.results.artifacts import oracles_of, read_outputs
from harness.results.given import Reference, evaluate_given, read_reference
from harness.results.given_checks import Checks, checks_of, labelled_probe
from harness.results.given_labels import LabelledProbe, task_of
from harness.results.publish import cell_seconds, environment_record, finished_run, publish, timings_record
from harness.results.tables import Rows, probe_rows
from harness.runtimes.registry import REFERENCE, packages, runtime
from harness.runtimes.row import Availability
from harness.tasks.base import SOURCE

#: Targets whose workers are started before they are asked: as many as two processors are busy with.
STARTED_AHEAD = 2


@dataclass(frozen=True)
class GivenResult:
    """What a comparison ends with. ``fresh`` is False where everything had been finished before.

    ``accidents``: by step, how its worker was lost.
    """

    folder: Path
    cells: list[CellResult]
    fresh: bool
    accidents: Mapping[str, str] = field(default_factory=dict)
    #: What is told of the samples in the file's inputs and outputs.
    samples_said: tuple[str, ...] = ()
    #: What is decided on the outputs and why, as in ``manifest.json``.
    decision: Mapping[str, Any] = field(default_factory=dict)
    #: The expected outputs, as in ``manifest.json``; empty where there are none.
    expected: Mapping[str, Any] = field(default_factory=dict)


def compare_given(given: Given, *, output: Path, store: Path, listener: Listener, pdf: bool = False) -> GivenResult:
    """Compare a given model in its targets and write the results below ``output/compare_<file>/``.

    Raises HarnessError on a model, probe, labels or ids that cannot be used.
    """
    plan = given_plan(given)
    checks = checks_of(given)
    states = availabilities(plan, listener)
    keys = step_keys(plan)
    folder = output / given.name
    columns = {name: file_hash(path) for name, path in (("labels", given.labels), ("ids", given.ids)) if path}
    identity = content_hash(
        {
            "keys": keys,
            "columns": columns,
            "code": package_hash(),
            "pdf": pdf,
            "decision": repr((given.decision, given.decision_output, given.ignored_label)),
            "allow_nan": given.allow_nan,
        }
    )
    if (cells := finished_run(folder, identity, listener.noticed)) is not None:
        manifest = json.loads((folder / "manifest.json").read_text())
        return GivenResult(
            folder,
            cells,
            fresh=False,
            samples_said=tuple(manifest["samples_said"]),
            decision=manifest["decision"],
            expected=manifest["expected"],
        )
    with exclusive(folder):
        execution = Execution(
            plan,
            keys,
            states,
            Store(store),
            listener,
            limits=given.limits,
            threads=given.threads,
            # What is timed has the machine to itself.
            ahead=() if given.timing else (REFERENCE, *given.targets[:STARTED_AHEAD]),
        )
        meanwhile = Thread(target=_prepare_report, args=(states,), daemon=True)
        if given.timing is None:
            meanwhile.start()
        finished, reference, labelled, cells = judged_cells(given, plan, execution, checks)
        tables: dict[str, Rows] = {
            "outputs_probe.csv.gz": probe_rows(
                _probe_outputs(plan, reference, finished), reference.ids.tolist(), reference.class_names
            )
        }
        if labelled is not None:
            tables |= _scored(labelled, plan, reference, finished)
        if given.timing is None:
            meanwhile.join()
        manifest = {
            **environment_record(states, keys, given.threads),
            **_about(given, reference, labelled),
            "identity": identity,
            "accidents": dict(sorted(finished.accidents.items())),
        }
        with phase(listener, "comparisons and report"):
            baseline = "the first of the runtimes named"
            if given.imports:
                baseline = f"the source in its own framework, {given.framework}"
            publish(
                folder,
                cells,
                manifest,
                cell_seconds(plan, finished),
                tables,
                structures={ROUTE: reference.structure},
                workers=finished.workers,
                timings=timings_record(plan, finished, baseline),
                placement=_placement(plan, finished),
                pdf=pdf,
            )
    return GivenResult(
        folder,
        cells,
        fresh=True,
        accidents=finished.accidents,
        samples_said=tuple(manifest["samples_said"]),
        decision=manifest["decision"],
        expected=manifest["expected"],
    )


def _placement(plan: Plan, finished: Finished) -> Placement | None:
    """Where the file parts from its source, with the rows of its nodes; None where it does not."""
    steps = {cell.place for cell in plan.cells if cell.place in finished.folders}
    found = [read_placement(finished.folders[step]) for step in steps if step is not None]
    return next((placement for placement in found if placement.samples), None)


def _prepare_report(states: Mapping[str, Availability]) -> None:
    """Look up packages and import what writes the report while workers compute: seconds of a short run."""
    for name, state in states.items():
        if state.installed:
            packages(runtime(name))
    for name in ("harness.report.build", "matplotlib.figure", "matplotlib.style"):
        import_module(name)


def judged_cells(
    given: Given, plan: Plan, execution: Execution, checks: Checks
) -> tuple[Finished, Reference, LabelledProbe | None, list[CellResult]]:
    """Do the steps of a plan and judge its cells; nothing is published. Raises HarnessError as :func:`compare_given` does."""
    finished = execution.all_steps(checks)
    reference = read_reference(given, finished)
    labelled = labelled_probe(given, reference)
    return finished, reference, labelled, [evaluate_given(given, cell, reference, finished) for cell in plan.cells]


def _probe_outputs(plan: Plan, reference: Reference, finished: Finished) -> Iterator[tuple[str, Array, Array, Array]]:
    exact = reference.exact
    for cell in plan.cells:
        if cell.step in finished.folders and reference.per_class:
            outputs = read_outputs(finished.folders[cell.step] / "probe.float32.safetensors", reference.sampling)
            (folder, *_) = oracles_of(cell, finished.folders).values()
            route = read_outputs(folder / OUTPUTS, reference.sampling)
            if reference.output in outputs:
                yield cell.id, outputs[reference.output], route[reference.output], exact


def _scored(labelled: LabelledProbe, plan: Plan, reference: Reference, finished: Finished) -> dict[str, Rows]:
    """The result files of the task that the labels are of: how the reference and each target answered."""

    def outputs() -> Iterator[tuple[str, Array]]:
        yield SOURCE, reference.float32[reference.output]
        for cell in plan.cells:
            if cell.step in finished.folders:
                found = read_outputs(finished.folders[cell.step] / "probe.float32.safetensors", reference.sampling)
                if reference.output in found:
                    yield cell.label, found[reference.output]

    return labelled.result_tables(outputs, reference.float64[reference.output].shape)


def _about(given: Given, reference: Reference, labelled: LabelledProbe | None) -> dict[str, Any]:
    """What a scenario's manifest says of scenario, data and probe, as far as a file and arrays tell it."""
    described = reference.metadata.get("harness.data", "{}")
    try:
        trained_on = json.loads(described)
    except ValueError:
        trained_on = {}
    source = "" if given.weights is None else f" --from {given.weights.name}"
    if given.expected is not None:
        source = f" --expected {given.expected.name}"
    text = f"harness compare {given.model.name}{source} --to {','.join(given.targets)}\n"
    where = given.targets[0] if len(given.targets) == 1 else f"{len(given.targets)} runtimes"
    few = ["The probe is small: gates are made for 64 samples and more."] if reference.samples < 64 else []
    return {
        "scenario": {
            "name": given.name,
            "title": f"{given.model.name} in {where}",
            "description": f"A given model file, opened in {where} and compared with {_compared_with(given)}",
            "text": text,
            "sha256": hashlib.sha256(text.encode()).hexdigest(),
        },
        "seeds": {},
        "data": {
            "name": "given probe",
            "title": "the user's own probe",
            "synthetic": isinstance(trained_on, dict) and bool(trained_on.get("synthetic", False)),
            "class_names": reference.class_names if labelled is None else list(labelled.problem.names),
            "licence": "the user's own",
            "citation": "",
            "notes": [
                f"The probe was given as NumPy files: {', '.join(path.name for path in given.probe.values())}.",
                *few,
                *(f"Of input {name} {text}, which is allowed." for name, text in reference.not_finite.items()),
                *(f"Samples: {sentence}." for sentence in reference.samples_said),
                *_source_notes(reference),
            ],
        },
        "probe": {"samples": reference.samples, "sha256": reference.probe_sha256},
        "labelled": labelled is not None,
        "task": task_of(reference.decision, reference.float64[reference.output].shape),
        "samples_said": reference.samples_said,
        "decision": {
            **asdict(reference.decision),
            "sentence": reference.decision.sentence(),
            "per_class": reference.per_class,
        },
        "probe_given": True,
        "expected": _expected(given, reference),
        **_origin(reference),
    }


def _compared_with(given: Given) -> str:
    if given.whole is not None:
        return "the model that it was made from."
    if given.weights is not None:
        return "the weights that it was made from."
    if given.expected is not None:
        return "the outputs that the framework gave which it was made from."
    return "itself in float64."


def _expected(given: Given, reference: Reference) -> dict[str, Any]:
    """The expected outputs: their file, their types, and what can be seen by them."""
    path = given.weights if given.whole is not None else given.expected
    if path is None:
        return {}
    types = {
        name: array.dtype.name if array.dtype.kind in "biuf" else "string" for name, array in reference.expected.items()
    }
    return {
        "file": path.name,
        "sha256": file_hash(given.whole.file if given.whole is not None else path),
        "kind": "outputs" if given.whole is None else "model",
        "types": types,
        "said": reference.expected_said,
    }


def _origin(reference: Reference) -> dict[str, Any]:
    """What is known of the file's source."""
    if reference.source is None:
        return {"source": "file"}
    spec = reference.source.spec.model_dump(mode="json")
    return {"source": "weights", "model": spec, "imported": reference.source.imported or {}}


def _source_notes(reference: Reference) -> list[str]:
    """What was assumed of the weights, and what was done to the probe for them."""
    if reference.source is None:
        return []
    notes = []
    if reference.source.file_spec is not None:
        orders = [
            f"{tensor.name} ({', '.join(axis.name for axis in tensor.axes)})"
            for tensor in reference.source.file_spec.inputs
        ]
        notes.append(f"The file takes its axes in another order than the source: {'; '.join(orders)}.")
    if (reference.source.imported or {}).get("head_from") == "otherwise":
        notes.append("The head of the model was not stated: it was taken from the end of the file's graph.")
    return notes
