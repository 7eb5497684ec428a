"""Predicted against true values of every variable: the source, and runtimes that estimate visibly other values."""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.report import caption_facts
from harness.report.contents import Contents
from harness.report.drawing import style
from harness.report.drawing.figure import ReportFigure
from harness.report.formatting import significant
from harness.report.read import SOURCE
from harness.report.tables import score_tables

#: Panels side by side.
_ACROSS = 3
#: Two runtimes whose values differ by less than this share of the range are drawn as one.
VISIBLE = 1e-3


def draw(contents: Contents) -> style.Drawing | None:
    """One panel per variable with the line of perfect estimates. None where no values were estimated."""
    results = contents.results
    frame = results.values
    if frame is None or frame.empty or SOURCE not in frame:
        return None
    variables = [str(name) for name in dict.fromkeys(frame["variable"])]
    shown = _shown(frame)
    columns = min(len(variables), _ACROSS)
    rows = -(-len(variables) // columns)
    labels = [results.display(who) for who in shown]
    figure = style.new_figure(0.3 + rows * style.WIDTH / max(columns, 2) + style.legend_height(labels))
    panels = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    handles: list[Any] = []
    for axes, variable in zip(panels, variables, strict=False):
        part = frame[frame["variable"] == variable]
        truth, unit = part["truth"].to_numpy(), str(part["unit"].iloc[0])
        drawn = []
        for index, who in enumerate(shown):
            fill, _, mark = style.series(index)
            drawn.append(
                axes.scatter(
                    truth, part[who].to_numpy(), s=9, c=fill, marker=mark, edgecolors=style.INK, linewidths=0.2
                )
            )
        handles = handles or drawn
        ends = [truth.min(), truth.max()]
        axes.plot(ends, ends, color=style.GREY, linewidth=0.8, linestyle="--")
        axes.set_title(variable)
        axes.set_xlabel(f"True ({unit})" if unit else "True")
        axes.set_ylabel(f"Estimated ({unit})" if unit else "Estimated")
        axes.set_aspect("equal", adjustable="datalim")
        axes.grid()
    for axes in panels[len(variables) :]:
        axes.set_visible(False)
    style.legend_above(figure, handles, labels)
    words = "; ".join(_in_words(frame, variable) for variable in variables)
    return style.Drawing(
        f"Scatter charts of estimated against true values of the output {score_tables.output_of(results)}. {words}.",
        figure,
    )


def _in_words(frame: Any, variable: str) -> str:
    part = frame[frame["variable"] == variable]
    truth, found = part["truth"].to_numpy(), part[SOURCE].to_numpy()
    return (
        f"{variable}: {len(part)} samples from {significant(float(truth.min()))} to {significant(float(truth.max()))}, "
        f"estimated by the source from {significant(float(found.min()))} to {significant(float(found.max()))}"
    )


def _shown(frame: Any) -> list[str]:
    """The source, and every runtime whose values differ visibly from those of all before it."""
    known = {"id", "variable", "unit", "truth"}
    spread = frame.groupby("variable")["truth"].transform(lambda values: values.max() - values.min() or 1.0).to_numpy()
    kept: list[str] = []
    for who in [name for name in frame.columns if name not in known]:
        values = frame[who].to_numpy()
        near = (np.nan_to_num(np.abs(values - frame[other].to_numpy()) / spread, nan=np.inf).max() for other in kept)
        if all(distance > VISIBLE for distance in near):
            kept.append(who)
    return kept


FIGURE = ReportFigure(
    title="Estimated against true values",
    section="task",
    position=11,
    caption=(
        "Every test sample, in the unit of its variable; dashed, where both are equal. Runtimes whose values cannot be told "
        "apart by eye are drawn once."
    ),
    draw=draw,
    samples=caption_facts.test_samples,
)
