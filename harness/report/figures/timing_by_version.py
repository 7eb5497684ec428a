"""Seconds per call of the same file in one version after another."""

from __future__ import annotations

from typing import Any

from harness.report.cells_by_version import of_software, timed
from harness.report.contents import Contents
from harness.report.drawing import style
from harness.report.drawing.figure import ReportFigure
from harness.report.formatting import seconds
from harness.report.tables.timing_tables import conditions

#: Distance between the marks of one version, in versions.
_SPACING = 0.5


def draw(contents: Contents) -> style.Drawing | None:
    """One panel per software and batch size, medians with their intervals. None where no version was timed."""
    results = contents.results
    source = results.cells[0].source if results.cells else ""
    summaries = results.timings.summaries if results.timings is not None else {}
    found = [(where, label) for where, label in timed(results.timings, source) if label in summaries]
    if not found:
        return None
    from matplotlib.ticker import FuncFormatter

    by_software = of_software(where for where, _ in found)
    sizes = sorted({row.batch_size for _, label in found for row in summaries[label]})
    lines = sorted({(where.software, where.line) for where, _ in found})
    names = [line if len(by_software) == 1 else f"{software} {line}" for software, line in lines]
    figure = style.new_figure(0.4 + 2.1 * len(by_software) + style.legend_height(names))
    grid = figure.subplots(len(by_software), len(sizes), squeeze=False)
    handles: dict[str, Any] = {}
    said = []
    for row, (software, versions) in enumerate(by_software.items()):
        for column, size in enumerate(sizes):
            axes = grid[row, column]
            for index, (of, line) in enumerate(lines):
                if of != software:
                    continue
                colour, _, mark = style.series(index + 1)
                shift = _SPACING * ((index + 0.5) / len(lines) - 0.5)
                points = [
                    (where.version, part.seconds)
                    for where, label in found
                    if (where.software, where.line) == (software, line)
                    for part in summaries[label]
                    if part.batch_size == size
                ]
                handles[names[index]] = axes.errorbar(
                    [versions.index(version) + shift for version, _ in points],
                    [interval.value for _, interval in points],
                    yerr=[
                        [interval.value - interval.low for _, interval in points],
                        [interval.high - interval.value for _, interval in points],
                    ],
                    color=colour,
                    marker=mark,
                    markersize=5.5,
                    markeredgecolor=style.INK,
                    markeredgewidth=0.4,
                    linewidth=0.9,
                    ecolor=style.INK,
                    elinewidth=1.0,
                    capsize=2.5,
                )
                told = ", ".join(f"{version} {seconds(interval.value)}" for version, interval in points)
                said.append(f"{software} {line} at {size:,}: {told}")
            axes.set_ylim(bottom=0)
            axes.set_xlim(-0.6, len(versions) - 0.4)
            axes.set_xticks(range(len(versions)), [version.replace("+", "\n") for version in versions])
            axes.tick_params(axis="x", length=0)
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: seconds(value)))
            axes.grid(axis="y")
            axes.set_title(
                f"{software}, {size:,} {'sample' if size == 1 else 'samples'} per call", loc="left", fontsize=9
            )
    style.legend_above(figure, list(handles.values()), list(handles))
    return style.Drawing(
        f"Median time per call by version, with interval bars. {'; '.join(said)}.",
        figure,
    )


FIGURE = ReportFigure(
    title="Timing by version",
    section="versions",
    position=2,
    caption="Median seconds per call by version, with bootstrap intervals of 95 %. They differ from run to run.",
    draw=draw,
    samples=conditions,
)
