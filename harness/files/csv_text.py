"""Text in CSV files that no spreadsheet takes for a formula.

A class or a node may be called ``=HYPERLINK(...)``, and who opens the table would run it. An apostrophe before such a text keeps
it one (https://owasp.org/www-community/attacks/CSV_Injection).
"""

from __future__ import annotations

_BEGINS = "=+-@\t\r"


def safe(text: str) -> str:
    """A text as it is written: with an apostrophe where it would be a formula. Numbers stay as they are."""
    return f"'{text}" if _is_formula(text.lstrip("'")) else text


def plain(text: str) -> str:
    """What was written by `safe`."""
    return text[1:] if text.startswith("'") and _is_formula(text.lstrip("'")) else text


def _is_formula(text: str) -> bool:
    if not text or text[0] not in _BEGINS:
        return False
    try:
        float(text)
    except ValueError:
        return True
    return False
