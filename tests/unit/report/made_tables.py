"""Predictions, outputs and a training log to go with the made-up cells. Test data: no number in them was measured."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from made_cells import PROBE_SAMPLES, SUPPORT
from made_graphs import CLASSES, SCRIPT, UNFOLDED

from harness.compare.records import CellResult, Verdict


def _softmax(values: np.ndarray) -> np.ndarray:
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def predictions(results: list[CellResult]) -> pd.DataFrame:
    rng = np.random.default_rng(7)
    truth = np.repeat(np.arange(len(CLASSES)), SUPPORT)
    rng.shuffle(truth)
    logits = rng.normal(0, 1.6, (len(truth), len(CLASSES)))
    logits[np.arange(len(truth)), truth] += np.linspace(4.5, 0.5, len(CLASSES))[truth]
    columns: dict[str, Any] = {
        "region": np.where(np.arange(len(truth)) % 2, "frh03", "frh04"),
        "id": np.arange(70_200, 70_200 + len(truth)),
        "truth": np.asarray(CLASSES)[truth],
    }
    runners = {"source": 0.0}
    for cell in results:
        if cell.runtime_comparison is not None:
            changed = 1.5 if cell.route_label == UNFOLDED else 1e-6
            runners[f"{cell.target} via {cell.route_label}"] = 0.0 if cell.verdict is Verdict.IDENTICAL else changed
    for name, noise in runners.items():
        values = logits + noise * np.random.default_rng(11).normal(0, 1, logits.shape)
        if name == f"python/onnxruntime via {SCRIPT}":
            values[:2] = np.nan
        probabilities = _softmax(values)
        ordered = np.sort(values, axis=1)
        chosen = np.asarray(CLASSES, dtype=object)[np.argmax(values, axis=1)]
        chosen[~np.isfinite(values).all(axis=1)] = ""
        columns[f"{name}.prediction"] = chosen
        columns[f"{name}.confidence"] = probabilities.max(axis=1)
        columns[f"{name}.margin"] = ordered[:, -1] - ordered[:, -2]
        for index, label in enumerate(CLASSES):
            columns[f"{name}.p.{label}"] = probabilities[:, index]
    return pd.DataFrame(columns)


def probe_outputs(results: list[CellResult]) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    oracle = rng.normal(0, 4, (PROBE_SAMPLES, len(CLASSES)))
    parts = []
    for cell in results:
        if cell.runtime_comparison is None:
            continue
        target = oracle + 2e-6 * (cell.runtime_comparison.rms_ratio or 1.0) * rng.normal(0, 1, oracle.shape)
        if cell.runtime_comparison.rms_ratio is None:
            target[:2] = np.nan
        parts.append(
            pd.DataFrame(
                {
                    "cell": cell.cell,
                    "sample": np.repeat(np.arange(PROBE_SAMPLES), len(CLASSES)),
                    "id": np.repeat(np.arange(70_200, 70_200 + PROBE_SAMPLES), len(CLASSES)),
                    "class": np.tile(CLASSES, PROBE_SAMPLES),
                    "target": target.ravel(),
                    "route_oracle": oracle.ravel(),
                    "source_oracle": oracle.ravel(),
                }
            )
        )
    return pd.concat(parts)


def training(epochs: int = 12) -> pd.DataFrame:
    epoch = np.arange(1, epochs + 1)
    score = 0.86 - 0.5 * np.exp(-epoch / 3)
    frame = pd.DataFrame(
        {
            "epoch": epoch,
            "loss": 0.35 + 1.6 * np.exp(-epoch / 2.5),
            "valid_loss": 0.45 + 1.4 * np.exp(-epoch / 2.3) + 0.02 * np.sin(epoch),
            "accuracy": score,
            "kappa": score - 0.06,
        }
    )
    for metric in ("f1", "precision", "recall"):
        for average, offset in (("micro", 0.0), ("macro", -0.21), ("weighted", -0.02)):
            frame[f"{metric}_{average}"] = score + offset
    frame["iterations_per_second"] = 21.5 + np.cos(epoch)
    frame["seconds"] = 3.1 + 0.2 * np.sin(epoch)
    frame["learning_rate"] = 2.38e-4
    return frame
