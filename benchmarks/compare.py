"""What ``harness compare`` costs: time, memory of each worker, disk.

    python -m benchmarks.compare [MODEL ...] [--to RUNTIMES] [--gigabytes 1.5] [--against CHECKOUT] [--no-layers]

Builds the models of :mod:`benchmarks.compare_models` (all but ``large`` where none is named), compares each from an empty
store, and prints side by side: seconds of each step, CPU seconds and peak resident memory of each process, bytes of the store and
of the file. ``--against``: another checkout of this project is measured in turn on the same files, with ratios.
On a busy machine go by the CPU seconds. The targets are for two quiet cores.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.compare_models import MODELS

#: Wall seconds on two quiet cores.
TARGETS = {"tempcnn": 6, "transformer": 30, "unet": 90}
RUNTIMES = "python/onnxruntime,r/base"
#: Seconds between two looks at the processes of a run.
WATCH = 0.1


@dataclass
class Measured:
    """One run of ``compare``: ``cpu`` seconds and ``peak`` resident bytes by process, ``steps`` in wall seconds."""

    seconds: float = 0.0
    code: int = 0
    cpu: dict[str, float] = field(default_factory=dict)
    peak: dict[str, int] = field(default_factory=dict)
    steps: dict[str, float] = field(default_factory=dict)
    stored: int = 0
    said: str = ""


def main() -> None:
    """Build, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", help=", ".join(MODELS))
    parser.add_argument("--to", default=RUNTIMES)
    parser.add_argument("--gigabytes", type=float, default=1.5, help="weights of 'large'")
    parser.add_argument("--against", type=Path, help="another checkout of this project")
    parser.add_argument("--no-layers", action="store_true", help="without the walk through the nodes")
    parser.add_argument("--limit", type=float, default=1200.0, help="seconds after which a run is ended")
    parser.add_argument("--folder", type=Path, help="where models and stores are made (default: the temporary folder)")
    given = parser.parse_args()
    if unknown := [name for name in given.models if name not in MODELS]:
        parser.error(f"there is no model '{unknown[0]}'; choose among {', '.join(MODELS)}")
    here = Path(__file__).resolve().parent.parent
    checkouts = {"here": here} | ({"against": given.against.resolve()} if given.against else {})
    extra = ["--no-layers"] if given.no_layers else []
    for name in given.models or [name for name in MODELS if name != "large"]:
        with tempfile.TemporaryDirectory(prefix="benchmark-compare-", dir=given.folder) as folder:
            scratch = Path(folder)
            built = [sys.executable, "-m", "benchmarks.compare_models", name, str(scratch / "model")]
            subprocess.run([*built, "--gigabytes", str(given.gigabytes)], check=True, env=_variables(here))
            found = {}
            for which, checkout in checkouts.items():
                found[which] = measure(scratch, scratch / which, checkout, ["--to", given.to, *extra], given.limit)
            print_measured(name, found, scratch / "model")


def measure(scratch: Path, own: Path, checkout: Path, arguments: list[str], limit: float) -> Measured:
    """One ``compare`` of the model in ``scratch`` from an empty store in ``own``."""
    own.mkdir()
    model = scratch / "model"
    command = [sys.executable, "-m", "harness", "compare", str(model / "model.onnx"), "--probe", str(model / "X.npy")]
    command += [*arguments, "--store", str(own / "store"), "--output", str(own / "results")]
    found = Measured()
    watched: dict[int, tuple[str, float, int]] = {}
    started = time.perf_counter()
    with (own / "log").open("wb") as log:
        run = subprocess.Popen(command, cwd=own, env=_variables(checkout), stdout=log, stderr=log)
        try:
            while run.poll() is None:
                watched |= {pid: use for pid in _descendants(run.pid) if (use := _use(pid)) is not None}
                if time.perf_counter() - started > limit:
                    run.terminate()
                    break
                time.sleep(WATCH)
        finally:
            if run.poll() is None:
                run.terminate()
            run.wait()
    found.seconds, found.code = time.perf_counter() - started, run.returncode
    found.said = (own / "log").read_text(errors="replace")
    for name, cpu, peak in watched.values():
        found.cpu[name] = found.cpu.get(name, 0.0) + cpu
        found.peak[name] = max(found.peak.get(name, 0), peak)
    for path in (own / "results").glob("*/seconds.json"):
        found.steps = json.loads(path.read_text())["steps"]
    found.stored = disk_bytes(own / "store")
    return found


