"""Scores as rows of ``scores.csv``: the numbers of every runtime, over all and by class, label or variable."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from harness.tasks.base import Answers, Array, Problem, Rows, Samples, Task
from harness.tasks.bootstrap import intervals_of
from harness.tasks.class_metrics import Interval
from harness.tasks.numbers import Float64, shortest

#: Columns of ``scores.csv``; ``part`` is the class, label or variable, empty over all of them.
COLUMNS = ("who", "output", "part", "metric", "value", "low", "high", "support", "few", "unit", "samples")


@dataclass(frozen=True)
class Metric:
    """A metric: its key, what readers call it, and whether pages show it (result files hold all)."""

    key: str
    title: str
    shown: bool = True


@dataclass(frozen=True)
class Score:
    """One number with its interval; ``part`` is empty over all classes, labels or variables."""

    part: str
    metric: str
    interval: Interval
    unit: str = ""


class ScoredTask(Task):
    """A task whose result file is ``scores.csv``: it names its metrics and gives scores of arrays."""

    #: Over all classes, labels or variables, and of each of them.
    overall: ClassVar[tuple[Metric, ...]]
    of_parts: ClassVar[tuple[Metric, ...]]
    #: What the parts are, in the singular and the plural, and what each number rests on.
    part: ClassVar[tuple[str, str]]
    counted: ClassVar[str]
    result_files: ClassVar[tuple[str, ...]] = ("scores.csv",)
    report: ClassVar[str] = "scores"
    tables: ClassVar[tuple[str, ...]] = ("scores", "scores_per_part")
    figures: ClassVar[tuple[str, ...]] = ("score_per_part",)

    @abstractmethod
    def scores(self, problem: Problem, samples: Samples, output: Array) -> list[Score]:
        """The scores of an output of the test samples that has the shape of what is wanted."""

    @abstractmethod
    def fits(self, problem: Problem, samples: Samples, output: Array) -> bool:
        """Whether an output has the shape of what is wanted."""

    def result_tables(self, problem: Problem, samples: Samples, answers: Answers) -> dict[str, Rows]:
        """See Task."""
        return {"scores.csv": self._rows(problem, samples, answers)}

    def _rows(self, problem: Problem, samples: Samples, answers: Answers) -> Iterator[Sequence[Any]]:
        yield COLUMNS
        for who, output in answers:
            if not self.fits(problem, samples, output):
                continue
            for score in self.scores(problem, samples, output):
                found = score.interval
                numbers = [shortest(value) for value in (found.value, found.low, found.high)]
                few = str(found.few).lower()
                yield [
                    who,
                    problem.output,
                    score.part,
                    score.metric,
                    *numbers,
                    found.samples,
                    few,
                    score.unit,
                    len(samples.ids),
                ]


def overall_scores(
    statistics: NDArray[Any], metrics: Callable[[NDArray[Any]], Mapping[str, Float64]], support: int
) -> list[Score]:
    """Scores over all parts: ``metrics`` gives them by key, each (...,), from sums over samples (..., *shape)."""
    keys = [*metrics(statistics.sum(axis=0))]
    found = intervals_of(statistics, lambda sums: np.stack([*metrics(sums).values()], axis=-1), support)
    return [Score("", key, interval) for key, interval in zip(keys, found, strict=True)]


def part_scores(
    statistics: NDArray[Any],
    metrics: Mapping[str, Callable[[NDArray[Any]], Float64]],
    names: Sequence[str],
    support: NDArray[Any],
    units: Mapping[str, Sequence[str]] | None = None,
) -> list[Score]:
    """Scores of each part that has a name, in their order: ``metrics`` by key, from sums over samples to (..., part).

    ``units``: by metric, of each part.
    """
    scores = []
    for key, metric in metrics.items():
        of_metric = (units or {}).get(key, ())
        found = intervals_of(statistics, metric, np.asarray(support, np.int64))
        for index, (name, interval) in enumerate(zip(names, found, strict=False)):
            scores.append(Score(name, key, interval, of_metric[index] if index < len(of_metric) else ""))
    return scores
