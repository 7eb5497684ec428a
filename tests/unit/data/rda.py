"""A writer of R's serialisation (XDR, version 2), so that tests need no R and can write what R never would."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np

NIL = struct.pack(">i", 254)
OBJECT, ATTRIBUTES, TAG = 1 << 8, 1 << 9, 1 << 10
HEADER = b"RDX2\nX\n" + struct.pack(">iii", 2, 0x040202, 0x020300)


def number(value: int) -> bytes:
    return struct.pack(">i", value)


def char(text: str | None) -> bytes:
    if text is None:
        return number(9) + number(-1)
    data = text.encode()
    return number(9 | 8 << 12) + number(len(data)) + data


def symbol(text: str) -> bytes:
    return number(1) + char(text)


def pairs(items: dict[str, bytes]) -> bytes:
    return b"".join(number(2 | TAG) + symbol(name) + value for name, value in items.items()) + NIL


def vector(kind: int, length: int, content: bytes, attributes: dict[str, bytes] | None = None) -> bytes:
    flags = kind | (ATTRIBUTES if attributes else 0) | (OBJECT if attributes and "class" in attributes else 0)
    return number(flags) + number(length) + content + (pairs(attributes) if attributes else b"")


def texts(values: list[str | None], attributes: dict[str, bytes] | None = None) -> bytes:
    return vector(16, len(values), b"".join(char(value) for value in values), attributes)


def reals(values, attributes: dict[str, bytes] | None = None) -> bytes:
    return vector(14, len(values), np.asarray(values, dtype=">f8").tobytes(), attributes)


def integers(values, attributes: dict[str, bytes] | None = None) -> bytes:
    return vector(13, len(values), np.asarray(values, dtype=">i4").tobytes(), attributes)


def factor(codes, levels: list[str]) -> bytes:
    return integers(codes, {"levels": texts(levels), "class": texts(["factor"])})


def dates(days) -> bytes:
    return reals(days, {"class": texts(["Date"])})


def items(values: list[bytes], attributes: dict[str, bytes] | None = None) -> bytes:
    return vector(19, len(values), b"".join(values), attributes)


def frame(columns: dict[str, bytes], classes: tuple[str, ...] = ("tbl_df", "tbl", "data.frame")) -> bytes:
    rows = integers([-(2**31), -1])
    return items(
        list(columns.values()), {"names": texts(list(columns)), "row.names": rows, "class": texts(list(classes))}
    )


def compact_sequence(count: int, start: int = 1, step: int = 1) -> bytes:
    """1:count as R writes it since 3.5: three numbers, whatever the count."""
    info = number(2) + symbol("compact_intseq") + number(2) + symbol("base") + NIL
    return number(238) + info + reals([count, start, step]) + NIL


def save(path: Path, objects: dict[str, bytes], *, compress: bool = True) -> Path:
    data = HEADER + pairs(objects)
    path.write_bytes(gzip.compress(data, 1, mtime=0) if compress else data)
    return path


def samples(
    labels: list[str],
    *,
    dates_per_series: int = 4,
    bands: tuple[str, ...] = ("NDVI", "EVI"),
    locations: list[tuple[float, float]] | None = None,
    more: dict[str, bytes] | None = None,
    seed: int = 0,
) -> bytes:
    """A tibble as sits makes them; sample i is at (i, -i) unless ``locations`` say otherwise."""
    random = np.random.default_rng(seed)
    places = locations or [(float(row), float(-row)) for row in range(len(labels))]
    days = 11213 + 16 * np.arange(dates_per_series)
    series = [
        frame(
            {"Index": dates(days), **{band: reals(random.uniform(0, 1, dates_per_series).round(4)) for band in bands}}
        )
        for _ in labels
    ]
    columns = {
        "longitude": reals([place[0] for place in places]),
        "latitude": reals([place[1] for place in places]),
        "start_date": dates([days[0]] * len(labels)),
        "label": texts(list(labels)),
        "time_series": items(series),
    } | (more or {})
    return frame(columns, ("sits", "tbl_df", "tbl", "data.frame"))
