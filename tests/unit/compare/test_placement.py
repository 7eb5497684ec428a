"""What is told of a file that differs from its source: its differences, or the first layer that it does not have."""

from __future__ import annotations

from typing import Any

import pytest

from harness.compare.placement import PlacedDifference, Placement, TriedHypothesis, WalkedLayer, sentences


def difference(message: str, place: str = "norm2", explained: bool = True) -> PlacedDifference:
    return PlacedDifference(kind="setting", place=place, node="n", operator="Op", message=message, explained=explained)


def placed(**parts: Any) -> Placement:
    return Placement(reference="r", samples=4, gap=0.1, **parts)


def layers(*found: str) -> list[WalkedLayer]:
    """Layers called a, b and so on, with the tensors that hold them ("" where none does)."""
    return [WalkedLayer(layer=name, kind="k", tensor=tensor) for name, tensor in zip("abcd", found, strict=False)]


TRIED = [TriedHypothesis(label="epsilon 1e-3", remaining=1e-6), TriedHypothesis(label="no padding", remaining=2e-6)]


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({}, []),
        ({"differences": [difference("one"), difference("two"), difference("one")]}, ["one (in 2 nodes)", "two"]),
        # A cause says more than the layer at which it is seen, and that more than a place.
        ({"differences": [difference("one"), difference("two")], "parts": "a parts"}, ["one", "a parts", "two"]),
        ({"differences": [difference("one", explained=False)], "parts": "a parts"}, ["a parts", "one"]),
        ({"parts": "a parts", "layers": layers("t", "")}, ["a parts"]),
        ({"layers": layers("t", "", "")}, ["b is the first layer that the file does not have as the source, after a"]),
        ({"layers": layers("", "")}, ["a is the first layer that the file does not have as the source"]),
        # A layer that was folded away lies before one that is found.
        (
            {"layers": layers("t", "", "t", "")},
            ["d is the first layer that the file does not have as the source, after c"],
        ),
        ({"layers": layers("t", "t")}, []),
        ({"layers": layers("t", ""), "differences": [difference("one")]}, ["one"]),
        ({"tried": TRIED}, ["the source with epsilon 1e-3 gives the outputs of the file"]),
        ({"tried": [TriedHypothesis(label="none", remaining=None)]}, []),
        (
            {"differences": [difference("one")], "remaining": 2e-6},
            ["one", "with that set right, 2.00e-06 of the difference remains"],
        ),
        ({"differences": [difference("one")], "remaining": 1e-6}, ["one"]),
        ({"remaining": 2e-6}, []),
    ],
)
def test_differences_are_said_in_order_and_then_what_explains_them(parts: dict[str, Any], said: list[str]) -> None:
    assert sentences(placed(**parts)) == said


@pytest.mark.parametrize(
    ("parts", "place"),
    [
        ({}, ""),
        ({"differences": [difference("x", "conv1"), difference("y", "conv2")], "layers": layers("")}, "conv1"),
        ({"layers": layers("t", "", "t", "")}, "d"),
        ({"layers": layers("", "")}, "a"),
        ({"layers": layers("t")}, ""),
    ],
)
def test_the_place_is_that_of_the_first_difference_or_layer(parts: dict[str, Any], place: str) -> None:
    assert placed(**parts).parts_at == place
