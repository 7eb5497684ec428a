"""Error and verdict of the same thing in one version after another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.compare.records import CellResult, Verdict
from harness.report.cells_by_version import Place, lines_of, of_software, placed
from harness.report.contents import Contents
from harness.report.drawing import style
from harness.report.drawing.figure import ReportFigure
from harness.report.formatting import VERDICT_MARKS, ratio

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: What a run puts in place of a number, below the axis of versions where nothing could be compared.
_UNCOMPARED = (Verdict.FAILED, Verdict.UNSUPPORTED, Verdict.UNAVAILABLE)
#: Ratios outside of these are drawn at their edge.
_SMALLEST, _LARGEST = 0.05, 1e6
#: Distance between the marks of one version, in versions.
_SPACING = 0.6


def draw(contents: Contents) -> style.Drawing | None:
    """One panel per software whose version varies: RMS error as a multiple of the floor. None where no cell has a version."""
    results = contents.results
    found = placed(results)
    if not found:
        return None
    panels = of_software(where for where, _ in found)
    places = [where for where, _ in found]
    lines = sorted({where.line for where in places})
    figure = style.new_figure(0.5 + 2.6 * len(panels) + style.legend_height(lines))
    handles: dict[str, Any] = {}
    for axes, (software, versions) in zip(
        figure.subplots(len(panels), 1, squeeze=False)[:, 0], panels.items(), strict=True
    ):
        cells = [(where, cell) for where, cell in found if where.software == software]
        marks = {line: style.series(lines.index(line) + 1) for line in lines_of(places, software)}
        _panel(axes, cells, versions, marks, handles)
        axes.set_title(software, loc="left")
    style.legend_above(figure, list(handles.values()), list(handles))
    said = "; ".join(f"{where.software} {where.version} {where.line}: {_in_words(cell)}" for where, cell in found)
    return style.Drawing(
        f"Dot plot of root-mean-square runtime errors as multiples of the noise floor by version. {said}.",
        figure,
    )


def _panel(
    axes: Axes,
    cells: list[tuple[Place, CellResult]],
    versions: list[str],
    marks: dict[str, tuple[str, str, str]],
    handles: dict[str, Any],
) -> None:
    from matplotlib.ticker import LogLocator

    limit = next((c.rms_limit for _, cell in cells if (c := cell.runtime_comparison)), 4.0)
    axes.axhline(1.0, color=style.GREY, linewidth=0.8, linestyle=":")
    axes.axhline(limit, color=style.BLUE, linewidth=1.0)
    axes.text(
        0.995, limit, f"gate ({limit:g}×)", transform=axes.get_yaxis_transform(), ha="right", va="bottom", fontsize=8.5
    )
    for index, (line, (colour, _, mark)) in enumerate(marks.items()):
        shift = _SPACING * ((index + 0.5) / len(marks) - 0.5)
        points = []
        for where, cell in cells:
            if where.line != line:
                continue
            x = versions.index(where.version) + shift
            comparison = cell.runtime_comparison
            if cell.verdict in _UNCOMPARED or comparison is None or comparison.rms_ratio is None:
                _refused(axes, x, cell.verdict, colour)
            else:
                points.append((x, min(max(comparison.rms_ratio, _SMALLEST), _LARGEST), cell.verdict))
        axes.plot(
            [x for x, _, _ in points], [y for _, y, _ in points], color=colour, linewidth=0.9, alpha=0.6, zorder=2
        )
        for x, y, verdict in points:
            good = verdict in (Verdict.IDENTICAL, Verdict.EQUIVALENT)
            # What fails its gate, or differs in its parameters, is hollow.
            face = colour if good else "white"
            axes.plot([x], [y], mark, color=face, markeredgecolor=style.INK, markersize=6.5, zorder=3)
        handles[line] = _handle(colour, mark)
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.set_ylim(min(low / 1.2, 0.4), max(high * 1.6, limit * 2))
    axes.set_xlim(-0.6, len(versions) - 0.4)
    axes.set_xticks(range(len(versions)), [version.replace("+", "\n") for version in versions])
    axes.tick_params(axis="x", length=0)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 else (1,)))
    axes.minorticks_off()
    style.plain_logarithms(axes, "y")
    axes.set_ylabel("Runtime error (RMS) / floor")
    axes.grid(axis="y")


def _refused(axes: Axes, x: float, verdict: Verdict, colour: str) -> None:
    """What was not compared has no error: its verdict stands at the foot of the panel."""
    axes.text(
        x,
        0.03,
        verdict.value,
        transform=axes.get_xaxis_transform(),
        rotation=90,
        ha="center",
        va="bottom",
        fontsize=8,
        color=style.INK,
        bbox={"facecolor": "white", "edgecolor": colour, "linewidth": 1.2, "pad": 2},
        zorder=4,
    )


def _handle(colour: str, mark: str) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], color=colour, marker=mark, markeredgecolor=style.INK, markersize=6.5, linewidth=0.9)


def _in_words(cell: CellResult) -> str:
    comparison = cell.runtime_comparison
    known = comparison is not None and comparison.rms_ratio is not None and cell.verdict not in _UNCOMPARED
    number = f", {ratio(comparison.rms_ratio)}" if known and comparison else ""
    return f"{cell.verdict.value} {VERDICT_MARKS[cell.verdict]}{number}"


FIGURE = ReportFigure(
    title="Error and verdict by version",
    section="versions",
    position=1,
    caption=(
        "Runtime error by version: RMS of float32 outputs over the probe against the route oracle, as a multiple of the "
        "noise floor; the blue line is its gate, the dotted one the floor itself. A hollow mark: undecided, drifted or divergent. "
        "Where nothing could be compared, the verdict stands in place of a mark."
    ),
    draw=draw,
)
