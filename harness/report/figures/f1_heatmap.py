"""F1 of every class by runtime, as a heat map with its numbers."""

from __future__ import annotations

from harness.report import caption_facts
from harness.report.contents import Contents
from harness.report.drawing import style
from harness.report.drawing.figure import ReportFigure
from harness.report.drawing.scores import per_class
from harness.report.read import everyone


def draw(contents: Contents) -> style.Drawing | None:
    """Classes down, runtimes across; light is low and dark is high, also in grey. None where nothing was predicted."""
    import numpy as np
    from matplotlib.lines import Line2D

    if contents.task is None:
        return None
    results = contents.results
    scores = per_class(results, contents.tables["metrics_per_class"], results.runners)
    if scores is None:
        return None
    values = np.array([[np.nan if value is None else value for value in line] for line in scores.f1], dtype=float).T
    labels = [f"{number}  {results.display(name)}" for number, name in enumerate(scores.runners, 1)]
    lines = max(tick.count("\n") + 1 for tick in scores.ticks)
    figure = style.new_figure(0.6 + (0.14 + 0.15 * lines) * len(scores.classes) + style.legend_height(labels))
    axes = figure.subplots()
    image = axes.imshow(values, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    # A column is 4.3 inches over their number wide; "0.00" must fit into it with a little air.
    size = min(9.0, 4.3 * 72 / max(len(scores.runners), 1) / 2.3)
    for row, column in np.ndindex(*values.shape):
        value = values[row, column]
        axes.text(
            column,
            row,
            "–" if np.isnan(value) else f"{value:.2f}",
            ha="center",
            va="center",
            fontsize=size,
            color="white" if value > 0.55 else style.INK,
        )
    axes.set_yticks(range(len(scores.classes)), scores.ticks, linespacing=1.15)
    # Names of runtimes are far longer than columns are wide: numbers below, and a key above.
    numbers = [str(number) for number in range(1, len(scores.runners) + 1)]
    axes.set_xticks(range(len(numbers)), numbers)
    axes.set_xlabel("Runtime")
    axes.set_xticks(np.arange(0.5, len(numbers) - 1), minor=True)
    axes.set_yticks(np.arange(0.5, len(scores.classes) - 1), minor=True)
    axes.grid(which="minor", color="white", linewidth=1.2)
    axes.tick_params(which="both", length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    bar = figure.colorbar(image, ax=axes, fraction=0.045, pad=0.02)
    bar.set_label("F1")
    bar.outline.set_visible(False)  # type: ignore[operator]
    style.legend_above(figure, [Line2D([], [], linestyle="") for _ in labels], labels)
    known = values[~np.isnan(values)]
    spread = float(np.nanmax(np.ptp(values[~np.isnan(values).any(axis=1)], axis=1))) if known.size else 0.0
    who = everyone(scores.runners) if len(scores.runners) > 1 else results.display(scores.runners[0])
    return style.Drawing(
        f"Heat map of F1 for {len(scores.classes)} classes and {who}. "
        f"Over these, no class's F1 varies by more than {spread:.3f}.",
        figure,
    )


FIGURE = ReportFigure(
    title="F1 per class by runtime, in numbers",
    section="task",
    position=2,
    caption="The same F1 in numbers; – where a class has neither samples nor predictions, † fewer than 30 samples.",
    draw=draw,
    samples=caption_facts.test_samples,
)
