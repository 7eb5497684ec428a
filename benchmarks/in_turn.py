"""Workers asked in turn, so that what else the machine does falls on all of them alike; ratios are taken pair by pair."""

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
from harness.runtimes.launch import environment
from harness.runtimes.process import Worker
from harness.runtimes.registry import RUNTIMES, availability

MEGABYTES = 32


def workers_in_turn(folder: Path, names: tuple[str, ...], samples: int, rounds: int) -> dict[str, list[float]]:
    """Seconds around the own call of each engine on ``model.onnx`` and ``inputs.safetensors``; the first round is left out."""
    times: dict[str, list[float]] = {name: [] for name in names}
    workers = {name: Worker.start(RUNTIMES[name], folder / "log") for name in times}
    for worker in workers.values():
        worker.request("load", path=str(folder / "model.onnx"), precision="float32")
    files = {"inputs": str(folder / "inputs.safetensors"), "outputs": str(folder / "out.safetensors")}
    for _ in range(rounds + 1):
        for name, worker in workers.items():
            times[name].append(worker.request("predict", **files, batch_size=samples)["seconds"])
    for worker in workers.values():
        worker.close()
    return {name: seconds[1:] for name, seconds in times.items()}


def against_onnxruntime(runtime: str, samples: int) -> None:
    """Measure a runtime and ``python/onnxruntime`` on an untrained TempCNN and print both, and the ratio pair by pair."""
    parser = argparse.ArgumentParser(description=f"TempCNN at batch {samples}: {runtime} against onnxruntime.")
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, samples)
        times = workers_in_turn(folder, (runtime, "python/onnxruntime"), samples, rounds)
        with Worker.start(RUNTIMES[runtime], folder / "log") as worker:
            blas = worker.request("describe")["versions"].get("BLAS", "unknown")
    for name, seconds in times.items():
        print(f"{name:<20} median {statistics.median(seconds) * 1e3:8.1f} ms   fastest {min(seconds) * 1e3:8.1f} ms")
    print(f"{runtime} / onnxruntime, pair by pair: median {pairs(*times.values()):.1f}   (its BLAS: {blas})")


def identity_model(path: Path) -> None:
    """A model that returns what it gets: float32 (row, 1024)."""
    import onnx
    from onnx import TensorProto, helper

    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["row", 1024]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "identity", values[:1], values[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def hosts_in_turn(
    folder: Path, runtime: str, hosts: tuple[str, ...], variable: str, rounds: int
) -> dict[str, dict[str, float]]:
    """Median seconds to start, per small call, and per megabyte there and back, by host of one runtime.

    ``variable`` is that of the environment which asks for a host. Hosts that are not here are told and left out.
    """
    from safetensors.numpy import save_file

    identity_model(folder / "identity.onnx")
    for name, rows in {"small": 1, "large": MEGABYTES * 256}.items():
        save_file({"x": np.ones((rows, 1024), np.float32)}, folder / f"{name}.safetensors")
    starts, workers = {}, {}
    for host in hosts:
        os.environ[variable] = host
        here = availability(RUNTIMES[runtime])
        if not here.installed:
            print(f"   {host}: {here.reason}; install it with: {here.install}")
            continue
        began = time.perf_counter()
        workers[host] = Worker.start(RUNTIMES[runtime], folder / "log")
        said = workers[host].request("describe")
        starts[host] = time.perf_counter() - began
        if said["host"] != host:
            raise SystemExit(f"asked for {host}, got {said['host']}")
        workers[host].request("load", path=str(folder / "identity.onnx"), precision="float32")
    del os.environ[variable]
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


def print_hosts(costs_by_host: dict[str, dict[str, float]]) -> None:
    """The costs of :func:`hosts_in_turn`, and the ratios of the first host to the second."""
    for host, costs in costs_by_host.items():
        print(
            f"   {host:<9} start {costs['start']:5.2f} s   call {costs['call'] * 1e3:6.2f} ms   "
            f"megabyte there and back {costs['megabyte'] * 1e3:6.2f} ms"
        )
    if len(costs_by_host) == 2:
        (first, ours), (second, theirs) = costs_by_host.items()
        for what in ("start", "call", "megabyte"):
            print(f"   {first} / {second}, {what}: {ours[what] / theirs[what]:.2f}")


def answered(program: str, script: Path, command: list[str], arguments: list[str], runtime: str) -> dict[str, Any]:
    """What a program in R or Julia prints as the JSON of its last line; it is written to ``script`` and run by ``command``.

    In the environment of a runtime's worker with one thread. Ends with what the program said where it failed.
    """
    script.write_text(program, encoding="utf-8")
    done = subprocess.run(
        [*command, str(script), *arguments], env=environment(RUNTIMES[runtime], 1), capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def pairs(above: list[float], below: list[float]) -> float:
    """The median of the ratios, pair by pair."""
    return statistics.median(a / b for a, b in zip(above, below, strict=True))
