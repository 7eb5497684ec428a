"""Numbers as readers see them: three significant digits, ratios, shares, sizes, shortened hashes."""

from __future__ import annotations

import math

from harness.compare.records import Verdict

MISSING = "–"

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

#: A mark beside each verdict's word, so that no reader depends on colour.
VERDICT_MARKS: dict[Verdict, str] = {
    Verdict.IDENTICAL: "=",
    Verdict.EQUIVALENT: "≈",
    Verdict.UNDECIDED: "?",
    Verdict.DRIFTED: "~",
    Verdict.DIVERGENT: "≠",
    Verdict.UNAVAILABLE: "○",
    Verdict.UNSUPPORTED: "⊘",
    Verdict.FAILED: "✕",
}


def significant(value: float | None, digits: int = 3) -> str:
    """A number with ``digits`` significant digits; a power of ten where it is under 0.001 or at least 100,000."""
    if value is None:
        return MISSING
    if not math.isfinite(value):
        return "not finite"
    if value == 0:
        return "0"
    if value < 0:
        return f"−{significant(-value, digits)}"
    mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
    power = int(exponent)
    if -4 < power < 5:
        return f"{float(f'{mantissa}e{power}'):,.{max(digits - 1 - power, 0)}f}"
    return f"{mantissa} × 10{str(power).translate(_SUPERSCRIPTS)}"


def ratio(value: float | None) -> str:
    """A multiple of the noise floor, with two significant digits: ``1.3×``."""
    return MISSING if value is None else f"{significant(value, 2)}×"


def integer(value: int | float | None) -> str:
    """A whole number with separators of thousands."""
    return MISSING if value is None or (isinstance(value, float) and math.isnan(value)) else f"{int(value):,}"


def share(value: float | None) -> str:
    """A number between 0 and 1 with three decimals."""
    return MISSING if value is None or math.isnan(value) else f"{value:.3f}"


def share_with_interval(value: float | None, low: float | None, high: float | None) -> str:
    """A metric with its interval: ``0.934 [0.921, 0.946]``."""
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return share(value)
    return f"{share(value)} [{share(low)}, {share(high)}]"


def percentage(value: float | None) -> str:
    """A share as a percentage that never rounds up to 100 or down to 0."""
    if value is None or math.isnan(value):
        return MISSING
    if value in (0.0, 1.0):
        return f"{value * 100:.0f} %"
    return f"{min(max(value * 100, 0.01), 99.99):.2f} %"


def size(value: int | float | None) -> str:
    """A number of bytes in decimal units: ``12.8 MB``."""
    if value is None:
        return MISSING
    amount = float(value)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 999.5 or unit == "GB":
            return f"{amount:.0f} {unit}" if unit == "B" else f"{significant(amount)} {unit}"
        amount /= 1000
    return MISSING


def seconds(value: float | None) -> str:
    """A duration: microseconds under one millisecond, milliseconds under one second, minutes from 100 seconds on."""
    if value is None or not math.isfinite(value):
        return MISSING
    if 0 < value < 0.9995e-3:
        return f"{significant(value * 1e6, 2)} µs"
    if value < 1:
        return f"{significant(value * 1000, 2)} ms"
    if value < 100:
        return f"{significant(value)} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest:02d} s"


def short_hash(value: str | None, digits: int = 12) -> str:
    """The first digits of a hash."""
    return MISSING if not value else value[:digits]


def shape(value: tuple[int, ...] | None) -> str:
    """A tensor's shape: ``128 × 13 × 7``; a scalar's is ``scalar``."""
    if value is None:
        return MISSING
    return " × ".join(str(length) for length in value) if value else "scalar"


def counted(number: int, singular: str, plural: str | None = None) -> str:
    """A number and its noun: ``1 sample``, ``2,048 samples``."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def capitalised(text: str) -> str:
    """A text with its first letter as a sentence begins."""
    return text[:1].upper() + text[1:]


def listed(words: list[str]) -> str:
    """Words as one enumeration: ``a``, ``a and b``, ``a, b and c``."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"