def _variables(checkout: Path) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(checkout), "COLUMNS": "160"}


def _descendants(root: int) -> list[int]:
    """A process and all that it started; Linux."""
    found, waiting = [], [root]
    while waiting:
        found.append(pid := waiting.pop())
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            try:
                waiting += [int(child) for child in task.read_text().split()]
            except OSError:
                continue
    return found


def _use(pid: int) -> tuple[str, float, int] | None:
    """Name, CPU seconds and peak resident bytes of a process up to now; None where it has ended."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
        times = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    except OSError:
        return None
    if "VmHWM" not in lines:
        return None
    ticks = os.sysconf("SC_CLK_TCK")
    return _name(words), (int(times[11]) + int(times[12])) / ticks, int(lines["VmHWM"].split()[0]) * 1024


def _name(words: list[str]) -> str:
    """A worker's runtime, or what else a process of a run is."""
    if "harness.workers.serve" in words:
        return words[words.index("harness.workers.serve") + 1]
    if "compare" in words:
        return "harness"
    for sign, name in (("julia", "julia/base"), ("Rscript", "r/base"), ("/R", "r/base")):
        if sign in words[0] or any("serve" in word and sign in words[0] for word in words):
            return name
    return "others"


def disk_bytes(folder: Path) -> int:
    """Bytes on disk that files of a folder take beyond those that also have a name elsewhere, or share its blocks."""
    total, seen = 0, set()
    for path in folder.rglob("*"):
        entry = path.lstat()
        if path.is_file() and (entry.st_dev, entry.st_ino) not in seen:
            seen.add((entry.st_dev, entry.st_ino))
            total += entry.st_size
    return total


def print_measured(name: str, found: dict[str, Measured], model: Path) -> None:
    """One table of everything, one column per checkout."""
    first = found["here"]
    ratio = len(found) > 1

    def row(label: str, values: list[float], form: str = "9.1f", scale: float = 1.0) -> None:
        text = "".join(f"{value / scale:{form}}   " for value in values)
        quotient = f"{values[0] / values[1]:6.2f}" if ratio and values[1] else ""
        print(f"  {label:<40} {text}{quotient}")

    print(f"\n{name}: {'   '.join(found)}{'   here / against' if ratio else ''}")
    for which, measured in found.items():
        if measured.code not in (0, 1):
            print(f"  {which} ended with {measured.code}: {measured.said.strip()[-400:]}")
    row(f"wall seconds (target {TARGETS.get(name, '-')})", [each.seconds for each in found.values()])
    row("CPU seconds", [sum(each.cpu.values()) for each in found.values()])
    for step in dict.fromkeys(step for each in found.values() for step in each.steps):
        row(f"step {step}, seconds", [each.steps.get(step, 0.0) for each in found.values()])
    for process in sorted(set().union(*(each.cpu for each in found.values()))):
        row(f"{process}, CPU seconds", [each.cpu.get(process, 0.0) for each in found.values()])
    for process in sorted(first.peak):
        row(f"{process}, peak MB", [each.peak.get(process, 0) for each in found.values()], "9.0f", 1e6)
    given = sum(path.stat().st_size for path in model.iterdir() if path.name != "X.npy")
    row("store, MB", [each.stored for each in found.values()], "9.1f", 1e6)
    row("model file, MB", [given] * len(found), "9.1f", 1e6)
    row("store / model file", [each.stored / given for each in found.values()], "9.2f")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
