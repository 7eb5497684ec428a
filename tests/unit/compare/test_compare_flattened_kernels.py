"""Kernels of dense layers behind a flattening with the time first: reordered, or left as they are; small graphs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from roles_of_graphs import numbers, roles
from small_graphs import Written, floats

from harness.compare.roles import StoredTensor

#: Two channels (a convolution gives them) at three dates, flattened date by date to six inputs of one output.
FLAT = {"w": floats(2, 4, 1), "k": np.float32([[10, 20, 11, 21, 12, 22]])}
CHANNELS_FIRST = [[10, 11, 12, 20, 21, 22]]
REORDERED = "the graph flattens time-major; the kernel was reordered to channel-major"
DENSE: Written = ("Gemm", "f k", "y", {"transB": 1})
TURN: dict[str, Any] = {"perm": [0, 2, 1]}


@pytest.mark.parametrize("flatten", ["Flatten", "Reshape"])
@pytest.mark.parametrize("between", [[], [("Relu", "c", "d")], [("Add", "b c", "d")]], ids=["", "relu", "add"])
def test_a_kernel_behind_channels_last_is_reordered(flatten: str, between: list[Written]) -> None:
    nodes = [("Conv", "x w", "c"), *between, ("Transpose", "d" if between else "c", "t", TURN), (flatten, "t", "f")]
    found = roles(*nodes, DENSE, values=FLAT | {"b": floats(5)}).linears[-1]
    assert (numbers(found.weight), found.notes) == (CHANNELS_FIRST, [REORDERED])
    assert (found.weight.name, found.weight.note) == ("k", "")


@pytest.mark.parametrize(
    "nodes",
    [
        [("Conv", "x w", "c"), ("Flatten", "c", "f")],
        [("Conv", "x w", "c"), ("Transpose", "c", "t", {"perm": [0, 1, 2]}), ("Flatten", "t", "f")],
        [("Conv", "x w", "c"), ("Transpose", "c", "t", {"perm": [2, 1, 0]}), ("Flatten", "t", "f")],
        [("Conv", "x w", "c"), ("Transpose", "c", "t"), ("Flatten", "t", "f")],
        [("Conv", "x w", "c"), ("Flatten", "c", "t"), ("Transpose", "t", "f", TURN)],
        [("Conv", "x w", "c"), ("Transpose", "c", "t", TURN), ("Relu", "t", "f")],
        [("Transpose", "x", "t", TURN), ("Flatten", "t", "f")],
        [("Conv", "x u", "c"), ("Transpose", "c", "t", TURN), ("Flatten", "t", "f")],
        [("Conv", "x v", "c"), ("Transpose", "c", "t", TURN), ("Flatten", "t", "f")],
        [("MatMul", "x m", "c"), ("Transpose", "c", "t", TURN), ("Flatten", "t", "f")],
        [("Conv", "x w", "c"), ("MatMul", "c m", "d"), ("Transpose", "d", "t", TURN), ("Flatten", "t", "f")],
        [("Conv", "x w", "c"), ("Transpose", "c", "t", TURN), ("Flatten", "t", "d"), ("Gemm", "d j", "f")],
        [("Conv", "x w", "c"), ("Transpose", "c", "t", TURN), ("Transpose", "t", "u", TURN), ("Flatten", "u", "f")],
        [("Conv", "x w", "c"), ("Flatten", "c", "d"), ("Reshape", "d", "f")],
        [("Conv", "x w", "c"), ("Reshape", "c", "r"), ("Transpose", "r", "t", {"perm": [0, 1]}), ("Flatten", "t", "f")],
    ],
    ids=lambda nodes: "-".join(node[0] for node in nodes),
)
def test_a_kernel_behind_anything_else_is_not(nodes: list[Written]) -> None:
    values = FLAT | {"v": floats(4, 4, 1), "m": floats(3, 3), "j": floats(6, 6)}
    found = roles(*nodes, DENSE, values=values, unknown="u").linears[-1]
    assert (numbers(found.weight), found.notes) == (FLAT["k"].tolist(), [])


def test_several_transposes_are_one() -> None:
    """Of images: (sample, channel, row, column) to (sample, row, column, channel) in two steps."""
    kernel = np.arange(12, dtype=np.float32).reshape(1, 12)
    nodes: list[Written] = [
        ("Conv", "x w", "c"),
        ("Transpose", "c", "t", {"perm": [0, 2, 1, 3]}),
        ("Transpose", "t", "u", {"perm": [0, 1, 3, 2]}),
        ("Flatten", "u", "f"),
    ]
    found = roles(*nodes, DENSE, values={"w": floats(2, 4, 1, 1), "k": kernel}).linears[-1]
    assert numbers(found.weight) == [[0, 2, 4, 6, 8, 10, 1, 3, 5, 7, 9, 11]]
    assert found.notes == [REORDERED]


def test_a_kernel_that_is_not_reported_cannot_be_reordered() -> None:
    nodes = [("Conv", "x w", "c"), ("Transpose", "c", "t", TURN), ("Flatten", "t", "f")]
    found = roles(*nodes, DENSE, values={"w": FLAT["w"]}, unknown="k").linears[-1]
    assert (found.weight, found.notes) == (StoredTensor("k", None), [])


def test_the_note_of_a_kernel_stays_when_it_is_reordered() -> None:
    nodes = [("Conv", "x w", "c"), ("Transpose", "c", "t", TURN), ("Flatten", "t", "f"), ("MatMul", "f k", "y")]
    found = roles(*nodes, values=FLAT | {"k": FLAT["k"].T}).linears[-1]
    assert (numbers(found.weight), found.weight.note) == (CHANNELS_FIRST, "stored as (in, out)")
