"""ConvLSTM in every framework on one thread: a forecast and one step of training in turn, and the memory of a whole radar frame.

    python -m benchmarks.convlstm [--rounds 5] [--rows 64] [--columns 64] [--history 18] [--filters 64] [--memory]

PyTorch, Keras on TensorFlow, on PyTorch and on JAX, R torch and Flux hold the same weights, each in a process of its own, and are
asked in turn, so that what else the machine does falls on all of them alike. Prints medians, the ratio to PyTorch pair by
pair, the largest difference of the forecasts from PyTorch's, and the peak of resident memory. ``--memory`` adds the peak of one
forecast of 18 frames of 344 x 315, one framework after another in fresh processes: minutes, and some gigabytes each. Frameworks
that are not here are told and left out.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.in_turn import pairs
from harness.runtimes.launch import environment
from harness.runtimes.python import interpreter
from harness.runtimes.registry import RUNTIMES, availability

ROOT = Path(__file__).resolve().parents[1]

#: Each answers a line ``predict`` or ``train`` with the seconds of that call, and ``end`` with the peak of its memory in bytes.
PYTHON = """
import importlib, json, sys, time
from pathlib import Path
from harness.runtimes.table import RUNTIMES
from harness.workers.serve import pin_threads
pin_threads()
framework, folder = sys.argv[1], Path(sys.argv[2])
engine = importlib.import_module(RUNTIMES["python/" + framework].worker).ENGINE()
from harness.models.spec import ModelSpec
from harness.workers.tensors import read_tensors, write_tensors
from harness.workers.call_timing import resident_peak
from harness.workers.training.train import Settings
data = read_tensors(folder / "data")
model = engine.load(folder / "weights.safetensors", "float32")
call = model.prepared({"x": data["x"]})
learner = None

def train():
    global learner
    if learner is None:
        spec, settings = ModelSpec.from_json((folder / "model.json").read_text()), Settings(1, 2, 1e-3, 0.0, 0)
        if framework == "pytorch":
            from harness.workers.pytorch.learner import PytorchLearner
            learner = PytorchLearner(spec, settings, "mse", 0)
        else:
            from harness.workers.keras.learner import KerasLearner
            learner = KerasLearner(spec, settings, "mse", 0, framework=framework, versions={}, threads=1)
        learner.begin_epoch(0)
    learner.step({"x": data["x"]}, (data["y"], data["y"] >= 0))

from harness.workers.engine import Stopwatch
write_tensors(folder / (framework + ".y"), model.run({"x": data["x"]}, Stopwatch()))
for line in sys.stdin:
    if line.strip() == "end":
        print(resident_peak(), flush=True)
        break
    started = time.perf_counter()
    call() if line.strip() == "predict" else train()
    print(time.perf_counter() - started, flush=True)
"""

R = """
arguments <- commandArgs(TRUE)
folder <- arguments[2]
source(file.path(arguments[3], "native", "rtorch", "convlstm.R"))
torch::torch_set_num_threads(1L)
data <- safetensors::safe_load_file(file.path(folder, "data"), framework = "torch")
model <- convlstm_load(file.path(folder, "weights.safetensors"))
forecast <- function() torch::with_no_grad(model(data$x))
safetensors::safe_save_file(list(forecast = forecast()$contiguous()), file.path(folder, "rtorch.y"))
optimiser <- torch::optim_adam(model$parameters, lr = 1e-3)
train <- function() {
  model$train()
  optimiser$zero_grad()
  loss <- torch::nnf_mse_loss(model(data$x), data$y)
  loss$backward()
  optimiser$step()
  loss$item()
}
lines <- file("stdin", "r")
repeat {
  line <- readLines(lines, 1L)
  if (line == "end") {
    status <- readLines("/proc/self/status")
    kilobytes <- as.numeric(gsub("[^0-9]", "", grep("^VmHWM", status, value = TRUE)))
    cat(format(kilobytes * 1024, scientific = FALSE), "\\n", sep = "")
    break
  }
  if (line == "predict") model$eval()
  began <- Sys.time()
  if (line == "predict") forecast() else train()
  cat(format(as.numeric(Sys.time() - began, units = "secs"), digits = 15), "\\n", sep = "")
  flush(stdout())
}
"""

JULIA = """
using Flux, PlainONNX
folder = ARGS[2]
include(joinpath(ARGS[3], "native", "flux", "convlstm.jl"))
PlainONNX.pin_threads()
data = safetensors_read(joinpath(folder, "data"))
model = convlstm_load(joinpath(folder, "weights.safetensors"))
safetensors_write(Dict("forecast" => model(data["x"])), joinpath(folder, "flux.y"))
optimiser = Flux.setup(Adam(1f-3), model)
function train()
    trainmode!(model)
    gradients = Flux.gradient(model -> Flux.mse(model(data["x"]), data["y"]), model)
    Flux.update!(optimiser, model, gradients[1])
end
for line in eachline(stdin)
    if line == "end"
        println(Sys.maxrss())
        break
    end
    line == "predict" && testmode!(model)
    println(line == "predict" ? @elapsed(model(data["x"])) : @elapsed(train()))
    flush(stdout)
