"""A line that ends at the number of cells."""

from __future__ import annotations

from harness.report.contents import Contents
from harness.report.drawing import style
from harness.report.drawing.figure import ReportFigure


def draw(contents: Contents) -> style.Drawing | None:
    """One line upwards."""
    figure = style.new_figure(1.0)
    figure.subplots().plot([0, 1], [0, len(contents.results.cells)])
    return style.Drawing("One line upwards.", figure)


FIGURE = ReportFigure(
    title="A line", section="outputs", position=9, caption="It ends at the number of cells.", draw=draw
)
