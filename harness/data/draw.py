"""The draw of dates: which dates of a series a model sees, frozen by seed.

BreizhCrops draws its 45 dates at every access from an unseeded generator, so that no two runs see the same input. Here
the draw is a pure function of (seed, sample, epoch): a counter-based generator gives every date of every series a
random word, and the dates with the smallest words are taken. It depends neither on the order in which samples are
accessed nor on the random number streams of a library, and it is exact in 64-bit integers, so that any language can
repeat it.

The generator is SplitMix64 used as a counter: Steele, Lea, Flood (2014): Fast splittable pseudorandom number
generators. OOPSLA. https://doi.org/10.1145/2660193.2660195
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_GOLDEN_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_FIRST_MULTIPLIER = np.uint64(0xBF58476D1CE4E5B9)
_SECOND_MULTIPLIER = np.uint64(0x94D049BB133111EB)

#: Series that are drawn at once: bounds the table of random words to a few ten megabytes.
_CHUNK = 8192


def _mix(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's finaliser: a bijection of 64-bit words. Arrays only: a NumPy scalar would warn of the overflow."""
    words = (words ^ (words >> np.uint64(30))) * _FIRST_MULTIPLIER
    words = (words ^ (words >> np.uint64(27))) * _SECOND_MULTIPLIER
    return words ^ (words >> np.uint64(31))


def _word(value: int) -> NDArray[np.uint64]:
    return np.array([value % 2**64], dtype=np.uint64)


def _states(seed: int, sample_ids: NDArray[np.int64], epoch: int | None) -> NDArray[np.uint64]:
    """The generator's state per sample (sample,): hashed one after the other, so that no two keys add up alike."""
    state = _mix(_word(seed) + _GOLDEN_GAMMA)
    state = _mix((state ^ np.ascontiguousarray(sample_ids, dtype=np.int64).view(np.uint64)) + _GOLDEN_GAMMA)
    return _mix((state ^ _word(0 if epoch is None else epoch + 1)) + _GOLDEN_GAMMA)


def draw_many(
    lengths: NDArray[np.int64],
    dates: int,
    seed: int,
    sample_ids: NDArray[np.int64],
    epoch: int | None = None,
) -> NDArray[np.int64]:
    """Dates drawn from many series: sorted indices (sample, date) into each series, int64.

    ``lengths`` and ``sample_ids`` are (sample,). Without replacement where a series has at least ``dates`` dates, with
    replacement where it is shorter. ``epoch`` is None for the frozen draw and counts from 0 otherwise.
    Raises ValueError on an empty series or ``dates`` below one.
    """
    lengths = np.asarray(lengths, dtype=np.int64)
    if dates < 1:
        raise ValueError(f"cannot draw {dates} dates")
    if len(lengths) and lengths.min() < 1:
        raise ValueError("cannot draw dates from an empty series")
    states = _states(seed, np.asarray(sample_ids, dtype=np.int64), epoch)
    drawn = np.empty((len(lengths), dates), dtype=np.int64)
    for start in range(0, len(lengths), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        drawn[chunk] = _draw_chunk(lengths[chunk], dates, states[chunk])
    return drawn


def _draw_chunk(lengths: NDArray[np.int64], dates: int, states: NDArray[np.uint64]) -> NDArray[np.int64]:
    drawn = np.empty((len(lengths), dates), dtype=np.int64)
    short = lengths < dates
    counters = np.arange(1, max(int(lengths.max()), dates) + 1, dtype=np.uint64) * _GOLDEN_GAMMA
    if not short.all():
        long = ~short
        # One bit of the 64 is given up to mark the dates that a shorter series does not have: never among the smallest.
        words = _mix(states[long, None] + counters[None, : int(lengths.max())]) >> np.uint64(1)
        words[np.arange(words.shape[1])[None, :] >= lengths[long, None]] = np.uint64(2**64 - 1)
        drawn[long] = np.argsort(words, axis=1, kind="stable")[:, :dates]
    if short.any():
        words = _mix(states[short, None] + counters[None, :dates]) >> np.uint64(11)
        drawn[short] = (words.astype(np.float64) * 2.0**-53 * lengths[short, None]).astype(np.int64)
    drawn.sort(axis=1)
    return drawn


def draw(length: int, dates: int, seed: int, sample_id: int, epoch: int | None = None) -> NDArray[np.int64]:
    """Dates drawn from one series of ``length`` dates: sorted indices (date,). See :func:`draw_many`."""
    drawn: NDArray[np.int64] = draw_many(np.array([length]), dates, seed, np.array([sample_id]), epoch)[0]
    return drawn


def drawn_series(
    values: NDArray[np.float32],
    offsets: NDArray[np.int64],
    ids: NDArray[np.int64],
    dates: int,
    seed: int,
    epoch: int | None = None,
) -> NDArray[np.float32]:
    """Series as a model takes them: float32 (sample, band, time), contiguous.

    ``values`` (date, band) holds the series one after the other and ``offsets`` (sample + 1) where each begins, as in
    :class:`harness.data.dataset.Series`.
    """
    indices = draw_many(np.diff(offsets), dates, seed, ids, epoch)
    drawn = np.empty((len(ids), values.shape[1], dates), dtype=np.float32)
    for start in range(0, len(ids), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        drawn[chunk] = values[offsets[:-1][chunk, None] + indices[chunk]].transpose(0, 2, 1)
    return drawn
