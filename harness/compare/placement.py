"""What is known of a file that differs from its source: the walk along its layers, and every difference by name."""

from __future__ import annotations

from collections import Counter
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

#: What may remain where all differences are named: the rounding of folded weights.
_CLOSED = 1e-6


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Histogram(_Record):
    """Counts of values between ``low`` and ``high`` in bins of one width; what is not finite is left out."""

    low: float
    high: float
    counts: list[int]


class WalkedLayer(_Record):
    """A layer of the source, in the order in which it is run.

    ``tensor``: the tensor of the file that holds its output, up to ``gap`` (RMS over the spread of the layer's output);
    empty where none does: the file differs before it, or it has no such tensor (a folded normalisation).
    """

    layer: str
    kind: str
    tensor: str = ""
    gap: float | None = None
    #: The module that it belongs to and the line where it is written, as far as the source tells them.
    namespace: str = ""
    source_line: str = ""


class WalkedNode(_Record):
    """A node of the file and the tensor of the reference that its first output should hold.

    ``gap``: RMS of the difference in the graph as it is, over the reference's spread; ``floors``: the same as a multiple of
    the reference's own float32 error in that tensor; None where it cannot be told. ``local``: the gap where every difference
    named before it is set right. ``namespace`` and ``source_line`` as the exporter left them.
    """

    node: str
    operator: str
    tensor: str
    reference: str
    gap: float | None
    floors: float | None
    local: float | None
    own_values: Histogram | None = None
    reference_values: Histogram | None = None
    difference: Histogram | None = None
    namespace: str = ""
    source_line: str = ""


class PlacedDifference(_Record):
    """One difference, in the order of the flow of data.

    ``place``: where it is, by the source's layers (``norm2``, ``after conv2``). ``node`` and ``operator``: the file's node, or
    the source's where the file lacks it. ``explained``: whether what differs is known, and not only where.
    """

    kind: Literal["setting", "constant", "inserted", "missing", "exchanged", "order", "input", "unknown"]
    place: str
    node: str
    operator: str
    message: str
    explained: bool


class TriedHypothesis(_Record):
    """The source under a hypothesis, and what remains between its outputs and the file's; None where it cannot be."""

    label: str
    remaining: float | None

    @property
    def closes(self) -> bool:
        """Whether nothing remains but rounding."""
        return self.remaining is not None and self.remaining <= _CLOSED


class Placement(_Record):
    """Where a file parts from its source, and of what its difference is made.

    ``reference``: what was walked beside the file. ``remaining``: relative difference of the outputs once every difference
    named is set right; None where that could not be tried.
    """

    reference: str
    samples: int
    gap: float | None
    layers: list[WalkedLayer] = Field(default_factory=list)
    nodes: list[WalkedNode] = Field(default_factory=list)
    differences: list[PlacedDifference] = Field(default_factory=list)
    remaining: float | None = None
    tried: list[TriedHypothesis] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)
    #: The first layer of a whole model that the file does not have, as a sentence; empty where the differences say it.
    parts: str = ""

    @property
    def parts_at(self) -> str:
        """The place of the first difference, else the first layer that is not found; empty where neither is known."""
        if self.differences:
            return self.differences[0].place
        found = [index for index, layer in enumerate(self.layers) if layer.tensor]
        behind = self.layers[found[-1] + 1 if found else 0 :]
        return behind[0].layer if behind else ""


def sentences(placement: Placement) -> list[str]:
    """The differences of a file in the order of the flow of data, then the hypothesis that makes the source of it."""
    counts = Counter(difference.message for difference in placement.differences)
    said = [text if count == 1 else f"{text} (in {count} nodes)" for text, count in counts.items()]
    if placement.parts:
        # A cause says more than the layer at which it is seen.
        known = bool(placement.differences) and placement.differences[0].explained
        said.insert(1 if known else 0, placement.parts)
    elif not said and placement.layers and placement.parts_at:
        last = next((layer.layer for layer in reversed(placement.layers) if layer.tensor), "")
        said = [
            f"{placement.parts_at} is the first layer that the file does not have as the source"
            + (f", after {last}" if last else "")
        ]
    said += [f"the source with {one.label} gives the outputs of the file" for one in placement.tried if one.closes]
    if placement.remaining is not None and placement.remaining > _CLOSED and said:
        said.append(f"with that set right, {placement.remaining:.2e} of the difference remains")
    return said
