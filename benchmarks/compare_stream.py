"""Two files of float32 compared in a stream, against the numpy script that one would write first.

    python -m benchmarks.compare_stream [--values 100000000] [--folder DIR] [--repeat 1]

Writes two .npy files of normal values that differ by about 1e-6 (every chunk differs), then compares them in two
processes of their own, alternately, and prints seconds, throughput, peak resident memory and
the ratio. Both compute the largest and mean error, RMS, the largest ULP distance over signs and the top-1 agreement
over an axis of 10, and both results are checked against each other. Exits 1 where they differ.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

CLASSES = 10


def main() -> int:
    """Run the benchmark and print one table; the exit code says whether both agree."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--values", type=int, default=100_000_000, help="float32 values per file")
    parser.add_argument("--folder", type=Path, help="where to write the two files (default: the temporary folder)")
    parser.add_argument("--repeat", type=int, default=1, help="measurements of each; the fastest counts")
    parser.add_argument("--only", choices=("stream", "numpy"), help=argparse.SUPPRESS)
    parser.add_argument("--files", nargs=2, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        return _measure(options.only, *options.files)
    values = options.values - options.values % CLASSES
    if values < CLASSES:
        parser.error(f"--values must be at least {CLASSES}")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        files = Path(folder) / "first.npy", Path(folder) / "second.npy"
        _write(files, values)
        best: dict[str, dict[str, Any]] = {}
        for _ in range(options.repeat):
            for name in ("numpy", "stream"):
                measured = _in_own_process(name, files)
                if name not in best or measured["seconds"] < best[name]["seconds"]:
                    best[name] = measured
    print(f"two files of {values:,} float32, {2 * 4 * values / 1e6:,.0f} MB together, one thread")
    columns = "".join(f"{name:13}" for name in ("max_abs", "mean_abs", "rms", "max_ulp", "top-1"))
    print(f"{'':8} {'seconds':>9} {'GB/s':>7} {'peak MB':>9}   {columns}")
    for name, measured in best.items():
        result = measured["result"]
        print(
            f"{name:8} {measured['seconds']:9.3f} {8 * values / measured['seconds'] / 1e9:7.2f} "
            f"{measured['peak_mb']:9.1f}   {result['max_abs']:<12.6g} {result['mean_abs']:<12.6g} "
            f"{result['rms']:<12.6g} {result['max_ulp']:<12d} {result['top1_agreement']:.8f}"
        )
    print(f"ratio {best['numpy']['seconds'] / best['stream']['seconds']:.2f}")
    return 0 if _agree(best["numpy"]["result"], best["stream"]["result"]) else 1


def _write(files: tuple[Path, Path], values: int) -> None:
    import numpy as np

    generator = np.random.default_rng(7)
    header = {"descr": "<f4", "fortran_order": False, "shape": (values // CLASSES, CLASSES)}
    with files[0].open("wb") as first, files[1].open("wb") as second:
        np.lib.format.write_array_header_1_0(first, header)
        np.lib.format.write_array_header_1_0(second, header)
        for start in range(0, values, 1_000_000):
            count = min(1_000_000, values - start)
            drawn = generator.standard_normal(count, dtype=np.float32)
            drawn.tofile(first)
            (drawn + np.float32(1e-6) * generator.standard_normal(count, dtype=np.float32)).tofile(second)


def _in_own_process(name: str, files: tuple[Path, Path]) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.compare_stream", "--only", name, "--files", *map(str, files)]
    environment = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"}
    environment["PYTHONPATH"] = str(Path(__file__).resolve().parent.parent)
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


def _measure(name: str, first: Path, second: Path) -> int:
    """In the process of its own: compare, and print seconds, peak resident memory and the result as JSON."""
    import dataclasses

    if name == "stream":
        from benchmarks.stream import compare_files, open_float32

        start = time.perf_counter()
        result = dataclasses.asdict(compare_files(open_float32(first), open_float32(second)))
    else:
        import numpy  # noqa: F401 - its import is no part of what is measured

        start = time.perf_counter()
        result = _obvious(first, second)
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "peak_mb": _peak_megabytes(), "result": result}))
    return 0


def _peak_megabytes() -> float:
    """Peak resident memory of this process. Linux' ``ru_maxrss`` will not do: it begins with that of the parent."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        return int(lines["VmHWM"].split()[0]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def _obvious(first: Path, second: Path) -> dict[str, Any]:
    """What one writes first: whole arrays, ULP distance by 64-bit integers."""
    import numpy as np

    a, b = np.load(first), np.load(second)
    error = np.abs(a - b)

    def key(values: Any) -> Any:
        raw = values.view(np.int32).astype(np.int64)
        return np.where(raw < 0, -(raw & 0x7FFFFFFF), raw)

    return {
        "max_abs": float(error.max()),
        "mean_abs": float(error.mean(dtype=np.float64)),
        "rms": float(np.sqrt(np.mean(np.square(error, dtype=np.float64)))),
        "max_ulp": int(np.abs(key(a) - key(b)).max()),
        "top1_agreement": float(np.mean(a.argmax(axis=-1) == b.argmax(axis=-1))),
    }


def _agree(first: dict[str, Any], second: dict[str, Any]) -> bool:
    exact = all(first[name] == second[name] for name in ("max_abs", "max_ulp", "top1_agreement"))
    return exact and all(math.isclose(first[name], second[name], rel_tol=1e-9) for name in ("mean_abs", "rms"))


if __name__ == "__main__":
    raise SystemExit(main())
