"""What a run costs beside the work of its workers.

    python -m benchmarks.run_overhead [scenario]

Runs a scenario from nothing in an empty folder and prints wall seconds, the useful seconds of its workers (from a
request's sending to its answer), the seconds their starts took, and wall / (1.25 x useful + starts), which should not
exceed 1.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scenario", nargs="?", default="scenarios/tempcnn_py_to_r.yaml")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        output, store = Path(folder) / "results", Path(folder) / "exported"
        started = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "harness", "run", given.scenario, "--output", str(output), "--store", str(store)],
            stdout=subprocess.DEVNULL,
        )
        wall = time.perf_counter() - started
        if done.returncode not in (0, 1):
            sys.exit(done.returncode)
        seconds = json.loads(next(output.glob("*/seconds.json")).read_text())
    useful, starts = sum(seconds["worker_busy"].values()), sum(seconds["worker_start"].values())
    for name in sorted(seconds["worker_busy"]):
        print(f"{name:<24} useful {seconds['worker_busy'][name]:7.1f} s   start {seconds['worker_start'][name]:5.1f} s")
    allowed = 1.25 * useful + starts
    print(f"{'wall':<24}        {wall:7.1f} s   allowed 1.25 x {useful:.1f} + {starts:.1f} = {allowed:.1f} s")
    print(f"{'wall / allowed':<24}        {wall / allowed:7.2f}")


if __name__ == "__main__":
    main()
