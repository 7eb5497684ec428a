"""Nodes of the file that every route wrote, and what became of loops in it."""

from __future__ import annotations

from typing import Any

from harness.report.contents import Contents
from harness.report.drawing import style
from harness.report.drawing.figure import ReportFigure
from harness.report.formatting import counted, size
from harness.report.tables.structure_table import structure_table


def draw(contents: Contents) -> style.Drawing | None:
    """One line per route, most nodes last. None where fewer than two routes wrote a graph."""
    results = contents.results
    rows: list[dict[str, Any]] = [row for row in structure_table(results).rows if row["nodes"]]
    if len(rows) < 2:
        return None
    rows.sort(key=lambda row: (_all(row), str(row["route"])), reverse=True)
    figure = style.new_figure(0.75 + 0.27 * len(rows))
    axes = figure.subplots()
    largest = max(_all(row) for row in rows)
    for place, row in enumerate(rows):
        total = _all(row)
        axes.plot([1, total], [place, place], color=style.LIGHT, linewidth=1.2, zorder=1)
        axes.plot(total, place, "o", color=style.BLUE, markersize=6, zorder=3)
        if row["nodes_inside"]:
            axes.plot(
                row["nodes"], place, "o", markerfacecolor="white", markeredgecolor=style.BLUE, markersize=6, zorder=2
            )
        axes.annotate(_said(row), (total, place), xytext=(7, 0), textcoords="offset points", va="center", fontsize=8.5)
    axes.set_xscale("log")
    # Room at the right for what stands beside the marks.
    axes.set_xlim(1, largest * 60)
    style.plain_logarithms(axes)
    axes.set_yticks(range(len(rows)), [str(row["route"]) for row in rows])
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlabel("Nodes")
    axes.grid(axis="x")
    said = "; ".join(f"{row['route']}: {_said(row)}" for row in reversed(rows))
    return style.Drawing(f"Dot chart of nodes by route. {said}.", figure)


def _all(row: dict[str, Any]) -> int:
    return int(row["nodes"]) + int(row["nodes_inside"] or 0)


def _said(row: dict[str, Any]) -> str:
    parts = [counted(_all(row), "node")]
    if row["time"] and row["time"] != "none":
        parts.append(str(row["time"]))
    if row["bytes"]:
        parts.append(size(row["bytes"]))
    return ", ".join(parts)


FIGURE = ReportFigure(
    title="Nodes per route",
    section="structure",
    position=1,
    caption=(
        "Nodes of the file that each route wrote, on a logarithmic scale: filled all of them, open those of the graph"
        " itself without what loops hold inside. Beside them what became of loops, and the size of the file."
    ),
    draw=draw,
)
