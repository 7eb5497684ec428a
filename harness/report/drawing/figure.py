"""What a figure of the report declares of itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from harness.report.contents import Contents
from harness.report.document import SectionName
from harness.report.drawing.style import Drawing
from harness.report.read import Results


def _nothing(_: object) -> str:
    return ""


@dataclass(frozen=True)
class OfSources:
    """The same figure of several sources, by framework, for the overview of a scenario; None where there is nothing to draw."""

    caption: str
    draw: Callable[[Mapping[str, Results]], Drawing | None]


@dataclass(frozen=True)
class ReportFigure:
    """One figure: what it is called, where it stands, what its caption says, and how it is drawn.

    ``section``: the identity of the section in which it stands; ``position``: its place among the figures of that section,
    the smallest first. ``draw`` returns None where the report has nothing to draw. ``caption`` holds for every report;
    ``remarks`` adds what depends on the results. ``samples`` tells which samples the numbers come from; the probe, the seed
    and the versions are added to every caption. ``animation`` gives the bytes of a GIF beside the figure. ``of_sources``: how
    the overview of several sources has it.
    """

    title: str
    section: SectionName
    position: int
    caption: str
    draw: Callable[[Contents], Drawing | None]
    remarks: Callable[[Contents], str] = _nothing
    samples: Callable[[Results], str] = _nothing
    animation: Callable[[Contents], bytes | None] | None = None
    of_sources: OfSources | None = None
