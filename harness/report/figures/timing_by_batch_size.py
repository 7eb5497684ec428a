"""Seconds per call against the batch size, one line per runtime and route, with intervals."""

from __future__ import annotations

from typing import Any

from harness.report.contents import Contents
from harness.report.drawing import style
from harness.report.drawing.figure import ReportFigure
from harness.report.formatting import seconds
from harness.report.tables.timing_tables import conditions

#: Distance between the lines of one batch size, as a factor, so that their interval bars do not overlap.
_SPACING = 1.04


def draw(contents: Contents) -> style.Drawing | None:
    """Both axes logarithmic. None where nothing was timed."""
    results = contents.results
    found = results.timings.summaries if results.timings is not None else {}
    if not found:
        return None
    labels = list(found)
    from matplotlib.ticker import FuncFormatter

    figure = style.new_figure(3.0 + style.legend_height(labels))
    axes = figure.subplots()
    handles: list[Any] = []
    sizes = sorted({row.batch_size for rows in found.values() for row in rows})
    for index, label in enumerate(labels):
        colour, _, mark = style.series(index)
        rows = sorted(found[label], key=lambda row: row.batch_size)
        middle = [row.seconds.value for row in rows]
        bars = [
            [row.seconds.value - row.seconds.low for row in rows],
            [row.seconds.high - row.seconds.value for row in rows],
        ]
        # Side by side around the true batch size, which the ticks name.
        shift = _SPACING ** (index - (len(labels) - 1) / 2)
        handles.append(
            axes.errorbar(
                [row.batch_size * shift for row in rows],
                middle,
                yerr=bars,
                color=colour,
                marker=mark,
                markersize=5,
                markeredgecolor=style.INK,
                markeredgewidth=0.4,
                linestyle="-" if index == 0 else (0, (5, 1 + index % 3)),
                linewidth=1.2,
                elinewidth=1.0,
                ecolor=style.INK,
                capsize=2.5,
            )
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: seconds(value)))
    if len(sizes) == 1:
        axes.set_xlim(sizes[0] / 2, sizes[0] * 2)
    axes.set_xlabel("Samples per call")
    axes.set_ylabel("Time per call")
    axes.grid(axis="y")
    style.legend_above(figure, handles, labels)
    said = "; ".join(
        f"{label}: " + ", ".join(f"{seconds(row.seconds.value)} at {row.batch_size:,}" for row in rows)
        for label, rows in found.items()
    )
    return style.Drawing(
        f"Line chart of median time per call against samples per call, with interval bars. {said}.",
        figure,
    )


FIGURE = ReportFigure(
    title="Timing by batch size",
    section="timing",
    position=1,
    caption=(
        "Median seconds per call by batch size, both axes logarithmic, with bootstrap intervals of 95 %. They differ "
        "from run to run."
    ),
    draw=draw,
    samples=conditions,
)
