"""True and predicted number of samples per class, on a logarithmic scale."""

from __future__ import annotations

from typing import Any

from harness.report import caption_facts
from harness.report.contents import Contents
from harness.report.drawing import style
from harness.report.drawing.figure import ReportFigure
from harness.report.drawing.scores import equal_predictions
from harness.report.tables.task_tables import group_label


def draw(contents: Contents) -> style.Drawing | None:
    """One row per class: a line for the truth, a mark for all runtimes that predict the same. None where nothing was predicted."""
    from matplotlib.ticker import FixedLocator, FuncFormatter

    results, task = contents.results, contents.task
    frame = results.predictions
    if frame is None or task is None:
        return None
    truth = frame["truth"].value_counts()
    true_counts = [int(truth.get(name, 0)) for name in results.class_names]
    rows = len(true_counts)
    runners = [group.runners[0].name for group in task.groups]
    labels = ["truth", *(group_label(results, task, group) for group in task.groups)]
    figure = style.new_figure(0.7 + rows * max(0.36, 0.2 + 0.06 * len(runners)) + style.legend_height(labels))
    axes = figure.subplots()
    handles: list[Any] = [
        axes.vlines(
            true_counts,
            [row - 0.42 for row in range(rows)],
            [row + 0.42 for row in range(rows)],
            color=style.INK,
            linewidth=2.0,
        )
    ]
    largest = max(true_counts, default=1)
    for index, runner in enumerate(runners):
        found = frame[f"{runner}.prediction"].value_counts()
        counts = [int(found.get(name, 0)) for name in results.class_names]
        largest = max(largest, *counts)
        fill, _, mark = style.series(index)
        offset = 0.0 if len(runners) == 1 else 0.32 * (2 * index / (len(runners) - 1) - 1)
        (line,) = axes.plot(
            counts,
            [row + offset for row in range(rows)],
            linestyle="",
            marker=mark,
            markersize=4.6,
            markerfacecolor=fill,
            markeredgecolor=style.INK,
            markeredgewidth=0.4,
            zorder=3,
        )
        handles.append(line)
    # Linear from 0 to 1, so that a class without predictions has a place.
    axes.set_xscale("symlog", linthresh=1, linscale=0.4)
    axes.set_xlim(-0.15, largest * 1.6)
    ticks = [0, *(10**power for power in range(8) if 10**power <= largest * 1.6)]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(
        FixedLocator([m * t for t in ticks[1:] for m in range(2, 10) if m * t <= largest * 1.6])
    )
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_yticks(range(rows), [style.wrapped(name) for name in results.class_names], linespacing=1.15)
    axes.set_ylim(rows - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    for row in range(1, rows):
        axes.axhline(row - 0.5, color=style.LIGHT, linewidth=0.6, zorder=0)
    axes.grid(axis="x")
    axes.set_xlabel("True and predicted samples (logarithmic from 1 on)")
    style.legend_above(figure, handles, labels)
    source = frame[f"{runners[0]}.prediction"].value_counts()
    words = ", ".join(
        f"{name} {count:,} true and {int(source.get(name, 0)):,} predicted"
        for name, count in zip(results.class_names, true_counts, strict=True)
    )
    return style.Drawing(
        f"Dot plot on a logarithmic scale. {results.display(runners[0])}: {words}.",
        figure,
    )


FIGURE = ReportFigure(
    title="True and predicted samples per class",
    section="task",
    position=3,
    caption="Number of samples per class in truth and by each runtime's predictions.",
    draw=draw,
    remarks=equal_predictions,
    samples=caption_facts.test_samples,
)
