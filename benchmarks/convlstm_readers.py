"""ConvLSTM in R torch and Flux on one thread: the graphs of its exports against the model written by hand.

    python -m benchmarks.convlstm_readers [--steps 18] [--rounds 3] [--filters 64]

The thesis' model on frames of 64 x 64, one sample: written by hand (``native/rtorch/convlstm.R``, ``native/flux/convlstm.jl``),
the Scan that PyTorch's exporter makes of it, and the Loop that Keras' makes of it, with the same weights in one process. Calls are
taken in turn, ratios pair by pair (limit 1.25), of seconds by the clock and of those the processor spent on them, which on a busy
machine tell more.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.by_hand import drawn_weights
from benchmarks.in_turn import answered, pairs
from harness.models import convlstm
from harness.runtimes.process import Worker
from harness.runtimes.registry import RUNTIMES

SIDE = 64
ROOT = Path(__file__).resolve().parents[1]

#: By folder: the runtime whose exporter writes it, the route, and the opset asked for.
EXPORTS = {"scan": ("python/pytorch", "torch-scan", 18), "loop": ("python/keras-tensorflow", "keras-export", 15)}

IN_R = """
arguments <- commandArgs(TRUE)
source(arguments[1])
folder <- arguments[2]
torch::torch_set_num_threads(1L)
graph <- function(name) plainonnx::as_nn_module(plainonnx::onnx_read(file.path(folder, name, "model.onnx")))
models <- list(by_hand = convlstm_load(file.path(folder, "weights.safetensors")), scan = graph("scan"), loop = graph("loop"))
x <- safetensors::safe_load_file(file.path(folder, "inputs.safetensors"), framework = "torch")$x
torch::local_no_grad()
found <- lapply(models, function(model) model(x))
apart <- function(name) as.numeric(torch::torch_max(torch::torch_abs(found[[name]] - found$by_hand)))
seconds <- function(model) {
  spent <- system.time(model(x))
  c(spent[["elapsed"]], sum(spent[c("user.self", "sys.self")]))
}
times <- lapply(seq_len(as.integer(arguments[3])), function(round) lapply(models, seconds))
column <- function(name, k) vapply(times, function(row) row[[name]][k], 0)
answer <- c(
  lapply(c(by_hand = "by_hand", scan = "scan", loop = "loop"), function(name) list(wall = column(name, 1), cpu = column(name, 2))),
  list(difference = max(apart("scan"), apart("loop")))
)
cat(jsonlite::toJSON(answer, digits = NA))
"""

IN_JULIA = """
using Flux, PlainONNX
include(ARGS[1])
folder, rounds = ARGS[2], parse(Int, ARGS[3])
PlainONNX.pin_threads()
graph(name) = testmode!(as_flux_model(onnx_read(joinpath(folder, name, "model.onnx"))))
models = (by_hand=convlstm_load(joinpath(folder, "weights.safetensors")), scan=graph("scan"), loop=graph("loop"))
x = safetensors_read(joinpath(folder, "inputs.safetensors"))["x"]
found = map(model -> model(x), models)
difference = maximum(maximum(abs, y .- found.by_hand) for y in found)
function seconds(model)
    wall, cpu = PlainONNX.wall_clock(), PlainONNX.cpu_clock()
    model(x)
    PlainONNX.wall_clock() - wall, PlainONNX.cpu_clock() - cpu
end
times = [map(seconds, models) for _ in 1:rounds]
column(name) = (wall=[row[name][1] for row in times], cpu=[row[name][2] for row in times])
println(PlainONNX.json_text((
    by_hand=column(:by_hand), scan=column(:scan), loop=column(:loop), difference=[Float64(difference)]
)))
"""

#: By runtime: the program, the script's name, how it is started, and the model written by hand.
PROGRAMS = {
    "r/torch": (IN_R, "in_turn.R", ["Rscript", "--vanilla"], "rtorch/convlstm.R"),
    "julia/flux": (IN_JULIA, "in_turn.jl", ["julia", "--startup-file=no"], "flux/convlstm.jl"),
}


def prepare(folder: Path, steps: int, filters: int) -> None:
    """An untrained ConvLSTM and its exports, and random frames (sample, band, time, row, column)."""
    from safetensors.numpy import save_file

    random = np.random.default_rng(0)
    spec = convlstm.build(
        bands=1, history=steps, horizon=steps, rows=SIDE, columns=SIDE, hyperparameters={"filters": (filters,) * 4}
    )
    save_file(drawn_weights(spec, random), folder / "weights.safetensors")
    frames = random.random((1, 1, steps, SIDE, SIDE), np.float32)
    save_file({"x": frames}, folder / "inputs.safetensors")
    (folder / "model.json").write_text(spec.to_json())
    (folder / "metadata.json").write_text("{}")
    for name, (runtime, route, opset) in EXPORTS.items():
        (folder / name).mkdir()
        with Worker.start(RUNTIMES[runtime], folder / "log") as worker:
            worker.request(
                "export",
                weights=str(folder / "weights.safetensors"),
                metadata=str(folder / "metadata.json"),
                out=str(folder / name),
                route=route,
                opset=opset,
                fold=True,
            )


def measured(folder: Path, runtime: str, rounds: int) -> dict[str, Any]:
    """Seconds of every call in one process, and the largest difference of the outputs from those of the model by hand."""
    program, name, command, by_hand = PROGRAMS[runtime]
    arguments = [str(ROOT / "native" / by_hand), str(folder), str(rounds)]
    return answered(program, folder / name, command, arguments, runtime)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=18)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--filters", type=int, default=64)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, given.steps, given.filters)
        print(
            f"ConvLSTM, {given.filters} filters, {given.steps} frames of {SIDE} x {SIDE}, one thread (limit 1.25;",
            end=" ",
        )
        print(f"load of the machine {os.getloadavg()[0]:.1f})")
        for runtime in PROGRAMS:
            found = measured(folder, runtime, given.rounds)
            by_hand = found["by_hand"]
            for kind in ("by_hand", "scan", "loop"):
                wall, cpu = found[kind]["wall"], found[kind]["cpu"]
                medians = f"median {statistics.median(wall):6.2f} s, processor {statistics.median(cpu):6.2f} s"
                line = f"   {runtime:<11} {kind:<8} {medians}"
                if kind != "by_hand":
                    line += (
                        f"   / by hand {pairs(wall, by_hand['wall']):.2f}, processor {pairs(cpu, by_hand['cpu']):.2f}"
                    )
                print(line)
            print(f"   {runtime:<11} largest difference of the outputs: {found['difference'][0]:g}")


if __name__ == "__main__":
    main()
