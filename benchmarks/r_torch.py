"""R torch at batch 64 on one thread: the graph against the module written by hand, plain R against R torch, and both hosts.

    python -m benchmarks.r_torch [--rounds 9]

Three questions, each answered by pairs taken in turn in one run:

1. the graph of an ONNX file that folds nothing against ``native/rtorch/tempcnn.R`` with the same weights, in one R
   process (limit 1.1);
2. ``r/base`` against ``r/torch`` on the same file, as their workers measure it (limit 3);
3. a request to R inside Python (rpy2) and to ``Rscript``: the start, a call that computes nothing, and a megabyte that
   goes there and back, of which the engine's own seconds are taken off.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.by_hand import prepare
from harness.runtimes.environments import environment
from harness.runtimes.process import Worker
from harness.runtimes.registry import HOST_VARIABLE, RUNTIMES, availability

SAMPLES = 64
MEGABYTES = 32
ROOT = Path(__file__).resolve().parents[1]

#: Milliseconds of either, call by call in turn, as JSON.
IN_ONE_PROCESS = """
arguments <- commandArgs(TRUE)
source(arguments[1])
folder <- arguments[2]
rounds <- as.integer(arguments[3])
torch::torch_set_num_threads(1L)
by_hand <- tempcnn_load(file.path(folder, "weights.safetensors"))
graphs <- list(
  unfolded = plainonnx::as_nn_module(plainonnx::onnx_read(file.path(folder, "unfolded", "model.onnx"))),
  folded = plainonnx::as_nn_module(plainonnx::onnx_read(file.path(folder, "model.onnx")))
)
x <- safetensors::safe_load_file(file.path(folder, "inputs.safetensors"), framework = "torch")$x
torch::local_no_grad()
seconds <- function(f) {
  began <- Sys.time()
  f(x)
  as.numeric(Sys.time() - began, units = "secs")
}
difference <- as.numeric(torch::torch_max(torch::torch_abs(by_hand(x) - graphs$unfolded(x))))
for (warm in 1:3) for (f in c(by_hand, graphs)) f(x)
times <- replicate(rounds * 5, c(seconds(by_hand), seconds(graphs$unfolded), seconds(graphs$folded)))
cat(jsonlite::toJSON(list(by_hand = times[1, ], unfolded = times[2, ], folded = times[3, ], difference = difference),
                     digits = NA))
"""


def graph_against_module(folder: Path, rounds: int) -> dict[str, Any]:
    """Seconds of every call in one R process, and the largest difference of the outputs."""
    script = folder / "in_one_process.R"
    script.write_text(IN_ONE_PROCESS, encoding="utf-8")
    module = ROOT / "native" / "rtorch" / "tempcnn.R"
    done = subprocess.run(
        ["Rscript", "--vanilla", str(script), str(module), str(folder), str(rounds)],
        env=environment(RUNTIMES["r/torch"], 1),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def workers_in_turn(folder: Path, rounds: int) -> dict[str, list[float]]:
    """Seconds around the engine's own call of r/base and r/torch on the folded file."""
    times: dict[str, list[float]] = {"r/base": [], "r/torch": []}
    workers = {name: Worker.start(RUNTIMES[name], folder / "log") for name in times}
    for worker in workers.values():
        worker.request("load", path=str(folder / "model.onnx"), precision="float32")
    files = {"inputs": str(folder / "inputs.safetensors"), "outputs": str(folder / "out.safetensors")}
    for _ in range(rounds + 1):
        for name, worker in workers.items():
            times[name].append(worker.request("predict", **files, batch_size=SAMPLES)["seconds"])
    for worker in workers.values():
        worker.close()
    return {name: seconds[1:] for name, seconds in times.items()}


def identity_model(path: Path) -> None:
    """A model that returns what it gets: float32 (row, 1024)."""
    import onnx
    from onnx import TensorProto, helper

    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["row", 1024]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "identity", values[:1], values[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def hosts_in_turn(folder: Path, rounds: int) -> dict[str, dict[str, float]]:
    """Median seconds to start, per small call, and per megabyte there and back, by host."""
    from safetensors.numpy import save_file

    identity_model(folder / "identity.onnx")
    for name, rows in {"small": 1, "large": MEGABYTES * 256}.items():
        save_file({"x": np.ones((rows, 1024), np.float32)}, folder / f"{name}.safetensors")
    starts, workers = {}, {}
    for host in ("rpy2", "rscript"):
        os.environ[HOST_VARIABLE] = host
        here = availability(RUNTIMES["r/torch"])
        if not here.installed:
            print(f"   {host}: {here.reason}; install it with: {here.install}")
            continue
        began = time.perf_counter()
        workers[host] = Worker.start(RUNTIMES["r/torch"], folder / "log")
        said = workers[host].request("describe")
        starts[host] = time.perf_counter() - began
        if said["host"] != host:
            raise SystemExit(f"asked for {host}, got {said['host']}")
        workers[host].request("load", path=str(folder / "identity.onnx"), precision="float32")
    del os.environ[HOST_VARIABLE]
    spent: dict[tuple[str, str], list[float]] = {(h, n): [] for h in workers for n in ("small", "large")}
    for _ in range(rounds + 1):
        for (host, name), seconds in spent.items():
            files = {"inputs": str(folder / f"{name}.safetensors"), "outputs": str(folder / "out.safetensors")}
            began = time.perf_counter()
            inside = workers[host].request("predict", **files, batch_size=None)["seconds"]
            seconds.append(time.perf_counter() - began - inside)
    for worker in workers.values():
        worker.close()
    found = {}
    for host in workers:
        small, large = (statistics.median(spent[host, name][1:]) for name in ("small", "large"))
        found[host] = {"start": starts[host], "call": small, "megabyte": (large - small) / MEGABYTES}
    return found


def pairs(above: list[float], below: list[float]) -> float:
    """The median of the ratios, pair by pair."""
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, SAMPLES)
        (folder / "unfolded").mkdir()
        with Worker.start(RUNTIMES["python/pytorch"], folder / "log") as worker:
            worker.request(
                "export",
                weights=str(folder / "weights.safetensors"),
                metadata=str(folder / "metadata.json"),
                out=str(folder / "unfolded"),
                route="torch-dynamo",
                opset=18,
                fold=False,
            )
        found = graph_against_module(folder, given.rounds)
        print(f"TempCNN, batch {SAMPLES}, one thread")
        for kind in ("by_hand", "unfolded", "folded"):
            print(f"   {kind:<10} median {statistics.median(found[kind]) * 1e3:7.1f} ms")
        print(f"1. graph, not folded / by hand: {pairs(found['unfolded'], found['by_hand']):.2f}   (limit 1.1)")
        print(f"   graph, folded / by hand: {pairs(found['folded'], found['by_hand']):.2f}")
        print(f"   largest difference of the outputs, not folded: {found['difference'][0]:g}")
        times = workers_in_turn(folder, given.rounds)
        print(f"2. r/base / r/torch: {pairs(times['r/base'], times['r/torch']):.2f}   (limit 3)")
        hosts = hosts_in_turn(folder, given.rounds)
        print("3. hosts of r/torch")
        for host, costs in hosts.items():
            print(
                f"   {host:<8} start {costs['start']:5.2f} s   call {costs['call'] * 1e3:6.2f} ms   "
                f"megabyte there and back {costs['megabyte'] * 1e3:6.2f} ms"
            )
        if len(hosts) == 2:
            for what in ("start", "call", "megabyte"):
                print(f"   rpy2 / Rscript, {what}: {hosts['rpy2'][what] / hosts['rscript'][what]:.2f}")


if __name__ == "__main__":
    main()
