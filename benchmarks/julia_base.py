"""TempCNN at batch 64 on one thread: plain Julia against onnxruntime, the same file, in turn.

    python -m benchmarks.julia_base [--rounds 7]

Seconds are those the workers measure around their engine's own call.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from benchmarks.by_hand import prepare
from harness.runtimes.process import Worker
from harness.runtimes.registry import RUNTIMES

SAMPLES = 64


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    names = ("julia/base", "python/onnxruntime")
    times: dict[str, list[float]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, SAMPLES)
        workers = {runtime: Worker.start(RUNTIMES[runtime], folder / "log") for runtime in names}
        loads = {}
        for runtime, worker in workers.items():
            loads[runtime] = worker.request("load", path=str(folder / "model.onnx"), precision="float32")["seconds"]
        for _ in range(given.rounds + 1):
            for runtime, worker in workers.items():
                done = worker.request(
                    "predict",
                    inputs=str(folder / "inputs.safetensors"),
                    outputs=str(folder / "out.safetensors"),
                    batch_size=SAMPLES,
                )
                times[runtime].append(done["seconds"])
        blas = workers["julia/base"].request("describe")["versions"].get("BLAS", "unknown")
        for worker in workers.values():
            worker.close()
    for runtime in names:
        counted = times[runtime][1:]
        print(
            f"{runtime:<20} median {statistics.median(counted) * 1e3:8.1f} ms   fastest {min(counted) * 1e3:8.1f} ms   "
            f"load {loads[runtime] * 1e3:7.1f} ms"
        )
    ratios = [ours / theirs for ours, theirs in zip(*(times[runtime][1:] for runtime in names), strict=True)]
    print(f"julia/base / onnxruntime, pair by pair: median {statistics.median(ratios):.1f}   (Julia's BLAS: {blas})")


if __name__ == "__main__":
    main()