end
"""

#: Framework, the runtime whose environment it needs, how a script is started, and the script.
FRAMEWORKS: dict[str, tuple[str, list[str], str]] = {
    "pytorch": ("python/pytorch", [sys.executable], PYTHON),
    "keras-tensorflow": ("python/keras-tensorflow", [sys.executable], PYTHON),
    "keras-torch": ("python/keras-torch", [sys.executable], PYTHON),
    "keras-jax": ("python/keras-jax", [interpreter(RUNTIMES["python/keras-jax"])], PYTHON),
    "rtorch": ("r/torch", ["Rscript", "--vanilla"], R),
    "flux": ("julia/flux", ["julia", "--startup-file=no"], JULIA),
}


class Asked:
    """A process that holds the model in one framework and answers line by line."""

    def __init__(self, framework: str, folder: Path) -> None:
        runtime, command, text = FRAMEWORKS[framework]
        script = folder / f"{framework}.script"
        script.write_text(text, encoding="utf-8")
        self.framework, self.log = framework, folder / f"{framework}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, str(script), framework, str(folder), str(ROOT)],
                env=environment(RUNTIMES[runtime], 1),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def __call__(self, line: str) -> float:
        """The number that it answers. Ends the program with its log where it has ended."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(f"{line}\n")
            self.process.stdin.flush()
            return float(self.process.stdout.readline())
        except (OSError, ValueError):
            raise SystemExit(f"{self.framework} ended: {self.log.read_text()[-2000:]}") from None


def write_case(folder: Path, rows: int, columns: int, history: int, filters: int) -> None:
    """Weights, specification and data of one case: one sequence, targets from 0 to 1."""
    from harness.models import convlstm
    from harness.workers.tensors import write_tensors

    folder.mkdir()
    spec = convlstm.build(
        **{"bands": 1, "history": history, "horizon": history, "rows": rows, "columns": columns},
        preset="thesis-pytorch",
        hyperparameters={"filters": [filters] * 4},
    )
    generator = np.random.default_rng(0)
    weights = {}
    for parameter in spec.parameters:
        values = generator.standard_normal(parameter.shape) * (2 / np.sqrt(np.prod(parameter.shape[1:]) + 1))
        if parameter.role in ("scale", "variance"):
            values = generator.uniform(0.5, 1.5, parameter.shape)
        weights[parameter.name] = values.astype(np.float32)
    write_tensors(folder / "weights.safetensors", weights)
    (folder / "model.json").write_text(spec.to_json())
    (folder / "metadata.json").write_text(json.dumps({}))
    shape = (1, 1, history, rows, columns)
    data = {name: generator.random(shape).astype(np.float32) for name in ("x", "y")}
    write_tensors(folder / "data", data)


def in_turn(folder: Path, frameworks: list[str], rounds: int) -> dict[str, dict[str, Any]]:
    """Seconds of every call by framework, and the peak of its memory; a first round, which compiles, is left out."""
    asked = {name: Asked(name, folder) for name in frameworks}
    found: dict[str, dict[str, Any]] = {name: {"predict": [], "train": []} for name in frameworks}
    for _ in range(rounds + 1):
        for what in ("predict", "train"):
            for name, ask in asked.items():
                found[name][what].append(ask(what))
    for name, ask in asked.items():
        found[name] |= {what: found[name][what][1:] for what in ("predict", "train")} | {"peak": ask("end")}
        ask.process.wait()
    return found


def difference(folder: Path, framework: str) -> float:
    """The largest difference of a framework's forecast from PyTorch's."""
    from harness.workers.tensors import read_tensors

    first, second = (next(iter(read_tensors(folder / f"{name}.y").values())) for name in ("pytorch", framework))
    return float(np.abs(first - second).max())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in (("rounds", 5), ("rows", 64), ("columns", 64), ("history", 18), ("filters", 64)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--memory", action="store_true", help="the peak of one forecast at 18 x 344 x 315, too")
    given = parser.parse_args()
    frameworks = []
    for name, (runtime, _, _) in FRAMEWORKS.items():
        here = availability(RUNTIMES[runtime])
        if here.installed:
            frameworks.append(name)
        else:
            print(f"{name}: {here.reason}; install it with: {here.install}")
    if "pytorch" not in frameworks:
        raise SystemExit("ratios are taken to PyTorch, which is not here")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "case"
        write_case(folder, given.rows, given.columns, given.history, given.filters)
        found = in_turn(folder, frameworks, given.rounds)
        size = f"{given.history} x {given.rows} x {given.columns}"
        print(f"ConvLSTM, 4 layers of {given.filters} filters, {size}, batch 1, one thread, {given.rounds} rounds")
        for framework, times in found.items():
            shown = "   ".join(
                f"{what} {statistics.median(times[what]) * 1e3:9.1f} ms, {pairs(times[what], found['pytorch'][what]):5.2f} x"
                for what in ("predict", "train")
            )
            apart = difference(folder, framework)
            print(f"   {framework:<17} {shown}   peak {times['peak'] / 1e6:6.0f} MB   difference {apart:.1e}")
        if given.memory:
            whole = Path(name) / "whole"
            write_case(whole, 344, 315, 18, given.filters)
            print("Peak of resident memory of one forecast, 18 x 344 x 315")
            for framework in frameworks:
                ask = Asked(framework, whole)
                seconds, peak = ask("predict"), ask("end")
                ask.process.wait()
                print(f"   {framework:<17} {peak / 1e6:6.0f} MB   {seconds:6.1f} s", flush=True)


if __name__ == "__main__":
    main()
