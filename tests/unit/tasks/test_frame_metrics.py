from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error, precision_score, recall_score, root_mean_squared_error

from harness.errors import DataError
from harness.tasks.frame_metrics import exceedance, persistence, skill, step_errors

SHAPE = (5, 1, 3, 6, 4)


def drawn(seed: int = 0) -> tuple[Any, Any, Any]:
    """Forecast, truth and a mask that leaves samples unequally many pixels."""
    random = np.random.default_rng(seed)
    forecast, truth = random.gamma(0.5, 4, SHAPE), random.gamma(0.5, 4, SHAPE)
    mask = random.random(SHAPE) < np.array([0.9, 0.5, 0.3, 0.7, 0.2]).reshape(5, 1, 1, 1, 1)
    return forecast, truth, mask


def test_pooled_errors_are_scikit_learns_over_all_pixels_of_a_step() -> None:
    forecast, truth, mask = drawn()
    found = step_errors(forecast, truth, mask, "pooled")
    for step in range(3):
        there = mask[:, :, step]
        pair = (truth[:, :, step][there], forecast[:, :, step][there])
        assert found.rmse[step] == pytest.approx(root_mean_squared_error(*pair), rel=1e-12)
        assert found.mae[step] == pytest.approx(mean_absolute_error(*pair), rel=1e-12)
        assert found.bias[step] == pytest.approx((pair[1] - pair[0]).mean(), rel=1e-9)
        assert found.pixels[step] == there.sum()
        assert found.samples[step] == 5


def test_the_mean_of_samples_is_another_number() -> None:
    forecast, truth, mask = drawn()
    pooled, mean = (step_errors(forecast, truth, mask, name) for name in ("pooled", "mean-of-samples"))
    for step in range(3):
        each = [
            root_mean_squared_error(truth[i, :, step][mask[i, :, step]], forecast[i, :, step][mask[i, :, step]])
            for i in range(5)
        ]
        assert mean.rmse[step] == pytest.approx(np.mean(each), rel=1e-12)
    assert (mean.rmse != pooled.rmse).all()
    # With equally many pixels the mean over samples of roots is never above the root over all (Jensen).
    everywhere = np.ones(SHAPE, bool)
    pooled, mean = (step_errors(forecast, truth, everywhere, name) for name in ("pooled", "mean-of-samples"))
    assert (mean.rmse < pooled.rmse).all()
    assert mean.mae == pytest.approx(pooled.mae)


@pytest.mark.parametrize("aggregation", ["pooled", "mean-of-samples"])
def test_no_data_counts_nowhere_whatever_it_holds(aggregation) -> None:
    forecast, truth, mask = drawn()
    expected = step_errors(forecast, truth, mask, aggregation)
    spoilt, spoilt_truth = forecast.copy(), truth.copy()
    spoilt[~mask], spoilt_truth[~mask] = 1e9, np.nan
    found = step_errors(spoilt, spoilt_truth, mask, aggregation)
    assert np.array_equal(found.rmse, expected.rmse)
    assert np.array_equal(found.mae, expected.mae)


@pytest.mark.parametrize("aggregation", ["pooled", "mean-of-samples"])
def test_samples_and_steps_without_a_measurement_are_left_out(aggregation) -> None:
    forecast, truth, mask = drawn()
    mask[2] = False
    mask[:, :, 1] = False
    found = step_errors(forecast, truth, mask, aggregation)
    without = np.delete(np.arange(5), 2)
    expected = step_errors(forecast[without], truth[without], mask[without], aggregation)
    assert np.isnan(found.rmse[1])
    assert np.isnan(found.mae[1])
    assert found.rmse[[0, 2]] == pytest.approx(expected.rmse[[0, 2]])
    assert found.samples.tolist() == [4, 0, 4]


@pytest.mark.parametrize("aggregation", ["pooled", "mean-of-samples"])
def test_a_forecast_that_is_not_finite_shows(aggregation) -> None:
    forecast, truth, mask = drawn()
    at = tuple(np.argwhere(mask)[0])
    forecast[at] = np.nan
    found = step_errors(forecast, truth, mask, aggregation)
    assert np.isnan(found.rmse).tolist() == [step == at[2] for step in range(3)]


