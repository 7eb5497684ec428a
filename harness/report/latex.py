"""LaTeX: text escaped so that any engine typesets it as it is, and tables for the booktabs package.

What is written is plain ASCII, so that no input encoding, font or engine is asked for; the only package is booktabs.
"""

from __future__ import annotations

import re
import unicodedata

from harness.report.document import Table

#: Characters that LaTeX would take for commands, ligatures or optional arguments, or that old fonts print as others.
_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\textasciigrave{}",
    '"': "''",
    # After the end of a row these would be an argument of the line break.
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
}
_SYMBOLS = {
    "\u00a0": "~",
    "\u202f": r"\,",
    "\u2009": r"\,",
    "–": "--",
    "—": "---",
    "…": r"\ldots{}",
    "“": "``",
    "”": "''",
    "‘": "`",
    "’": "'",
    "†": r"\dag{}",
    "§": r"\S{}",
    "ß": r"\ss{}",
    "æ": r"\ae{}",
    "Æ": r"\AE{}",
    "œ": r"\oe{}",
    "Œ": r"\OE{}",
    "ø": r"\o{}",
    "Ø": r"\O{}",
    "ł": r"\l{}",
    "Ł": r"\L{}",
    "ı": r"\i{}",
    "©": r"\copyright{}",
    "£": r"\pounds{}",
    "«": r"\(\ll\)",
    "»": r"\(\gg\)",
    "−": r"\(-\)",
    "×": r"\(\times\)",
    "·": r"\(\cdot\)",
    "±": r"\(\pm\)",
    "≤": r"\(\leq\)",
    "≥": r"\(\geq\)",
    "≈": r"\(\approx\)",
    "≠": r"\(\neq\)",
    "→": r"\(\rightarrow\)",
    "←": r"\(\leftarrow\)",
    "∞": r"\(\infty\)",
    "°": r"\(^{\circ}\)",
}
_GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi - pi rho - sigma tau - phi chi psi omega"
)
_SYMBOLS |= {chr(0x3B1 + place): rf"\(\{name}\)" for place, name in enumerate(_GREEK.split()) if name != "-"}
_SYMBOLS |= {"µ": r"\(\mu\)", "Δ": r"\(\Delta\)", "Σ": r"\(\Sigma\)", "Ω": r"\(\Omega\)"}
#: Combining marks by the command that sets them over or under a letter.
_ACCENTS = {
    "\u0300": "`",
    "\u0301": "'",
    "\u0302": "^",
    "\u0303": "~",
    "\u0304": "=",
    "\u0306": "u",
    "\u0307": ".",
    "\u0308": '"',
    "\u030a": "r",
    "\u030b": "H",
    "\u030c": "v",
    "\u0327": "c",
}
_RAISED = dict(zip("⁻⁺⁰¹²³⁴⁵⁶⁷⁸⁹", "-+0123456789", strict=True))
_LOWERED = dict(zip("₋₊₀₁₂₃₄₅₆₇₈₉", "-+0123456789", strict=True))
_RUNS = re.compile(f"[{''.join(_RAISED)}]+|[{''.join(_LOWERED)}]+|-{{2,}}|.", re.DOTALL)


def escape(text: str) -> str:
    """Plain text as LaTeX that prints the same text; line ends become spaces.

    A letter with accents is set by accent commands, a known symbol by its command or in mathematics. A character of no
    known command is named by its code point (``{[}U+4E2D{]}``), rather than left to break the reader's document.
    """
    return "".join(_escape_run(match.group()) for match in _RUNS.finditer(" ".join(text.split("\n"))))


def _escape_run(run: str) -> str:
    first = run[0]
    if first in _RAISED:
        return rf"\(^{{{''.join(_RAISED[one] for one in run)}}}\)"
    if first in _LOWERED:
        return rf"\(_{{{''.join(_LOWERED[one] for one in run)}}}\)"
    if first == "-":
        # Two hyphens would be set as a dash.
        return "{}".join("-" * len(run)) if len(run) > 1 else "-"
    if first in _SPECIAL:
        return _SPECIAL[first]
    if first in _SYMBOLS:
        return _SYMBOLS[first]
    if first.isascii():
        return first if first.isprintable() else " "
    letter, *marks = list(unicodedata.normalize("NFD", first))
    if letter.isascii() and letter.isalpha() and all(mark in _ACCENTS for mark in marks):
        for mark in marks:
            # A dotless letter carries its accent where the dot was.
            base = {"i": r"\i{}", "j": r"\j{}"}.get(letter, letter) if mark != "\u0327" else letter
            letter = rf"\{_ACCENTS[mark]}{{{base}}}"
        return letter
    return f"{{[}}U+{ord(first):04X}{{]}}"


def label(*parts: str) -> str:
    """A label for cross-references: ASCII letters, digits and hyphens only."""
    return "tab:" + "-".join(re.sub(r"[^A-Za-z0-9]+", "-", part).strip("-") for part in parts)


#: Columns of text with longer values are set in a paragraph of this width, which breaks at spaces and hyphens.
_LONG, _PARAGRAPH = 18, "10em"
#: Characters in a line of 16 cm in the size ``footnotesize``; longer tables are set smaller.
_LINE = 105


def table(content: Table, *, caption: str, reference: str) -> str:
    """A table environment with the columns that pages show; a sentence where the table has no rows.

    ``caption``: plain text that stands behind the table's own caption. ``reference``: the label, see :func:`label`.
    """
    lines = ["% Needs \\usepackage{booktabs}, and a text width of about 16 cm."]
    if not content.rows:
        return "\n".join([*lines, escape(content.empty), ""])
    columns = content.shown
    cells = [[column.show(row.get(column.key)) for column in columns] for row in content.rows]
    widths = [max(len(row[place]) for row in cells) for place in range(len(columns))]
    wrapped = [not column.numeric and width > _LONG for column, width in zip(columns, widths, strict=True)]
    form = "".join(
        f"p{{{_PARAGRAPH}}}" if long else "r" if column.numeric else "l"
        for column, long in zip(columns, wrapped, strict=True)
    )
    length = sum(
        _LONG if long else max(width, len(column.header or ""))
        for column, width, long in zip(columns, widths, wrapped, strict=True)
    )
    lines += [
        r"\begin{table}[tbp]",
        r"\centering",
        rf"\caption[{escape(content.caption)}]{{{escape(' '.join(part for part in (content.caption, caption) if part))}}}",
        rf"\label{{{reference}}}",
        r"\footnotesize" if length + 2 * len(columns) <= _LINE else r"\scriptsize",
        r"\setlength{\tabcolsep}{3pt}",
        rf"\begin{{tabular}}{{@{{}}{form}@{{}}}}",
        r"\toprule",
        " & ".join(escape(column.header or "") for column in columns) + r" \\",
        r"\midrule",
        *(_row(row, wrapped) for row in cells),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    for note in content.notes:
        if note:
            lines += ["", rf"\smallskip\parbox{{\linewidth}}{{{escape(note)}}}"]
    return "\n".join([*lines, r"\end{table}", ""])


def _row(cells: list[str], wrapped: list[bool]) -> str:
    # Ragged text would take the line break of the last column for its own.
    ragged = [long and place < len(cells) - 1 for place, long in enumerate(wrapped)]
    texts = (
        rf"\raggedright {escape(cell)}" if long else escape(cell) for cell, long in zip(cells, ragged, strict=True)
    )
    return " & ".join(texts) + r" \\"
