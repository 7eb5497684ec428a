"""Blocks that come several times in a row in a sequence, blocks within blocks included."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: A repetition that saves fewer lines than this is not worth a bracket.
_WORTH = 3
#: Longest block that is looked for.
_PERIOD = 1024


@dataclass(frozen=True)
class Repeat:
    """A stretch of a sequence: ``times`` blocks of ``period`` entries from ``start`` on.

    ``parts`` tell the first block; a single entry has ``times`` 1 and no parts.
    """

    start: int
    period: int = 1
    times: int = 1
    parts: tuple[Repeat, ...] = ()


def repeats(tokens: Sequence[Hashable]) -> tuple[Repeat, ...]:
    """A sequence as single entries and blocks that come several times, the block that covers most first.

    Entries are equal where their tokens are. Among blocks that cover the same the shortest is taken, and the first.
    """
    known: dict[Hashable, int] = {}
    codes = np.array([known.setdefault(token, len(known)) for token in tokens], dtype=np.int64)
    return tuple(_within(codes, 0, len(codes)))


def _within(codes: NDArray[np.int64], start: int, stop: int) -> list[Repeat]:
    # A list of stretches to do instead of recursion: a sequence may hold thousands of them side by side.
    done: list[Repeat] = []
    waiting = [(start, stop)]
    while waiting:
        first, last = waiting.pop()
        found = _widest(codes[first:last])
        if found is None:
            done += [Repeat(place) for place in range(first, last)]
            continue
        place, period, times = found
        begin = first + place
        done.append(Repeat(begin, period, times, tuple(_within(codes, begin, begin + period))))
        waiting += [(first, begin), (begin + period * times, last)]
    return sorted(done, key=lambda repeat: repeat.start)


def _widest(codes: NDArray[np.int64]) -> tuple[int, int, int] | None:
    """Start, period and number of the repetition that covers most of a sequence; None where none is worth it."""
    count = len(codes)
    best, covered = None, 0
    for period in range(1, min(count // 2, _PERIOD) + 1):
        equal = codes[:-period] == codes[period:]
        places = np.arange(len(equal))
        # Where the run of equal entries that begins at each place ends.
        ends = np.minimum.accumulate(np.where(equal, len(equal), places)[::-1])[::-1]
        times = (ends - places) // period + 1
        place = int(np.argmax(times))
        number = int(times[place])
        if number > 1 and period * (number - 1) >= _WORTH and period * number > covered:
            best, covered = (place, period, number), period * number
    return best
