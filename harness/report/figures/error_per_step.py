"""Error of the forecasts by step, persistence beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.report import caption_facts
from harness.report.contents import Contents
from harness.report.drawing import style
from harness.report.drawing.figure import OfSources, ReportFigure
from harness.report.formatting import significant
from harness.report.read import PERSISTENCE, SOURCE, Results
from harness.report.tables.forecast_tables import SHOWN, group_name, groups


def draw(contents: Contents) -> style.Drawing | None:
    """Two panels over the minutes ahead: pooled RMSE and MAE in the physical unit. None where no frames are forecast."""
    results = contents.results
    found = groups(results)
    return _drawn([(group_name(results, group), results, group[0]) for group in found]) if found else None


def draw_sources(sources: Mapping[str, Results]) -> style.Drawing | None:
    """The same of several sources by framework, each as its own framework computes it. None where no frames are forecast."""
    lines = [(name, results, SOURCE) for name, results in sources.items() if results.forecasts is not None]
    return _drawn([(PERSISTENCE, lines[0][1], PERSISTENCE), *lines]) if lines else None


def _drawn(lines: Sequence[tuple[str, Results, str]]) -> style.Drawing | None:
    """One line per label, of whose errors in whose results; the first one dashed. None where no frames are forecast."""
    known = lines[0][1].manifest.data.forecast
    if known is None:
        return None
    labels = [label for label, _, _ in lines]
    figure = style.new_figure(2.7 + style.legend_height(labels))
    panels = figure.subplots(1, 2)
    handles: list[Any] = []
    said = []
    minutes_ahead: set[float] = set()
    for index, (label, results, who) in enumerate(lines):
        assert results.forecasts is not None
        frame = results.forecasts.errors
        colour, _, mark = style.series(index)
        part = frame[(frame["who"] == who) & (frame["aggregation"] == SHOWN)].sort_values("step")
        minutes_ahead |= set(part["minutes"])
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
    shown = sorted(minutes_ahead)
    ticks = shown[:: -(-len(shown) // 9)]
    for axes, name in zip(panels, ("RMSE", "MAE"), strict=True):
        axes.set_xlabel("Minutes ahead")
        axes.set_ylabel(f"{name} ({known.unit})")
        axes.set_ylim(bottom=0)
        axes.set_xticks(ticks, [f"{minutes:g}" for minutes in ticks])
        axes.grid(axis="y")
    style.legend_above(figure, handles, labels)
    return style.Drawing(
        f"Line charts of RMSE and MAE against the minutes ahead. {'; '.join(said)}.",
        figure,
    )


FIGURE = ReportFigure(
    title="Error by forecast step",
    section="task",
    position=4,
    caption=(
        "Errors of the forecasts by minutes ahead, pooled over all pixels with data of all test samples, persistence "
        "dashed. Runtimes whose errors are equal to four digits are drawn as one."
    ),
    draw=draw,
    samples=caption_facts.test_samples,
    of_sources=OfSources(
        caption=(
            "Errors of each source's forecasts by minutes ahead, as its own framework computes them, pooled over all pixels with "
            "data of all test samples; persistence dashed."
        ),
        draw=draw_sources,
    ),
)
