"""How wide a text is drawn, and what of it fits."""

from __future__ import annotations

import re
from functools import cache

#: Points per inch.
_POINTS = 72.0
#: Bold letters are drawn that much wider in a grid of pixels than their outlines are.
_HINTED = 1.05


@cache
def width_of(text: str, points: float, *, bold: bool = False) -> float:
    """Width in inches of a text in the report's font; characters that the font lacks count as its widest."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextToPath

    # The font that comes with matplotlib, so that layouts do not depend on the fonts of a machine.
    font = FontProperties(family="STIXGeneral", weight="bold" if bold else "normal", size=points)
    known = "".join(letter if letter < "\u2200" else "M" for letter in text)
    width, _, _ = TextToPath().get_text_width_height_descent(known, font, ismath=False)
    return float(width) / _POINTS * (_HINTED if bold else 1.0)


def broken(text: str, points: float, width: float, *, bold: bool = False) -> list[str]:
    """The text in lines that fit into ``width`` inches, broken at spaces and hyphens; a longer word is shortened."""
    lines = [""]
    for word in re.findall(r"[^ -]*[ -]*", text):
        if lines[-1] and width_of((lines[-1] + word).rstrip(), points, bold=bold) > width:
            lines.append("")
        lines[-1] += word
    return [fitted(line.rstrip(), points, width, bold=bold) for line in lines]


def fitted(text: str, points: float, width: float, *, bold: bool = False) -> str:
    """The text, or as much of it as fits into ``width`` inches, with dots behind; at least its first letter."""
    if width_of(text, points, bold=bold) <= width:
        return text
    low, high = 1, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if width_of(f"{text[:middle]}…", points, bold=bold) <= width:
            low = middle
        else:
            high = middle - 1
    return f"{text[:low].rstrip(' ,')}…"
