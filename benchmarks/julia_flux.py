"""Flux at batch 64 on one thread: the graph against the Chain written by hand, plain Julia against Flux, and both hosts.

    python -m benchmarks.julia_flux [--rounds 9]

Four questions, each answered by pairs taken in turn in one run:

1. the graph of an ONNX file that folds nothing against ``native/flux/tempcnn.jl`` with the same weights, in one Julia
   process (limit 1.1);
2. ``julia/base`` against ``julia/flux`` (limit 1.5) and against onnxruntime (limit 3) on the same file, as their workers
   measure it;
3. ``julia/onnxruntime`` against ``python/onnxruntime``, and what it costs to turn arrays from ONNX' order of axes into
   rows first and back;
4. a request to Julia inside Python (juliacall) and to a plain ``julia``: the start, a call that computes nothing, and a
   megabyte that goes there and back, of which the engine's own seconds are taken off.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.by_hand import export_unfolded, prepare
from benchmarks.in_turn import answered, hosts_in_turn, pairs, print_hosts, workers_in_turn
from harness.runtimes.julia import HOST_VARIABLE
from harness.runtimes.process import Worker
from harness.runtimes.registry import RUNTIMES, availability

SAMPLES = 64
ROOT = Path(__file__).resolve().parents[1]

#: Seconds of either, call by call in turn, as JSON.
IN_ONE_PROCESS = """
using Flux, PlainONNX
include(ARGS[1])
folder, rounds = ARGS[2], parse(Int, ARGS[3])
PlainONNX.pin_threads()
by_hand = tempcnn_load(joinpath(folder, "weights.safetensors"))
unfolded = testmode!(as_flux_model(onnx_read(joinpath(folder, "unfolded", "model.onnx"))))
folded = testmode!(as_flux_model(onnx_read(joinpath(folder, "model.onnx"))))
x = safetensors_read(joinpath(folder, "inputs.safetensors"))["x"]
difference = maximum(abs, by_hand(x) .- unfolded(x))
foreach(_ -> foreach(f -> f(x), (by_hand, unfolded, folded)), 1:3)
times = [[@elapsed(f(x)) for f in (by_hand, unfolded, folded)] for _ in 1:(5 * rounds)]
column(k) = [row[k] for row in times]
println(PlainONNX.json_text((by_hand=column(1), unfolded=column(2), folded=column(3), difference=Float64(difference))))
"""


def graph_against_chain(folder: Path, rounds: int) -> dict[str, Any]:
    """Seconds of every call in one Julia process, and the largest difference of the outputs."""
    arguments = [str(ROOT / "native" / "flux" / "tempcnn.jl"), str(folder), str(rounds)]
    command = ["julia", "--startup-file=no"]
    return answered(IN_ONE_PROCESS, folder / "in_one_process.jl", command, arguments, "julia/flux")


def copies(folder: Path) -> float:
    """Median seconds that ``julia/onnxruntime`` needs to turn inputs and outputs from one order of axes into the other."""
    with Worker.start(RUNTIMES["julia/onnxruntime"], folder / "log") as worker:
        worker.request("load", path=str(folder / "model.onnx"), precision="float32")
        timed = worker.request("time", inputs=str(folder / "inputs.safetensors"), batch_sizes=[SAMPLES], seconds=1.0)
    return statistics.median(timed["batches"][0]["copy_seconds"])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, SAMPLES)
        export_unfolded(folder)
        found = graph_against_chain(folder, given.rounds)
        print(f"TempCNN, batch {SAMPLES}, one thread")
        for kind in ("by_hand", "unfolded", "folded"):
            print(f"   {kind:<10} median {statistics.median(found[kind]) * 1e3:7.1f} ms")
        print(f"1. graph, not folded / by hand: {pairs(found['unfolded'], found['by_hand']):.2f}   (limit 1.1)")
        print(f"   graph, folded / by hand: {pairs(found['folded'], found['by_hand']):.2f}")
        print(f"   largest difference of the outputs, not folded: {found['difference']:g}")
        runtimes = ("julia/base", "julia/flux", "julia/onnxruntime", "python/onnxruntime")
        names = [name for name in runtimes if availability(RUNTIMES[name]).installed]
        times = workers_in_turn(folder, tuple(names), SAMPLES, given.rounds)
        for runtime, seconds in times.items():
            print(f"   {runtime:<20} median {statistics.median(seconds) * 1e3:7.1f} ms")
        print(f"2. julia/base / julia/flux: {pairs(times['julia/base'], times['julia/flux']):.2f}   (limit 1.5)")
        print(f"   julia/base / onnxruntime: {pairs(times['julia/base'], times['python/onnxruntime']):.2f}   (limit 3)")
        if "julia/onnxruntime" in times:
            ratio = pairs(times["julia/onnxruntime"], times["python/onnxruntime"])
            print(f"3. julia/onnxruntime / python/onnxruntime: {ratio:.2f}")
            print(f"   both copies between the orders of axes: {copies(folder) * 1e3:.2f} ms a call, not counted above")
        print("4. hosts of julia/flux")
        print_hosts(hosts_in_turn(folder, "julia/flux", ("juliacall", "julia"), HOST_VARIABLE, given.rounds))


if __name__ == "__main__":
    main()
