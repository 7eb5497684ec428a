"""A figure is one file of one folder: it says its caption and where it stands, and nothing else lists it."""

import html
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from harness.report import figures
from harness.report.build import build_report
from harness.report.document import SectionName
from harness.report.read import read_results

FILE = """
from harness.report.contents import Contents
from harness.report.drawing import style
from harness.report.drawing.figure import ReportFigure


def draw(contents: Contents) -> style.Drawing | None:
    figure = style.new_figure(1.0)
    figure.subplots().plot([0, 1], [0, len(contents.results.cells)])
    return style.Drawing("One line upwards.", figure)


FIGURE = ReportFigure(
    title="A line",
    section={section!r},
    position={position},
    caption="A line that a new file draws.",
    draw=draw,
    remarks=lambda contents: f"It ends at {{len(contents.results.cells)}}.",
    samples=lambda results: "n = 2 points",
)
"""


@pytest.fixture
def folder_of_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder whose files are figures too, beside those of the harness; their modules are forgotten after the test."""
    folder = tmp_path / "figures"
    folder.mkdir()
    monkeypatch.setattr(figures, "__path__", [*figures.__path__, str(folder)])
    yield folder
    for path in folder.glob("*.py"):
        sys.modules.pop(f"{figures.__name__}.{path.stem}", None)


def test_new_files_are_figures_with_captions_in_their_sections(folder_of_figures: Path, folder: Path) -> None:
    sections = {"line_in_outputs": "outputs", "line_in_provenance": "provenance"}
    for name, section in sections.items():
        (folder_of_figures / f"{name}.py").write_text(FILE.format(section=section, position=99))
    files = build_report(folder)
    page, text = html.unescape(files.html.read_text()), files.markdown.read_text()
    cells = len(read_results(folder).cells)
    caption = f"A line. A line that a new file draws. It ends at {cells}. n = 2 points; probe of 64 samples"
    for name, section in sections.items():
        assert {f"{name}.png", f"{name}.svg"} <= {path.name for path in files.figures}
        assert f"![One line upwards.](figures/{name}.png)" in text
        start = page.index(f'<section id="{section}"')
        assert start < page.index(f'<figure id="figure-{name}">') < page.index("</section>", start)
    assert page.replace("</b>", "").count(caption) == text.replace("**", "").count(caption) == len(sections)
    # The order is that of positions; the tables of this section follow its figures.
    figures_of_outputs = ("noise_floor", "differences", "line_in_outputs")
    places = [page.index(f'<figure id="figure-{name}">') for name in figures_of_outputs]
    assert places == sorted(places)
    assert places[-1] < page.index("<table", places[-1]) < page.index("</section>", places[-1])


@pytest.mark.parametrize(
    ("section", "position", "message"),
    [
        ("nowhere", 1, "figure 'new': no report has a section 'nowhere'"),
        ("outputs", 1, "figures 'new' and 'noise_floor' stand in one place of section 'outputs'"),
    ],
)
def test_a_figure_that_cannot_be_placed_is_named(
    folder_of_figures: Path, section: str, position: int, message: str
) -> None:
    (folder_of_figures / "new.py").write_text(FILE.format(section=section, position=position))
    with pytest.raises(ValueError, match=message):
        figures.all_figures()


def test_a_file_without_a_figure_is_named(folder_of_figures: Path) -> None:
    (folder_of_figures / "empty.py").write_text("")
    with pytest.raises(TypeError, match=r"figures/empty\.py declares no FIGURE"):
        figures.all_figures()


def test_every_section_of_a_report_is_known(report) -> None:
    """A figure may stand in each of them."""
    page = report.html.read_text()
    found = [part.partition('"')[0] for part in page.split('<section id="')[1:]]
    numbered = {name for name in found if name.startswith(("finding-", "export-"))}
    known = [name for name in get_args(SectionName) if name in found]
    assert [name for name in found if name not in numbered] == known, "in the order of the report"
