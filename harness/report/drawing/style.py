"""How every figure looks, and how it is written: the same bytes for the same numbers.

Colours are those of Okabe and Ito (2008), https://jfly.uni-koeln.de/color/, which stay apart for colour-blind readers; marks,
hatches and line styles tell them apart in grey.
"""

from __future__ import annotations

import contextlib
import io
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ORANGE = "#E69F00"
SKY_BLUE = "#56B4E9"
GREEN = "#009E73"
YELLOW = "#F0E442"
BLUE = "#0072B2"
VERMILLION = "#D55E00"
PURPLE = "#CC79A7"

INK = "#1a1a1a"
GREY = "#7a7a7a"
LIGHT = "#d9d9d9"

#: Width of a figure in inches: the text width of an A4 page.
WIDTH = 6.6

#: Series after series: fill, hatch and mark. The source comes first, in grey.
SERIES: tuple[tuple[str, str, str], ...] = (
    ("#8c8c8c", "", "s"),
    (ORANGE, "//", "o"),
    (SKY_BLUE, "", "^"),
    (GREEN, "\\\\", "D"),
    (YELLOW, "..", "v"),
    (BLUE, "", "P"),
    (VERMILLION, "xx", "X"),
    (PURPLE, "||", "<"),
)

_PARAMETERS: Any = {
    # Both come with matplotlib, so that figures do not depend on the fonts of a machine.
    "font.family": ["STIXGeneral", "DejaVu Sans"],
    "font.size": 10,
    "axes.titlesize": 10.5,
    "axes.labelsize": 10,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "legend.handlelength": 1.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.linewidth": 0.7,
    "axes.labelcolor": INK,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.4,
    "hatch.linewidth": 0.4,
    # Class names may hold a dollar sign.
    "text.parse_math": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "eo-interop-harness",
    "pdf.fonttype": 42,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}

#: Dots per inch of PNG files.
DPI = 200


@dataclass(frozen=True)
class Drawing:
    """A finished figure: its content in words for those who cannot see it, and the figure itself."""

    alternative: str
    figure: Figure


@contextlib.contextmanager
def report_style() -> Iterator[None]:
    """Draw and write inside this context: matplotlib's own defaults with the report's on top, whatever the user's are."""
    import matplotlib
    import matplotlib.style

    with matplotlib.style.context("default", after_reset=True), matplotlib.rc_context(_PARAMETERS):
        yield


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """An empty figure of the report's width; sizes in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def render(drawing: Drawing, suffix: str, title: str, caption: str) -> bytes:
    """A figure as ``png``, ``svg`` or ``pdf``, with title and caption inside the file, and without any date."""
    metadata: dict[str, Any] = {
        "png": {"Software": None, "Title": title, "Description": caption},
        "svg": {"Date": None, "Creator": None, "Title": title, "Description": caption},
        "pdf": {
            "CreationDate": None,
            "ModDate": None,
            "Creator": None,
            "Producer": None,
            "Title": title,
            "Subject": caption,
        },
    }[suffix]
    if drawing.figure.get_layout_engine() is not None:
        # The layout is found once and holds for every format; `savefig` would find it twice for each.
        drawing.figure.set_dpi(DPI)
        drawing.figure.draw_without_rendering()
        drawing.figure.set_layout_engine("none")
    buffer = io.BytesIO()
    drawing.figure.savefig(buffer, format=suffix, dpi=DPI, metadata=metadata)
    return buffer.getvalue()


def wrapped(text: str, width: int = 30) -> str:
    """A long name on several lines; words longer than a line are broken."""
    return "\n".join(textwrap.wrap(text, width, break_long_words=True)) or text


def series(index: int) -> tuple[str, str, str]:
    """Fill, hatch and mark of the series of that index; the source has index 0, and later ones come round again."""
    if index < len(SERIES):
        return SERIES[index]
    return SERIES[1 + (index - 1) % (len(SERIES) - 1)]


def face(index: int) -> str:
    """The inside of the mark of the series of that index: white for those whose colour came round again."""
    return series(index)[0] if index < len(SERIES) else "white"


def plain_logarithms(axes: Axes, which: str = "x") -> None:
    """Ticks of a logarithmic axis as plain numbers: 0.1, 1, 10, 1,000; powers of ten where they get long."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    from harness.report.formatting import significant

    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_formatter(FuncFormatter(lambda value, _: significant(value, 1)))
    axis.set_minor_formatter(NullFormatter())


#: Longest label of a legend in two columns; longer ones would run off the page.
_HALF_A_LINE = 40


def legend_columns(labels: list[str]) -> int:
    """Two columns where two labels fit side by side, else one."""
    return 2 if len(labels) > 2 and max(map(len, labels)) <= _HALF_A_LINE else 1


def legend_height(labels: list[str]) -> float:
    """Height in inches that :func:`legend_above` takes."""
    return 0.19 * -(-len(labels) // legend_columns(labels)) + 0.1


def legend_above(figure: Figure, handles: list[Any], labels: list[str], columns: int | None = None) -> None:
    """A legend over all panels, outside of them, so that it covers no data."""
    columns = columns or legend_columns(labels)
    figure.legend(handles, labels, loc="outside upper left", ncols=columns, columnspacing=1.6, borderaxespad=0.2)
