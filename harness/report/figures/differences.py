"""How single outputs differ from the route oracle: their distribution per cell, in multiples of the noise floor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.compare.records import CellResult
from harness.report.contents import Contents
from harness.report.drawing import style
from harness.report.drawing.figure import ReportFigure
from harness.report.formatting import percentage, ratio
from harness.report.read import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Colour, dashes and width of a route's curve. Later ones are thinner, so that equal curves are seen through each other.
_LINES: tuple[tuple[str, Any, float], ...] = (
    (style.SKY_BLUE, "-", 3.6),
    (style.INK, "-", 2.4),
    (style.ORANGE, (0, (4, 2)), 2.0),
    (style.BLUE, (0, (1.2, 1.6)), 1.8),
    (style.VERMILLION, (0, (6, 2, 1, 2)), 1.4),
    (style.GREEN, (0, (3, 3)), 1.2),
    (style.PURPLE, "-", 0.9),
)
#: Places at which a curve is drawn; more could not be told apart in print.
_POINTS = 160
#: Multiples of the floor beyond which the axis does not go.
_SMALLEST, _LARGEST = 1e-2, 1e6


def differences(results: Results) -> list[tuple[CellResult, NDArray[np.float64]]]:
    """Per cell with outputs and a floor: sorted ``|target - route oracle| / floor`` (output,); NaN last, where not finite."""
    frame = results.probe_outputs
    if frame is None:
        return []
    found = []
    for cell in results.cells:
        part = frame[frame["cell"] == cell.cell]
        if part.empty or cell.floor is None:
            continue
        error = np.abs(part["target"].to_numpy() - part["route_oracle"].to_numpy()) / cell.floor.rms
        error[~np.isfinite(error)] = np.nan
        found.append((cell, np.sort(error)))
    return found


def draw(contents: Contents) -> style.Drawing | None:
    """One panel per target and one curve per route: share of outputs that differ by no more. None where no target was run."""
    results = contents.results
    from matplotlib.lines import Line2D

    found = differences(results)
    if not found:
        return None
    targets = sorted({cell.target for cell, _ in found})
    routes = sorted({cell.route_label for cell, _ in found})
    columns = 1 if len(targets) == 1 else 2
    rows = -(-len(targets) // columns)
    figure = style.new_figure(0.55 + 1.85 * rows + style.legend_height(routes))
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    limits = _limits([errors for _, errors in found])
    places = np.geomspace(*limits, _POINTS)
    for index, axes in enumerate(grid.flat):
        if index >= len(targets):
            axes.set_visible(False)
            continue
        for cell, errors in found:
            if cell.target == targets[index]:
                _curve(axes, errors, places, routes.index(cell.route_label))
        axes.axvline(1.0, color=style.GREY, linewidth=0.8, linestyle=":")
        axes.set_title(targets[index], loc="left")
        axes.grid(axis="both")
        axes.set_xscale("log")
        axes.set_xlim(*limits)
        axes.set_ylim(-0.02, 1.02)
        style.plain_logarithms(axes)
        if index + columns >= len(targets):
            axes.set_xlabel("Difference, multiple of the noise floor")
            axes.tick_params(labelbottom=True)
    figure.supylabel("Share of outputs", fontsize=10)
    handles = [Line2D([], [], color=c, linestyle=dash, linewidth=w) for c, dash, w in map(_line, range(len(routes)))]
    style.legend_above(figure, handles, routes)
    return style.Drawing(
        "Cumulative shares of outputs by their difference from the route oracle, one panel per target. "
        + "; ".join(_in_words(cell, errors) for cell, errors in found)
        + ".",
        figure,
    )


def _line(index: int) -> tuple[str, Any, float]:
    return _LINES[index % len(_LINES)]


def _limits(all_errors: list[NDArray[np.float64]]) -> tuple[float, float]:
    """From where the smallest curves leave the ground to just past the largest difference; 1 is always seen."""
    low, high = 0.5, 2.0
    for errors in all_errors:
        values = errors[np.isfinite(errors) & (errors > 0)]
        if values.size:
            low = min(low, float(np.quantile(values, 0.01, method="lower")))
            high = max(high, float(values[-1]))
    return max(low / 1.3, _SMALLEST), min(max(high * 1.3, 2.0), _LARGEST)


def _curve(axes: Axes, errors: NDArray[np.float64], places: NDArray[np.float64], route: int) -> None:
    colour, dashes, width = _line(route)
    # Values that are not finite are sorted last and counted in no place: such a curve does not reach 1.
    finite = errors[np.isfinite(errors)]
    shares = np.searchsorted(finite, places, side="right") / len(errors)
    axes.plot(places, shares, color=colour, linestyle=dashes, linewidth=width, solid_capstyle="butt")


def _in_words(cell: CellResult, errors: NDArray[np.float64]) -> str:
    name = f"{cell.target} via {cell.route_label}"
    finite = errors[np.isfinite(errors)]
    if not finite.size:
        return f"{name}: not finite"
    middle, high = (ratio(float(np.quantile(finite, share))) for share in (0.5, 0.99))
    lost = len(errors) - len(finite)
    odd = f", {lost:,} not finite" if lost else ""
    return f"{name}: {percentage(float(np.mean(errors == 0)))} equal, median {middle}, 99 % under {high}{odd}"


FIGURE = ReportFigure(
    title="Distribution of differences against the noise floor",
    section="outputs",
    position=2,
    caption=(
        "Share of the probe's outputs that differ from the route oracle by no more than a multiple of the noise floor"
        " (RMS), by target and route. A curve starts at the share of outputs that are equal or differ by less than "
        "the axis shows, and stays under 1 where outputs are not finite; equal curves lie on each other. Dotted: the "
        "floor itself."
    ),
    draw=draw,
)
