"""Rows of the result file of predicted classes, made from arrays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.tasks.class_metrics import predict, probabilities

Array = NDArray[Any]


def prediction_rows(
    regions: Sequence[str],
    ids: Sequence[int],
    truth: Sequence[str],
    class_names: Sequence[str],
    head: str,
    outputs: Iterable[tuple[str, Array]],
) -> Iterator[list[str]]:
    """Per sample: region, id, truth, and the prediction of each runtime. ``outputs``: name and array (sample, class)."""
    header = ["region", "id", "truth"]
    columns: list[Sequence[str]] = [regions, [str(number) for number in ids], truth]
    for name, array in outputs:
        if array.shape != (len(truth), len(class_names)):
            continue
        header += [f"{name}.prediction", f"{name}.confidence", f"{name}.margin"]
        header += [f"{name}.p.{class_name}" for class_name in class_names]
        columns += _prediction_columns(array, class_names, head)
    yield header
    for row in zip(*columns, strict=True):
        yield list(row)


def _prediction_columns(outputs: Array, class_names: Sequence[str], head: str) -> list[list[str]]:
    usable = np.asarray(np.isfinite(outputs).all(axis=1))
    # A row that is not finite has no decision; it is left empty rather than given the first class.
    found = predict(np.where(usable[:, None], outputs, 0.0), head)
    shares = probabilities(np.where(usable[:, None], outputs, 0.0), head)

    def shown(values: NDArray[np.float64]) -> list[str]:
        return [f"{value:.6g}" if good else "nan" for value, good in zip(values, usable, strict=True)]

    prediction = [class_names[index] if good else "" for index, good in zip(found.label, usable, strict=True)]
    return [prediction, shown(found.confidence), shown(found.margin), *(shown(column) for column in shares.T)]
