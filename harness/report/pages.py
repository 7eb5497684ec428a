"""A document as Markdown and as one self-contained page of HTML."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any

from harness.compare.records import Verdict
from harness.report.document import Answers, Block, Document, FigureBlock, Section, TableBlock
from harness.report.formatting import VERDICT_MARKS

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup


def html_page(document: Document, svgs: dict[str, bytes]) -> str:
    """The report as one page without scripts and outside resources; ``svgs`` are its figures by name."""
    from jinja2 import select_autoescape

    environment = _environment(autoescape=select_autoescape(default=True, default_for_string=True))
    environment.filters["linked"] = _linked
    images = {name: "data:image/svg+xml;base64," + base64.b64encode(svg).decode() for name, svg in svgs.items()}
    return _render(environment, "report.html.j2", document, images=images)


def markdown_page(document: Document) -> str:
    """The report as Markdown; figures are named by their files in ``figures/``."""
    from markupsafe import Markup

    # Everything a template prints is escaped unless a template itself wrote it.
    environment = _environment(
        autoescape=True,
        finalize=lambda value: value if isinstance(value, Markup) else Markup(_escape_markdown(str(value))),
    )
    environment.filters["indented"] = _indented
    # Names of figures are the harness's own.
    environment.filters["file_name"] = Markup
    text = _render(environment, "report.md.j2", document)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def _environment(**options: Any) -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("harness.report", "templates"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        **options,
    )
    environment.tests["verdict"] = lambda value: isinstance(value, Verdict)
    return environment


def _render(environment: Environment, name: str, document: Document, **context: Any) -> str:
    return environment.get_template(name).render(
        document=document, marks=VERDICT_MARKS, numbers=_numbers(document), **context
    )


def _numbers(document: Document) -> dict[str, int]:
    """Tables and figures numbered in their order; figures under ``figure <name>``."""
    numbers: dict[str, int] = {}
    tables = figures = 0
    for block in (block for section in document.sections for block in _blocks(section)):
        if isinstance(block, TableBlock) and block.table.rows:
            tables += 1
            numbers[block.table.name] = tables
        elif isinstance(block, Answers):
            tables += 1
            numbers["verdicts"] = tables
        elif isinstance(block, FigureBlock):
            figures += 1
            numbers[f"figure {block.name}"] = figures
    return numbers


def _blocks(section: Section) -> list[Block]:
    return [*section.blocks, *(block for part in section.sections for block in _blocks(part))]


_ADDRESS = re.compile(r"https?://[^\s<>\"']+[^\s<>\"'.,;:)]")


def _linked(text: str) -> Markup:
    """Plain text with its web addresses as links; everything else is escaped."""
    from markupsafe import Markup, escape

    parts: list[Markup] = []
    end = 0
    for match in _ADDRESS.finditer(text):
        parts.append(escape(text[end : match.start()]))
        parts.append(Markup('<a href="{0}">{0}</a>').format(match.group()))
        end = match.end()
    parts.append(escape(text[end:]))
    return Markup("").join(parts)


def _escape_markdown(text: str) -> str:
    """Text that no Markdown reader takes for markup: HTML, tables, emphasis, links, headings and code."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*_\[\]|~#$])", r"\\\1", text)
    return " ".join(text.split("\n"))


def _indented(lines: tuple[str, ...]) -> Markup:
    """Lines as an indented code block, which needs no escaping and cannot be ended from within."""
    from markupsafe import Markup

    return Markup("\n".join("    " + part for line in lines for part in (line.splitlines() or [""])))
