"""The results of comparisons, as they are written to result files: plain numbers and sentences, no live objects."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

from harness.compare.placement import Placement


class Verdict(StrEnum):
    """Verdicts, from best to worst; a cell's verdict is the worst of its comparisons."""

    IDENTICAL = "identical"
    EQUIVALENT = "equivalent"
    UNDECIDED = "undecided"
    DRIFTED = "drifted"
    DIVERGENT = "divergent"
    UNAVAILABLE = "unavailable"
    UNSUPPORTED = "unsupported"
    FAILED = "failed"

    @property
    def rank(self) -> int:
        """Position from best (0) to worst."""
        return list(Verdict).index(self)


def worst(verdicts: list[Verdict]) -> Verdict:
    """The worst of some verdicts; ``identical`` of none."""
    return max(verdicts, key=lambda verdict: verdict.rank, default=Verdict.IDENTICAL)


def in_floors(ratio: float) -> str:
    """A multiple of the noise floor, the same in every sentence and in the column beside it: three significant digits."""
    return f"{ratio:.3g}"


class Record(BaseModel):
    """Base of all records: unknown keys are errors, so that a result file of another version is noticed."""

    model_config = ConfigDict(extra="forbid")


#: What a decision is made for: a sample, a label of a sample, a pixel, another place of an output, or none of these alone.
DecisionUnit = Literal["sample", "label", "pixel", "value", "decision"]

Comparison = Literal["structure", "parameters", "route", "runtime", "end-to-end", "decisions"]


class Finding(Record):
    """One thing found, as one plain sentence, with the comparison that found it and the verdict it calls for."""

    comparison: Comparison
    verdict: Verdict
    message: str


class ComparisonRecord(Record):
    """What one comparison came to. A verdict worse than ``equivalent`` is that of one of its findings, which says why."""

    verdict: Verdict
    findings: list[Finding] = []

    @model_validator(mode="after")
    def _is_explained(self) -> Self:
        # A cell's verdict is made from findings: one that nothing explains would be lost there.
        if self.verdict.rank > Verdict.EQUIVALENT.rank and self.verdict not in [one.verdict for one in self.findings]:
            raise ValueError(f"no finding explains the verdict {self.verdict}")
        return self


class ErrorStatistics(Record):
    """How far outputs lie from a reference over a probe. None where a value is not finite and not meant.

    ``max_ulp``: distance in float32 representable values, across signs. ``one_minus_cosine``: 1 - cosine
    similarity of the flattened outputs. ``reference_min`` and ``reference_max`` give the range that the
    errors are to be seen against.
    """

    count: int
    non_finite: int
    max_abs: float | None
    mean_abs: float | None
    rms: float | None
    relative_rms: float | None
    max_ulp: int | None
    one_minus_cosine: float | None
    reference_min: float | None
    reference_max: float | None
    #: Values that are not equal, where whole numbers, truth values or texts are compared.
    differing: int | None = None


class ParameterRow(Record):
    """One canonical parameter (or one the target has beyond them) and what became of it."""

    name: str
    layer: str
    relation: Literal["equal", "folded", "unequal", "missing", "extra", "permuted"]
    source_shape: tuple[int, ...] | None
    target_name: str | None
    target_shape: tuple[int, ...] | None
    elements: int
    differing: int
    max_ulp: int | None
    max_abs: float | None
    note: str = ""


class ParameterComparison(ComparisonRecord):
    """Canonical parameters against those the target really holds, bit for bit.

    ``folded``: whether the target holds some batch normalisation in other parameters. Counts are of scalars. ``copies``: how
    often the target stores a weight of a recurrence that was unrolled, ``copied_count`` the scalars of all copies but the
    first; they are told by their bits, not by names.
    """

    rows: list[ParameterRow]
    source_count: int
    target_count: int
    folded: bool
    copies: int = 1
    copied_count: int = 0


