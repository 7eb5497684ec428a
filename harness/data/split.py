"""Splits that keep what belongs together on one side: whole polygons, parcels or locations, class by class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def held_out(
    classes: NDArray[np.int64], groups: NDArray[np.int64], fraction: float, seed: int, key: int = 0x53495453
) -> NDArray[np.bool_]:
    """Which rows (row,) are held out: whole groups, about ``fraction`` of every class, at random by ``seed``.

    A group (polygon, parcel, location) counts for the class that most of its rows have. Of every class one group at
    least stays, so that a class of a single group has none held out. ``key`` makes two splits of the same seed differ.
    """
    random = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, key])))
    names, row_group, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    labels, row_class = np.unique(classes, return_inverse=True)
    votes = np.zeros((len(names), len(labels)), dtype=np.int64)
    np.add.at(votes, (row_group, row_class), 1)
    owner = votes.argmax(axis=1)
    chosen = np.zeros(len(names), dtype=bool)
    for label in range(len(labels)):
        candidates = random.permutation(np.flatnonzero(owner == label))
        # Rounded: 0.2 / 0.7 of 70 rows are 20, not 20.000000000000004, which would take one group more.
        wanted = round(fraction * int(sizes[candidates].sum()), 9)
        taken = 0
        for group in candidates[:-1]:
            if taken >= wanted:
                break
            chosen[group] = True
            taken += sizes[group]
    selected: NDArray[np.bool_] = chosen[row_group]
    return selected


def three_parts(
    classes: NDArray[np.int64], groups: NDArray[np.int64], test: float, valid: float, seed: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Rows (row,) of training, validation and test; ``test`` and ``valid`` are fractions of all rows of every class.

    ``test`` may be 0: then no row is for testing. No group lies in two of the three, see :func:`held_out`.
    """
    tested = held_out(classes, groups, test, seed, 0x54455354) if test else np.zeros(len(classes), dtype=bool)
    rest = ~tested
    validated = np.zeros(len(classes), dtype=bool)
    validated[rest] = held_out(classes[rest], groups[rest], valid / (1 - test), seed, 0x56414C44)
    return rest & ~validated, validated, tested
