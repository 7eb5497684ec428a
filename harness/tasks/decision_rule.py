"""How decisions are made on the outputs of a model: a rule, and what it needs beside the outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Decision = Literal["argmax", "threshold", "exceedance", "argmax-per-pixel", "classes", "none"]


@dataclass(frozen=True)
class DecisionRule:
    """What decisions are made of: the arguments of `harness.compare.decisions.compare_decisions` beside the outputs.

    ``ids`` (sample,); ``thresholds`` in the outputs' unit; ``mask``, True where a decision counts: of the shape of the outputs,
    for pixels (sample, *pixel).
    """

    rule: Decision
    names: Sequence[str]
    ids: NDArray[np.int64]
    thresholds: float | Sequence[float] | None = None
    mask: NDArray[np.bool_] | None = None
    #: The axis of the classes or labels, where the rule alone does not tell it.
    axis: int | None = None