def test_errors_in_a_physical_unit_are_a_multiple() -> None:
    forecast, truth, mask = drawn()
    in_unit = step_errors(forecast * 50, truth * 50, mask, "pooled")
    scaled = step_errors(forecast, truth, mask, "pooled").times(50)
    assert scaled.rmse == pytest.approx(in_unit.rmse)
    assert scaled.mae == pytest.approx(in_unit.mae)
    assert scaled.bias == pytest.approx(in_unit.bias)


def test_exceedance_counts_and_indices_are_those_of_a_classification() -> None:
    forecast, truth, mask = drawn(3)
    found = exceedance(forecast, truth, mask, [0.5, 4.0])
    assert found.hits.shape == (2, 3)
    for row, threshold in enumerate((0.5, 4.0)):
        for step in range(3):
            there = mask[:, :, step]
            happened, foreseen = truth[:, :, step][there] >= threshold, forecast[:, :, step][there] >= threshold
            assert found.pod[row, step] == pytest.approx(recall_score(happened, foreseen))
            assert 1 - found.far[row, step] == pytest.approx(precision_score(happened, foreseen))
            assert found.csi[row, step] == pytest.approx((happened & foreseen).sum() / (happened | foreseen).sum())
            total = found.hits + found.misses + found.false_alarms + found.correct_negatives
            assert total[row, step] == there.sum()
    together = found.over_steps()
    assert together.hits[:, 0].tolist() == found.hits.sum(axis=1).tolist()
    assert together.csi.shape == (2, 1)


def test_what_lies_on_a_threshold_exceeds_it_and_nothing_over_nothing_is_nan() -> None:
    truth, mask = np.full(SHAPE, 2.0), np.ones(SHAPE, bool)
    found = exceedance(truth, truth, mask, [2.0, 3.0])
    assert found.csi.tolist() == [[1, 1, 1], [pytest.approx(np.nan, nan_ok=True)] * 3]
    assert np.isnan(found.far[1]).all()
    broken = truth.copy()
    broken[0] = np.nan
    assert exceedance(broken, truth, mask, [2.0]).misses.tolist() == [[24, 24, 24]]


def test_persistence_repeats_the_last_frame_and_has_no_skill_against_itself() -> None:
    inputs = np.random.default_rng(1).random((5, 1, 4, 6, 4)).astype(np.float32)
    forecast = persistence(inputs, 3)
    assert forecast.shape == SHAPE
    assert forecast.dtype == np.float32
    assert all(np.array_equal(forecast[:, :, step], inputs[:, :, 3]) for step in range(3))
    _, truth, mask = drawn()
    own = step_errors(forecast, truth, mask, "pooled")
    assert skill(own, own).tolist() == [0, 0, 0]
    perfect = step_errors(truth, truth, mask, "pooled")
    assert skill(perfect, own).tolist() == [1, 1, 1]
    assert np.isnan(skill(own, perfect)).all()
    with pytest.raises(DataError, match="pooled do not compare with those that are mean-of-samples"):
        skill(own, step_errors(forecast, truth, mask, "mean-of-samples"))


def test_what_does_not_fit_is_refused() -> None:
    forecast, truth, mask = drawn()
    with pytest.raises(DataError, match="must be of one shape"):
        step_errors(forecast[:4], truth, mask, "pooled")
    with pytest.raises(DataError, match="must be of one shape"):
        exceedance(forecast, truth, mask[:, :, :2], [1.0])
    with pytest.raises(DataError, match=r"must be \(sample, band, step, row, column\)"):
        step_errors(forecast[0], truth[0], mask[0], "pooled")
    with pytest.raises(DataError, match="the mask must be bool"):
        step_errors(forecast, truth, mask.astype(int), "pooled")
    truth[mask] = np.nan
    with pytest.raises(DataError, match="not finite where it was measured"):
        step_errors(forecast, truth, mask, "pooled")
    with pytest.raises(DataError, match="inputs must be"):
        persistence(forecast[:, :, :0], 3)
