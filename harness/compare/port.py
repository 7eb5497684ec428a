"""A port: a second implementation that claims to be the same model, held against the first with the same weights.

What is found here, is found from numbers: outputs and layers in float64, and what one step of training moves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from harness.compare import gates
from harness.compare.outputs import relative_rms

Array = NDArray[Any]

#: Two implementations of one function in float64 differ by the order of their sums alone.
SAME_FUNCTION = gates.ROUTE_UNFOLDED


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LayerGap(_Record):
    """How far a layer's outputs are apart: RMS over the spread of the source's; None where a value is not finite."""

    layer: str
    kind: str
    relative_rms: float | None


class Tried(_Record):
    """Hypotheses tried together, and what of the difference remains: RMS over the spread of the source's outputs.

    ``parts_at``: the first layer that still differs, None where none does. ``refused``: why it could not be tried.
    """

    settings: tuple[str, ...]
    values: tuple[str, ...]
    remaining: float | None
    parts_at: str | None = None
    refused: str = ""

    @property
    def closes(self) -> bool:
        """Whether nothing remains but what float64 rounds."""
        return is_same(self.remaining)


class Convention(_Record):
    """A convention of training that the outputs of a trained model cannot show, as measured in both implementations.

    ``before`` and ``after``: difference between the two as they are, and as the hypothesis would have the port; None where
    nothing was tried.
    """

    setting: str
    where: str
    source: float
    port: float
    hypothesis: str = ""
    before: float | None = None
    after: float | None = None


class Metric(_Record):
    """One and the same test samples as source and port would report them: RMSE by aggregation, in ``unit``."""

    source_aggregation: str
    port_aggregation: str
    source: float
    port: float
    unit: str


class PortComparison(_Record):
    """What is known of a port; ``error`` in place of all else where it could not be run."""

    framework: str
    source_framework: str
    preset: str | None = None
    versions: dict[str, str] = {}
    samples: int = 0
    gap: float | None = None
    layers: tuple[LayerGap, ...] = ()
    #: Each alone first, then as many together as it takes.
    tried: tuple[Tried, ...] = ()
    conventions: tuple[Convention, ...] = ()
    metrics: tuple[Metric, ...] = ()
    notes: tuple[str, ...] = ()
    expected: Literal["same", "other"] = "same"
    error: str = ""

    @property
    def same(self) -> bool:
        """Whether source and port are one function, as far as the probe tells."""
        return not self.error and is_same(self.gap)

    @property
    def parts_at(self) -> LayerGap | None:
        """The first layer whose outputs differ."""
        return next((layer for layer in self.layers if not is_same(layer.relative_rms)), None)

    @property
    def closing(self) -> tuple[Tried, ...]:
        """What closes the gap, with the fewest changes."""
        return tuple(tried for tried in self.tried if tried.closes)

    @property
    def as_expected(self) -> bool:
        """Whether it turned out to be the function that the scenario expects."""
        return not self.error and self.same == (self.expected == "same")


def is_same(gap: float | None) -> bool:
    """Whether a relative difference is one of rounding in float64."""
    return gap is not None and gap <= SAME_FUNCTION


def first_different_layer(
    kinds: Mapping[str, str], candidate: Mapping[str, Array], reference: Mapping[str, Array]
) -> str | None:
    """The first layer, in the order of ``kinds``, whose outputs are not the same; None where all are."""
    for name in kinds:
        if not is_same(relative_rms(candidate[name], reference[name])):
            return name
    return None


def weight_of_new(from_zero: Array, from_one: Array) -> float:
    """The weight m of a batch in a moving statistic, from two steps on that batch, begun with zeros and with ones.

    after = (1 - m) before + m batch, whatever the batch: 1 - m is the difference of the two; the median over all channels.
    """
    return float(np.median(1.0 - (np.asarray(from_one, np.float64) - from_zero)))


def taken_from_divisor(once: Array, twice: Array, count: int) -> float:
    """What is taken from the number of values before a sum of squares is divided by it: 0 (biased) or 1 (unbiased).

    ``once``: variances of batches of ``count`` values per channel; ``twice``: of the same values, each twice, which changes
    nothing but the divisor. The median over all channels, not rounded.
    """
    ratio = float(np.median(np.asarray(once, np.float64) / np.asarray(twice, np.float64)))
    # (2 n - d) / (2 (n - d)) = ratio
    return 2.0 * count * (ratio - 1.0) / (2.0 * ratio - 1.0)
