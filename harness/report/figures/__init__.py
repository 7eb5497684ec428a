"""The figures of a report, one file each; the name of the file is the name of the figure.

A file offers ``FIGURE``, a `harness.report.drawing.figure.ReportFigure`, and draws from result files and tables alone. A new
file in this folder is a new figure; nothing else lists it.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import partial
from typing import get_args

from harness.report.document import SectionName
from harness.report.drawing.figure import ReportFigure


def all_figures() -> dict[str, ReportFigure]:
    """Every figure by name, ordered by section (as a report has them) and position.

    Raises TypeError where a file of the folder declares no figure, ValueError where a section is unknown or a position is
    taken twice.
    """
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    found = {name: _declared(name) for name in names}
    sections = get_args(SectionName)
    taken: dict[tuple[str, int], str] = {}
    for name, figure in found.items():
        if figure.section not in sections:
            raise ValueError(f"figure '{name}': no report has a section '{figure.section}'")
        first = taken.setdefault((figure.section, figure.position), name)
        if first != name:
            raise ValueError(f"figures '{first}' and '{name}' stand in one place of section '{figure.section}'")
    return dict(sorted(found.items(), key=partial(_place, sections)))


def _declared(name: str) -> ReportFigure:
    figure = getattr(importlib.import_module(f"{__name__}.{name}"), "FIGURE", None)
    if not isinstance(figure, ReportFigure):
        raise TypeError(f"harness/report/figures/{name}.py declares no FIGURE")
    return figure


def _place(sections: tuple[str, ...], item: tuple[str, ReportFigure]) -> tuple[int, int]:
    return sections.index(item[1].section), item[1].position