class Floor(Record):
    """The noise floor: the source's own float32 error against the source oracle over the probe.

    ``rms`` is never below half a ULP of the output's scale; ``max_abs`` likewise.
    """

    rms: float
    max_abs: float
    measured_rms: float
    measured_max_abs: float
    scale: float


class Parting(Record):
    """A node at which implementations of one graph in float64 part on equal inputs, and what each of them answers.

    ``groups``: those that agree, the largest first. ``values``: their numbers at the ``place`` of the tensor where the two
    largest groups differ most, by implementation; None where there is none. ``refused``: those that could not compute the node,
    with the reason. Without a node: whole graphs were compared, of which no single node could be named.
    """

    node: str = ""
    operator: str = ""
    attributes: dict[str, str] = {}
    tensor: str = ""
    groups: list[list[str]]
    place: list[int] = []
    values: dict[str, float | None] = {}
    distance: float | None = None
    refused: dict[str, str] = {}


class OracleAgreement(Record):
    """How the oracles of a graph agree: whole graphs in ``groups``, and what was found node by node where they part.

    ``distances``: of every two that answered, by ``one, other``, the largest difference relative to the outputs' spread; None
    where it is not finite. ``by_node``: a majority of every node was put together into one graph's outputs. ``stopped``: why it
    could not be. ``replaced``: operators of the file that python/onnx-reference computes by its own, with what is wrong with
    those of onnx.reference.
    """

    groups: list[list[str]] = []
    distances: dict[str, float | None] = {}
    partings: list[Parting] = []
    by_node: list[str] = []
    stopped: str = ""
    replaced: dict[str, str] = {}


class RouteComparison(ComparisonRecord):
    """Route oracle against source oracle, float64 against float64."""

    errors: ErrorStatistics
    limit: float
    folded: bool
    #: Largest relative difference between two implementations of the route oracle; None where only one can
    #: run.
    oracle_agreement: float | None = None
    oracles: list[str] = []
    #: Implementations that could not compute the graph in float64, by name, with the reason.
    passed_over: dict[str, str] = {}
    #: How implementations agreed where one of them is not followed.
    partings: list[Parting] = []

    @property
    def parts(self) -> bool:
        """Whether the implementations part, so that there is no reference."""
        return any(finding.verdict is Verdict.UNDECIDED for finding in self.findings)


class RuntimeComparison(ComparisonRecord):
    """A target's float32 outputs against an oracle, as multiples of the noise floor."""

    errors: ErrorStatistics
    rms_ratio: float | None
    max_ratio: float | None
    rms_limit: float
    max_limit: float
    bit_equal_to_source: bool
    #: Share of the values of a quantised output that are off by one step of its scale; None for any other output.
    off_by_one_step: float | None = None


