"""The first node past its floor, and its neighbours: what it reads, and what reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.compare.layers import in_words
from harness.compare.records import CellResult, Culprit, LayerError, LayersComparison, Neighbour
from harness.report.contents import Contents
from harness.report.drawing import style
from harness.report.drawing.figure import ReportFigure
from harness.report.formatting import ratio
from harness.report.read import cell_label
from harness.report.tables.layer_tables import examined

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Text

#: Cells and neighbours that are drawn; more would only repeat.
_CELLS = 4
_NEIGHBOURS = 4


def draw(contents: Contents) -> style.Drawing | None:
    """One small graph per cell with a culprit, of at most four cells. None where no node is past its floor."""
    results = contents.results
    found = [(cell, layers, layers.culprit) for cell, layers in examined(results) if layers.culprit is not None]
    if not found:
        return None
    shown = found[:_CELLS]
    figure = style.new_figure(1.75 * len(shown))
    panels = figure.subplots(len(shown), 1, squeeze=False)[:, 0]
    for axes, (cell, layers, culprit) in zip(panels, shown, strict=True):
        _graph(axes, cell, layers, culprit)
    more = f"; {len(found) - len(shown)} more cells have one" if len(found) > len(shown) else ""
    return style.Drawing(
        "Small graphs of the first node past its floor and its neighbours. "
        + "; ".join(_in_words(cell, culprit) for cell, _, culprit in shown)
        + more
        + ".",
        figure,
    )


def _graph(axes: Axes, cell: CellResult, layers: LayersComparison, culprit: Culprit) -> None:
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_title(cell_label(cell), loc="left")
    row = next(row for row in layers.rows if row.tensor == culprit.tensor)
    lines = [culprit.operator, _short(culprit.node or culprit.tensor, 30)]
    lines += [_short(f"{name} = {value}", 34) for name, value in list(culprit.attributes.items())[:3]]
    lines.append(_short(f"local error {_error(row.local)}", 40))
    middle = _box(axes, 0.5, 0.5, "\n".join(lines), style.VERMILLION, 1.6)
    for x, neighbours in ((0.12, culprit.before), (0.88, culprit.after)):
        # Stored tensors come last: what flows matters more.
        ordered = sorted(neighbours, key=lambda entry: entry.operator == "stored tensor")[:_NEIGHBOURS]
        for place, entry in enumerate(ordered):
            y = (len(ordered) - place - 0.5) / len(ordered)
            box = _box(axes, x, y, _label(entry), style.GREY, 0.8)
            _arrow(axes, *((box, middle) if x < 0.5 else (middle, box)))


def _box(axes: Axes, x: float, y: float, text: str, colour: str, width: float) -> Text:
    frame = {"boxstyle": "round,pad=0.35", "facecolor": "white", "edgecolor": colour, "linewidth": width}
    return axes.text(x, y, text, ha="center", va="center", fontsize=7.5, bbox=frame, linespacing=1.15)


def _arrow(axes: Axes, start: Text, end: Text) -> None:
    """From the edge of one box to the edge of the other."""
    look = {"arrowstyle": "-|>", "color": style.INK, "linewidth": 0.8, "shrinkA": 2, "shrinkB": 2}
    ends = {"patchA": start.get_bbox_patch(), "patchB": end.get_bbox_patch()}
    axes.annotate("", xy=end.get_position(), xytext=start.get_position(), arrowprops={**look, **ends})


def _error(error: LayerError | None) -> str:
    return in_words(error) if error is None or error.rms_ratio is None else ratio(error.rms_ratio)


def _label(entry: Neighbour) -> str:
    name = _short(entry.node or entry.tensor, 20)
    return f"{entry.operator}: {name}" if entry.operator == "stored tensor" else f"{entry.operator}\n{name}"


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _in_words(cell: CellResult, culprit: Culprit) -> str:
    before = ", ".join(entry.operator for entry in culprit.before if entry.operator != "stored tensor") or "nothing"
    after = ", ".join(entry.operator for entry in culprit.after) or "nothing"
    name = f"{culprit.operator} {culprit.node}".rstrip()
    return f"{cell_label(cell)}: {name}, after {before}, before {after}"


FIGURE = ReportFigure(
    title="The first node past its floor",
    section="layers",
    position=2,
    caption=(
        "The first node whose error on the oracle's own inputs is past its floor's gate, with what it reads and what "
        "reads it."
    ),
    draw=draw,
)
