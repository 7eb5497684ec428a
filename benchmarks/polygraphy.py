"""onnxruntime against onnxruntime: by Polygraphy and by the harness' worker, side by side.

    python -m benchmarks.polygraphy [--rounds 3] [--batch-size 256]

``polygraphy run model.onnx --onnxrt --onnxrt`` answers one question: do two runs of a file agree? The harness is asked the
same: one worker (a run starts one for each runtime), the same inputs, every output compared; once for the outputs at
batch 1, once for every tensor of the graph at batch 256. Prints wall seconds, CPU seconds and peak memory of each with
all its processes (resident, so that what processes share is counted in each), and the ratios harness / Polygraphy; beside
them ``harness compare``, which answers more: oracles in float64, floor, decisions, layers, report. Then one weight is
changed by one ULP, and what each finds is told.

Polygraphy gets an environment of its own in the cache folder, made once (some 200 MB); where that cannot be done the
benchmark says so and ends.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import venv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from benchmarks.by_hand import prepare
from harness.files.cache import cache_folder

VERSION = "0.53.6"

LOADER = """
import numpy as np
def load_data():
    yield {"x": np.load(%r)}
"""

#: The same question, asked of a runtime's worker, as a run asks it: outputs, or every tensor of the graph, compared one by one.
BY_HARNESS = """
import json, sys, tempfile
from pathlib import Path
import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file
from harness.compare.outputs import error_statistics
from harness.runtimes.process import Worker
from harness.runtimes.registry import RUNTIMES
first, second, inputs, layers = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4] == "layers"
with tempfile.TemporaryDirectory() as scratch:
    scratch = Path(scratch)
    save_file({"x": np.load(inputs)}, scratch / "x")
    worker = Worker.start(RUNTIMES["python/onnxruntime"], scratch / "log")
    names = None
    if layers:
        worker.request("structure", path=first, outputs=str(scratch / "graph"))
        nodes = json.loads((scratch / "graph").read_text())["nodes"]
        names = [name for node in nodes if node["operator"] != "Constant" for name in node["outputs"]]
    for number, model in enumerate((first, second)):
        worker.request("load", path=model, precision="float32")
        files = {"inputs": str(scratch / "x"), "outputs": str(scratch / f"y{number}")}
        if layers:
            worker.request("activations", names=names, **files)
        else:
            worker.request("predict", batch_size=None, **files)
        if first != second:
            worker.request("parameters", outputs=str(scratch / f"p{number}"))
    largest = tensors = 0
    with safe_open(scratch / "y0", "numpy") as one, safe_open(scratch / "y1", "numpy") as other:
        for name in one.keys():
            found = error_statistics(one.get_tensor(name), other.get_tensor(name))
            largest, tensors = max(largest, found.max_abs), tensors + 1
    held = ""
    if first != second:
        from harness.compare.file_parameters import compare_file_parameters
        from safetensors.numpy import load_file
        found = compare_file_parameters(load_file(scratch / "p0"), load_file(scratch / "p1"))
        held = f"{found.verdict.value}: {'; '.join(finding.message for finding in found.findings)}"
    worker.close()
