"""How well the task is done by each runtime with the same weights: metrics, confusion, disagreement and confidence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from harness.report.document import Column, Table
from harness.report.formatting import capitalised, counted, share, share_with_interval
from harness.report.read import SOURCE, Results, everyone
from harness.tasks import class_metrics as metrics

if TYPE_CHECKING:
    import pandas as pd

_OVERALL: dict[str, metrics.Metric] = {
    "accuracy": metrics.accuracy,
    "kappa": metrics.cohen_kappa,
    **{
        f"{measure}_{average}": lambda confusion, m=measure, a=average: metrics.averaged(confusion, m, a)  # type: ignore[misc]
        for measure in ("f1", "precision", "recall")
        for average in ("micro", "macro", "weighted")
    },
}
_MEASURES: tuple[Literal["f1", "precision", "recall"], ...] = ("f1", "precision", "recall")
#: Overall metrics that pages show; CSV files hold all.
_SHOWN = {"accuracy": "Accuracy", "kappa": "Kappa", "f1_macro": "F1 macro", "f1_weighted": "F1 weighted"}

BOOTSTRAP = (
    "In brackets: 95 % percentile bootstrap intervals over the test samples (1,000 resamples); † fewer than "
    f"{metrics.FEW_SAMPLES} samples; – not defined."
)


@dataclass(frozen=True)
class Runner:
    """One runtime's labels of the evaluated samples as indices; ``undecided`` samples have the index after the classes."""

    name: str
    labels: NDArray[np.int64]
    confidence: NDArray[np.float64]
    undecided: int


@dataclass(frozen=True)
class Group:
    """Runtimes that predict the same class for every sample, and their one confusion matrix (true, predicted)."""

    runners: tuple[Runner, ...]
    confusion: NDArray[np.int64]
    letter: str


@dataclass(frozen=True)
class TaskResults:
    """Truth and predictions as indices of classes, and the runtimes grouped by equal predictions."""

    class_names: tuple[str, ...]
    truth: NDArray[np.int64]
    runners: tuple[Runner, ...]
    groups: tuple[Group, ...]

    def group_of(self, runner: Runner) -> Group:
        """The group that a runtime belongs to."""
        return next(group for group in self.groups if runner in group.runners)


def task_results(results: Results) -> TaskResults | None:
    """The evaluated test samples by runtime, or None where nothing was predicted."""
    frame = results.predictions
    if frame is None or frame.empty:
        return None
    order = {name: index for index, name in enumerate(results.class_names)}
    truth = np.array([order[name] for name in frame["truth"]], dtype=np.int64)
    runners = tuple(_runner(frame, name, order) for name in results.runners)
    found: dict[bytes, list[Runner]] = {}
    for runner in runners:
        found.setdefault(runner.labels.tobytes(), []).append(runner)
    groups = tuple(
        Group(
            tuple(members),
            metrics.confusion_matrix(truth, members[0].labels, len(order) + bool(members[0].undecided)),
            _letter(index),
        )
        for index, members in enumerate(found.values())
    )
    return TaskResults(results.class_names, truth, runners, groups)


def nothing_scored(results: Results) -> str:
    """Why there are no scores, in one sentence."""
    if not results.manifest.labelled:
        return "No labels were given, so nothing is scored."
    return "No runtime predicted the test samples."


def _letter(index: int) -> str:
    return chr(ord("A") + index) if index < 26 else f"A{index - 25}"


def _runner(frame: pd.DataFrame, name: str, order: dict[str, int]) -> Runner:
    confidence = frame[f"{name}.confidence"].to_numpy(dtype=np.float64)
    labels = np.array([order.get(label, len(order)) for label in frame[f"{name}.prediction"]], dtype=np.int64)
    # A label without a finite confidence comes from outputs that are not finite: no decision was made.
    labels = np.where(np.isfinite(confidence), labels, len(order))
    return Runner(name, labels, confidence, int((labels == len(order)).sum()))


