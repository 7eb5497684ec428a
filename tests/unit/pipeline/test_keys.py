"""Keys of steps: they follow every line of code and every content that decides a result, and nothing else."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.files import remembered_digests as digests
from harness.pipeline import source_code
from harness.pipeline.execution import step_keys
from harness.pipeline.fingerprint import worker_hash
from harness.pipeline.plan import Plan, make_plan
from harness.runtimes.registry import RUNTIMES, availability, sources
from harness.runtimes.row import Availability
from harness.scenario.sections import Scenario

DOCUMENT: dict[str, Any] = {
    "scenario": "small",
    "title": "Small",
    "data": {"source": "synthetic-crops"},
    "model": {"name": "tempcnn"},
    "routes": ["safetensors", "torch-script"],
    "targets": ["python/pytorch", "python/onnxruntime", "r/base", "julia/base"],
    "timing": True,
}


def plan(**sections: Any) -> Plan:
    return make_plan(Scenario.model_validate(DOCUMENT | sections))


def worker_modules(runtime: str) -> set[str]:
    """The modules of the harness that a real process of a Python runtime has loaded once it described itself."""
    code = (
        "import json, sys; from harness.workers.serve import Server\n"
        f'answer = json.loads(Server({runtime!r}, {RUNTIMES[runtime].worker!r}).handle(\'{{"id": 1, "request": "describe"}}\'))\n'
        "assert answer['ok'], answer\n"
        "print(json.dumps([name for name in sys.modules if name.partition('.')[0] == 'harness']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package that the keys are made from."""
    copy = tmp_path / "harness"
    shutil.copytree(source_code.PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "_native"))
    monkeypatch.setattr(source_code, "PACKAGE", copy)
    return copy


def changed(package: Path, module: str) -> Iterator[None]:
    """The module with a line more, and as it was again."""
    path = source_code._file(module)
    assert path.is_relative_to(package)
    before = path.read_bytes()
    path.write_bytes(before + b"\n# another line\n")
    yield
    path.write_bytes(before)


@pytest.mark.parametrize(
    "runtime",
    [
        # TensorFlow takes ten seconds to load.
        pytest.param(name, marks=pytest.mark.slow) if "tensorflow" in row.packages else name
        for name, row in RUNTIMES.items()
        if row.worker and row.environment is None
    ],
)
def test_what_a_worker_loads_is_followed(runtime: str) -> None:
    if not availability(RUNTIMES[runtime]).installed:
        pytest.skip(f"{runtime}: {availability(RUNTIMES[runtime]).reason}")
    followed = source_code.loaded("harness.workers.serve", RUNTIMES[runtime].worker)
    assert worker_modules(runtime) <= followed


def test_a_line_in_any_module_of_its_worker_changes_the_key_of_a_training(package: Path) -> None:
    steps = plan()
    key = step_keys(steps)["train"]
    modules = source_code.loaded("harness.workers.serve", RUNTIMES["python/pytorch"].worker)
    assert {"harness.tasks.frame_metrics", "harness.tasks.forecast", "harness.models.spec"} <= modules
    for module in sorted(modules):
        for _ in changed(package, module):
            assert step_keys(steps)["train"] != key, module
    assert step_keys(steps)["train"] == key


def test_a_line_in_the_report_changes_no_key(package: Path) -> None:
    steps = plan()
    keys = step_keys(steps)
    reports = [f"harness.report.{path.stem}" for path in (package / "report").glob("*.py") if path.stem != "__init__"]
    assert reports
    for module in [*reports, "harness.cli.app", "harness.results.evaluate", "harness.runtimes.registry"]:
        for _ in changed(package, module):
            assert step_keys(steps) == keys, module


@pytest.mark.parametrize(
    ("module", "kinds"),
    [
        ("harness.data.sources.synthetic_crops", {"data"}),
        ("harness.pipeline.layers", {"layers"}),
        ("harness.workers.onnx.onnxruntime_engine", {"target", "layers", "timing", "agreement"}),
        ("harness.pipeline.node_votes", {"agreement"}),
        ("harness.runtimes.process_timing", {"timing"}),
    ],
)
def test_a_line_changes_the_keys_of_those_who_load_it_alone(package: Path, module: str, kinds: set[str]) -> None:
    steps = plan()

    def outside() -> dict[str, Any]:
        source_code.read_anew()
        return {step.id: step.outside() for step in steps.steps}

    before = outside()
    for _ in changed(package, module):
        after = outside()
    assert {step.kind for step in steps.steps if before[step.id] != after[step.id]} == kinds


