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
import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.by_hand import export_unfolded, prepare
from benchmarks.in_turn import answered, hosts_in_turn, pairs, print_hosts, workers_in_turn
from harness.runtimes.r import HOST_VARIABLE

SAMPLES = 64
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
    module = ROOT / "native" / "rtorch" / "tempcnn.R"
    arguments = [str(module), str(folder), str(rounds)]
    return answered(IN_ONE_PROCESS, folder / "in_one_process.R", ["Rscript", "--vanilla"], arguments, "r/torch")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, SAMPLES)
        export_unfolded(folder)
        found = graph_against_module(folder, given.rounds)
        print(f"TempCNN, batch {SAMPLES}, one thread")
        for kind in ("by_hand", "unfolded", "folded"):
            print(f"   {kind:<10} median {statistics.median(found[kind]) * 1e3:7.1f} ms")
        print(f"1. graph, not folded / by hand: {pairs(found['unfolded'], found['by_hand']):.2f}   (limit 1.1)")
        print(f"   graph, folded / by hand: {pairs(found['folded'], found['by_hand']):.2f}")
        print(f"   largest difference of the outputs, not folded: {found['difference'][0]:g}")
        times = workers_in_turn(folder, ("r/base", "r/torch"), SAMPLES, given.rounds)
        print(f"2. r/base / r/torch: {pairs(times['r/base'], times['r/torch']):.2f}   (limit 3)")
        print("3. hosts of r/torch")
        print_hosts(hosts_in_turn(folder, "r/torch", ("rpy2", "rscript"), HOST_VARIABLE, given.rounds))


if __name__ == "__main__":
    main()
