"""Error per node of a graph: where a runtime first goes wrong, and how errors add up behind it.

Two errors of every tensor, both as multiples of its floor:

- *local*: the node alone, on the oracle's inputs, against the same node in float64 on the same inputs. It carries no
  error of the nodes before, and places a fault.
- *accumulated*: the tensor within the whole graph against the float64 graph. It only shows how errors travel.

The floor of a tensor is what the float32 reference implementation of the whole graph is away from the float64 graph
(`harness.compare.outputs.noise_floor`: RMS, never below half a ULP of the tensor's scale).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.compare import gates
from harness.compare.graph import Graph, Node
from harness.compare.outputs import noise_floor
from harness.compare.records import Culprit, Finding, LayerError, LayerRow, LayersComparison, Neighbour, Verdict

Array = NDArray[Any]


def layer_row(
    *,
    tensor: str,
    node: str,
    operator: str,
    oracle64: Array,
    reference32: Array,
    expected64: Array | None = None,
    local: Array | None = None,
    accumulated: Array | None = None,
    note: str = "",
) -> LayerRow:
    """One tensor of a graph, all arrays of one shape.

    ``oracle64`` and ``reference32`` come from the whole graph in float64 and by the reference in float32, ``expected64``
    from the node in float64 on the rounded inputs that the target was given for ``local``; ``accumulated`` is the target's
    own value within the whole graph. What is None was not to be had, for the reason in ``note``. Integer and boolean
    tensors have no floor: they must be equal.
    """
    exact = oracle64.dtype.kind not in "fc"
    floor = None if exact else noise_floor(reference32, oracle64, operator=operator)
    scales = (1.0, 1.0) if floor is None else (floor.rms, floor.max_abs)
    return LayerRow(
        tensor=tensor,
        node=node,
        operator=operator,
        shape=tuple(oracle64.shape),
        exact=exact,
        floor_rms=None if floor is None else floor.rms,
        floor_max=None if floor is None else floor.max_abs,
        local=None if local is None or expected64 is None else _error(local, expected64, reference32, exact, scales),
        accumulated=None if accumulated is None else _error(accumulated, oracle64, reference32, exact, scales),
        note=note,
    )


def _error(
    candidate: Array, reference: Array, reference32: Array, exact: bool, scales: tuple[float, float]
) -> LayerError:
    if candidate.shape != reference.shape:
        return LayerError(unequal=int(reference.size), shape=tuple(candidate.shape))
    if exact:
        return LayerError(unequal=int(np.count_nonzero(candidate != reference)))
    first, second = np.asarray(candidate, np.float64), np.asarray(reference, np.float64)
    with np.errstate(invalid="ignore"):
        difference = first - second
    # A difference that is finite has two finite values: no place is excused or left out.
    if np.isfinite(difference).all():
        return _ratios(difference, scales)
    finite = np.isfinite(first) & np.isfinite(second)
    # Equal infinities and NaN on both sides are no error, nor is what float32 cannot hold in the reference either.
    excused = _same(first, second)
    if reference32.shape == reference.shape:
        excused |= _same(first, np.asarray(reference32, np.float64))
    unequal = int(np.count_nonzero(~finite & ~excused))
    if unequal:
        return LayerError(unequal=unequal)
    return _ratios(np.where(finite, first, 0.0) - np.where(finite, second, 0.0), scales)


def _ratios(difference: Array, scales: tuple[float, float]) -> LayerError:
    if not difference.size:
        return LayerError(rms_ratio=0.0, max_ratio=0.0)
    rms = float(np.sqrt(np.mean(np.square(difference))))
    return LayerError(rms_ratio=rms / scales[0], max_ratio=float(np.abs(difference).max()) / scales[1])


def _same(first: Array, second: Array) -> NDArray[np.bool_]:
    return np.asarray((first == second) | (np.isnan(first) & np.isnan(second)))


def past_gate(error: LayerError | None) -> bool:
    """Whether an error is beyond its floor's gates, or unequal where values must be equal."""
    if error is None:
        return False
    if error.unequal:
        return True
    rms, largest = error.rms_ratio or 0.0, error.max_ratio or 0.0
    # Written so that a ratio that cannot be compared (NaN) is past its gate.
    return not (rms <= gates.RUNTIME_RMS_RATIO and largest <= gates.RUNTIME_MAX_RATIO)


