"""A row for every node of a file that the source has too: how far apart both are, and how their values are distributed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.compare.alike import Alike, gap_between
from harness.compare.outputs import noise_floor
from harness.compare.parting import Side
from harness.compare.placement import Histogram, WalkedNode

Array = NDArray[Any]

_BINS = 24
#: What exporters write about a node: where in the model it is from, and the line of source code.
_NAMESPACE = ("namespace", "pkg.torch.onnx.name_scopes")
_STACK = ("pkg.torch.onnx.stack_trace", "stack_trace")


def walked_nodes(
    structure: Mapping[str, Any],
    given: Side,
    reference: Side,
    single: Mapping[str, Array],
    pairs: Mapping[str, Sequence[Alike]],
) -> list[WalkedNode]:
    """``given``: the file as it is; ``pairs``: its tensors and the reference's, with every known difference set right.

    ``single``: tensors of the reference in float32, whose error is the floor.
    """
    said = {node["outputs"][0]: node.get("metadata") or {} for node in structure["nodes"] if node["outputs"]}
    rows = []
    for node in given.graph.nodes:
        name = next((name for name in node.outputs if name in given.values and pairs.get(name)), "")
        if not name:
            continue
        alike = pairs[name][0]
        own, wanted = given.values[name].reshape(-1), _turned(reference.values[alike.name], alike.order)
        comparable = own.size == wanted.size
        gap = gap_between(own, wanted) if comparable else None
        metadata = said.get(node.outputs[0], {})
        rows.append(
            WalkedNode(
                node=node.name,
                operator=node.operator,
                tensor=name,
                reference=alike.name,
                gap=gap,
                floors=_floors(own, wanted, reference.values[alike.name], single.get(alike.name))
                if comparable
                else None,
                local=alike.gap,
                own_values=histogram(own, wanted),
                reference_values=histogram(wanted, own),
                difference=histogram(own - wanted) if comparable else None,
                namespace=next((metadata[key] for key in _NAMESPACE if key in metadata), ""),
                source_line=_last_line(next((metadata[key] for key in _STACK if key in metadata), "")),
            )
        )
    return rows


def _turned(array: Array, order: tuple[int, ...]) -> Array:
    squeezed = array.reshape([size for size in array.shape if size != 1])
    return np.ascontiguousarray(squeezed.transpose(order)).reshape(-1)


def _floors(own: Array, wanted: Array, exact: Array, single: Array | None) -> float | None:
    if single is None or single.shape != exact.shape:
        return None
    difference = own - wanted
    if not np.isfinite(difference).all():
        return None
    floor = noise_floor(single, exact).rms
    return float(np.sqrt(np.mean(np.square(difference)))) / floor if floor else None


def histogram(values: Array, beside: Array | None = None) -> Histogram | None:
    """Counts of the finite values, over the range that they and those ``beside`` them have; None where there are none."""
    finite = values[np.isfinite(values)]
    both = finite if beside is None else np.concatenate([finite, beside[np.isfinite(beside)]])
    if not finite.size:
        return None
    low, high = float(both.min()), float(both.max())
    edges = np.linspace(low, high, _BINS + 1) if low < high else np.array([low - 0.5, high + 0.5])
    counts, _ = np.histogram(finite, bins=edges)
    return Histogram(low=low, high=high, counts=[int(count) for count in counts])


def _last_line(stack: str) -> str:
    """The last call of a stack trace that is not inside of PyTorch: file, line and, where it is there, the code."""
    lines = [line.strip() for line in stack.splitlines() if line.strip()]
    places = [index for index, line in enumerate(lines) if line.startswith("File ")]
    if not places:
        return ""
    last = ([index for index in places if "/torch/" not in lines[index]] or places)[-1]
    code = lines[last + 1] if last + 1 < len(lines) and last + 1 not in places else ""
    return f"{lines[last]}: {code}" if code else lines[last]
