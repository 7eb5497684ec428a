"""How long the harness takes to say something: help, a bad scenario, a scenario that is finished.

    python -m benchmarks.start_up [--finished scenarios/tempcnn_py_to_r.yaml]

Prints, for each, the fastest and the median of several runs of the whole command, the limit, and their ratio; beside
them a bare Python process, timed in turn, so that a busy machine shows. The finished scenario is run once first.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BAD = "scenario: bad\ntitle: Bad\ntitel: misspelt\ndata: {source: synthetic-crops}\nmodel: {name: tempcnn}\n"


def seconds(command: list[str]) -> float:
    """Wall seconds of one run of a command."""
    started = time.perf_counter()
    subprocess.run(command, capture_output=True)
    return time.perf_counter() - started


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--finished", default="scenarios/tempcnn_py_to_r.yaml", help="a scenario to run twice")
    parser.add_argument("--runs", type=int, default=7)
    given = parser.parse_args()
    harness = [sys.executable, "-m", "harness"]
    subprocess.run([*harness, "run", given.finished], capture_output=True)
    with tempfile.TemporaryDirectory() as folder:
        bad = Path(folder) / "bad.yaml"
        bad.write_text(BAD)
        commands = {
            "python -c pass": ([sys.executable, "-c", "pass"], None),
            "--help": ([*harness, "--help"], 0.3),
            "run (bad scenario)": ([*harness, "run", str(bad)], 0.3),
            "run (finished scenario)": ([*harness, "run", given.finished], 3.0),
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(given.runs):
            for name, (command, _limit) in commands.items():
                times[name].append(seconds(command))
    print(f"{'command':<26}{'fastest s':>10}{'median s':>10}{'limit s':>9}{'median/limit':>14}")
    for name, (_command, limit) in commands.items():
        fastest, median = min(times[name]), statistics.median(times[name])
        against = f"{limit:>9.1f}{median / limit:>14.2f}" if limit else f"{'':>9}{'':>14}"
        print(f"{name:<26}{fastest:>10.3f}{median:>10.3f}{against}")


if __name__ == "__main__":
    main()
