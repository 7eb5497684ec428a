"""The pages: self-contained, well-formed, accessible, escaped, the verdict first, and no two questions in one table."""

import itertools
import re
import shutil
from html.parser import HTMLParser

import pytest
from fixture import CLASSES, PROBE_SHA256, cells

from harness.compare.records import Verdict
from harness.report.build import build_report
from harness.report.formatting import VERDICT_MARKS

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """Elements in order, with their attributes and text; fails on tags that do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.stack: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.elements: list[tuple[str, dict[str, str | None], str]] = []
        self.feed(text)
        self.close()
        assert self.stack == [], "tags are left open"

    def handle_starttag(self, tag, attrs):
        if tag in VOID:
            self.elements.append((tag, dict(attrs), ""))
        else:
            self.stack.append((tag, dict(attrs), []))

    def handle_endtag(self, tag):
        opened, attributes, text = self.stack.pop()
        assert opened == tag, f"<{opened}> is closed by </{tag}>"
        self.elements.append((tag, attributes, " ".join("".join(text).split())))

    def handle_data(self, data):
        for _, _, text in self.stack:
            text.append(data)

    def all(self, tag):
        return [(attributes, text) for name, attributes, text in self.elements if name == tag]


@pytest.fixture(scope="module")
def html(report):
    return report.html.read_text()


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


@pytest.fixture(scope="module")
def markdown(report):
    return report.markdown.read_text()


def test_page_is_self_contained(html, page):
    names = {name for name, _, _ in page.elements}
    assert not names & {"script", "link", "iframe", "object", "embed", "base"}
    assert [attributes["src"][:26] for attributes, _ in page.all("img")] == ["data:image/svg+xml;base64,"] * 9
    for _, attributes, _ in page.elements:
        assert not [name for name in attributes if name.startswith("on")], "no scripts in attributes"
        assert "srcset" not in attributes
    style = page.all("style")[0][1]
    assert "url(" not in style
    assert "@import" not in style


def test_page_is_accessible(html, page):
    assert page.all("html")[0][0]["lang"] == "en"
    assert page.all("title")[0][1]
    for attributes, _ in page.all("img"):
        assert len(attributes["alt"]) > 60
    assert len(page.all("caption")) == len(page.all("table")) > 15
    for _, text in page.all("caption"):
        assert re.match(r"Table \d+\. .", text)
    for attributes, _ in page.all("th"):
        assert attributes["scope"] in ("col", "row")
    identities = [attributes["id"] for _, attributes, _ in page.elements if "id" in attributes]
    assert len(identities) == len(set(identities))
    for attributes, _ in page.all("a"):
        target = attributes["href"]
        assert target.startswith(("#", "https://"))
        assert not target.startswith("#") or target[1:] in identities
    for _, attributes, _ in page.elements:
        if "aria-labelledby" in attributes:
            assert attributes["aria-labelledby"] in identities
    levels = [int(name[1]) for name in re.findall(r"<(h[1-6])[ >]", html)]
    assert levels[0] == 1
    assert all(later - earlier <= 1 for earlier, later in itertools.pairwise(levels))


def test_rows_of_tables_are_as_long_as_their_heads(html):
    for table in re.findall(r"<table.*?</table>", html, re.DOTALL):
        rows = re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)
        lengths = {len(re.findall(r"<t[hd][ >]", row)) for row in rows}
        assert len(lengths) == 1


def test_tables_and_figures_are_numbered_in_order(page):
    for kind, texts in (("Table", page.all("caption")), ("Figure", page.all("figcaption"))):
        numbers = [int(re.match(rf"{kind} (\d+)\.", text)[1]) for _, text in texts]
        assert numbers == list(range(1, len(numbers) + 1))


def test_class_names_and_logs_are_escaped(html, page, markdown):
    for text in (html, markdown):
        assert "<b>grain" not in text
        assert "maize &lt;b&gt;grain &amp; silage&lt;/b&gt;" in text
        assert "&amp;lt;" not in text, "escaped twice"
        assert "&amp;amp;" not in text, "escaped twice"
    cells_of_page = {text for _, text in page.all("td")} | {text for _, text in page.all("th")}
    for name in CLASSES:
        assert any(name in text for text in cells_of_page), f"{name} is not shown as it is"
    assert any("<simpleError>" in text for _, text in page.all("pre"))
    assert any("<see the docs>" in text for _, text in page.all("pre"))


def test_hostile_texts_stay_text(folder):
    path = folder / "manifest.json"
    hostile = "</style><script>alert(1)</script>"
    text = path.read_text()
    for old in (
        "TempCNN from PyTorch to other runtimes (test data)",
        "Example CPU @ 2.00GHz",
        "Synthetic crop time series",
    ):
        assert old in text
        text = text.replace(old, hostile)
    path.write_text(text)
    files = build_report(folder)
    page = Page(files.html.read_text())
    assert page.all("script") == []
    assert page.all("h1")[0][1] == hostile
    for line in files.markdown.read_text().splitlines():
        assert "<script>" not in line or line.startswith("    "), "only in a block of code, where it stays text"


def test_verdicts_come_first_with_word_and_sentence(html, page, markdown):
    first = page.all("table")[0][1]
    for cell in cells():
        assert cell.sentence in first
        assert cell.verdict.value in first
    assert html.index('id="verdicts"') < html.index('id="comparisons"') < html.index('id="weights"')
    assert html.index("<table") < html.index("<img")
    words = re.findall(r'class="verdict (\w+)"><span aria-hidden="true">(\S+) </span>(\w+)<', html)
    # No cell made here is undecided; its colour and mark are there all the same.
    assert {word for word, _, _ in words} | {"undecided"} == {verdict.value for verdict in Verdict}
    assert all(f".{verdict.value}" in html for verdict in Verdict)
    assert all(css == word for css, _, word in words), "colour and word agree"
    assert len({*VERDICT_MARKS.values()}) == len(VERDICT_MARKS) == len(Verdict), (
        "marks tell verdicts apart without colour"
    )
    assert "1 identical, 2 equivalent, 1 drifted, 2 divergent, 1 unavailable, 1 unsupported and 1 failed" in html
    assert markdown.index("## Verdicts") < markdown.index("## Same weights in another runtime")


def test_synthetic_data_are_labelled_where_their_numbers_appear(html, page, markdown):
    parts = re.split(r'<section id="', html)
    for name in ("verdicts", "weights", "task", "training", "data"):
        part = next(part for part in parts if part.startswith(f'{name}"'))
        assert "ynthetic data" in part, f"section {name} does not say that its data are synthetic"
    for _, text in page.all("figcaption"):
        assert "synthetic data" in text
    assert markdown.count("ynthetic data") >= 8


def test_real_data_are_not_called_synthetic(folder):
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"synthetic": true', '"synthetic": false').replace("ynthetic crop", "rop"))
    page = build_report(folder).html.read_text()
    assert "ynthetic data" not in page
    assert "not observed" not in page


def test_same_weights_and_another_training_share_no_table(page):
    labels = [f"{cell.target} via {cell.route_label}" for cell in cells()]
    for _, text in page.all("table"):
        about_training = "Validation loss" in text or "Iterations per second" in text
        about_cells = any(label in text for label in labels)
        assert not (about_training and about_cells)


def test_captions_state_what_a_reader_must_know(page):
    for _, text in page.all("figcaption"):
        for fact in (PROBE_SHA256[:12], "probe of 64 samples", "seed 42", "head logits", "torch 2.13.0", "R 4.2.2"):
            assert fact.lower() in text.lower()
    task = [text for _, text in page.all("figcaption") if "F1" in text.split(".")[1]]
    assert task
    assert all("n = 447 test samples" in text for text in task)


def test_findings_hints_and_install_commands_are_there(page, markdown):
    text = " ".join(text for _, text in page.all("main"))
    for words in (
        "parameters (divergent): parameter conv2.weight differs in 1 of 114,688 values.",
        "What to do: look at the worker's log, or give the machine more memory",
        "julia/base is not installed here",
        "apt-get install julia",
        "How to cite",
        "https://doi.org/10.3390/rs11050523",
        "normalised = (x − offset) · scale",
        "3,197,449",
    ):
        assert words in text
    assert "    apt-get install julia" in markdown


def test_tables_of_markdown_are_whole(markdown):
    lines = markdown.splitlines()
    found = 0
    for before, line in itertools.pairwise(lines):
        if re.fullmatch(r"\|( (---|---:) \|)+", line):
            found += 1
            width = line.count("|")
            assert pipes(before) == width
    assert found > 15
    for line in lines:
        if line.startswith("|"):
            assert line.endswith("|")
    block: list[str] = []
    for line in [*lines, ""]:
        if line.startswith("|"):
            block.append(line)
        elif block:
            assert len({pipes(row) for row in block}) == 1, f"rows of different width after {block[0]}"
            block = []


def pipes(row: str) -> int:
    return len(re.findall(r"(?<!\\)\|", row))


def test_markdown_names_figures_that_are_there(report, markdown):
    named = re.findall(r"\]\((figures/[^)]+)\)", markdown)
    assert len(named) == 9
    for name in named:
        assert (report.markdown.parent / name).is_file()


def test_log_lines_cannot_leave_their_block(folder, draw_only):
    draw_only()
    path = folder / "cells.json"
    path.write_text(path.read_text().replace("Calls: serve -> handle -> predict", "```\\n# not a heading"))
    markdown = build_report(folder).markdown.read_text()
    assert "    # not a heading" in markdown
    assert "\n# not a heading" not in markdown


def test_report_of_a_copied_folder_names_no_path(report, tmp_path):
    moved = shutil.copytree(report.html.parent, tmp_path / "elsewhere")
    again = build_report(moved)
    assert again.html.read_bytes() == report.html.read_bytes()
    assert str(tmp_path) not in again.html.read_text()
