"""Draws the figures of a report and writes their files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness import tasks
from harness.files.atomic import write_atomically
from harness.report import caption_facts
from harness.report.contents import Contents
from harness.report.document import FigureBlock
from harness.report.drawing import style
from harness.report.drawing.figure import ReportFigure
from harness.report.figures import all_figures


@dataclass(frozen=True)
class DrawnFigures:
    """Blocks by the section in which they stand, in their order; the SVG of each figure by name; every file written."""

    by_section: dict[str, tuple[FigureBlock, ...]]
    svgs: dict[str, bytes]
    paths: tuple[Path, ...]


def draw_figures(folder: Path, contents: Contents, pdf: bool) -> DrawnFigures:
    """Draw every figure that the report has something for, as PNG, SVG and, with ``pdf``, PDF.

    Files of figures that an earlier report left and this one does not draw are removed: they would show other numbers.
    Raises StoreError where the folder cannot be written.
    """
    by_section: dict[str, tuple[FigureBlock, ...]] = {}
    svgs: dict[str, bytes] = {}
    paths: list[Path] = []
    with style.report_style():
        for name, figure in all_figures().items():
            files: dict[str, bytes] = {}
            drawing = figure.draw(contents) if _is_asked_for(name, contents) else None
            if drawing is not None:
                caption = _caption(figure, contents)
                block = FigureBlock(name, figure.title, caption, drawing.alternative)
                by_section[figure.section] = (*by_section.get(figure.section, ()), block)
                for suffix in ("png", "svg", "pdf") if pdf else ("png", "svg"):
                    files[suffix] = style.render(drawing, suffix, figure.title, caption)
                svgs[name] = files["svg"]
            if (
                drawing is not None
                and figure.animation is not None
                and (moving := figure.animation(contents)) is not None
            ):
                files["gif"] = moving
            paths += _write(folder, name, files)
    return DrawnFigures(by_section, svgs, tuple(paths))


def _is_asked_for(name: str, contents: Contents) -> bool:
    """Whether a figure is one of every report, or one that the task names."""
    return name in contents.results.task.figures or name not in tasks.all_figures()


def _caption(figure: ReportFigure, contents: Contents) -> str:
    """What the figure says of itself, and what must stand beside every number."""
    line = caption_facts.line(contents.results, samples=figure.samples(contents.results), with_versions=True)
    return " ".join(part for part in (figure.caption, figure.remarks(contents), line) if part)


def _write(folder: Path, name: str, files: dict[str, bytes]) -> list[Path]:
    for suffix in {"png", "svg", "pdf", "gif"} - set(files):
        (folder / f"{name}.{suffix}").unlink(missing_ok=True)
    paths = []
    for suffix, content in files.items():
        paths.append(folder / f"{name}.{suffix}")
        write_atomically(paths[-1], content)
    return paths
