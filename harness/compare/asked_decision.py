"""The decision that a user asks for on the outputs of a file, as a word of the command line."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from harness.errors import ScenarioError

OPTION = "--decision"
FORMS = "argmax, argmax-axis=1, threshold=0.5, threshold=0.3,0.5,0.7 (one per label), classes, none"


@dataclass(frozen=True)
class AskedDecision:
    """What a user asks for. ``axis``: of the file's output. ``thresholds``: one, or one per label."""

    rule: Literal["argmax", "threshold", "classes", "none"]
    axis: int | None = None
    thresholds: tuple[float, ...] = ()


def read_decision(text: str) -> AskedDecision:
    """``argmax``, ``argmax-axis=K``, ``threshold=T`` or ``T,T,...``, ``classes`` or ``none``. Raises ScenarioError otherwise."""
    word, _, value = text.strip().partition("=")
    if word in ("argmax", "classes", "none") and "=" not in text:
        return AskedDecision(word)  # type: ignore[arg-type]
    try:
        if word == "argmax-axis":
            return AskedDecision("argmax", axis=int(value))
        if word == "threshold":
            thresholds = tuple(float(part) for part in value.split(","))
            if all(math.isfinite(number) for number in thresholds):
                return AskedDecision("threshold", thresholds=thresholds)
            raise ScenarioError(f"a threshold of '{text}' is not finite", where=OPTION, hint="give numbers")
    except ValueError:
        pass
    raise ScenarioError(f"there is no decision '{text}'", where=OPTION, hint=f"say one of {FORMS}")
