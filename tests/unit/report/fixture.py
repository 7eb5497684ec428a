"""A small results folder with a cell of every verdict. Test data: no number in it was measured."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

from made_cells import PROBE_SAMPLES, PROBE_SHA256, SUPPORT, cell_name, cells
from made_graphs import CLASSES, FOLDED, GRAPHS, SCRIPT, UNFOLDED
from made_manifest import manifest
from made_tables import predictions, probe_outputs, training

from harness.compare.records import Verdict

__all__ = [
    "CLASSES",
    "FOLDED",
    "PROBE_SAMPLES",
    "PROBE_SHA256",
    "SCRIPT",
    "SUPPORT",
    "UNFOLDED",
    "cell_name",
    "cells",
    "write_results",
]

SECONDS: dict[str, Any] = {
    "steps": {"data": 0.84, "train": 37.2, "source": 1.1, f"export {FOLDED}": 2.4},
    "workers": {"python/pytorch": {"start": 1.9, "useful": 41.0}, "r/base": {"start": 0.31, "useful": 6.25}},
}

WORKERS: dict[str, Any] = {
    "python/pytorch": {
        "starts": 2,
        "start_seconds": 3.0,
        "warnings": [{"line": "UserWarning: <deprecated> & gone", "times": 3}, {"line": "Warning: other", "times": 1}],
    },
    "r/base": {"starts": 1, "start_seconds": 0.31, "warnings": []},
}


def write_results(folder: Path, keep: tuple[Verdict, ...] | None = None) -> Path:
    """Write the result files of a made-up scenario; ``keep`` leaves only the cells of some verdicts."""
    results = [cell for cell in cells() if keep is None or cell.verdict in keep]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").write_text(json.dumps(manifest(results), indent=1, sort_keys=True))
    (folder / "cells.json").write_text(
        json.dumps([cell.model_dump(mode="json") for cell in results], indent=1, sort_keys=True)
    )
    (folder / "workers.json").write_text(json.dumps(WORKERS, sort_keys=True))
    (folder / "structures.json").write_text(json.dumps(GRAPHS, sort_keys=True))
    (folder / "seconds.json").write_text(json.dumps(SECONDS, indent=1, sort_keys=True))
    log, timings = training(), ["iterations_per_second", "seconds"]
    log.drop(columns=timings).to_csv(folder / "training.csv", index=False, lineterminator="\n")
    log[["epoch", *timings]].to_csv(folder / "training_seconds.csv", index=False, lineterminator="\n")
    if any(cell.runtime_comparison for cell in results):
        for name, frame in (
            ("predictions.csv.gz", predictions(results)),
            ("outputs_probe.csv.gz", probe_outputs(results)),
        ):
            text = io.StringIO()
            frame.to_csv(text, index=False, lineterminator="\n", na_rep="nan")
            (folder / name).write_bytes(gzip.compress(text.getvalue().encode(), mtime=0))
    return folder
