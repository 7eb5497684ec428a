"""What a user gives beside model and probe, checked as soon as it can be: sizes, classes, decisions and names of outputs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from harness.data.named_arrays import read_array
from harness.errors import DataError
from harness.pipeline.given_plan import Given
from harness.results.given import Reference, foreseen_reference, read_ids
from harness.results.given_labels import LabelledProbe, check_count, check_whole, read_labels

#: By step, what is called with the folders so far once it is done.
Checks = Mapping[str, Callable[[Mapping[str, Path]], None]]


def checks_of(given: Given) -> Checks:
    """Checks by the step after which they can be made, for :meth:`harness.pipeline.execution.Execution.all_steps`.

    They take the folders of the steps that are done, and raise DataError. What needs no step is checked at once.
    """
    for path in (given.labels, given.ids):
        if path is not None:
            check_whole(path, read_array(path))
    answered = "source" if given.imports else "reference" if given.whole is None else "whole"
    checks: dict[str, Callable[[Mapping[str, Path]], None]] = {
        "structure": partial(_check_names, given),
        "probe": partial(_check_counts, given),
        answered: partial(_check_decisions, given),
    }
    if not given.imports:
        # Before a runtime answers the whole probe, as far as shapes tell.
        checks["samples"] = partial(_check_decisions, given)
    return checks


def labelled_probe(given: Given, reference: Reference) -> LabelledProbe | None:
    """The labels that were given, as a task has them. Raises DataError where they and the decisions do not fit."""
    if given.labels is None:
        return None
    values = reference.float64[reference.output]
    return read_labels(
        given.labels, reference.decision, values, reference.head, reference.ids, ignored=given.ignored_label
    )


def _check_names(given: Given, folders: Mapping[str, Path]) -> None:
    outputs = json.loads((folders["structure"] / "structure.json").read_text())["outputs"]
    names = [str(entry["name"]) for entry in outputs]
    if given.decision_output is not None and given.decision_output not in names:
        raise DataError(
            f"the model has no output '{given.decision_output}'",
            where="--decision-output",
            hint=f"it has {', '.join(names)}",
        )


def _check_counts(given: Given, folders: Mapping[str, Path]) -> None:
    samples = json.loads((folders["probe"] / "probe.json").read_text())["samples"]
    if given.ids is not None:
        read_ids(given.ids, samples)
    if given.labels is not None:
        check_count(given.labels, read_array(given.labels), samples)


def _check_decisions(given: Given, folders: Mapping[str, Path]) -> None:
    reference = foreseen_reference(given, folders)
    if reference is not None:
        labelled_probe(given, reference)
