"""Problems of each task that tests share."""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.tasks.base import Problem, Samples

LABELS = Problem("labels", ("sample", "label"), (None, 3), "sigmoid", ("oak", "pine", "birch"))
PIXELS = Problem("scores", ("sample", "class", "row", "column"), (None, 3, 4, 5), "logits", ("soil", "maize", "water"))
VALUES = Problem(
    "value",
    ("sample", "variable"),
    (None, 2),
    "linear",
    ("nitrogen", "water"),
    {"variables": [{"name": "nitrogen", "unit": "g/kg"}, {"name": "water", "unit": "%"}]},
)
CLASSES = Problem("logits", ("sample", "class"), (None, 3), "logits", ("a", "b", "c"))


def samples(**target: Any) -> Samples:
    count = len(target["y"])
    return Samples(np.arange(count), ("here",) * count, target, dict)
