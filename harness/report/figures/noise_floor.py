"""Errors of each target as multiples of the noise floor, with the gates drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.compare.records import CellResult, RuntimeComparison
from harness.report.contents import Contents
from harness.report.drawing import style
from harness.report.drawing.figure import ReportFigure
from harness.report.formatting import ratio
from harness.report.read import was_compared

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PANELS = (
    ("runtime_comparison", "Runtime: against the route oracle"),
    ("end_to_end", "End to end: against the source oracle"),
)
#: Smaller ratios are drawn at this one: all of them are far below every gate.
_SMALLEST = 0.01
_LARGEST = 1e6

_DIAMOND: dict[str, Any] = {
    "marker": "D",
    "markerfacecolor": "white",
    "markeredgecolor": style.VERMILLION,
    "markeredgewidth": 1.4,
    "markersize": 5.5,
}


def draw(contents: Contents) -> style.Drawing | None:
    """Two panels on a logarithmic axis, one row per cell: RMS and largest error. None where no target was run."""
    results = contents.results
    cells = [cell for cell in results.cells if was_compared(cell)]
    if not cells:
        return None
    figure = style.new_figure(1.75 + 0.44 * len(cells))
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    limits = _limits(cells)
    largest = 2 * max(limits)
    for axes, (attribute, title) in zip(panels, _PANELS, strict=True):
        comparisons = [_comparison(cell, attribute) for cell in cells]
        largest = max(largest, *(_finite(comparison) for comparison in comparisons))
        axes.set_title(title, loc="left")
        _gates(axes, limits)
        for row, comparison in enumerate(comparisons):
            _row(axes, row, comparison)
    low = min([0.3, *(_least(cell) for cell in cells)])
    axes = panels[0]
    axes.set_xscale("log")
    axes.set_xlim(max(low / 1.6, _SMALLEST / 1.6), min(largest * 2.5, _LARGEST * 2.5))
    axes.set_ylim(len(cells) - 0.4, -0.6)
    axes.set_yticks(range(len(cells)), [f"{cell.target}\n{cell.route_label}" for cell in cells])
    for panel in panels:
        style.plain_logarithms(panel)
        panel.tick_params(axis="y", length=0)
        panel.set_xlabel("Multiple of the noise floor")
        panel.grid(axis="x")
    _legend(figure, limits)
    return style.Drawing(
        "Dot plot of root-mean-square and largest errors as multiples of the noise floor. "
        + "; ".join(_in_words(cell) for cell in cells)
        + ".",
        figure,
    )


def _comparison(cell: CellResult, attribute: str) -> RuntimeComparison | None:
    """A cell's comparison with one oracle; without a route, only that with the source oracle."""
    if cell.route_comparison is None:
        return None if attribute == "runtime_comparison" else cell.end_to_end or cell.runtime_comparison
    found: RuntimeComparison | None = getattr(cell, attribute)
    return found


def _finite(comparison: RuntimeComparison | None) -> float:
    if comparison is None:
        return 1.0
    return min(max(comparison.rms_ratio or 0.0, comparison.max_ratio or 0.0), _LARGEST)


def _least(cell: CellResult) -> float:
    values = [
        value
        for comparison in (cell.runtime_comparison, cell.end_to_end)
        if comparison is not None
        for value in (comparison.rms_ratio, comparison.max_ratio)
        if value is not None
    ]
    return max(min(values, default=1.0), _SMALLEST)


def _row(axes: Axes, row: int, comparison: RuntimeComparison | None) -> None:
    axes.axhline(row, color=style.LIGHT, linewidth=0.6, zorder=0)
    if comparison is None:
        _word(axes, row, "no such oracle")
        return
    if comparison.rms_ratio is None or comparison.max_ratio is None:
        _word(axes, row, f"{comparison.errors.non_finite:,} outputs not finite")
        return
    rms, largest = (min(max(value, _SMALLEST), _LARGEST) for value in (comparison.rms_ratio, comparison.max_ratio))
    axes.plot([rms], [row], "o", color=style.BLUE, markersize=6, zorder=4)
    axes.plot([largest], [row], linestyle="", zorder=3, **_DIAMOND)


def _word(axes: Axes, row: int, text: str) -> None:
    axes.text(
        0.5,
        row,
        text,
        transform=axes.get_yaxis_transform(),
        ha="center",
        va="center",
        fontsize=9,
        style="italic",
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
        zorder=5,
    )


def _limits(cells: list[CellResult]) -> tuple[float, float]:
    """The gates of RMS and largest error; they are the same for all cells of a run."""
    for cell in cells:
        if (comparison := cell.runtime_comparison or cell.end_to_end) is not None:
            return comparison.rms_limit, comparison.max_limit
    raise ValueError("no cell was compared")


def _gates(axes: Axes, limits: tuple[float, float]) -> None:
    axes.axvline(1.0, color=style.GREY, linewidth=0.8, linestyle=":")
    axes.axvline(limits[0], color=style.BLUE, linewidth=1.0, linestyle="-")
    axes.axvline(limits[1], color=style.VERMILLION, linewidth=1.0, linestyle="--")


def _legend(figure: Figure, limits: tuple[float, float]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], marker="o", linestyle="", color=style.BLUE, markersize=6),
        Line2D([], [], color=style.BLUE, linewidth=1.0),
        Line2D([], [], linestyle="", **_DIAMOND),
        Line2D([], [], color=style.VERMILLION, linewidth=1.0, linestyle="--"),
        Line2D([], [], color=style.GREY, linewidth=0.8, linestyle=":"),
    ]
    labels = [
        "RMS error",
        f"its gate ({limits[0]:g}×)",
        "largest error",
        f"its gate ({limits[1]:g}×)",
        "the floor itself (1×)",
    ]
    style.legend_above(figure, handles, labels, 5)


def _in_words(cell: CellResult) -> str:
    which, comparison = "runtime", cell.runtime_comparison
    if comparison is None:
        which, comparison = "end to end", cell.end_to_end
    name = f"{cell.target} via {cell.route_label}"
    if comparison is None or comparison.rms_ratio is None:
        return f"{name}: not finite"
    return f"{name}: {which} RMS {ratio(comparison.rms_ratio)}, largest {ratio(comparison.max_ratio)}"


FIGURE = ReportFigure(
    title="Error against the noise floor",
    section="outputs",
    position=1,
    caption=(
        "Errors of float32 outputs over the probe as multiples of the noise floor, on a logarithmic scale; left of a "
        "line of its own colour an error passes its gate."
    ),
    draw=draw,
)
