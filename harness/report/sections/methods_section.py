"""A paragraph for a paper's section on methods, with its references."""

from __future__ import annotations

from harness.report.bibliography import bibliography
from harness.report.document import Listing, Paragraph, Section
from harness.report.methods import Methods


def methods_section(text: Methods) -> Section:
    """The paragraph as it is in ``methods.txt``, and the entries of ``references.bib``."""
    entries = bibliography(text.references)
    return Section(
        "methods",
        "Methods, ready to use",
        (
            Paragraph(text.plain()),
            Paragraph(
                "The same paragraph is in methods.txt and, with citations, in methods.tex; its references are in references.bib, "
                "and the main tables for the booktabs package of LaTeX in tables/*.tex."
            ),
            Listing(tuple(entries.rstrip("\n").split("\n")), "References as BibTeX"),
        ),
    )