def compare_layers(
    rows: Sequence[LayerRow],
    structure: Mapping[str, Any] | None,
    *,
    samples: int,
    not_examined: Sequence[str] = (),
    notes: Sequence[str] = (),
    nodata: Sequence[str] = (),
) -> LayersComparison:
    """All tensors of a graph in the order of its nodes, and the first whose local error is past its floor's gate.

    ``structure`` (see the worker contract) gives the culprit's attributes and neighbours.
    """
    first = next((row for row in rows if past_gate(row.local)), None)
    return LayersComparison(
        samples=samples,
        rows=list(rows),
        culprit=None if first is None else _culprit(first, structure),
        past_gate=sum(past_gate(row.local) for row in rows),
        rms_limit=gates.RUNTIME_RMS_RATIO,
        max_limit=gates.RUNTIME_MAX_RATIO,
        not_examined=list(not_examined),
        nodata=list(nodata),
        notes=list(notes),
    )


def _culprit(row: LayerRow, structure: Mapping[str, Any] | None) -> Culprit:
    bare = Culprit(tensor=row.tensor, node=row.node, operator=row.operator)
    if structure is None:
        return bare
    graph = Graph(structure, {})
    node = graph.producer.get(row.tensor)
    if node is None:  # inside of a local function
        return bare
    stored = {str(entry["name"]) for entry in structure["initializers"]}
    before = []
    for name in dict.fromkeys(name for name in node.inputs if name):
        source = graph.producer.get(name)
        kind = source.operator if source else ("stored tensor" if name in stored else "input")
        before.append(Neighbour(tensor=name, operator=kind, node=source.name if source else ""))
    after = [
        Neighbour(tensor=name, operator=reader.operator, node=reader.name)
        for name in node.outputs
        for reader in graph.consumers.get(name, ())
    ]
    after += [Neighbour(tensor=name, operator="output", node="") for name in node.outputs if name in graph.outputs]
    return Culprit(
        tensor=row.tensor,
        node=row.node,
        operator=row.operator,
        attributes=_shown(node),
        before=before,
        after=after,
    )


def _shown(node: Node) -> dict[str, str]:
    """Attributes as short text."""
    shown = {}
    for name, value in sorted(node.attributes.items()):
        text = f"{value:.6g}" if isinstance(value, float) else str(value)
        shown[name] = text if len(text) <= 60 else f"{text[:57]}..."
    return shown


def explanation(layers: LayersComparison, verdict: Verdict) -> Finding | None:
    """The culprit as a sentence, or None where there is none.

    It explains what the runtime comparison found and decides nothing: ``verdict`` is that comparison's own.
    """
    culprit = layers.culprit
    if culprit is None:
        return None
    row = next(row for row in layers.rows if row.tensor == culprit.tensor)
    attributes = ", ".join(f"{name} {value}" for name, value in culprit.attributes.items())
    name = f"{culprit.operator} '{culprit.node}'" if culprit.node else culprit.operator
    message = f"the first node past its floor is {name}" + (f" ({attributes})" if attributes else "")
    message += f", tensor '{culprit.tensor}': {in_words(row.local)} on the oracle's own inputs"
    between = [f"after {_list(culprit.before)}" if culprit.before else "", _before(culprit.after)]
    return Finding(comparison="runtime", verdict=verdict, message=", ".join([message, *filter(None, between)]))


def _before(after: Sequence[Neighbour]) -> str:
    return f"before {_list(after)}" if after else ""


def _list(neighbours: Sequence[Neighbour]) -> str:
    # Stored tensors are many and say little: what flows matters.
    flowing = [entry for entry in neighbours if entry.operator != "stored tensor"] or list(neighbours)
    return ", ".join(f"{entry.operator} '{entry.node or entry.tensor}'" for entry in flowing[:4])


def in_words(error: LayerError | None) -> str:
    """An error as text: ``12 times its floor (largest 30 times)``."""
    if error is None:
        return "not known"
    if error.shape is not None:
        return f"shape {' x '.join(str(size) for size in error.shape) or '()'} instead"
    if error.unequal:
        return f"{error.unequal} values differ or are not finite"
    if error.rms_ratio is None or error.max_ratio is None:
        return "equal"
    return f"{_times(error.rms_ratio)} times its floor (largest {_times(error.max_ratio)} times)"


def _times(value: float) -> str:
    return f"{value:,.0f}" if 100 <= value < 1e9 else f"{value:.3g}"
