"""Toy flag: one yes or no per sample, learned by binary cross-entropy and decided at a probability of one half."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError
from harness.tasks.base import Array, Problem, Samples, Target, Validation, wanted_array
from harness.tasks.decision_rule import Decision, DecisionRule
from harness.tasks.losses import LossSum
from harness.tasks.numbers import ratio
from harness.tasks.scores import Metric, Score, ScoredTask, overall_scores, part_scores

NAME = "toy-flag"


def right(counts: NDArray[Any]) -> NDArray[np.float64]:
    """Share of right answers, (..., flag), of counts (..., right or wrong, flag)."""
    return ratio(counts[..., 0, :], counts.sum(axis=-2))


def answers(truth: Array, output: Array) -> NDArray[np.int64]:
    """Counts (sample, right or wrong, flag) of arrays (sample, flag)."""
    found = (output >= 0.5) == (truth != 0)
    return np.stack([found, ~found], axis=1).astype(np.int64)


class ToyFlag(ScoredTask):
    """Output (sample, flag), 0 to 1; target ``y`` float32 of that shape, 0 or 1."""

    name: ClassVar[str] = NAME
    losses: ClassVar[tuple[str, ...]] = ("binary-cross-entropy",)
    columns: ClassVar[tuple[str, ...]] = ("valid_loss", "right")
    curves: ClassVar[tuple[str, ...]] = ("right",)
    decision: ClassVar[Decision] = "threshold"
    output_axes: ClassVar[int] = 2
    stac_name: ClassVar[str] = "classification"
    overall: ClassVar[tuple[Metric, ...]] = (Metric("right", "Right"),)
    of_parts: ClassVar[tuple[Metric, ...]] = (Metric("right", "Right"),)
    part: ClassVar[tuple[str, str]] = ("flag", "flags")
    counted: ClassVar[str] = "samples"

    def check(self, problem: Problem, target: Target) -> None:
        """See Task."""
        if not np.isin(wanted_array(target, "y", (None, problem.size("flag")), "f"), (0, 1)).all():
            raise DataError("a flag must be 0 or 1")

    def validation(self, problem: Problem, loss: str) -> Validation:
        """See Task."""
        return _Validation(problem, loss)

    def decision_rule(self, problem: Problem, ids: NDArray[np.int64], target: Target) -> DecisionRule | None:
        """See Task."""
        return DecisionRule(self.decision, problem.names, ids, (0.5,) * problem.size("flag"))

    def fits(self, problem: Problem, samples: Samples, output: Array) -> bool:
        """See ScoredTask."""
        return output.shape == samples.target["y"].shape

    def scores(self, problem: Problem, samples: Samples, output: Array) -> list[Score]:
        """See ScoredTask."""
        counts, count = answers(samples.target["y"], output), problem.size("flag")
        names, support = [problem.name(index) for index in range(count)], np.full(count, len(counts))
        return [
            *overall_scores(counts, lambda found: {"right": right(found).mean(axis=-1)}, len(counts)),
            *part_scores(counts, {"right": right}, names, support),
        ]


class _Validation(Validation):
    def __init__(self, problem: Problem, loss: str) -> None:
        self.loss, self.counts = LossSum(loss, problem.head), np.zeros((2, problem.size("flag")), np.int64)

    def add(self, inputs: Mapping[str, Array], target: Target, output: Array) -> None:
        self.loss.add(output, target)
        self.counts += answers(target["y"], output).sum(axis=0)

    def result(self) -> dict[str, float]:
        return {"valid_loss": self.loss.mean, "right": float(right(self.counts).mean())}


TASK = ToyFlag()
