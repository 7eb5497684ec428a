"""What a user acts on: decisions of a target against those of the source oracle, each with its margin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.compare import gates
from harness.compare.records import DecisionComparison, DecisionUnit, Flip, Floor
from harness.errors import DataError
from harness.models.spec import Decision

Array = NDArray[Any]

#: At most this many flips are listed; all are counted.
LISTED_FLIPS = 1000

#: The decision where the values to decide on are not finite: no number that a class could have.
NOT_FINITE = int(np.iinfo(np.int64).min)


@dataclass(frozen=True)
class Decisions:
    """Decisions by place, and how far each is from another one.

    ``choice``: int64, an index into the names of the choices, `NOT_FINITE` where values are not finite.
    ``margin``: float64 of the same shape, >= 0, in the outputs' unit: the distance to the next best class, or
    to the threshold; 0 where not finite.
    """

    choice: NDArray[np.int64]
    margin: NDArray[np.float64]


def decide_argmax(outputs: Array, axis: int = -1) -> Decisions:
    """The largest output along ``axis``; margin: its distance to the second largest. Ties go to the first."""
    values = np.moveaxis(outputs, axis, -1)
    if values.shape[-1] == 0:
        raise DataError(f"argmax needs at least one class, the outputs have shape {outputs.shape}")
    broken: NDArray[np.bool_] = np.asarray(~np.isfinite(values).all(axis=-1))
    safe = np.where(broken[..., None], 0.0, values)
    choice = safe.argmax(axis=-1)
    if values.shape[-1] > 1:
        top = np.partition(safe, -2, axis=-1)
        margin = np.subtract(top[..., -1], top[..., -2], dtype=np.float64)
    else:
        margin = np.zeros(choice.shape)
    return Decisions(np.where(broken, NOT_FINITE, choice), np.where(broken, 0.0, margin))


def decide_threshold(outputs: Array, thresholds: float | Sequence[float]) -> Decisions:
    """1 where an output is at least its threshold, else 0; margin: its distance to the threshold.

    ``thresholds``: one number, or one per label along the last axis, in the outputs' own unit (a probability
    of 0.5 is a logit of 0).
    """
    limits = np.asarray(thresholds)
    if limits.ndim > 1 or (limits.ndim == 1 and outputs.shape[-1] != limits.size):
        raise DataError(f"{limits.size} thresholds do not fit outputs of shape {outputs.shape}")
    broken = ~np.isfinite(outputs)
    safe = np.where(broken, 0.0, outputs)
    return Decisions(
        np.where(broken, NOT_FINITE, (safe >= limits).astype(np.int64)),
        np.where(broken, 0.0, np.abs(np.subtract(safe, limits, dtype=np.float64))),
    )


def decide_exceedance(outputs: Array, thresholds: float | Sequence[float]) -> Decisions:
    """1 where a physical value is at least a threshold, else 0; margin: its distance to the threshold.

    ``thresholds`` are in the outputs' own unit: one number, or several, which all apply to every value and add a last axis.
    Raises DataError where there is none.
    """
    limits = np.asarray(thresholds)
    if limits.ndim == 0:
        return decide_threshold(outputs, float(limits))
    if limits.ndim != 1 or limits.size == 0:
        raise DataError(f"exceedance needs one threshold or a list of them, not an array of shape {limits.shape}")
    return decide_threshold(np.broadcast_to(outputs[..., None], (*outputs.shape, limits.size)), limits.tolist())


def decide_classes(outputs: Array) -> Decisions:
    """Numbers that are classes already, rounded to whole ones; no margin is known, it is 0."""
    values = np.asarray(outputs)
    if values.dtype.kind != "f":
        return Decisions(values.astype(np.int64), np.zeros(values.shape))
    broken = ~np.isfinite(values)
    whole = np.clip(np.rint(np.where(broken, 0.0, values)), -(2.0**62), 2.0**62).astype(np.int64)
    return Decisions(np.where(broken, NOT_FINITE, whole), np.zeros(values.shape))


def compare_decisions(
    rule: Decision,
    target: Array,
    source_oracle: Array,
    floor: Floor,
    *,
    names: Sequence[str] = (),
    ids: Sequence[int] | NDArray[np.int64] | None = None,
    thresholds: float | Sequence[float] | None = None,
    mask: NDArray[np.bool_] | None = None,
    class_axis: int | None = None,
) -> DecisionComparison:
    """Decisions of the target's outputs against those of the source oracle's; axis 0 is the sample.

    - ``argmax``: over ``class_axis``, the last one where it is None; ``names`` are the class names.
    - ``threshold``: per label along ``class_axis``; where it is None, the last one of outputs (sample, label), and else no
      axis is one of labels; ``thresholds`` one number or one per label, ``names`` the labels.
    - ``exceedance``: of physical values, given as ``thresholds``, in the outputs' unit: one, or several that all apply to
      every output, ``names`` being theirs (``2 mm/h``); ``mask``, of the shape of the outputs, is True where one counts.
    - ``argmax-per-pixel``: over ``class_axis``, 1 where it is None; ``mask`` (sample, *pixel) is True where a pixel counts.
    - ``classes``: whole numbers that are classes already; ``names`` are the class names. Every flip counts.

    A flip is within the floor where its margin, the source oracle's distance between the two decisions, is
    under twice ``floor.rms``. A target value that is not finite is a flip that counts; where the source
    oracle itself is not finite there is no decision to change, and these are counted by themselves.
    Raises DataError where shapes do not fit or thresholds are missing.
    """
    if target.shape != source_oracle.shape:
        raise DataError(f"decisions need outputs of one shape, not {target.shape} and {source_oracle.shape}")
    if target.ndim == 0:
        raise DataError("decisions need outputs with a sample axis")
    axis = class_axis if class_axis is not None else 1 if rule == "argmax-per-pixel" else -1
    labelled = rule == "threshold" and (target.ndim == 2 or (target.ndim > 2 and class_axis is not None))
    if labelled:
        source_oracle, target = np.moveaxis(source_oracle, axis, -1), np.moveaxis(target, axis, -1)
    if rule in ("argmax", "argmax-per-pixel"):
        source, other = decide_argmax(source_oracle, axis), decide_argmax(target, axis)
        labels: Sequence[str] = names
    elif rule == "classes":
        labels = names
        if source_oracle.dtype.kind not in "biuf" or target.dtype.kind not in "biuf":
            # Texts are their own names.
            texts, places = np.unique(np.stack([source_oracle, target]).astype(str), return_inverse=True)
            source_oracle, target = places.reshape(2, *target.shape)
            labels = texts.tolist()
        source, other = decide_classes(source_oracle), decide_classes(target)
    else:
        if thresholds is None:
            raise DataError(f"the decision rule '{rule}' needs thresholds")
        decide = decide_exceedance if rule == "exceedance" else decide_threshold
        source, other = decide(source_oracle, thresholds), decide(target, thresholds)
        labels = ("below", "at or above")
    considered = np.ones(source.choice.shape, dtype=np.bool_) if mask is None else mask.astype(np.bool_)
    if source.choice.ndim > source_oracle.ndim and considered.shape == source_oracle.shape:
        # Several thresholds: one that applies to a value applies to all its decisions.
        considered = np.broadcast_to(considered[..., None], source.choice.shape)
    if considered.shape != source.choice.shape:
        raise DataError(f"a mask of shape {considered.shape} does not fit decisions of shape {source.choice.shape}")
    without = considered & (source.choice == NOT_FINITE)
    considered = considered & ~without
    flipped = considered & (source.choice != other.choice)
    margin = source.margin.copy()
    if rule in ("argmax", "argmax-per-pixel"):
        margin = _distance_between(np.moveaxis(source_oracle, axis, -1), source.choice, other.choice, margin)
    known_margin = rule != "classes"
    within = flipped & known_margin & (other.choice != NOT_FINITE) & (margin < gates.FLIP_MARGIN_FLOORS * floor.rms)
    places = np.argwhere(flipped)
    order = np.argsort(-margin[flipped], kind="stable")[:LISTED_FLIPS]
    known = None if ids is None else np.asarray(ids)
    flips = []
    for place in places[order]:
        at = tuple(int(index) for index in place)
        flips.append(
            Flip(
                sample=at[0],
                id=int(known[at[0]]) if known is not None else at[0],
                source=_name(int(source.choice[at]), labels, rule, names, at),
                target=_name(int(other.choice[at]), labels, rule, names, at),
                margin=float(margin[at]) if known_margin else None,
                within_floor=bool(within[at]),
                where=at[1:],
            )
        )
    total = int(considered.sum())
    count = int(flipped.sum())
    return DecisionComparison(
        rule=rule,
        unit=_unit(rule, source.choice.shape, labelled),
        samples=int(target.shape[0]),
        decisions=total,
        agreement=1.0 - count / total if total else 1.0,
        flip_count=count,
        counted_count=count - int(within.sum()),
        flips=flips,
        without=int(without.sum()),
    )


def _unit(rule: Decision, shape: Sequence[int], labelled: bool) -> DecisionUnit:
    """What each decision is made for; ``shape``: that of the decisions, whose last axis is ``labelled`` or not.

    One label alone is decided for the sample or the pixel itself.
    """
    if rule == "exceedance":
        return "decision"
    if labelled and shape[-1] > 1:
        return "label"
    axes = shape[1 : len(shape) - labelled]
    # Graphs that decide themselves may keep the axis that they decided over.
    places = sum(size != 1 for size in axes) if rule == "classes" else len(axes)
    return "sample" if places == 0 else "pixel" if places == 2 else "value"


def _distance_between(
    values: Array,
    chosen: NDArray[np.int64],
    other: NDArray[np.int64],
    fallback: NDArray[np.float64],
) -> NDArray[np.float64]:
    """values[chosen] - values[other] along the last axis; ``fallback`` where either choice is `NOT_FINITE`."""
    usable = (chosen != NOT_FINITE) & (other != NOT_FINITE)
    first = np.take_along_axis(values, np.where(usable, chosen, 0)[..., None], axis=-1)[..., 0]
    second = np.take_along_axis(values, np.where(usable, other, 0)[..., None], axis=-1)[..., 0]
    # Where one is not finite, so may be the difference, which is not used there.
    with np.errstate(invalid="ignore"):
        return np.where(usable, np.subtract(first, second, dtype=np.float64), fallback)


def _name(choice: int, labels: Sequence[str], rule: str, names: Sequence[str], at: tuple[int, ...]) -> str:
    if choice == NOT_FINITE:
        return "not finite"
    text = labels[choice] if 0 <= choice < len(labels) else str(choice)
    if rule == "threshold" and len(at) > 1 and at[-1] < len(names):
        return f"{names[at[-1]]}: {text}"
    if rule == "exceedance" and names:
        return f"{text} {names[at[-1] if len(names) > 1 else 0]}"
    return text
