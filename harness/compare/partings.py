"""A node at which oracles part, as a record and as a sentence; and which of them a cell may follow."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from harness.compare.oracle_votes import Array, Tensors, agreeing, distance, majority
from harness.compare.records import Finding, OracleAgreement, Parting, Verdict

#: An answer this near to the majority's, relative to its largest value, is that of single precision.
SINGLE = 16 * 2.0**-23


def parting(
    answers: Mapping[str, Tensors], refused: Mapping[str, str], *, node: Mapping[str, Any] | None = None
) -> Parting:
    """What implementations answer for one node on equal inputs; ``node`` as a structure has it, None for a whole graph."""
    groups = agreeing(answers)
    found = Parting(groups=groups, refused=dict(refused))
    if node is not None:
        found = found.model_copy(
            update={
                "node": str(node.get("name") or ""),
                "operator": str(node["operator"]),
                "attributes": _short(node.get("attributes") or {}),
            }
        )
    if len(groups) < 2:
        return found
    one, other = (answers[group[0]] for group in groups[:2])
    tensor = max((name for name in one if name in other), key=lambda name: distance(other[name], one[name]), default="")
    if not tensor:
        return found
    far = distance(other[tensor], one[tensor])
    place = _largest(one[tensor], other[tensor])
    return found.model_copy(
        update={
            "tensor": tensor,
            "distance": far if np.isfinite(far) else None,
            "place": [] if place is None else [*place],
            "values": {
                name: None if place is None else _number(answer.get(tensor), place) for name, answer in answers.items()
            },
        }
    )


def odd(parted: Parting, without: Collection[str] = ()) -> list[str]:
    """Those that a majority is against; empty where there is none."""
    wins = majority(parted.groups, without)
    return [name for group in parted.groups for name in group if name not in wins] if wins else []


def sentence(parted: Parting, own: str = "") -> str:
    """What is told of a parting: "r/base computes Erf otherwise here: ...".

    ``own``: the engine of the runtime that is told of, whose vote does not count.
    """
    wins = majority(parted.groups, [own])
    shown = ", ".join(f"{name} {value}" for name, value in parted.attributes.items())
    what = f"{parted.operator or 'the graph'}" + (f" '{parted.node}'" if parted.node else "")
    what += f" ({shown})" if shown else ""
    far = "" if parted.distance is None else f", {parted.distance:.2e} of the values' spread away"
    if not wins:
        each = "; ".join(f"{_listed(group)} {_value(parted, group[0])}" for group in parted.groups)
        asked = any(own in group for group in parted.groups)
        how = f" without the vote of {own}, which is asked about" if asked else ""
        return f"the references part at {what}{far}, and no majority tells which is right{how}: {each}"
    wrong = [name for group in parted.groups for name in group if name not in wins]
    how = "in single precision" if _single(parted, wins[0], wrong) else "otherwise"
    return (
        f"{_listed(wrong)} {'computes' if len(wrong) == 1 else 'compute'} {what} {how} here{far}: "
        f"{_value(parted, wrong[0])} where {_listed(wins)} {'gives' if len(wins) == 1 else 'give'} {_value(parted, wins[0])}; "
        "the reference is that of the majority"
    )


def findings(agreement: OracleAgreement, own: str = "") -> list[Finding]:
    """What a cell is told of its reference, none of it its own fault: who computes an operator otherwise, and what was replaced.

    ``own``: the engine of the cell's own runtime.
    """
    told = [sentence(parted, own) for parted in agreement.partings]
    told += [
        f"onnx.reference itself {what}; python/onnx-reference computes {operator} by an operator of its own instead"
        for operator, what in agreement.replaced.items()
    ]
    return [Finding(comparison="route", verdict=Verdict.EQUIVALENT, message=text) for text in told]


def followed(agreement: OracleAgreement, computed: Sequence[str], own: str = "") -> list[str]:
    """The oracles that a cell follows, of those that ``computed`` the whole graph, the preferred one first.

    ``own``: the engine of the cell's own runtime, whose vote does not count where oracles part. Where no majority is left, all
    are returned, so that what is known can be told.
    """
    if len(agreement.groups) < 2:
        return [*computed]
    votes = [majority(parted.groups, [own]) for parted in agreement.partings] or [majority(agreement.groups, [own])]
    right = [name for name in computed if all(name in wins for wins in votes)]
    if all(votes) and right:
        return right
    return sorted(computed, key=lambda name: name == own)


def decided(agreement: OracleAgreement, own: str = "") -> bool:
    """Whether at every node at which oracles part a majority without ``own`` tells which is right."""
    return all(majority(parted.groups, [own]) for parted in agreement.partings)


def _short(attributes: Mapping[str, Any]) -> dict[str, str]:
    shown = {}
    for name, value in sorted(attributes.items()):
        text = f"{value:.6g}" if isinstance(value, float) else str(value)
        shown[name] = text if len(text) <= 60 else f"{text[:57]}..."
    return shown


def _largest(one: Array, other: Array) -> tuple[int, ...] | None:
    if one.shape != other.shape or not one.size or one.dtype.kind not in "biuf" or other.dtype.kind not in "biuf":
        return None
    with np.errstate(invalid="ignore"):
        apart = np.abs(one.astype(np.float64) - other.astype(np.float64))
    apart = np.where(np.isnan(apart), np.where(np.isnan(one) == np.isnan(other), 0.0, np.inf), apart)
    return tuple(int(k) for k in np.unravel_index(int(np.argmax(apart)), one.shape))


def _number(tensor: Array | None, place: tuple[int, ...]) -> float | None:
    if tensor is None or tensor.ndim != len(place) or any(k >= n for k, n in zip(place, tensor.shape, strict=True)):
        return None
    value = float(tensor[place])
    return value if np.isfinite(value) else None


def _value(parted: Parting, name: str) -> str:
    value = parted.values.get(name)
    return "another shape, or a value that is not finite" if value is None else f"{value:.17g}"


def _single(parted: Parting, right: str, wrong: Sequence[str]) -> bool:
    """Whether those that are wrong have the digits of single precision."""
    exact = parted.values.get(right)
    others = [parted.values.get(name) for name in wrong]
    if exact is None or parted.distance is None:
        return False
    return all(other is not None and abs(other - exact) <= SINGLE * abs(exact) for other in others)


def _listed(names: Sequence[str]) -> str:
    return " and ".join(names) if len(names) < 3 else f"{', '.join(names[:-1])} and {names[-1]}"
