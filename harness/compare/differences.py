"""What differs where two graphs part, by name: a setting, a stored value, nodes inserted, missing, exchanged, in another order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.compare.alike import Alike, layout_of
from harness.compare.graph import Graph, Node
from harness.compare.layer_names import LayerNames
from harness.compare.node_settings import differing_settings, in_words, number, settings_of
from harness.compare.parting import Parting, Side, is_neutral
from harness.compare.placement import PlacedDifference
from harness.compare.relation import Reordered, reordered, scaled
from harness.compare.subgraphs import bodies

Array = NDArray[Any]
#: Names of the axes of tensors of the reference, as far as they are known.
AxisNames = Mapping[str, Sequence[str]]

#: Nodes in a row that may be called one difference; of more only the place is known.
_MOST_NODES = 12

#: Numbers of element types, by which a Cast says what it casts to.
_TYPES = {"1": "float32", "10": "float16", "11": "float64", "16": "bfloat16", "6": "int32", "7": "int64", "9": "bool"}
#: The attribute that makes an activation what it is.
_SHOWN = ("alpha", "axis", "to", "pads", "strides", "kernel_shape", "axes", "perm")


def describe(
    parting: Parting,
    given: Side,
    reference: Side,
    pairs: Mapping[str, Sequence[Alike]],
    names: LayerNames,
    axis_names: AxisNames,
    limit: float,
) -> PlacedDifference:
    """One difference in words; ``explained`` is False where it is placed and no more."""
    if parting.shape == "same-node":
        return _same_node(parting, given, reference, pairs, names, axis_names, limit)
    if parting.shape == "inserted":
        return _inserted(parting, given, pairs, names, axis_names, limit)
    if parting.shape == "missing":
        return _missing(parting, reference, names)
    return _exchanged(parting, given, reference, names, axis_names, limit)


def _same_node(
    parting: Parting,
    given: Side,
    reference: Side,
    pairs: Mapping[str, Sequence[Alike]],
    names: LayerNames,
    axis_names: AxisNames,
    limit: float,
) -> PlacedDifference:
    node, other = parting.given[0], parting.reference[0]
    owner, place = names.owner(other), names.of(other)
    subject = owner or f"{node.operator} {place}"
    common: dict[str, Any] = {"place": place, "node": node.name, "operator": node.operator}
    settings = differing_settings(
        settings_of(given.graph, node, _axes(given, node)), settings_of(reference.graph, other, _axes(reference, other))
    )
    if settings:
        return PlacedDifference(kind="setting", message=f"{subject}: {'; '.join(settings)}", explained=True, **common)
    if values := _differing_constants(given, node, reference, other):
        return PlacedDifference(kind="constant", message=f"{subject}: {'; '.join(values)}", explained=True, **common)
    if moved := _moved_input(given, node, reference, other, axis_names, limit):
        return PlacedDifference(kind="input", message=f"{subject}: {moved}", explained=True, **common)
    if read := _other_inputs(given, node, other, pairs, names):
        return PlacedDifference(kind="input", message=f"{subject}: {read}", explained=True, **common)
    if inside := differing_bodies(node, other):
        return PlacedDifference(kind="setting", message=f"{subject}: {inside}", explained=True, **common)
    message = f"{subject}: the {node.operator} gives other values on the same input, for a reason that is not known"
    return PlacedDifference(kind="unknown", message=message, explained=False, **common)


def differing_bodies(node: Node, other: Node) -> str:
    """The first difference between the graphs inside of two nodes, in words; empty where none is seen."""
    for (name, body), (_, theirs) in zip(_bodies(node), _bodies(other), strict=False):
        one, two = Graph(body, {}), Graph(theirs, {})
        left, right = ([inner for inner in graph.nodes if not is_neutral(inner)] for graph in (one, two))
        own, wanted = ([inner.operator for inner in nodes] for nodes in (left, right))
        for kind, a, b, c, d in SequenceMatcher(None, own, wanted, autojunk=False).get_opcodes():
            if kind == "insert":
                return f"the {_joined([_shown(inner) for inner in right[c:d]])} in its {name} is missing"
            if kind == "delete":
                return f"{_listed(left[a:b])} in its {name} that the source does not have"
            if kind == "replace":
                return f"{_listed(left[a:b])} in its {name}, the source has {_listed(right[c:d])}"
            for inner, theirs_inner in zip(left[a:b], right[c:d], strict=True):
                said = differing_settings(settings_of(one, inner, None), settings_of(two, theirs_inner, None))
                if said:
                    return f"{inner.operator} in its {name}: {'; '.join(said)}"
    return ""


def _bodies(node: Node) -> list[tuple[str, Mapping[str, Any]]]:
    return list(bodies({"attributes": node.attributes}))


def _axes(side: Side, node: Node) -> int | None:
    name = next((name for name in node.inputs if name in side.values), "")
    return side.values[name].ndim if name else None


def _differing_constants(given: Side, node: Node, reference: Side, other: Node) -> list[str]:
    said = []
    for index in range(max(len(node.inputs), len(other.inputs))):
        one, two = given.graph.computed(node.input(index)), reference.graph.computed(other.input(index))
        if one is None or two is None:
            continue
        if two.value.dtype.kind != "f" or one.value.dtype.kind != "f":
            if one.value.shape == two.value.shape and not np.array_equal(one.value, two.value):
                said.append(
                    f"{one.name} is {in_words(one.value.ravel().tolist())}, "
                    f"the source has {in_words(two.value.ravel().tolist())}"
                )
            continue
        first, second = one.value.astype(np.float64), two.value.astype(np.float64)
        # A dense kernel may lie the other way round.
        if layout_of(first, second, 1e-7) is not None:
            continue
        if first.size == second.size == 1:
            said.append(f"{number(float(first.ravel()[0]))}, the source has {number(float(second.ravel()[0]))}")
        elif first.shape == second.shape:
            count, most = int(np.count_nonzero(first != second)), number(float(np.abs(first - second).max()))
            said.append(f"{two.name} differs in {count:,} of {first.size:,} values, by {most} at most")
        else:
            said.append(f"{two.name} has shape {first.shape}, the source's {second.shape}")
    return said


def _moved_input(given: Side, node: Node, reference: Side, other: Node, axis_names: AxisNames, limit: float) -> str:
    """How the places along an axis of what a node reads are in another order than in the source, in words."""
    for own, theirs in zip(node.inputs, other.inputs, strict=False):
        if own in given.values and theirs in reference.values:
            moved = reordered(given.values[own], reference.values[theirs], limit)
            if moved is not None:
                return f"it reads its input with {_order(moved, axis_names.get(theirs, ()), moved.axis)}"
    return ""


def _other_inputs(given: Side, node: Node, other: Node, pairs: Mapping[str, Sequence[Alike]], names: LayerNames) -> str:
    """A tensor that a node reads in place of the source's, or with its axes turned."""
    wanted = [name for name in other.inputs if name in {alike.name for some in pairs.values() for alike in some}]
    read = [name for name in node.inputs if name in pairs]
    for name in wanted:
        held = [alike for own in read for alike in pairs[own] if alike.name == name]
        if not held and len(read) == len(wanted):
            instead = next((own for own in read if not {alike.name for alike in pairs[own]} & set(wanted)), "")
            if instead:
                there = names.behind(pairs[instead][-1].name)
                return f"it reads what comes {there}, the source reads what comes {names.behind(name)}"
        if held and not any(alike.in_order for alike in held):
            order = ", ".join(map(str, held[0].order))
            return f"it reads its input with the axes in another order ({order}) than the source"
    return ""


