"""Loss and validation metrics over the epochs of training."""

from __future__ import annotations

from harness.report import caption_facts
from harness.report.contents import Contents
from harness.report.drawing import style
from harness.report.drawing.figure import ReportFigure
from harness.report.tables.training_tables import metric_title

_LOSSES = (("loss", "training", style.INK, "-", "o"), ("valid_loss", "validation", style.VERMILLION, "--", "s"))
#: Metric after metric: colour, line and mark.
_LINES = (
    (style.BLUE, "-", "o"),
    (style.ORANGE, "--", "s"),
    (style.GREEN, "-.", "^"),
    (style.PURPLE, ":", "D"),
)
#: Legends that are no headers of tables.
_LEGENDS = {"accuracy": "accuracy", "kappa": "kappa"}


def draw(contents: Contents) -> style.Drawing | None:
    """Two panels: losses, and metrics on the validation part. None where nothing was trained."""
    results = contents.results
    from matplotlib.ticker import MaxNLocator

    frame = results.training
    if frame is None or frame.empty:
        return None
    figure = style.new_figure(2.7)
    panels = figure.subplots(1, 2)
    every = max(1, len(frame) // 12)
    unit = results.task.curve_unit(results.manifest.data.model_dump())
    metrics = [
        (name, _LEGENDS.get(name, metric_title(name)), *line)
        for name, line in zip(results.task.curves, _LINES, strict=False)
    ]
    measured = "Metric on the validation part" if unit is None else "Error on the validation part"
    measured += f" ({unit})" if unit else ""
    for axes, lines, label in ((panels[0], _LOSSES, "Loss"), (panels[1], metrics, measured)):
        for name, legend, colour, line, mark in lines:
            if name in frame:
                axes.plot(
                    frame["epoch"],
                    frame[name],
                    linestyle=line,
                    marker=mark,
                    markersize=3.4,
                    markevery=every,
                    color=colour,
                    label=legend,
                )
        axes.set_xlabel("Epoch")
        axes.set_ylabel(label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(axis="y")
        if axes.lines:
            axes.legend(loc="best")
    panels[0].set_ylim(bottom=0)
    if unit is not None:
        panels[1].set_ylim(bottom=0)
    else:
        lowest = min((float(line.get_ydata().min()) for line in panels[1].lines), default=0.0)
        panels[1].set_ylim(min(0.0, lowest), 1)
    last = frame.iloc[-1]
    figures = ", ".join(
        f"{legend} {float(last[name]):.3f}" for name, legend, *_ in (*_LOSSES, *metrics) if name in frame
    )
    return style.Drawing(
        f"Line charts of losses and validation metrics over {len(frame)} epochs. In the last epoch: {figures}.",
        figure,
    )


FIGURE = ReportFigure(
    title="Training of the source",
    section="training",
    position=1,
    caption="Loss on training and validation part, and metrics on the validation part, by epoch.",
    draw=draw,
    samples=caption_facts.training_samples,
)
