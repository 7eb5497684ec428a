"""Values of options that name something: ``NAME=FILE``, ``NAME=K``, ``NAME=LOW:HIGH``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from harness.errors import ScenarioError


def named_files(given: Sequence[str], option: str) -> dict[str, Path]:
    """Files by name; one without a name under "". Raises ScenarioError where one is named twice."""
    named = [part.partition("=") if "=" in part else ("", "=", part) for part in given]
    names = [name for name, _, _ in named]
    if twice := [name for name in names if names.count(name) > 1]:
        what = f"the input '{twice[0]}' is given twice" if twice[0] else "two files are given without a name"
        raise ScenarioError(what, where=option, hint="give each input once, as NAME=X.npy")
    return {name: Path(path) for name, _, path in named}


def read_numbers(given: Sequence[str], option: str, what: str, hint: str) -> dict[str, int]:
    """Whole numbers by name. Raises ScenarioError on anything else, with ``what`` and ``hint``, and where two are given."""
    numbers: dict[str, int] = {}
    for text in given:
        name, _, number = text.rpartition("=")
        if not name or not number.isdigit():
            raise ScenarioError(f"'{text}' {what}", where=option, hint=hint)
        if numbers.setdefault(name, int(number)) != int(number):
            raise ScenarioError(f"'{name}' is named twice", where=option, hint="give it once")
    return numbers


def read_ranges(given: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Ranges by name, "" for that of all others. Raises ScenarioError on what is no range."""
    ranges: dict[str, tuple[float, float]] = {}
    for text in given:
        name, _, limits = text.rpartition("=")
        low, _, high = limits.partition(":")
        try:
            ends = float(low), float(high)
        except ValueError:
            ends = math.nan, math.nan
        if not (math.isfinite(ends[0]) and math.isfinite(ends[1]) and ends[0] <= ends[1]):
            raise ScenarioError(f"'{text}' is no range", where="--range", hint="write LOW:HIGH or NAME=LOW:HIGH")
        if name in ranges:
            raise ScenarioError(f"'{name or text}' is given twice", where="--range", hint="give one range")
        ranges[name] = ends
    return ranges
