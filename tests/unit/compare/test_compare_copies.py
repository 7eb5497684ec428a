"""Copies among tensors, told by their bits, and orders of the same values, told in words."""

from __future__ import annotations

import numpy as np
import pytest

from harness.compare.copies import Copies, copies
from harness.compare.permutation import describe_permutation

ROW = np.arange(6, dtype=np.float32)


def test_copies_are_counted_with_all_their_scalars() -> None:
    held = {"a": ROW, "b": ROW + 1, "a1": ROW.copy(), "a2": ROW.copy(), "b1": ROW + 1, "c": ROW[:3], "a3": ROW[None]}
    assert copies(held, ["a2", "a1", "b1", "c", "a3"]) == Copies(frozenset({"a1", "a2", "b1"}), 3, 18)
    assert copies(held, []) == Copies(frozenset(), 1, 0)
    assert copies({}, []) == Copies(frozenset(), 1, 0)
    # What is beyond the file's tensors is no original.
    assert copies(held, held) == Copies(frozenset(), 1, 0)


TABLE = np.arange(24, dtype=np.float32).reshape(2, 12)
KERNEL = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
FIELD = np.arange(48, dtype=np.float32).reshape(2, 3, 2, 4)


def read_by_columns(values: np.ndarray) -> np.ndarray:
    return values.ravel(order="F").reshape(values.shape)


def flattened(channels: int, *, back: bool = False) -> np.ndarray:
    shape = (2, -1, channels) if back else (2, channels, -1)
    return TABLE.reshape(shape).transpose(0, 2, 1).reshape(2, 12)


@pytest.mark.parametrize(
    ("source", "target", "words"),
    [
        (ROW, ROW[::-1], "reversed"),
        (ROW[:2], ROW[1::-1], "reversed"),
        (ROW[:1], ROW[:1], None),
        (ROW, ROW[:5], None),
        (ROW, ROW + 1, None),
        (ROW, ROW[[0, 4, 2, 3, 1, 5]], "elements exchanged 1<->4"),
        (ROW, ROW[[0, 2, 3, 1, 4, 5]], "3 elements in another order"),
        (TABLE, TABLE.T, "transposed"),
        (TABLE, read_by_columns(TABLE), "read in column-major order"),
        (TABLE, flattened(3), "flatten order time-major instead of channel-major"),
        (TABLE, flattened(2), "flatten order time-major instead of channel-major"),
        (TABLE, flattened(3, back=True), "flatten order read as time-major although it is channel-major"),
        (TABLE, TABLE[::-1], "rows exchanged 0<->1"),
        (TABLE, np.roll(TABLE, 1, axis=1), "12 columns in another order"),
        (TABLE, TABLE.reshape(4, 6), "the same values in another order"),
        (KERNEL, KERNEL[:, :, ::-1], "kernel reversed along its last axis"),
        (KERNEL, KERNEL.transpose(2, 0, 1), "axes in the order 2, 0, 1"),
        (KERNEL, read_by_columns(KERNEL), "read in column-major order"),
        (KERNEL, KERNEL[[2, 1, 0]], "output channels exchanged 0<->2"),
        (KERNEL, KERNEL[:, [0, 3, 2, 1]], "input channels exchanged 1<->3"),
        (KERNEL, KERNEL[:, :, [1, 0, 2, 3, 4]], "the same values in another order"),
        (FIELD, FIELD[:, :, ::-1], "kernel reversed along axes 2"),
        (FIELD, FIELD[:, :, :, ::-1], "kernel reversed along its last axis"),
        (FIELD, FIELD[:, :, ::-1, ::-1], "kernel reversed along axes 2, 3"),
    ],
)
def test_orders_in_words(source: np.ndarray, target: np.ndarray, words: str | None) -> None:
    channels = (2, 3) if source is TABLE else ()
    assert describe_permutation(source, np.ascontiguousarray(target), channels=channels) == words


def test_two_rows_of_which_one_only_moved_are_not_exchanged() -> None:
    source = np.float32([[1, 2], [3, 4], [5, 6]])
    assert describe_permutation(source, np.float32([[3, 4], [2, 1], [5, 6]])) == "the same values in another order"
    target = np.float32([[3.5, 4], [1, 2], [5, 6]])
    assert describe_permutation(source, target, same=lambda one, other: bool((np.abs(one - other) < 0.1).all())) is None
