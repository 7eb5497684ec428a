"""Error of the forecasts by step, persistence beside them."""

from __future__ import annotations

from typing import Any

from harness.report.figures import style
from harness.report.formatting import significant
from harness.report.results import Results
from harness.report.tables.forecast import SHOWN, group_name, groups


def draw(results: Results) -> style.Drawing | None:
    """Two panels over the minutes ahead: pooled RMSE and MAE in the physical unit. None where no frames are forecast."""
    known = results.manifest.data.forecast
    if results.forecasts is None or known is None:
        return None
    found = groups(results)
    labels = [group_name(results, group) for group in found]
    figure = style.new_figure(2.7 + style.legend_height(labels))
    panels = figure.subplots(1, 2)
    frame = results.forecasts.errors
    handles: list[Any] = []
    said = []
    for index, (group, label) in enumerate(zip(found, labels, strict=True)):
        colour, _, mark = style.series(index)
        part = frame[(frame["who"] == group[0]) & (frame["aggregation"] == SHOWN)].sort_values("step")
        for axes, name in zip(panels, ("rmse_physical", "mae_physical"), strict=True):
            (line,) = axes.plot(
                part["minutes"],
                part[name],
                color=colour,
                marker=mark,
                markersize=4.5,
                markeredgecolor=style.INK,
                markeredgewidth=0.4,
                linestyle="--" if index == 0 else "-",
            )
        handles.append(line)
        values = ", ".join(significant(value) for value in part["rmse_physical"])
        said.append(f"{label}: RMSE {values} {known.unit}")
    minutes_ahead = sorted(set(frame["minutes"]))
    ticks = minutes_ahead[:: -(-len(minutes_ahead) // 9)]
    for axes, name in zip(panels, ("RMSE", "MAE"), strict=True):
        axes.set_xlabel("Minutes ahead")
        axes.set_ylabel(f"{name} ({known.unit})")
        axes.set_ylim(bottom=0)
        axes.set_xticks(ticks, [f"{minutes:g}" for minutes in ticks])
        axes.grid(axis="y")
    style.legend_above(figure, handles, labels)
    return style.Drawing(
        "error_per_step",
        "Error by forecast step",
        f"Line charts of RMSE and MAE against the minutes ahead. {'; '.join(said)}.",
        figure,
    )