class OutputResult(Record):
    """What became of one of a target's outputs. ``shape`` as the file has it; ``sample_axis`` None: it belongs to no sample.

    ``decided``: decisions are made on it. ``differing``: values that are not equal, of an output of whole numbers or texts.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    sample_axis: int | None = 0
    decided: bool = False
    verdict: Verdict
    rms_ratio: float | None = None
    max_ratio: float | None = None
    end_to_end_ratio: float | None = None
    route_error: float | None = None
    differing: int | None = None

    @property
    def shape_text(self) -> str:
        """The shape in words; of a single number nothing has a size."""
        return " x ".join(str(size) for size in self.shape) or "one number"

    def with_axis(self, axis: int | None) -> OutputResult:
        """The same with the sample, which is axis 0 of ``shape``, where the file has it."""
        shape = list(self.shape)
        if axis is not None and axis < len(shape):
            shape.insert(axis, shape.pop(0))
        return self.model_copy(update={"sample_axis": axis, "shape": tuple(shape)})


class Flip(Record):
    """One decision of the probe that changed. ``margin``: the source oracle's distance between the two.

    ``where`` is the place within the sample: empty for one decision per sample, (label,) for a threshold per
    label, the pixel's indices for maps. Classes that a model puts out itself have no margin: None.
    """

    sample: int
    id: int
    source: str
    target: str
    margin: float | None
    within_floor: bool
    where: tuple[int, ...] = ()


class DecisionComparison(Record):
    """Decisions of the target against those of the source oracle over the probe.

    ``decisions``: how many there were (samples, or samples times labels, or unmasked pixels), each one of a ``unit``.
    ``flip_count`` of them changed, ``counted_count`` of these by a margin that is not under twice the floor. ``flips`` lists
    those of the widest margin, at most a thousand of them. ``without``: how many more there would be, had the source oracle
    finite values to decide on there.
    """

    rule: str
    unit: DecisionUnit = "decision"
    samples: int
    decisions: int
    agreement: float
    flip_count: int
    counted_count: int
    flips: list[Flip]
    without: int = 0

    @property
    def counted(self) -> list[Flip]:
        """Listed flips that count: those whose margin is not under twice the floor."""
        return [flip for flip in self.flips if not flip.within_floor]


class LayerError(Record):
    """How far one tensor lies from what it should be, in multiples of its floor.

    ``unequal``: how many values of an integer or boolean tensor differ, or are not finite on one side; ``shape``: the
    target's own, where it is another. Ratios are None where such a count stands for them.
    """

    rms_ratio: float | None = None
    max_ratio: float | None = None
    unequal: int = 0
    shape: tuple[int, ...] | None = None


class LayerRow(Record):
    """One tensor that a node gives: its floor, and the target's local and accumulated error.

    ``exact``: integers and booleans, which have no floor. ``note``: why an error is None.
    """

    tensor: str
    node: str
    operator: str
    shape: tuple[int, ...]
    exact: bool
    floor_rms: float | None
    floor_max: float | None
    local: LayerError | None
    accumulated: LayerError | None
    note: str = ""


class Neighbour(Record):
    """What stands before or after a node: an operator, ``input``, ``output`` or ``stored tensor``."""

    tensor: str
    operator: str
    node: str


class Culprit(Record):
    """The first node whose local error is past its floor's gate, with what surrounds it."""

    tensor: str
    node: str
    operator: str
    attributes: dict[str, str] = {}
    before: list[Neighbour] = []
    after: list[Neighbour] = []


class LayersComparison(Record):
    """Error per node over the first ``samples`` of the probe, in the order of the graph.

    ``past_gate``: rows whose local error is past its gate. ``not_examined``: nodes that could not be run on their own,
    each with the reason. ``nodata``: a sentence for every node that makes something else of NaN than the oracle's.
    """

    samples: int
    rows: list[LayerRow]
    culprit: Culprit | None
    past_gate: int
    rms_limit: float
    max_limit: float
    not_examined: list[str] = []
    nodata: list[str] = []
    notes: list[str] = []


class CellResult(Record):
    """Everything that was found in one cell (model, source, route, target)."""

    cell: str
    model: str
    source: str
    route: str
    route_label: str
    target: str
    verdict: Verdict
    sentence: str
    findings: list[Finding] = []
    structure: dict[str, Any] | None = None
    parameters: ParameterComparison | None = None
    floor: Floor | None = None
    route_comparison: RouteComparison | None = None
    runtime_comparison: RuntimeComparison | None = None
    end_to_end: RuntimeComparison | None = None
    #: One row for each of the target's outputs, the one that decisions are made on first.
    outputs: list[OutputResult] = []
    decisions: DecisionComparison | None = None
    layers: LayersComparison | None = None
    #: Where a given file parts from the weights that it was made from.
    placement: Placement | None = None
    head: str | None = None
    probe_sha256: str | None = None
    probe_samples: int | None = None
    #: What broke, the last lines of the worker's log, or the command that installs the runtime.
    error: str | None = None
    log_tail: list[str] = []
    hint: str | None = None
    versions: dict[str, str] = {}
