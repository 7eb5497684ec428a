"""8,192 samples through PyTorch and onnxruntime: by the harness' workers and by a script written by hand, side by side.

    python -m benchmarks.by_hand [--samples 8192] [--rounds 3]

The script is what a researcher would write: one process, both frameworks, the same batches, the same comparison of
outputs. The harness starts two workers, and passes files. Prints the ratio end to end (processes, loading, predictions,
comparison) and inside (around the frameworks' own calls), harness / by hand, round by round; limits 1.3 and 1.05.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from harness.models.spec import ModelSpec

BATCH = 256
THREADS = "1"

BY_HAND = """
import json, sys, time
from pathlib import Path
import numpy as np, onnxruntime, torch
from safetensors.numpy import load_file
sys.path.insert(0, sys.argv[3])
torch.set_num_threads(1)
folder, batch = Path(sys.argv[1]), int(sys.argv[2])
from native.pytorch.tempcnn import TempCNN
spec = json.loads((folder / "model.json").read_text())["hyperparameters"]
model = TempCNN(**spec)
state = load_file(folder / "weights.safetensors")
model.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()}, strict=False)
model.eval()
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
x = load_file(folder / "inputs.safetensors")["x"]
seconds = {}
started = time.perf_counter()
with torch.inference_mode():
    first = np.concatenate([model(torch.from_numpy(x[i:i + batch])).numpy() for i in range(0, len(x), batch)])
seconds["python/pytorch"] = time.perf_counter() - started
started = time.perf_counter()
second = np.concatenate([session.run(None, {"x": x[i:i + batch]})[0] for i in range(0, len(x), batch)])
seconds["python/onnxruntime"] = time.perf_counter() - started
agree = float((first.argmax(1) == second.argmax(1)).mean())
print(json.dumps({"seconds": seconds, "max": float(np.abs(first - second).max()), "agree": agree}))
"""

BY_HARNESS = """
import json, sys, tempfile
from pathlib import Path
from safetensors.numpy import load_file
from harness.compare.outputs import error_statistics
from harness.runtimes.process import Worker
from harness.runtimes.registry import RUNTIMES
folder, batch = Path(sys.argv[1]), int(sys.argv[2])
seconds, outputs = {}, []
with tempfile.TemporaryDirectory() as scratch:
    scratch = Path(scratch)
    models = {"python/pytorch": "weights.safetensors", "python/onnxruntime": "model.onnx"}
    workers = {name: Worker.start(RUNTIMES[name], scratch / "log") for name in models}
    for name, file in models.items():
        out = scratch / (name.replace("/", "-") + ".safetensors")
        workers[name].request("load", path=str(folder / file), precision="float32")
        files = {"inputs": str(folder / "inputs.safetensors"), "outputs": str(out)}
        done = workers[name].request("predict", **files, batch_size=batch)
        seconds[name] = done["seconds"]
        outputs.append(load_file(out)["logits"])
    for worker in workers.values():
        worker.close()
first, second = outputs
found = error_statistics(first, second)
agree = float((first.argmax(1) == second.argmax(1)).mean())
print(json.dumps({"seconds": seconds, "max": found.max_abs, "agree": agree}))
"""


def drawn_weights(spec: ModelSpec, random: np.random.Generator) -> dict[str, Any]:
    """Weights and statistics of a model that was never trained, by canonical name."""
    weights = {}
    for parameter in spec.parameters:
        spread = (1 / np.prod(parameter.shape[1:])) ** 0.5 if parameter.role == "weight" else 0.1
        values = random.normal(0, spread, parameter.shape)
        weights[parameter.name] = (abs(values) + 0.5 if parameter.role == "variance" else values).astype(np.float32)
    return weights


def prepare(folder: Path, samples: int) -> None:
    """An untrained TempCNN of the usual size, exported, and random inputs (sample, band, time)."""
    from safetensors.numpy import save_file

    from harness.models import tempcnn
    from harness.runtimes.process import Worker
    from harness.runtimes.registry import RUNTIMES

    random = np.random.default_rng(0)
    spec = tempcnn.build(bands=13, dates=45, classes=9)
    save_file(drawn_weights(spec, random), folder / "weights.safetensors")
    save_file({"x": random.normal(size=(samples, 13, 45)).astype(np.float32)}, folder / "inputs.safetensors")
    (folder / "model.json").write_text(spec.to_json())
    (folder / "metadata.json").write_text("{}")
    with Worker.start(RUNTIMES["python/pytorch"], folder / "log") as worker:
        worker.request(
            "export",
            weights=str(folder / "weights.safetensors"),
            metadata=str(folder / "metadata.json"),
            out=str(folder),
            route="torch-script",
            opset=17,
            fold=True,
        )


def export_unfolded(folder: Path) -> None:
    """The model of :func:`prepare` once more, with its batch normalisations: ``unfolded/model.onnx``."""
    from harness.runtimes.process import Worker
    from harness.runtimes.registry import RUNTIMES

    out = folder / "unfolded"
    out.mkdir()
    with Worker.start(RUNTIMES["python/pytorch"], folder / "log") as worker:
        worker.request(
            "export",
            weights=str(folder / "weights.safetensors"),
            metadata=str(folder / "metadata.json"),
            out=str(out),
            route="torch-dynamo",
            opset=18,
            fold=False,
        )


def measured(code: str, folder: Path) -> tuple[float, dict[str, float], dict[str, float]]:
    """Wall seconds of a whole process, seconds inside by framework, and what it found."""
    root = str(Path(__file__).resolve().parents[1])
    variables = {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": THREADS, "MKL_NUM_THREADS": THREADS}
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder), str(BATCH), root], env=variables, capture_output=True, text=True
    )
    wall = time.perf_counter() - started
    if done.returncode:
        sys.exit(done.stderr)
    answer = json.loads(done.stdout.splitlines()[-1])
    return wall, answer.pop("seconds"), answer


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=8192)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    walls, inside = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, given.samples)
        print(f"{given.samples} samples, batch {BATCH}, {THREADS} thread; seconds: harness / by hand = ratio")
        for number in range(1, given.rounds + 1):
            ours, ours_inside, ours_found = measured(BY_HARNESS, folder)
            theirs, theirs_inside, theirs_found = measured(BY_HAND, folder)
            if ours_found != theirs_found:
                sys.exit(f"the two found different things: {ours_found} and {theirs_found}")
            walls.append(ours / theirs)
            inside.append(sum(ours_inside.values()) / sum(theirs_inside.values()))
            print(f"round {number}  end to end {ours:6.2f} / {theirs:6.2f} = {walls[-1]:.2f}", end="   ")
            print("   ".join(f"{k} {ours_inside[k]:5.2f} / {theirs_inside[k]:5.2f}" for k in ours_inside))
        print(f"median end to end {statistics.median(walls):.2f} (limit 1.3)", end="   ")
        print(f"median inside {statistics.median(inside):.2f} (limit 1.05)   both found {ours_found}")


if __name__ == "__main__":
    main()
