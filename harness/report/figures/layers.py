"""Error per node of every graph: local and accumulated, in multiples of the node's floor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.compare.layers import past_gate
from harness.compare.records import CellResult, LayerError, LayerRow, LayersComparison
from harness.report.contents import Contents
from harness.report.drawing import style
from harness.report.drawing.figure import ReportFigure
from harness.report.formatting import ratio
from harness.report.read import cell_label
from harness.report.tables.layer_tables import examined

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Ratios beyond these are drawn at them; those below the first are all far from any gate.
_SMALLEST = 0.01
_LARGEST = 1e6
#: More operators than this find no room beside each other.
_NAMED = 44


def draw(contents: Contents) -> style.Drawing | None:
    """One panel per graph, a colour per runtime: marks for local errors, lines for accumulated ones. None without any."""
    results = contents.results
    # A graph of whole numbers or texts alone has no error to draw.
    found = [(cell, layers) for cell, layers in examined(results) if _floating(layers)]
    if not found:
        return None
    graphs: dict[str, list[tuple[CellResult, LayersComparison]]] = {}
    for cell, layers in found:
        graphs.setdefault(cell.route_label, []).append((cell, layers))
    runtimes = list(dict.fromkeys(cell.target for cell, _ in found))
    figure = style.new_figure(0.5 + style.legend_height([*runtimes, "", "", ""]) + 2.35 * len(graphs))
    panels = figure.subplots(len(graphs), 1, squeeze=False)[:, 0]
    low, high = 1.0, 1.0
    for axes, (route, cells) in zip(panels, graphs.items(), strict=True):
        axes.set_title(route, loc="left")
        for cell, layers in cells:
            values = _runtime(axes, layers, runtimes.index(cell.target), len(runtimes))
            low, high = min([low, *values]), max([high, *values])
        _furnish(axes, cells[0][1])
    for axes in panels:
        axes.set_ylim(low / 2, max(high, found[0][1].rms_limit) * 2.5)
        style.plain_logarithms(axes, "y")
    _legend(figure, runtimes, found[0][1].rms_limit)
    return style.Drawing(
        "Errors by node of the graph in multiples of the node's floor. "
        + "; ".join(_in_words(cell, layers) for cell, layers in found)
        + ".",
        figure,
    )


def _floating(layers: LayersComparison) -> list[LayerRow]:
    """Rows that have a floor, and of the exact ones those that are wrong."""
    return [row for row in layers.rows if not row.exact or past_gate(row.local)]


def _height(error: LayerError | None) -> float | None:
    if error is None:
        return None
    if error.unequal or error.rms_ratio is None:
        return _LARGEST if error.unequal else None
    return min(max(error.rms_ratio, _SMALLEST), _LARGEST)


def _runtime(axes: Axes, layers: LayersComparison, index: int, runtimes: int) -> list[float]:
    colour, _, mark = style.series(index + 1)
    drawn: list[float] = []
    rows = _floating(layers)
    for name in ("accumulated", "local"):
        points = [(place, _height(getattr(row, name))) for place, row in enumerate(rows)]
        places = [place for place, value in points if value is not None]
        values = [value for _, value in points if value is not None]
        drawn += values
        if name == "accumulated":
            axes.plot(places, values, color=colour, linewidth=1.1, zorder=2)
        else:
            # Side by side, so that runtimes of equal error do not hide each other.
            shifted = [place + _aside(index, runtimes) for place in places]
            axes.plot(
                shifted,
                values,
                mark,
                color=colour,
                markerfacecolor=style.face(index + 1),
                markeredgecolor=style.INK,
                markeredgewidth=0.5,
                markersize=5,
                zorder=3,
            )
    for place, row in enumerate(rows):
        height = _height(row.local)
        if height is not None and layers.culprit is not None and row.tensor == layers.culprit.tensor:
            axes.plot(
                [place + _aside(index, runtimes)],
                [height],
                "o",
                color="none",
                markeredgecolor=style.VERMILLION,
                markersize=12,
            )
    return drawn


def _aside(index: int, runtimes: int) -> float:
    """How far a runtime's mark lies beside its node's place; all of them lie nearer to it than to the next node's."""
    return min(0.12, 0.8 / runtimes) * (index - (runtimes - 1) / 2)


def _furnish(axes: Axes, layers: LayersComparison) -> None:
    rows = _floating(layers)
    axes.set_yscale("log")
    axes.axhline(1.0, color=style.GREY, linewidth=0.8, linestyle=":")
    axes.axhline(layers.rms_limit, color=style.VERMILLION, linewidth=1.0, linestyle="--")
    axes.set_ylabel("Multiple of floor")
    step = -(-len(rows) // _NAMED)
    axes.set_xticks(range(0, len(rows), step), [_name(row.operator) for row in rows[::step]], rotation=90, fontsize=7.5)
    axes.set_xlim(-0.6, len(rows) - 0.4)
    axes.grid(axis="y")


def _name(operator: str) -> str:
    return operator if len(operator) <= 13 else f"{operator[:12]}…"


def _legend(figure: Figure, runtimes: list[str], limit: float) -> None:
    from matplotlib.lines import Line2D

    handles: list[Line2D] = []
    for index, _ in enumerate(runtimes):
        colour, _, mark = style.series(index + 1)
        face = style.face(index + 1)
        handles.append(
            Line2D(
                [], [], color=colour, marker=mark, markerfacecolor=face, markeredgecolor=style.INK, markeredgewidth=0.5
            )
        )
    handles += [
        Line2D([], [], linestyle="", marker="o", color=style.GREY),
        Line2D([], [], color=style.GREY, linewidth=1.1),
        Line2D([], [], color=style.VERMILLION, linewidth=1.0, linestyle="--"),
    ]
    labels = [*runtimes, "mark: local error (RMS)", "line: accumulated error", f"gate of the local error ({limit:g}×)"]
    style.legend_above(figure, handles, labels, 3)


def _in_words(cell: CellResult, layers: LayersComparison) -> str:
    values = [row.local.rms_ratio for row in layers.rows if row.local and row.local.rms_ratio is not None]
    text = f"{cell_label(cell)}: worst local error {ratio(max(values, default=None))}"
    if layers.culprit is not None:
        text += f", first past its gate {layers.culprit.operator} {layers.culprit.node}".rstrip()
    return text


FIGURE = ReportFigure(
    title="Error per layer",
    section="layers",
    position=1,
    caption=(
        "Error of every node of each graph in multiples of that node's floor, on a logarithmic scale: marks for the "
        "node alone on the oracle's inputs, lines for the node within the whole graph. A mark above the dashed line "
        "is past its gate; what is under 0.01, or equal, is drawn at 0.01."
    ),
    draw=draw,
)