def _inserted(
    parting: Parting,
    given: Side,
    pairs: Mapping[str, Sequence[Alike]],
    names: LayerNames,
    axis_names: AxisNames,
    limit: float,
) -> PlacedDifference:
    nodes, before = parting.given, parting.before
    place = "at the input" if before is None else names.behind(before[1].name)
    common: dict[str, Any] = {"place": place, "node": nodes[0].name, "operator": nodes[0].operator}
    if len(nodes) > _MOST_NODES:
        return _unknown(nodes, (), common)
    left = parting.links[0][0] if parting.links else ""
    if before is not None and left in given.values:
        base, now = given.values[before[0]], given.values[left]
        moved = reordered(now, base, limit)
        if moved is not None:
            known = [alike for alike in pairs.get(before[0], ()) if alike.name in axis_names]
            message = _moved(moved, known[0] if known else before[1], axis_names, place, nodes[0])
            return PlacedDifference(kind="inserted", message=message, explained=True, **common)
        factor = scaled(now, base, limit)
        if factor is not None and len(nodes) <= 3:
            times = f" that multiplies by {number(factor[0])}" if factor[0] != 1 else " that adds"
            times += f" and adds {number(factor[1])}" if factor[1] and factor[0] != 1 else ""
            times += f" {number(factor[1])}" if factor[0] == 1 else ""
            message = f"{_listed(nodes)} {place}{times} and that the source does not have"
            return PlacedDifference(kind="inserted", message=message, explained=True, **common)
    message = f"{_listed(nodes)} {place} that the source does not have"
    return PlacedDifference(kind="inserted", message=message, explained=True, **common)


