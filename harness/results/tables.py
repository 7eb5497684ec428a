"""The rows of result tables, made from arrays."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

from harness.files.arrays import Array
from harness.files.csv_text import safe
from harness.tasks.base import Rows as Rows
from harness.tasks.numbers import shortest


def as_csv(rows: Rows) -> str:
    """Rows as CSV with plain line ends, and no formulas."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(
        [safe(value) if isinstance(value, str) else value for value in row] for row in rows
    )
    return text.getvalue()


def probe_rows(
    cells: Iterable[tuple[str, Array, Array, Array]], ids: Sequence[int], class_names: Sequence[str]
) -> Iterator[list[str]]:
    """Per cell, probe sample and class: target, route oracle and source oracle, each (sample, class)."""
    yield ["cell", "sample", "id", "class", "target", "route_oracle", "source_oracle"]
    for cell, target, route, source in cells:
        if not target.shape == route.shape == source.shape == (len(ids), len(class_names)):
            continue
        for sample, identity in enumerate(ids):
            for index, name in enumerate(class_names):
                values = (target[sample, index], route[sample, index], source[sample, index])
                yield [cell, str(sample), str(identity), name, *(shortest(value) for value in values)]
