"""The first metric of every class or label by runtime, as bars with intervals."""

from __future__ import annotations

from typing import Any

from harness.report import caption_facts
from harness.report.contents import Contents
from harness.report.drawing import style
from harness.report.drawing.figure import ReportFigure
from harness.report.formatting import share
from harness.report.read import everyone
from harness.report.tables import score_tables

#: Height of one bar in inches.
_BAR = 0.12


def draw(contents: Contents) -> style.Drawing | None:
    """Horizontal bars by class or label; runtimes that score the same share a bar. None where nothing was scored."""
    results = contents.results
    groups, parts = score_tables.score_groups(results), score_tables.parts_of(results)
    if not groups or not parts:
        return None
    metric = score_tables.scored_task(results).of_parts[0]
    labels = [score_tables.group_label(results, groups, group) for group in groups]
    figure = style.new_figure(0.7 + len(parts) * max(len(groups) * _BAR + 0.16, 0.36) + style.legend_height(labels))
    axes = figure.subplots()
    thickness, handles = 0.84 / len(groups), []
    for index, group in enumerate(groups):
        fill, hatch, _ = style.series(index)
        places = [row - 0.42 + (index + 0.5) * thickness for row in range(len(parts))]
        scores = [group.scores[metric.key, part] for part in parts]
        values = [score["value"] or 0.0 for score in scores]
        bars = axes.barh(places, values, thickness * 0.9, color=fill, hatch=hatch, edgecolor=style.INK, linewidth=0.4)
        handles.append(bars)
        _intervals(axes, scores, places)
    axes.set_yticks(range(len(parts)), [_tick(part, groups[0].scores[metric.key, part]) for part in parts])
    axes.set_ylim(len(parts) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    axes.set_xlabel(f"{metric.title} on the evaluated test samples")
    style.legend_above(figure, handles, labels)
    source = ", ".join(f"{part} {_said(groups[0].scores[metric.key, part]['value'])}" for part in parts)
    runners = [runner for group in groups for runner in group.runners]
    who = everyone(runners) if len(runners) > 1 else results.display(runners[0])
    return style.Drawing(
        f"Bar chart of {metric.title} of the output {score_tables.output_of(results)} with intervals for {who}. "
        f"{results.display(groups[0].runners[0])}: {source}.",
        figure,
    )


def _said(value: float | None) -> str:
    return "not defined" if value is None else share(value)


def _intervals(axes: Any, scores: list[dict[str, Any]], places: list[float]) -> None:
    for place, score in zip(places, scores, strict=True):
        if not score["value"]:
            # Nothing to see is not nothing to say.
            axes.text(0.006, place, "–" if score["value"] is None else "0", va="center", fontsize=7.5)
        elif score["low"] is not None and score["low"] < score["high"]:
            ends = (score["low"], score["high"])
            axes.plot(ends, [place, place], color=style.INK, linewidth=0.8, solid_capstyle="butt", zorder=4)


def _tick(part: str, score: dict[str, Any]) -> str:
    mark = " †" if score["few"] == "true" else ""
    # Hard spaces, so that no line is broken inside of the number.
    number = f"(n = {int(score['support']):,}{mark})".replace(" ", "\u00a0")
    return style.wrapped(f"{part} {number}", 34)


def remarks(contents: Contents) -> str:
    """What n is, and which runtimes score the same."""
    results = contents.results
    groups = score_tables.score_groups(results)
    counted = f"n: {score_tables.scored_task(results).counted}."
    return " ".join((counted, *score_tables.group_notes(results, groups))) if groups else ""


FIGURE = ReportFigure(
    title="Score of each class or label by runtime",
    section="task",
    position=10,
    caption="Bars with bootstrap intervals of 95 % over samples; † rests on fewer than 30.",
    draw=draw,
    remarks=remarks,
    samples=caption_facts.test_samples,
)
