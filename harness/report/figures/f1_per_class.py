"""F1 of every class by runtime, as bars with intervals."""

from __future__ import annotations

from typing import Any

from harness.report import caption_facts
from harness.report.contents import Contents
from harness.report.drawing import style
from harness.report.drawing.figure import ReportFigure
from harness.report.drawing.scores import PerClass, equal_predictions, per_class
from harness.report.formatting import share
from harness.report.read import everyone
from harness.report.tables.task_tables import group_label

#: Height of one bar in inches.
_BAR = 0.12


def draw(contents: Contents) -> style.Drawing | None:
    """Horizontal bars by class; runtimes that predict the same share a bar. None where nothing was predicted."""
    results, task = contents.results, contents.task
    if task is None:
        return None
    scores = per_class(
        results, contents.tables["metrics_per_class"], tuple(group.runners[0].name for group in task.groups)
    )
    if scores is None:
        return None
    runners = len(scores.runners)
    labels = [group_label(results, task, group) for group in task.groups]
    figure = style.new_figure(
        0.7 + len(scores.classes) * max(runners * _BAR + 0.16, 0.36) + style.legend_height(labels)
    )
    axes = figure.subplots()
    thickness = 0.84 / runners
    handles: list[Any] = []
    for index in range(runners):
        fill, hatch, _ = style.series(index)
        places = [row - 0.42 + (index + 0.5) * thickness for row in range(len(scores.classes))]
        values = [0.0 if value is None else value for value in scores.f1[index]]
        handles.append(
            axes.barh(places, values, thickness * 0.9, color=fill, hatch=hatch, edgecolor=style.INK, linewidth=0.4)
        )
        _intervals(axes, scores, index, places)
    axes.set_yticks(range(len(scores.classes)), scores.ticks, linespacing=1.15)
    axes.set_ylim(len(scores.classes) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    axes.set_xlabel("F1 on the evaluated test samples")
    style.legend_above(figure, handles, labels)
    source = ", ".join(
        f"{name} {share(value) if value is not None else 'no samples'}"
        for name, value in zip(scores.classes, scores.f1[0], strict=True)
    )
    names = [runner.name for runner in task.runners]
    who = everyone(names) if len(names) > 1 else results.display(names[0])
    return style.Drawing(
        f"Bar chart of F1 per class with intervals for {who}. {results.display(scores.runners[0])}: {source}.",
        figure,
    )


def _intervals(axes: Any, scores: PerClass, index: int, places: list[float]) -> None:
    for place, value, interval in zip(places, scores.f1[index], scores.intervals[index], strict=True):
        if not value:
            # Nothing to see is not nothing to say.
            axes.text(0.006, place, "–" if value is None else "0", va="center", fontsize=7.5)
        if value is not None and interval is not None and interval[0] < interval[1]:
            axes.plot(interval, [place, place], color=style.INK, linewidth=0.8, solid_capstyle="butt", zorder=4)


FIGURE = ReportFigure(
    title="F1 per class by runtime",
    section="task",
    position=1,
    caption="F1 by class and runtime with bootstrap intervals of 95 %; † marks classes with fewer than 30 samples.",
    draw=draw,
    remarks=equal_predictions,
    samples=caption_facts.test_samples,
)