print(json.dumps({"tensors": tensors, "largest": float(largest), "held": held}))
"""


@dataclass(frozen=True)
class Measured:
    """One run of a command with all its processes: wall and CPU seconds, peak megabytes, and what it printed."""

    wall: float
    cpu: float
    peak_mb: float
    output: str


def measured(command: list[str], variables: dict[str, str]) -> Measured:
    """Run a command; memory is looked at every 5 ms."""
    before = os.times()
    started = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, **variables}
    )
    peak = 0
    over = threading.Event()

    def watch() -> None:
        nonlocal peak
        root = psutil.Process(process.pid)
        while not over.wait(0.005):
            peak = max(peak, _resident(root))

    watcher = threading.Thread(target=watch)
    watcher.start()
    output, _ = process.communicate()
    wall = time.perf_counter() - started
    over.set()
    watcher.join()
    after = os.times()
    if process.returncode not in (0, 1):
        sys.exit(f"{' '.join(command[:6])} ended with {process.returncode}:\n{output[-2000:]}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Measured(wall, cpu, peak / 1e6, output)


def _resident(root: psutil.Process) -> int:
    total = 0
    try:
        for process in (root, *root.children(recursive=True)):
            try:
                total += process.memory_info().rss
            except psutil.NoSuchProcess:
                continue
    except psutil.NoSuchProcess:
        return 0
    return total


def polygraphy() -> Path | None:
    """The Python that has Polygraphy and the harness' own onnxruntime, made first where it is not there.

    Beside other packages Polygraphy would import what it finds of them, torch for one, and be slower for it. None, having
    said why, where it cannot be made.
    """
    same = [f"{name}=={importlib.metadata.version(name)}" for name in ("onnxruntime", "onnx", "numpy")]
    identity = hashlib.sha256(" ".join([sys.version, *same]).encode()).hexdigest()[:12]
    folder = cache_folder() / f"polygraphy-{VERSION}-{identity}"
    python = folder / "bin" / "python"
    if (folder / "made").exists():
        return python
    folder.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*pip, f"polygraphy=={VERSION}", *same], capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        print(f"Polygraphy {VERSION} cannot be installed, so there is nothing to compare with: {last}")
        return None
    (folder / "made").touch()
    return python


def one_ulp_away(model: Path, changed: Path) -> str:
    """Write the model with one value of its largest weight moved by one ULP; returns which."""
    import onnx

    proto = onnx.load(model)
    tensor = max(proto.graph.initializer, key=lambda entry: int(np.prod(entry.dims)))
    values = onnx.numpy_helper.to_array(tensor).copy()
    values.flat[7] = np.nextafter(values.flat[7], np.float32(np.inf))
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    onnx.save(proto, changed)
    return str(tensor.name)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=256, help="samples of the comparison of all layers")
    given = parser.parse_args()
    installed = polygraphy()
    if installed is None:
        return
    root = str(Path(__file__).resolve().parents[1])
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    theirs_in = threads
    ours_in = {**threads, "PYTHONPATH": root}
    poly = [str(installed), "-c", "import sys; from polygraphy.tools import main; sys.exit(main())", "run"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, 1)
        model = folder / "model.onnx"

        def inputs(batch: int) -> tuple[Path, Path]:
            array = folder / f"x{batch}.npy"
            np.save(array, np.random.default_rng(batch).normal(size=(batch, 13, 45)).astype(np.float32))
            loader = folder / f"loader{batch}.py"
            loader.write_text(LOADER % str(array))
            return array, loader

        for layers, batch in ((False, 1), (True, given.batch_size)):
            array, loader = inputs(batch)
            every = ["--onnx-outputs", "mark", "all"] if layers else []
            what = "layers" if layers else "outputs"
            commands = {
                "polygraphy": (
                    [*poly, str(model), "--onnxrt", "--onnxrt", "--data-loader-script", str(loader), *every],
                    theirs_in,
                ),
                "harness, one worker": (
                    [sys.executable, "-c", BY_HARNESS, str(model), str(model), str(array), what],
                    ours_in,
                ),
            }
            found: dict[str, list[Measured]] = {key: [] for key in commands}
            for _ in range(given.rounds):
                for key, (command, variables) in commands.items():
                    found[key].append(measured(command, variables))
            compare = [sys.executable, "-m", "harness", "compare", str(model), "--to", "python/onnxruntime"]
            compare += ["--probe", str(array), "--output", str(folder / "r"), "--store", str(folder / f"s{batch}")]
            found["harness compare"] = [measured(compare, ours_in)]
            _print(f"{what} at batch {batch}, {given.rounds} rounds, medians", found)
            print(f"  harness: {json.loads(found['harness, one worker'][0].output.splitlines()[-1])}")
        changed = folder / "changed.onnx"
        tensor = one_ulp_away(model, changed)
        array, loader = inputs(64)
        saved = str(folder / "outputs.json")
        data = ["--onnxrt", "--data-loader-script", str(loader)]
        measured([*poly, str(model), *data, "--save-outputs", saved], theirs_in)
        theirs = measured([*poly, str(changed), *data, "--load-outputs", saved], theirs_in)
        ours = measured([sys.executable, "-c", BY_HARNESS, str(model), str(changed), str(array), "outputs"], ours_in)
        print(f"one value of {tensor} changed by one ULP")
        print(f"  polygraphy: {'PASSED' if '[I] PASSED | Runtime' in theirs.output else 'FAILED'}")
        print(f"  harness:    {json.loads(ours.output.splitlines()[-1])['held']}")


def _print(title: str, found: dict[str, list[Measured]]) -> None:
    print(title)
    print(f"  {'':<22}{'wall s':>9}{'CPU s':>9}{'peak MB':>9}{'wall':>8}{'CPU':>8}{'memory':>8}   ratios to polygraphy")
    base = None
    for name, runs in found.items():
        values = [statistics.median(getattr(run, key) for run in runs) for key in ("wall", "cpu", "peak_mb")]
        base = base or values
        ratios = "".join(f"{value / other:8.2f}" for value, other in zip(values, base, strict=True))
        print(f"  {name:<22}{values[0]:9.2f}{values[1]:9.2f}{values[2]:9.0f}{ratios}")


if __name__ == "__main__":
    main()