def metrics_table(results: Results, task: TaskResults | None) -> Table:
    """Overall metrics per runtime with intervals."""
    rows = []
    intervals = {
        group.letter: {name: metrics.bootstrap_interval(group.confusion, metric) for name, metric in _OVERALL.items()}
        for group in (task.groups if task else ())
    }
    for runner in task.runners if task else ():
        found = intervals[task.group_of(runner).letter]  # type: ignore[union-attr]
        row: dict[str, Any] = {
            "runner": runner.name,
            "display": results.display(runner.name),
            "n": len(runner.labels),
            "undecided": runner.undecided,
        }
        for name, interval in found.items():
            row |= {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
            row[f"{name}_shown"] = share_with_interval(interval.value, interval.low, interval.high)
        rows.append(row)
    columns = [
        Column("runner", None),
        Column("display", "Runtime"),
        Column("n", "n", "integer"),
        Column("undecided", "Without a decision", "integer"),
    ]
    for name in _OVERALL:
        columns += [Column(name, None), Column(f"{name}_low", None), Column(f"{name}_high", None)]
    shown = tuple(Column(f"{name}_shown", header, "share") for name, header in _SHOWN.items())
    notes = [BOOTSTRAP]
    if any(row["undecided"] for row in rows):
        notes.append(
            "A sample without a decision, because outputs are not finite, counts as wrong and as a class of its own."
        )
    return Table(
        "metrics",
        "Task metrics on the evaluated test samples by runtime, same weights.",
        (*columns, *shown),
        tuple(rows),
        notes=tuple(notes),
        empty=nothing_scored(results),
    )


def metrics_per_class_table(results: Results, task: TaskResults | None) -> Table:
    """F1, precision and recall per runtime and class with intervals and support. None where a quotient is 0 / 0."""
    rows = []
    by_group = {group.letter: _per_class(group, task.class_names) for group in task.groups} if task else {}
    for runner in task.runners if task else ():
        for row in by_group[task.group_of(runner).letter]:  # type: ignore[union-attr]
            rows.append({"runner": runner.name, **row})
    columns = [
        Column("runner", "Runtime"),
        Column("class", "Class"),
        Column("support", "n", "integer"),
        Column("predicted", "Predicted", "integer"),
        Column("few", "Few samples"),
    ]
    for measure in _MEASURES:
        columns += [Column(f"{measure}{part}", measure, "share") for part in ("", "_low", "_high")]
    return Table("metrics_per_class", "Metrics per class by runtime.", tuple(columns), tuple(rows))


def _per_class(group: Group, class_names: tuple[str, ...]) -> list[dict[str, Any]]:
    support, predicted = group.confusion.sum(axis=1), group.confusion.sum(axis=0)
    rows = []
    for index, name in enumerate(class_names):
        count = int(support[index])
        row: dict[str, Any] = {
            "class": name,
            "support": count,
            "predicted": int(predicted[index]),
            "few": count < metrics.FEW_SAMPLES,
        }
        defined = {
            "f1": support[index] + predicted[index] > 0,
            "precision": predicted[index] > 0,
            "recall": support[index] > 0,
        }
        for measure in _MEASURES:
            parts: tuple[float | None, ...] = (None, None, None)
            if defined[measure]:
                interval = metrics.bootstrap_interval(group.confusion, _of_class(measure, index), samples=count)
                parts = (interval.value, interval.low, interval.high)
            row |= dict(zip((measure, f"{measure}_low", f"{measure}_high"), parts, strict=True))
        rows.append(row)
    return rows


def _of_class(measure: str, index: int) -> Callable[[NDArray[Any]], NDArray[np.float64]]:
    def metric(confusion: NDArray[Any]) -> NDArray[np.float64]:
        values: NDArray[np.float64] = getattr(metrics.per_class(confusion), measure)
        return values[..., index]

    return metric


def group_label(results: Results, task: TaskResults, group: Group) -> str:
    """A short name of a group, for legends: its letter where there are several, one runtime, and how many others."""
    others = len(group.runners) - 1
    name = results.display(group.runners[0].name)
    if len(task.groups) == 1:
        return everyone([runner.name for runner in group.runners]) if others else name
    return f"{group.letter}: {name}" + (f" and {counted(others, 'other')}" if others else "")


def group_notes(results: Results, task: TaskResults) -> tuple[str, ...]:
    """Which runtimes predict the same class for every sample, in words."""
    if len(task.groups) == 1:
        runners = [runner.name for runner in task.runners]
        if len(runners) < 2:
            return ()
        return (f"{capitalised(everyone(runners))} agree on the class of every sample.",)
    return tuple(
        f"{group.letter}: {'; '.join(results.display(runner.name) for runner in group.runners)}."
        for group in task.groups
    )


def per_class_page_table(results: Results, task: TaskResults, table: Table) -> Table:
    """Classes down, runtimes with equal predictions together: precision, recall and F1 of the source, F1 of the others."""
    by_key = {(row["runner"], row["class"]): row for row in table.rows}

    def shown(row: dict[str, Any], measure: str) -> str:
        return share_with_interval(row[measure], row[f"{measure}_low"], row[f"{measure}_high"])

    rows = []
    for name in task.class_names:
        source = by_key[task.runners[0].name, name]
        row: dict[str, Any] = {
            "class": f"{name} †" if source["few"] else name,
            "support": source["support"],
            "precision": shown(source, "precision"),
            "recall": shown(source, "recall"),
        }
        for group in task.groups:
            row[group.letter] = shown(by_key[group.runners[0].name, name], "f1")
        rows.append(row)
    alone = len(task.groups) == 1
    columns = (
        Column("class", "Class"),
        Column("support", "n", "integer"),
        Column("precision", "Precision" if alone else f"Precision, {task.groups[0].letter}", "share"),
        Column("recall", "Recall" if alone else f"Recall, {task.groups[0].letter}", "share"),
        *(Column(group.letter, "F1" if alone else f"F1, {group.letter}", "share") for group in task.groups),
    )
    return Table(
        "per_class",
        "Metrics per class with support; runtimes that predict the same are shown together.",
        columns,
        tuple(rows),
        notes=(*group_notes(results, task), BOOTSTRAP),
    )


def confusion_table(task: TaskResults | None) -> Table:
    """True against predicted class, by name, in long form."""
    rows = []
    for runner in task.runners if task else ():
        group = task.group_of(runner)  # type: ignore[union-attr]
        names = _names(task.class_names, group)  # type: ignore[union-attr]
        for true, predicted in np.ndindex(*group.confusion.shape):
            if true < len(task.class_names):  # type: ignore[union-attr]
                rows.append(
                    {
                        "runner": runner.name,
                        "truth": names[true],
                        "predicted": names[predicted],
                        "samples": int(group.confusion[true, predicted]),
                    }
                )
    columns = tuple(Column(name, name) for name in ("runner", "truth", "predicted", "samples"))
    return Table("confusion", "Confusion by class name.", columns, tuple(rows))


def _names(class_names: tuple[str, ...], group: Group) -> tuple[str, ...]:
    return class_names if len(group.confusion) == len(class_names) else (*class_names, "no decision")


def confusion_page_table(results: Results, task: TaskResults, group: Group) -> Table:
    """One confusion matrix: true classes down, predicted classes across."""
    names = _names(task.class_names, group)
    rows = tuple(
        {"truth": name, **{str(column): int(count) for column, count in enumerate(group.confusion[index])}}
        for index, name in enumerate(task.class_names)
    )
    alone = len(task.groups) == 1 and len(group.runners) > 1
    who = (
        everyone([runner.name for runner in group.runners])
        if alone
        else "; ".join(results.display(one.name) for one in group.runners)
    )
    return Table(
        f"confusion_{group.letter}",
        f"Confusion, true classes down and predicted ones across: {who}.",
        (Column("truth", "True class"), *(Column(str(index), name, "integer") for index, name in enumerate(names))),
        rows,
    )


def disagreement_tables(results: Results, task: TaskResults | None) -> tuple[Table, Table]:
    """Each runtime against the source: who is right where they disagree, and which classes become which."""
    summary: list[dict[str, Any]] = []
    changes: list[dict[str, Any]] = []
    if task and task.runners[0].name == SOURCE:
        classes = len(task.class_names) + 1
        names = (*task.class_names, "no decision")
        first = task.runners[0]
        for runner in task.runners[1:]:
            found = metrics.disagreement(task.truth, first.labels, runner.labels, classes)
            summary.append(
                {
                    "runner": runner.name,
                    "n": len(task.truth),
                    "agreement": metrics.agreement(first.labels, runner.labels),
                    "differ": found.count,
                    "source_right": found.first_right,
                    "target_right": found.second_right,
                    "both_wrong": found.both_wrong,
                }
            )
            changes += [
                {"runner": runner.name, "source": names[a], "target": names[b], "samples": int(found.changes[a, b])}
                for a, b in np.argwhere(found.changes)
            ]
    changes.sort(key=lambda row: -row["samples"])
    return (
        Table(
            "disagreement_summary",
            "Predictions of each runtime against the source's on the evaluated test samples.",
            (
                Column("runner", "Target and route"),
                Column("n", "n", "integer"),
                Column("agreement", "Agreement", "percentage"),
                Column("differ", "Differ", "integer"),
                Column("source_right", "Only the source is right", "integer"),
                Column("target_right", "Only the target is right", "integer"),
                Column("both_wrong", "Both are wrong", "integer"),
            ),
            tuple(summary),
            empty=nothing_scored(results),
        ),
        Table(
            "disagreement",
            "Where a runtime predicts another class than the source (A → B), most frequent first.",
            (
                Column("runner", "Target and route"),
                Column("source", "Source predicts"),
                Column("target", "Target predicts"),
                Column("samples", "Samples", "integer"),
            ),
            tuple(changes),
            empty="No runtime predicts another class than the source for any test sample.",
        ),
    )


def confidence_table(task: TaskResults | None) -> Table:
    """Mean confidence by runtime and predicted class; empty where a class is never predicted."""
    rows = []
    for runner in task.runners if task else ():
        classes = len(task.class_names)  # type: ignore[union-attr]
        decided = runner.labels < classes
        labels, confidence = runner.labels[decided], runner.confidence[decided]
        means = metrics.mean_confidence(labels, confidence, classes)
        counts = np.bincount(labels, minlength=classes)
        for index, name in enumerate(task.class_names):  # type: ignore[union-attr]
            mean = float(means[index])
            rows.append(
                {
                    "runner": runner.name,
                    "class": name,
                    "predicted": int(counts[index]),
                    "mean_confidence": None if np.isnan(mean) else mean,
                }
            )
    columns = (
        Column("runner", "Runtime"),
        Column("class", "Predicted class"),
        Column("predicted", "Samples", "integer"),
        Column("mean_confidence", "Mean confidence", "share"),
    )
    return Table("confidence", "Mean confidence by predicted class.", columns, tuple(rows))


def confidence_page_table(results: Results, task: TaskResults, table: Table) -> Table:
    """Predicted classes down, runtimes across."""
    rows = []
    for name in task.class_names:
        row: dict[str, Any] = {"class": name}
        for found in (row for row in table.rows if row["class"] == name):
            few = " †" if 0 < found["predicted"] < metrics.FEW_SAMPLES else ""
            row[found["runner"]] = share(found["mean_confidence"]) + few
        rows.append(row)
    return Table(
        "mean_confidence",
        f"Mean confidence (probability of the predicted class) by predicted class, {counted(len(task.truth), 'sample')}.",
        (
            Column("class", "Predicted class"),
            *(Column(runner.name, results.display(runner.name), "share") for runner in task.runners),
        ),
        tuple(rows),
        notes=(f"† mean over fewer than {metrics.FEW_SAMPLES} samples; – never predicted.",),
    )
