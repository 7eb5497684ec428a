"""Confusion matrices by class name: counts, and shares of the true class as shades."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.report import caption_facts
from harness.report.contents import Contents
from harness.report.drawing import style
from harness.report.drawing.figure import ReportFigure
from harness.report.drawing.scores import equal_predictions
from harness.report.formatting import share
from harness.report.tables.task_tables import Group, TaskResults, group_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

#: Groups of runtimes that are drawn; the tables hold all.
MOST = 4
#: With more classes than these a field has no place for its share, or for any number.
_WITH_SHARES, _WITH_COUNTS = 16, 30


def draw(contents: Contents) -> style.Drawing | None:
    """One matrix for the source and those that predict the same, one for each group that differs. None without predictions."""
    results, task = contents.results, contents.task
    if task is None:
        return None
    groups = task.groups[:MOST]
    sizes = [len(group.confusion) for group in groups]
    side = 0.4 if max(sizes) <= _WITH_SHARES else 0.2
    heights = [0.75 + side * len(task.class_names) + (1.25 if last else 0.25) for last in _last(len(groups))]
    figure = style.new_figure(sum(heights) + 0.1)
    panels = figure.subplots(len(groups), 1, squeeze=False, height_ratios=heights)[:, 0]
    image: AxesImage | None = None
    for axes, group, last in zip(panels, groups, _last(len(groups)), strict=True):
        image = _matrix(axes, task, group, names_below=last or len(group.confusion) != len(groups[-1].confusion))
        if len(task.groups) > 1:
            axes.set_title(group_label(results, task, group), loc="left")
    assert image is not None
    bar = figure.colorbar(image, ax=list(panels), fraction=0.03, pad=0.015, aspect=30)
    bar.set_label("Share of the true class")
    bar.outline.set_visible(False)  # type: ignore[operator]
    return style.Drawing(
        "Heat maps of true classes down and predicted classes across. "
        + "; ".join(f"{group_label(results, task, group)}: {_in_words(task, group)}" for group in groups)
        + ".",
        figure,
    )


def _remarks(contents: Contents) -> str:
    """Which runtimes share a matrix, and how many groups are not drawn."""
    groups = contents.task.groups if contents.task else ()
    left_out = f" Only the first {MOST} of {len(groups)} groups are drawn." if len(groups) > MOST else ""
    return equal_predictions(contents) + left_out


def _last(count: int) -> list[bool]:
    return [index == count - 1 for index in range(count)]


def _matrix(axes: Axes, task: TaskResults, group: Group, *, names_below: bool) -> AxesImage:
    classes = len(task.class_names)
    names = [*task.class_names, "no decision"][: len(group.confusion)]
    counts = group.confusion[:classes]
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.full(counts.shape, np.nan), where=totals > 0)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for row, column in np.ndindex(*counts.shape):
        if counts[row, column] and classes <= _WITH_COUNTS:
            text = f"{counts[row, column]:,}"
            if classes <= _WITH_SHARES:
                text += f"\n{_percent(float(shares[row, column]))}"
            shade = "white" if shares[row, column] > 0.55 else style.INK
            axes.text(column, row, text, ha="center", va="center", fontsize=6.5, linespacing=1.05, color=shade)
    axes.set_yticks(
        range(classes),
        [
            style.wrapped(f"{name} ({int(total):,})", 24)
            for name, total in zip(task.class_names, totals[:, 0], strict=True)
        ],
        linespacing=1.05,
        fontsize=8,
    )
    if names_below:
        axes.set_xticks(
            range(len(names)),
            [style.wrapped(name, 18) for name in names],
            rotation=90,
            linespacing=1.0,
            fontsize=8,
        )
        axes.set_xlabel("Predicted class")
    else:
        axes.set_xticks([])
    axes.set_ylabel("True class (samples)")
    axes.set_xticks(np.arange(0.5, len(names) - 1), minor=True)
    axes.set_yticks(np.arange(0.5, classes - 1), minor=True)
    axes.grid(which="minor", color=style.LIGHT, linewidth=0.5)
    axes.tick_params(which="both", length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return image


def _percent(value: float) -> str:
    """A share in whole per cent that is never rounded to 0 or to all."""
    if 0 < value < 0.01:
        return "<1 %"
    if 0.99 < value < 1:
        return ">99 %"
    return f"{100 * value:.0f} %"


def _in_words(task: TaskResults, group: Group) -> str:
    """Accuracy and the most frequent mistake of a group."""
    right = int(np.trace(group.confusion))
    total = int(group.confusion.sum())
    wrong = group.confusion.copy()
    np.fill_diagonal(wrong, 0)
    text = f"{right:,} of {total:,} samples right ({share(right / total)})"
    if not wrong.any():
        return text
    true, predicted = np.unravel_index(int(wrong.argmax()), wrong.shape)
    names = (*task.class_names, "no decision")
    return f"{text}, most often mistaken {names[true]} for {names[predicted]} ({int(wrong.max()):,})"


FIGURE = ReportFigure(
    title="Confusion by class name",
    section="confusion",
    position=1,
    caption="Counts, under each its share of the true class, which is also the shade; fields without a sample are empty.",
    draw=draw,
    remarks=_remarks,
    samples=caption_facts.test_samples,
)
