"""Physical values per sample: squared error, and errors in the unit of each variable. Nothing is decided."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from harness.tasks.base import Answers, Array, Problem, Rows, Samples, Target, Validation, finite, wanted_array
from harness.tasks.decision_rule import Decision, DecisionRule
from harness.tasks.losses import LossSum
from harness.tasks.numbers import shortest
from harness.tasks.scores import Metric, Score, ScoredTask, overall_scores, part_scores
from harness.tasks.value_metrics import bias, mae, r2, rmse, value_sums

NAME = "regression"


class Regression(ScoredTask):
    """Output (sample, variable); target ``y`` float32 (sample, variable), each variable in its own unit."""

    name: ClassVar[str] = NAME
    losses: ClassVar[tuple[str, ...]] = ("mse",)
    #: Means over the variables.
    columns: ClassVar[tuple[str, ...]] = ("valid_loss", "rmse", "mae", "bias", "r2")
    curves: ClassVar[tuple[str, ...]] = ("rmse", "mae")
    decision: ClassVar[Decision] = "none"
    output_axes: ClassVar[int] = 2
    stac_name: ClassVar[str] = "regression"
    result_files: ClassVar[tuple[str, ...]] = ("scores.csv", "values.csv.gz")
    overall: ClassVar[tuple[Metric, ...]] = (Metric("r2", "R²"),)
    of_parts: ClassVar[tuple[Metric, ...]] = (
        Metric("rmse", "RMSE"),
        Metric("bias", "Bias"),
        Metric("mae", "MAE"),
        Metric("r2", "R²"),
    )
    part: ClassVar[tuple[str, str]] = ("variable", "variables")
    counted: ClassVar[str] = "samples"
    figures: ClassVar[tuple[str, ...]] = ("predicted_true",)

    def check(self, problem: Problem, target: Target) -> None:
        """See Task."""
        finite(wanted_array(target, "y", (None, problem.size("variable")), "f"), "y")

    def validation(self, problem: Problem, loss: str) -> Validation:
        """See Task."""
        return _Validation(problem, loss)

    def decision_rule(self, problem: Problem, ids: NDArray[np.int64], target: Target) -> DecisionRule | None:
        """See Task: nothing is decided."""
        return None

    def curve_unit(self, record: Mapping[str, Any]) -> str | None:
        """See Task: that of the variables, where they share one."""
        units = {str(variable.get("unit", "")) for variable in record.get("variables", ())}
        return units.pop() if len(units) == 1 else ""

    def fits(self, problem: Problem, samples: Samples, output: Array) -> bool:
        """See ScoredTask."""
        return output.shape == samples.target["y"].shape

    def scores(self, problem: Problem, samples: Samples, output: Array) -> list[Score]:
        """See ScoredTask; over all variables the mean of R²."""
        truth = samples.target["y"]
        sums = value_sums(truth, output)
        count = truth.shape[1]
        names, units = [problem.name(index) for index in range(count)], units_of(problem)
        metrics = {"rmse": rmse, "bias": bias, "mae": mae, "r2": r2}
        return [
            *overall_scores(sums, lambda found: {"r2": r2(found).mean(axis=-1)}, len(truth)),
            *part_scores(
                sums,
                metrics,
                names,
                np.full(count, len(truth)),
                {key: units for key in metrics if key != "r2"},
            ),
        ]

    def result_tables(self, problem: Problem, samples: Samples, answers: Answers) -> dict[str, Rows]:
        """See Task: scores, and the values themselves."""
        scores = super().result_tables(problem, samples, answers)
        return {**scores, "values.csv.gz": self._values(problem, samples, answers)}

    def _values(self, problem: Problem, samples: Samples, answers: Answers) -> Iterator[Sequence[Any]]:
        """One row per sample and variable: its truth, and what each runtime estimated."""
        truth = samples.target["y"]
        found = {who: output for who, output in answers if self.fits(problem, samples, output)}
        yield ["id", "variable", "unit", "truth", *found]
        units = units_of(problem)
        for sample, identity in enumerate(samples.ids.tolist()):
            for index in range(truth.shape[1]):
                values = [truth[sample, index], *(output[sample, index] for output in found.values())]
                unit = units[index] if index < len(units) else ""
                yield [identity, problem.name(index), unit, *(shortest(value) for value in values)]


def units_of(problem: Problem) -> tuple[str, ...]:
    """Units of the variables in order, as far as the data state them."""
    return tuple(str(variable.get("unit", "")) for variable in problem.record.get("variables", ()))


class _Validation(Validation):
    """Gathers outputs and truth: R² is of all samples together."""

    def __init__(self, problem: Problem, loss: str) -> None:
        self.loss = LossSum(loss, problem.head)
        self.truth: list[Array] = []
        self.outputs: list[Array] = []

    def add(self, inputs: Mapping[str, Array], target: Target, output: Array) -> None:
        self.loss.add(output, target)
        self.truth.append(target["y"])
        self.outputs.append(output)

    def result(self) -> dict[str, float]:
        sums = value_sums(np.concatenate(self.truth), np.concatenate(self.outputs)).sum(axis=0)
        found = {"rmse": rmse(sums), "mae": mae(sums), "bias": bias(sums), "r2": r2(sums)}
        return {"valid_loss": self.loss.mean, **{key: float(np.mean(value)) for key, value in found.items()}}


TASK = Regression()