def test_a_line_in_what_models_of_flux_share_changes_the_keys_of_flux_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "native"
    shutil.copytree(source_code.native_folder(), copy)
    monkeypatch.setattr(source_code, "native_folder", lambda: copy)
    rows = [row for row in RUNTIMES.values() if sources(row).native]

    def hashes() -> dict[str, str]:
        source_code.read_anew()
        return {row.name: worker_hash(row) for row in rows}

    before = hashes()
    with (copy / "flux" / "weights.jl").open("a") as file:
        file.write("# another line\n")
    after = hashes()
    source_code.read_anew()
    assert {name for name in before if before[name] != after[name]} == {"julia/flux"}


def test_a_module_that_does_not_exist_is_refused(package: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no module harness\.nowhere"):
        source_code.code_hash("harness.nowhere")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        source_code.native_hash("nowhere")


def test_imports_are_found_wherever_they_stand(package: Path) -> None:
    package.joinpath("looked_at.py").write_text(
        "from typing import TYPE_CHECKING\n"
        "from importlib import import_module\n"
        "if TYPE_CHECKING:\n    from harness.report import read\n"
        "def later(name):\n"
        "    from harness.compare.ulp import ulp_distance\n"
        "    return import_module(f'harness.models.{name}_layouts')\n"
    )
    found = source_code.loaded("harness.looked_at")
    assert {"harness.compare.ulp", "harness.models.tempcnn_layouts"} <= found
    assert "harness.report.read" not in found


@pytest.mark.parametrize(
    ("name", "counts"),
    [("python", False), ("jsonlite", False), ("rpy2", False), ("juliacall", False), ("torch", True), ("R", True)],
)
def test_versions_count_that_change_a_result(monkeypatch: pytest.MonkeyPatch, name: str, counts: bool) -> None:
    def keys(version: str) -> dict[str, str]:
        monkeypatch.setattr(
            "harness.pipeline.fingerprint.availability", lambda row: Availability(True, {name: version})
        )
        return step_keys(plan())

    assert (keys("1.0") != keys("2.0")) is counts


def test_libraries_that_read_the_data_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = step_keys(plan())
    monkeypatch.setattr("harness.pipeline.provenance.library_versions", lambda: {"h5py": "0.1", "python": "3.99"})
    assert step_keys(plan()) == keys


def test_data_count_by_their_content_and_not_by_their_place(tmp_path: Path) -> None:
    def keys(place: Path, factor: float = 1.0) -> dict[str, str]:
        place.mkdir()
        np.save(place / "x.npy", factor * np.ones((40, 5, 2), np.float32))
        np.save(place / "y.npy", np.arange(40) % 2)
        options = {"x": "x.npy", "y": "y.npy", "base": str(place), "bands": ["a", "b"], "class_names": ["c", "d"]}
        return step_keys(plan(data={"source": "npy", "options": options}))

    first = keys(tmp_path / "one")
    assert keys(tmp_path / "two") == first
    assert not set(keys(tmp_path / "three", 2.0).values()) & {first[name] for name in ("data", "train", "source")}


def test_weights_count_by_their_content_and_not_by_their_place(tmp_path: Path) -> None:
    def key(place: Path, content: bytes = b"weights") -> str:
        place.mkdir()
        (place / "weights.safetensors").write_bytes(content)
        return step_keys(plan(source={"file": str(place / "weights.safetensors")}))["import"]

    first = key(tmp_path / "one")
    assert key(tmp_path / "two") == first
    assert key(tmp_path / "three", b"others") != first


def test_a_large_file_is_read_once_while_nobody_touches_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "large"
    path.write_bytes(b"one")
    first = digests.remembered_hash(path)
    monkeypatch.setattr(digests, "file_hash", lambda path: pytest.fail("read again"))
    assert digests.remembered_hash(path) == first
    monkeypatch.undo()
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    for memory in (tmp_path / "cache").rglob("*"):
        if memory.is_file():
            memory.write_text("{")
    assert digests.remembered_hash(path) == first == digests.file_hash(path)
    path.write_bytes(b"other")
    assert digests.remembered_hash(path) != first


def forget_imports() -> None:
    source_code._imports_at.cache_clear()
    source_code._parsed_before.cache_clear()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache of a process that has found no imports yet."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    forget_imports()
    yield tmp_path
    forget_imports()


@pytest.mark.usefixtures("cache")
def test_imports_found_by_one_process_are_read_by_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    modules = ("harness.workers.serve", "harness.files.cache")
    found = source_code.loaded(*modules)
    source_code.keep_parsed()

    forget_imports()
    monkeypatch.setattr(source_code, "_named", lambda path: pytest.fail(f"{path} is parsed again"))
    assert source_code.loaded(*modules) == found


def test_a_broken_record_of_imports_is_made_anew(cache: Path) -> None:
    found = source_code.loaded("harness.files.cache")
    source_code.keep_parsed()
    (stored,) = cache.glob("imports-*.json")
    stored.write_text("{")
    forget_imports()
    assert source_code.loaded("harness.files.cache") == found
