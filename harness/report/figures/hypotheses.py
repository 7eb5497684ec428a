"""What remains between source and port under each hypothesis, and where the two part before any."""

from __future__ import annotations

from harness.compare.port import SAME_FUNCTION
from harness.report.contents import Contents
from harness.report.drawing import style
from harness.report.drawing.figure import ReportFigure
from harness.report.formatting import significant
from harness.report.tables.port_tables import answer

#: What is smaller is drawn here: differences of no more than a rounding.
_LEAST = 1e-17


def draw(contents: Contents) -> style.Drawing | None:
    """Bars on a logarithmic scale: hypotheses above, layers below. None where there is no port."""
    results = contents.results
    port = results.port
    if port is None or port.error or not port.tried:
        return None
    tried = sorted(port.tried, key=lambda row: (row.remaining is not None, row.remaining), reverse=True)
    names = [" + ".join(f"{one}: {two}" for one, two in zip(row.settings, row.values, strict=True)) for row in tried]
    labels = ["as it is", *(style.wrapped(name, 44) for name in names)]
    values = [port.gap, *(row.remaining for row in tried)]
    layers = [(row.layer, row.relative_rms) for row in port.layers]
    heights = [0.21 * sum(label.count("\n") + 1 for label in labels) + 0.35, 0.21 * len(layers) + 0.45]
    figure = style.new_figure(sum(heights) + 0.5)
    above, below = figure.subplots(2, 1, height_ratios=heights, sharex=True)
    # A difference that cannot be told is drawn to the end of the scale.
    most = max([value for value in (*values, *(gap for _, gap in layers)) if value is not None], default=1.0)
    for axes, rows, title in (
        (above, list(zip(labels, values, strict=True)), "Output, by hypothesis"),
        (below, layers, "Layers as they are"),
    ):
        drawn = [max(most if value is None else value, _LEAST) for _, value in rows]
        colours = [style.GREEN if value <= SAME_FUNCTION else style.ORANGE for value in drawn]
        hatches = ["" if value <= SAME_FUNCTION else "//" for value in drawn]
        bars = axes.barh(range(len(rows)), drawn, color=colours, edgecolor=style.INK, linewidth=0.4, left=0.0)
        for bar, hatch, (_, value) in zip(bars, hatches, rows, strict=True):
            bar.set_hatch(hatch)
            axes.annotate(
                " not finite" if value is None else f" {significant(value)}",
                (bar.get_width(), bar.get_y() + bar.get_height() / 2),
                va="center",
                fontsize=8,
            )
        axes.set_yticks(range(len(rows)), [label for label, _ in rows], fontsize=8)
        axes.invert_yaxis()
        axes.axvline(SAME_FUNCTION, color=style.GREY, linestyle=":", linewidth=1.0)
        axes.set_title(title, loc="left")
        axes.grid(axis="x")
    above.set_xscale("log")
    above.set_xlim(_LEAST, most * 30)
    above.set_xticks([10.0**power for power in range(-16, 1, 4)])
    style.plain_logarithms(below)
    below.set_xlabel("Difference from the source in float64 (RMS over the spread of the source's)")
    return style.Drawing(answer(port), figure)


FIGURE = ReportFigure(
    title="What makes source and port two functions",
    section="port",
    position=1,
    caption=(
        "What remains between source and port, both in float64 with the same weights, when the port is made what a "
        "hypothesis says, and how far the layers are apart when it is left as it is; logarithmic. Left of the dotted "
        "line, in plain bars, the two are one function."
    ),
    draw=draw,
)