def _moved(moved: Reordered, before: Alike, axis_names: AxisNames, place: str, node: Node) -> str:
    known = axis_names.get(before.name, ())
    # Orders leave axes of length 1 out; names do not.
    axis = before.order[moved.axis] if len(known) == len(before.order) else moved.axis
    what = _order(moved, known, axis)
    return f"{place}: {what}, by {_article(node.operator)} {node.operator} that the source does not have"


def _order(moved: Reordered, known: Sequence[str], axis: int) -> str:
    """``bands 0 and 1 exchanged``, ``the time axis backwards``."""
    word = known[axis] if axis < len(known) else ""
    if moved.reversed:
        return f"the {word} axis backwards" if word else f"axis {moved.axis} backwards"
    what, where = (f"{word}s", "") if word else ("places", f" of axis {moved.axis}")
    if len(moved.moved) == 2:
        return f"{what} {moved.moved[0]} and {moved.moved[1]}{where} exchanged"
    return f"{len(moved.moved)} {what}{where} in another order"


def _missing(parting: Parting, reference: Side, names: LayerNames) -> PlacedDifference:
    nodes = parting.reference
    first = nodes[0]
    place, owner = names.of(first), names.owner(first)
    common: dict[str, Any] = {"place": place, "node": first.name, "operator": first.operator}
    if len(nodes) > _MOST_NODES:
        return _unknown((), nodes, common)
    if owner:
        message = f"{owner} is missing ({', '.join(node.operator for node in nodes)})"
    else:
        message = (
            f"the {_joined([_shown(node) for node in nodes])} {place} {'is' if len(nodes) == 1 else 'are'} missing"
        )
    return PlacedDifference(kind="missing", message=message, explained=True, **common)


def _exchanged(
    parting: Parting, given: Side, reference: Side, names: LayerNames, axis_names: AxisNames, limit: float
) -> PlacedDifference:
    own, others = parting.given, parting.reference
    place = names.of(others[0])
    common: dict[str, Any] = {"place": place, "node": own[0].name, "operator": own[0].operator}
    if len(own) > _MOST_NODES or len(others) > _MOST_NODES:
        return _unknown(own, others, common)
    if parting.shape == "other-order":
        first, second = (", then ".join(node.operator for node in nodes) for nodes in (own, others))
        message = f"{place}: {first}; the source has {second}"
        return PlacedDifference(kind="order", message=message, explained=True, **common)
    where = f"{place}: " if names.owner(others[0]) else ""
    behind = "" if where else f" {place}"
    message = f"{where}{_listed(own)}{behind}, the source has {_listed(others)}"
    return PlacedDifference(kind="exchanged", message=message, explained=True, **common)


def _unknown(own: Sequence[Node], others: Sequence[Node], common: Mapping[str, Any]) -> PlacedDifference:
    sides = [
        f"the file goes on with {_chain(own)}" if own else "the file ends",
        f"the source with {_chain(others)}" if others else "the source ends",
    ]
    message = f"{common['place']}: {', '.join(sides)}"
    return PlacedDifference(kind="unknown", message=message, explained=False, **common)


def _chain(nodes: Sequence[Node]) -> str:
    shown = [node.operator for node in nodes[:4]]
    return ", ".join(shown) + (" and so on" if len(nodes) > 4 else "")


def _listed(nodes: Sequence[Node]) -> str:
    return _joined([f"{_article(node.operator)} {_shown(node)}" for node in nodes])


def _joined(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _article(operator: str) -> str:
    return "an" if operator[:1] in "AEIO" or operator.startswith(("LSTM", "LRN")) else "a"


def _shown(node: Node) -> str:
    """An operator with what makes it what it is: ``LeakyRelu (alpha 0.01)``, ``Cast to float16``."""
    if node.operator == "Cast":
        to = str(node.attributes.get("to"))
        return f"Cast to {_TYPES.get(to, to)}"
    shown = [f"{name} {in_words(node.attributes[name])}" for name in _SHOWN if name in node.attributes]
    if node.operator == "LeakyRelu" and not shown:
        shown = ["alpha 0.01"]
    return f"{node.operator} ({', '.join(shown)})" if shown else node.operator
