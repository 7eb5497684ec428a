"""The graph of every route's file beside the others': what each exporter made of the same model."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.report.alignment import Row, align
from harness.report.contents import Contents
from harness.report.drawing import style
from harness.report.drawing.figure import ReportFigure
from harness.report.drawing.lettering import broken, fitted, width_of
from harness.report.formatting import counted, size
from harness.report.operator_kinds import Kind
from harness.report.outline import Block, Item, Line, Outline, outline
from harness.report.read import Results
from harness.report.result_files.structures import Shape, Structure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Lines of a graph in a figure, and graphs beside each other.
LINES = 36
_SIDE_BY_SIDE = 4
#: Graphs in one figure; more are named in the table of structures only.
_GRAPHS = 8

_FILL: dict[Kind, str] = {
    "weights": "#d6eaf7",
    "normalisation": "#fbe6c2",
    "activation": "#d3ede4",
    "layout": "#efefef",
    "control": "#efdbe7",
    "other": "#ffffff",
    "end": "#ffffff",
    "left out": "#ffffff",
}
_WORDS: tuple[tuple[Kind, str], ...] = (
    ("weights", "weights"),
    ("normalisation", "normalisation"),
    ("activation", "activation"),
    ("layout", "layout"),
    ("control", "loop"),
)
_FOLDED = "#c46a00"
_SHARED = "#8c2d6b"

# Inches.
_PITCH = 0.135
_PAD = 0.045
_GAP = 0.1
_LANE = 0.075
_BRACKET = 0.3
_BETWEEN = 0.14
_MARGIN = 0.02
_SPACING = 0.06
#: Widest column: a graph alone needs no page for itself.
_WIDEST = 3.3

# Points.
_TITLE = 9.0
_OPERATOR = 8.2
_SMALL = 7.0


@dataclass(frozen=True)
class _Column:
    """One graph: its title, what is said under it, its outline, and how its lines are drawn."""

    title: str
    subtitle: str
    outline: Outline


@dataclass(frozen=True)
class _Text:
    """One line of text in a box: what stands left and what stands right, each with size, colour and weight."""

    left: tuple[tuple[str, float, str, str], ...]
    right: tuple[str, float, str] | None = None


def folds_by_route(results: Results) -> dict[str, dict[str, tuple[str, ...]]]:
    """Route -> stored tensor -> batch normalisations folded into it, as the comparison of parameters found them."""
    model = results.manifest.model
    normalisations = {layer.name for layer in model.layers if layer.kind == "batch-normalisation"} if model else set()
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    for cell in results.cells:
        if cell.parameters is None or cell.route_label in found:
            continue
        folds: dict[str, dict[str, None]] = defaultdict(dict)
        for row in cell.parameters.rows:
            if row.relation == "folded" and row.layer in normalisations and row.target_name:
                folds[row.target_name][row.layer] = None
        found[cell.route_label] = {name: tuple(layers) for name, layers in folds.items()}
    return found


def draw(contents: Contents) -> style.Drawing | None:
    """Every graph as a column of boxes, at most four side by side and eight in all. None where no route has a graph."""
    results = contents.results
    folds = folds_by_route(results)
    columns = _columns(results.structures, folds)
    if not columns:
        return None
    shown = columns[:_GRAPHS]
    bands = [shown[place : place + _SIDE_BY_SIDE] for place in range(0, len(shown), _SIDE_BY_SIDE)]
    if len(bands) > 1:
        # Bands of like length: four and one would leave the last alone.
        half = -(-len(shown) // len(bands))
        bands = [shown[place : place + half] for place in range(0, len(shown), half)]
    laid = [_Band(band) for band in bands]
    legend = _legend_height(shown)
    figure = style.new_figure(legend + sum(band.height for band in laid) + 0.05)
    # Places are computed, not found: boxes of a row stand beside each other.
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    height = float(figure.get_size_inches()[1])
    axes.set_axis_off()
    axes.set_xlim(0, style.WIDTH)
    axes.set_ylim(height, 0)
    _legend(axes, shown)
    top = legend
    for band in laid:
        band.draw(axes, top)
        top += band.height
    more = f" {counted(len(columns) - len(shown), 'more graph')} not drawn." if len(columns) > len(shown) else ""
    return style.Drawing(
        "Graphs as columns of nodes in the order of the flow of data. "
        + " ".join(f"{column.title}: {_in_words(column.outline)}." for column in shown)
        + more,
        figure,
    )


def _columns(structures: Mapping[str, Structure], folds: Mapping[str, Mapping[str, tuple[str, ...]]]) -> list[_Column]:
    """One per graph; routes whose graphs differ in nothing that is drawn share one."""
    found: dict[tuple[Item, ...], _Column] = {}
    for route, structure in sorted(structures.items()):
        told = outline(structure, folds.get(route, {}), limit=LINES)
        if told.items in found:
            found[told.items] = replace(found[told.items], title=f"{found[told.items].title} and {route}")
            continue
        opset = structure.opsets.get("", structure.opsets.get("ai.onnx"))
        words = [f"opset {opset}"] if opset is not None else []
        words += [counted(told.nodes, "node"), size(structure.bytes) if structure.bytes else ""]
        if told.stored:
            words.append(f"{told.stored} of them constants, not drawn")
        found[told.items] = _Column(route, ", ".join(word for word in words if word), told)
    return list(found.values())


def _in_words(told: Outline) -> str:
    def words(items: Sequence[Item]) -> str:
        parts = []
        for item in items:
            if isinstance(item, Block):
                inner = words(item.items)
                parts.append(f"{item.times} times ({inner})" if item.kind == "repeat" else f"body ({inner})")
            elif item.kind != "end":
                folded = f" with {' and '.join(item.folded)} folded in" if item.folded else ""
                parts.append(f"{item.operator}{folded}")
        return ", ".join(parts)

    return words(told.items)


class _Band:
    """Up to four graphs side by side, matching lines in one row."""

    def __init__(self, columns: Sequence[_Column]) -> None:
        self._columns = columns
        self._width = min(_WIDEST, (style.WIDTH - 2 * _MARGIN - _BETWEEN * (len(columns) - 1)) / len(columns))
        self._rows: list[Row] = align([column.outline.lines for column in columns])
        self._place = [
            [place for place, row in enumerate(self._rows) if number in row] for number in range(len(columns))
        ]
        self._arcs = [list(_arcs(column.outline)) for column in columns]
        lanes = [_lanes(arcs) for arcs in self._arcs]
        self._lane_of = [dict(zip(arcs, lane, strict=True)) for arcs, lane in zip(self._arcs, lanes, strict=True)]
        self._left = [min(max(lane, default=-1) + 1, 6) * _LANE + (0.05 if lane else 0.0) for lane in lanes]
        depth = [_depth(column.outline.items) for column in columns]
        self._right = [_BRACKET * min(deep, 3) for deep in depth]
        self._texts = [
            {
                number: _texts(line, self._width - self._left[number] - self._right[number] - 0.12)
                for number, line in row.items()
            }
            for row in self._rows
        ]
        self._titles = [broken(column.title, _TITLE, self._width, bold=True) for column in columns]
        self._subtitles = [broken(column.subtitle, _SMALL, self._width) for column in columns]
        self._under_titles = 0.16 * max(map(len, self._titles))
        self._title = self._under_titles + _PITCH * max(map(len, self._subtitles)) + 0.06
        heights = [max(len(texts) for texts in row.values()) * _PITCH + 2 * _PAD for row in self._texts]
        self._tops = [self._title + sum(heights[:place]) + _GAP * place for place in range(len(heights))]
        self.height = self._title + sum(heights) + _GAP * len(heights) + 0.12

    def draw(self, axes: Axes, top: float) -> None:
        """Draw all columns from ``top`` inches downwards."""
        for number, column in enumerate(self._columns):
            x = _MARGIN + number * (self._width + _BETWEEN)
            if len(self._columns) == 1:
                x = (style.WIDTH - self._width) / 2
            self._column(axes, number, column, x, top)

    def _column(self, axes: Axes, number: int, column: _Column, x: float, top: float) -> None:
        left, right = x + self._left[number], x + self._width - self._right[number]
        for place, words in enumerate(self._titles[number]):
            axes.text(x, top + 0.16 * place, words, fontsize=_TITLE, weight="bold", va="top")
        for place, words in enumerate(self._subtitles[number]):
            y = top + self._under_titles + _PITCH * place
            axes.text(x, y, words, fontsize=_SMALL, color=style.GREY, va="top")
        edges: list[tuple[float, float]] = []
        for place in self._place[number]:
            texts = self._texts[place][number]
            upper = top + self._tops[place]
            lower = upper + len(texts) * _PITCH + 2 * _PAD
            edges.append((upper, lower))
            _box(axes, self._rows[place][number], texts, left, right, upper, lower)
        for before, (above, below) in enumerate(itertools.pairwise(edges)):
            if _linked(column.outline, before, before + 1):
                _arrow(axes, (left + right) / 2, above[1], below[0])
        for arc in self._arcs[number]:
            lane = min(self._lane_of[number][arc], 5)
            _arc(axes, left, left - 0.05 - _LANE * lane, _within(edges[arc[0]], 0.7), _within(edges[arc[1]], 0.3))
        for first, last, depth, block in _brackets(column.outline.items):
            _bracket(axes, right + 0.05 + _BRACKET * (min(depth, 3) - 1), edges[first][0], edges[last][1], block)


def _texts(line: Line, width: float) -> list[_Text]:
    """The lines of text of a box that is ``width`` inches wide inside; the shape stands in the first that has room for it."""
    if line.kind == "left out":
        words = fitted(f"⋮ {line.operator} not drawn: {line.attributes}", _SMALL, width)
        return [_Text(((words, _SMALL, "normal", style.GREY),))]
    shape = fitted(_shape(line.shape), _SMALL, width)
    taken = width_of(shape, _SMALL) + _SPACING if shape else 0.0
    operator = fitted(line.operator, _OPERATOR, width, bold=True)
    head = width_of(operator, _OPERATOR, bold=True)
    beside = head + _SPACING + width_of(line.attributes, _SMALL) + taken <= width
    first: list[tuple[str, float, str, str]] = [(operator, _OPERATOR, "bold", style.INK)]
    if beside and line.attributes:
        first.append((line.attributes, _SMALL, "normal", style.INK))
    lefts = [(tuple(first), head + (_SPACING + width_of(line.attributes, _SMALL) if len(first) > 1 else 0.0))]
    for words, colour in _under(line, with_attributes=not beside, width=width):
        lefts.append((((words, _SMALL, "normal", colour),), width_of(words, _SMALL)))
    place = next((place for place, (_, used) in enumerate(lefts) if shape and used + taken <= width), None)
    if shape and place is None:
        lefts.append(((), 0.0))
        place = len(lefts) - 1
    return [
        _Text(left, (shape, _SMALL, style.GREY) if number == place else None) for number, (left, _) in enumerate(lefts)
    ]


def _under(line: Line, *, with_attributes: bool, width: float) -> Iterator[tuple[str, str]]:
    """What stands under the operator, each with its colour."""
    if with_attributes and line.attributes:
        for words in broken(line.attributes, _SMALL, width)[:3]:
            yield words, style.INK
    if line.weight:
        stored = f" {_shape(line.weight_shape)}"
        yield f"{fitted(line.weight, _SMALL, width - width_of(stored, _SMALL))}{stored}", style.INK
    if line.folded:
        yield fitted(f"+ {' + '.join(line.folded)} folded in", _SMALL, width), _FOLDED
    if line.readers > 1:
        yield fitted(f"shared: {line.readers} nodes read it", _SMALL, width), _SHARED


def _shape(shape: Shape) -> str:
    if shape is None:
        return ""
    return "×".join("?" if length is None else str(length) for length in shape) if shape else "scalar"


def _box(axes: Axes, line: Line, texts: Sequence[_Text], left: float, right: float, upper: float, lower: float) -> None:
    from matplotlib.patches import FancyBboxPatch, Rectangle

    if line.kind != "left out":
        axes.add_patch(
            FancyBboxPatch(
                (left, upper),
                right - left,
                lower - upper,
                boxstyle=f"round,pad=0,rounding_size={0.08 if line.kind == 'end' else 0.03}",
                facecolor=_FILL[line.kind],
                edgecolor=style.GREY,
                linewidth=0.7,
                linestyle="--" if line.kind == "end" else "-",
                zorder=2,
            )
        )
    if line.folded:
        axes.add_patch(
            Rectangle(
                (left, upper + 0.015),
                0.045,
                lower - upper - 0.03,
                facecolor=style.ORANGE,
                hatch="////",
                edgecolor=_FOLDED,
                linewidth=0,
                zorder=3,
            )
        )
    for number, text in enumerate(texts):
        y = upper + _PAD + (number + 0.5) * _PITCH
        x = left + 0.07
        for words, points, weight, colour in text.left:
            axes.text(x, y, words, fontsize=points, weight=weight, color=colour, va="center_baseline", zorder=4)
            x += width_of(words, points, bold=weight == "bold") + _SPACING
        if text.right is not None:
            words, points, colour = text.right
            axes.text(right - 0.05, y, words, fontsize=points, color=colour, va="center_baseline", ha="right", zorder=4)


def _arrow(axes: Axes, x: float, start: float, end: float) -> None:
    look = {
        "arrowstyle": "-|>,head_width=0.12,head_length=0.22",
        "color": style.INK,
        "linewidth": 0.7,
        "shrinkA": 0,
        "shrinkB": 0,
    }
    axes.annotate("", xy=(x, end), xytext=(x, start), arrowprops=look, zorder=1)


def _within(edges: tuple[float, float], share: float) -> float:
    """A height within a box: arcs leave below the place where others arrive."""
    return edges[0] + share * (edges[1] - edges[0])


def _arc(axes: Axes, edge: float, lane: float, start: float, end: float) -> None:
    """From a box to one further down, around those between them."""
    axes.plot(
        [edge, lane, lane, edge - 0.02],
        [start, start, end, end],
        color=style.INK,
        linewidth=0.6,
        zorder=1,
        solid_joinstyle="round",
    )
    axes.plot([edge - 0.012], [end], marker=">", markersize=2.6, color=style.INK, linestyle="", zorder=3)


def _bracket(axes: Axes, x: float, upper: float, lower: float, block: Block) -> None:
    colour = style.INK if block.kind == "repeat" else style.GREY
    axes.plot([x - 0.03, x, x, x - 0.03], [upper, upper, lower, lower], color=colour, linewidth=1.0)
    words = f"× {block.times:,}" if block.kind == "repeat" else "body"
    axes.text(x + 0.03, (upper + lower) / 2, words, fontsize=8, color=colour, rotation=90, va="center", ha="left")


def _linked(told: Outline, before: int, after: int) -> bool:
    """Whether data flow from one line to another; of what is told in brief only the order is known."""
    first, second = told.lines[before], told.lines[after]
    return told.short or bool(set(first.gives) & set(second.reads))


def _arcs(told: Outline) -> Iterator[tuple[int, int]]:
    """Pairs of lines that are connected over others between them; none where lines stand for several nodes."""
    if told.short:
        return
    lines = told.lines
    made = {name: place for place, line in enumerate(lines) for name in line.gives}
    for place, line in enumerate(lines):
        for source in sorted({made[name] for name in line.reads if name in made}):
            if source < place - 1:
                yield source, place


def _lanes(arcs: Sequence[tuple[int, int]]) -> list[int]:
    """A lane for each arc, so that none of one lane overlap; short arcs stay near the boxes."""
    lanes: list[int] = [0] * len(arcs)
    taken: list[list[tuple[int, int]]] = []
    for index in sorted(range(len(arcs)), key=lambda index: (arcs[index][1] - arcs[index][0], arcs[index])):
        first, last = arcs[index]
        lane = next(
            (lane for lane, others in enumerate(taken) if all(last < start or end < first for start, end in others)),
            len(taken),
        )
        if lane == len(taken):
            taken.append([])
        taken[lane].append(arcs[index])
        lanes[index] = lane
    return lanes


def _depth(items: Sequence[Item]) -> int:
    return max((1 + _depth(item.items) for item in items if isinstance(item, Block)), default=0)


def _brackets(items: Sequence[Item], start: int = 0) -> Iterator[tuple[int, int, int, Block]]:
    """First and last line of every block, its height over the innermost one, and the block."""
    place = start
    for item in items:
        length = 1
        if isinstance(item, Block):
            inner = list(_brackets(item.items, place))
            yield from inner
            length = sum(1 for _ in Outline(item.items, 0, 0).lines)
            yield place, place + length - 1, 1 + _depth(item.items), item
        place += length


def _legend(axes: Axes, columns: Sequence[_Column]) -> None:
    """The colours and signs that occur."""
    from matplotlib.patches import Rectangle

    for words, fill, hatch, x, row in _legend_entries(columns):
        y = 0.12 + 0.17 * row
        edge = _FOLDED if hatch else style.GREY
        axes.add_patch(Rectangle((x, y - 0.05), 0.13, 0.1, facecolor=fill, hatch=hatch, edgecolor=edge, linewidth=0.6))
        axes.text(x + 0.19, y, words, fontsize=8, va="center_baseline")


def _legend_height(columns: Sequence[_Column]) -> float:
    return 0.36 + 0.17 * max((row for *_, row in _legend_entries(columns)), default=0)


def _legend_entries(columns: Sequence[_Column]) -> Iterator[tuple[str, str, str, float, int]]:
    """Words, fill, hatch, place from the left in inches and row."""
    lines = [line for column in columns for line in column.outline.lines]
    kinds = {line.kind for line in lines}
    entries = [(words, _FILL[kind], "") for kind, words in _WORDS if kind in kinds]
    if any(line.folded for line in lines):
        entries.append(("batch normalisation folded in", style.ORANGE, "////"))
    x, row = _MARGIN, 0
    for words, fill, hatch in entries:
        length = 0.35 + width_of(words, 8)
        if x + length > style.WIDTH:
            x, row = _MARGIN, row + 1
        yield words, fill, hatch, x, row
        x += length


FIGURE = ReportFigure(
    title="The graphs that were written",
    section="structure",
    position=2,
    caption=(
        "The graph of every file that a route wrote, node by node in the order of the flow of data; nodes in one row "
        "do the same in each file. At the right of a box stands the shape of what it gives, under the operator the "
        "tensor that it holds. A bracket with × n tells a block of nodes once that comes n times in a row."
    ),
    draw=draw,
)
