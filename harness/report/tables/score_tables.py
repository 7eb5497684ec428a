"""Scores of every runtime with intervals: over all, and by class, label or variable."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.report.document import Column, Table
from harness.report.formatting import capitalised, counted, share_with_interval, significant
from harness.report.read import Results, everyone
from harness.report.tables.task_tables import nothing_scored
from harness.tasks.class_metrics import FEW_SAMPLES
from harness.tasks.scores import Metric, ScoredTask

if TYPE_CHECKING:
    import pandas as pd

INTERVALS = (
    "In brackets: 95 % percentile bootstrap intervals over the test samples (1,000 resamples); † rests on fewer than "
    f"{FEW_SAMPLES}; – not defined."
)


@dataclass(frozen=True)
class ScoreGroup:
    """Runtimes whose scores are equal in all digits that are shown, and these by metric and part."""

    runners: tuple[str, ...]
    scores: dict[tuple[str, str], dict[str, Any]]
    letter: str


def scored_task(results: Results) -> ScoredTask:
    """The task, as one that names its metrics. Raises TypeError where it is none."""
    if not isinstance(results.task, ScoredTask):
        raise TypeError(f"the task {results.task.name} names no metrics")
    return results.task


def parts_of(results: Results) -> tuple[str, ...]:
    """Names of classes, labels or variables in the order of the model's output."""
    names = () if results.scores is None else dict.fromkeys(results.scores["part"])
    return tuple(str(name) for name in names if name)


def output_of(results: Results) -> str:
    """The name of the output that scores are of."""
    return "" if results.scores is None or results.scores.empty else str(results.scores["output"].iloc[0])


def score_groups(results: Results) -> tuple[ScoreGroup, ...]:
    """Runtimes by scores that are equal in all digits that are shown, the source's group first."""
    by_runner: dict[str, dict[tuple[str, str], dict[str, Any]]] = {}
    for score in () if results.scores is None else _records(results.scores):
        by_runner.setdefault(score["who"], {})[score["metric"], score["part"]] = score
    found: dict[tuple[str | None, ...], tuple[list[str], dict[tuple[str, str], dict[str, Any]]]] = {}
    for who, scores in by_runner.items():
        key = tuple(shown(score) for score in scores.values())
        found.setdefault(key, ([], scores))[0].append(who)
    return tuple(
        ScoreGroup(tuple(runners), scores, chr(ord("A") + index) if index < 26 else f"A{index - 25}")
        for index, (runners, scores) in enumerate(found.values())
    )


def scores_table(results: Results, _: object = None) -> Table:
    """Scores over all classes, labels or variables by runtime."""
    metrics = scored_task(results).overall
    by_runner: dict[str, dict[str, dict[str, Any]]] = {}
    for score in () if results.scores is None else _records(results.scores[results.scores["part"] == ""]):
        by_runner.setdefault(score["who"], {})[score["metric"]] = score
    rows = []
    for who, found in by_runner.items():
        row: dict[str, Any] = {"runner": who, "display": results.display(who), "n": results.evaluated}
        for metric in metrics:
            score = found[metric.key]
            row |= {metric.key: score["value"], f"{metric.key}_low": score["low"], f"{metric.key}_high": score["high"]}
            row[f"{metric.key}_shown"] = shown(score)
        rows.append(row)
    columns = [Column("runner", None), Column("display", "Runtime"), Column("n", "n", "integer")]
    for metric in metrics:
        columns += [Column(f"{metric.key}{part}", None) for part in ("", "_low", "_high")]
    columns += [Column(f"{metric.key}_shown", metric.title, "share") for metric in metrics if metric.shown]
    plural = scored_task(results).part[1]
    return Table(
        "scores",
        f"Scores of the output {output_of(results)} over all {plural} on the evaluated test samples, same weights.",
        tuple(columns),
        tuple(rows),
        notes=(INTERVALS,),
        empty=nothing_scored(results),
    )


def scores_per_part_table(results: Results, _: object = None) -> Table:
    """Every score of every class, label or variable by runtime, in long form."""
    singular = scored_task(results).part[0]
    rows = [] if results.scores is None else _records(results.scores[results.scores["part"] != ""])
    return Table(
        "scores_per_part",
        f"Scores by {singular} and runtime of the output {output_of(results)}.",
        (
            Column("who", "Runtime"),
            Column("output", "Output"),
            Column("part", singular.capitalize()),
            Column("metric", "Metric"),
            Column("value", "Value", "number"),
            Column("low", "Low", "number"),
            Column("high", "High", "number"),
            Column("unit", "Unit"),
            Column("support", "n", "integer"),
            Column("few", "Few samples"),
        ),
        tuple(rows),
        empty=nothing_scored(results),
    )


def per_part_page_table(results: Results) -> Table:
    """Classes, labels or variables down; all metrics of the source, and the first one of runtimes that score otherwise."""
    known, groups = scored_task(results), score_groups(results)
    metrics = known.of_parts
    rows = []
    for part in parts_of(results):
        source = groups[0].scores[metrics[0].key, part]
        row: dict[str, Any] = {"part": f"{part} †" if source["few"] == "true" else part, "support": source["support"]}
        row |= {metric.key: shown(groups[0].scores[metric.key, part]) for metric in metrics}
        row |= {group.letter: shown(group.scores[metrics[0].key, part]) for group in groups[1:]}
        rows.append(row)
    columns = (
        Column("part", known.part[0].capitalize()),
        Column("support", "n", "integer"),
        *(Column(metric.key, _title(metric, groups), "share") for metric in metrics),
        *(Column(group.letter, f"{metrics[0].title}, {group.letter}", "share") for group in groups[1:]),
    )
    return Table(
        "per_part",
        f"Scores by {known.part[0]}; n: {known.counted}. Runtimes that score the same are shown together.",
        columns,
        tuple(rows),
        notes=(*group_notes(results, groups), INTERVALS),
        empty=nothing_scored(results),
    )


def _title(metric: Metric, groups: tuple[ScoreGroup, ...]) -> str:
    return metric.title if len(groups) <= 1 else f"{metric.title}, {groups[0].letter}"


def group_notes(results: Results, groups: tuple[ScoreGroup, ...]) -> tuple[str, ...]:
    """Which runtimes score the same, in words."""
    if len(groups) == 1:
        runners = groups[0].runners
        return (f"{capitalised(everyone(runners))} score the same.",) if len(runners) > 1 else ()
    return tuple(f"{group.letter}: {'; '.join(map(results.display, group.runners))}." for group in groups)


def group_label(results: Results, groups: tuple[ScoreGroup, ...], group: ScoreGroup) -> str:
    """A short name of a group, for legends."""
    others, name = len(group.runners) - 1, results.display(group.runners[0])
    if len(groups) == 1:
        return everyone(group.runners) if others else name
    return f"{group.letter}: {name}" + (f" and {counted(others, 'other')}" if others else "")


def shown(score: dict[str, Any]) -> str | None:
    """A score with its interval and unit; None where it is not defined."""
    value, low, high = score["value"], score["low"], score["high"]
    if value is None:
        return None
    if not score["unit"]:
        return share_with_interval(value, low, high)
    return f"{significant(value)} [{significant(low)}, {significant(high)}] {score['unit']}"


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {str(name): None if value != value else value for name, value in record.items()}
        for record in frame.to_dict("records")
    ]
