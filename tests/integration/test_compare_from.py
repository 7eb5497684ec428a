"""A model one already has, with the weights it was made from: the verdict that a cell of a scenario has."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from harness.workers.tensors import write_tensors  # noqa: E402
from tests.integration.comparing import compare  # noqa: E402
from tests.integration.conftest import Workplace, needs_r  # noqa: E402
from tests.integration.proof import Source, export, metadata_of  # noqa: E402
from tests.networks.tempcnn import random_net  # noqa: E402
from tests.unit.workers.keras_files import tempcnn_layers, write_keras  # noqa: E402

SIZES: dict[str, Any] = {
    "bands": 6,
    "dates": 24,
    "classes": 9,
    "filters": [8, 8, 8],
    "kernels": [5, 5, 5],
    "dropouts": [0.2, 0.2, 0.2],
    "dense_width": 16,
}
PROBE = ("--probe", "x.npy", "--to", "python/onnxruntime")
MODEL = ("--model", "tempcnn")


@pytest.fixture(scope="module")
def source() -> Source:
    return random_net(7, activation="relu", head="logits", **SIZES)


class TimeMajor(torch.nn.Module):
    """The model as the package breizhcrops has it: series are (sample, time, band)."""

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x.transpose(1, 2))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, source: Source) -> Path:
    folder = tmp_path_factory.mktemp("from")
    made = {
        "file.onnx": {"metadata": {}},
        "described.onnx": {"route": "torch-dynamo", "opset": 18, "fold": True},
    }
    for name, options in made.items():
        export(source.module, source, folder, **options).rename(folder / name)
    np.save(folder / "x.npy", source.probe)
    np.save(folder / "y.npy", np.arange(len(source.probe)) % 9)
    np.save(folder / "turned.npy", np.ascontiguousarray(source.probe.transpose(0, 2, 1)))
    state = source.module.state_dict()
    torch.save({"epoch": 3, "state_dict": state}, folder / "w.pt")
    parameters = source.parameters
    write_tensors(folder / "w.safetensors", parameters)
    write_keras(folder / "w.keras", tempcnn_layers(parameters))
    write_keras(folder / "softmax.keras", tempcnn_layers(parameters, "softmax"))
    with torch.no_grad():
        torch.onnx.export(
            TimeMajor(source.module),
            (torch.zeros(2, 24, 6),),
            str(folder / "turned.onnx"),
            dynamo=False,
            opset_version=17,
            input_names=["series"],
            output_names=["scores"],
            dynamic_axes={"series": {0: "n"}, "scores": {0: "n"}},
        )
    # One weight, in the middle of a kernel, off by one unit in the last place.
    nudged = {name: array.copy() for name, array in parameters.items()}
    nudged["conv2.weight"][3, 4, 2] = np.nextafter(nudged["conv2.weight"][3, 4, 2], np.float32(np.inf))
    write_tensors(folder / "nudged.safetensors", nudged)
    other = random_net(8, activation="relu", head="logits", **{**SIZES, "bands": 5})
    write_tensors(folder / "other.safetensors", other.parameters)
    nan = {name: array.copy() for name, array in parameters.items()}
    nan["dense.weight"][0, 5] = np.nan
    write_tensors(folder / "nan.safetensors", nan)
    write_tensors(folder / "lacking.safetensors", {k: v for k, v in parameters.items() if k != "norm2.running_var"})
    write_tensors(folder / "strange.safetensors", parameters | {"attention.weight": parameters["dense.bias"]})
    write_tensors(folder / "narrow.safetensors", parameters | {"dense.bias": parameters["dense.bias"][1:]})
    write_tensors(folder / "double.safetensors", {name: array.astype(np.float64) for name, array in parameters.items()})
    torch.save(source.module, folder / "module.pt")
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), folder / "script.pt")
    (folder / "evil.pt").write_bytes(pickle.dumps(Evil(str(folder / "it-ran"))))
    torch.save({"conv1.weight": Evil(str(folder / "it-ran"))}, folder / "evil2.pt")
    (folder / "w.rds").write_bytes(b"X\n")
    (folder / "cut.safetensors").write_bytes((folder / "w.safetensors").read_bytes()[:900])
    (folder / "kept").mkdir()
    write_tensors(folder / "kept" / "weights.safetensors", parameters)
    (folder / "kept" / "model.json").write_text(source.spec.to_json())
    described = metadata_of(source.spec) | {"harness.bands": json.dumps([f"B{index}" for index in reversed(range(6))])}
    (folder / "kept" / "metadata.json").write_text(json.dumps(described))
    return folder


class Evil:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch '{self.path}'",)


def only_cell(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.stdout, done.stderr
    (cell,) = json.loads(done.stdout)["cells"]
    assert isinstance(cell, dict)
    return cell


@needs_r
def test_the_three_comparisons_are_those_of_a_scenario(folder: Path) -> None:
    arguments = ("described.onnx", "--from", "w.pt", "--probe", "x.npy", "--labels", "y.npy")
    done = compare(folder, *arguments, "--to", "python/onnxruntime,r/base", "--time", "--json")
    assert done.returncode == 0, done.stderr
    for cell in json.loads(done.stdout)["cells"]:
        assert cell["verdict"] == "equivalent"
        assert cell["source"] == "pytorch"
        assert cell["parameters"]["folded"]
        assert {row["relation"] for row in cell["parameters"]["rows"]} == {"equal", "folded"}
        # The exported graph against the source model in its own framework, float64 against float64: not itself.
        assert 0 < cell["route_comparison"]["errors"]["relative_rms"] < 1e-6
        assert cell["end_to_end"]["rms_ratio"] <= 4
        assert cell["layers"]["culprit"] is None
    results = folder / "results" / "compare_described"
    page = (results / "report.md").read_text()
    assert "Where the weights come from" in page
    assert "with weights given as w.pt" in page
    assert "How they were trained is not known here, nor how their data were normalised" in page
    assert "A model that was given as a file was run" in (results / "methods.txt").read_text()
    timed = json.loads((results / "timings.json").read_text())["timed"]
    assert [row["label"] for row in timed] == ["source (pytorch)", "python/onnxruntime", "r/base"]
    assert all("measurement" in row for row in timed)
    manifest = json.loads((results / "manifest.json").read_text())
    assert manifest["imported"]["layout"] == "canonical names"
    assert str(folder) not in (results / "manifest.json").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("weights", ["w.safetensors", "w.pt", "w.keras"])
def test_every_kind_of_file_is_the_same_source(folder: Path, weights: str) -> None:
    done = compare(folder, "file.onnx", "--from", weights, *MODEL, *PROBE, "--json", "--output", f"of-{weights}")
    assert done.returncode == 0, done.stderr
    cell = only_cell(done)
    assert {row["relation"] for row in cell["parameters"]["rows"]} == {"equal"}
    assert cell["route_comparison"]["errors"]["relative_rms"] < 1e-8


@pytest.mark.slow
def test_a_keras_file_is_run_in_keras_where_that_is_asked_for(folder: Path) -> None:
    pytest.importorskip("tensorflow")
    framework = ("--framework", "keras-tensorflow")
    done = compare(
        folder, "file.onnx", "--from", "w.keras", *framework, *MODEL, *PROBE, "--json", "--output", "in-keras"
    )
    assert done.returncode == 0, done.stderr
    cell = only_cell(done)
    assert cell["source"] == "keras-tensorflow"
    assert {row["relation"] for row in cell["parameters"]["rows"]} == {"equal"}
    assert cell["route_comparison"]["errors"]["relative_rms"] < 1e-8
    imported = json.loads((folder / "in-keras" / "compare_file" / "manifest.json").read_text())["imported"]
    assert imported["framework"] == "keras-tensorflow"
    assert {"keras", "tensorflow"} <= set(imported["versions"])
    refused = compare(folder, "file.onnx", "--from", "w.pt", *framework, *MODEL, *PROBE)
    assert refused.returncode == 2
    assert "is read by PyTorch alone; name the framework pytorch, or save it as safetensors" in " ".join(
        refused.stderr.split()
    )


def test_one_weight_off_by_one_ulp_is_found_by_the_weights_and_by_nothing_else(folder: Path) -> None:
    alone = compare(folder, "file.onnx", *PROBE, "--json", "--output", "alone")
    assert alone.returncode == 0, alone.stderr
    done = compare(folder, "file.onnx", "--from", "nudged.safetensors", *MODEL, *PROBE, "--json", "--output", "nudged")
    assert done.returncode == 1, done.stderr
    cell = only_cell(done)
    assert cell["verdict"] == "divergent"
    assert cell["parameters"]["verdict"] == "divergent"
    (row,) = [row for row in cell["parameters"]["rows"] if row["relation"] != "equal"]
    assert (row["name"], row["differing"], row["max_ulp"]) == ("conv2.weight", 1, 1)


def test_weights_of_another_training_are_not_taken_for_the_source(folder: Path, source: Source) -> None:
    other = random_net(9, activation="relu", head="logits", **SIZES)
    write_tensors(folder / "retrained.safetensors", other.parameters)
    done = compare(folder, "file.onnx", "--from", "retrained.safetensors", *MODEL, *PROBE, "--json", "--output", "re")
    cell = only_cell(done)
    assert (done.returncode, cell["verdict"]) == (1, "divergent")
    assert cell["route_comparison"]["verdict"] != "equivalent"
    # The target itself is faithful to the file that it was given.
    assert cell["runtime_comparison"]["verdict"] in ("identical", "equivalent")


@pytest.mark.slow
def test_a_file_with_its_axes_in_another_order_is_compared_and_the_order_is_told(folder: Path) -> None:
    arguments = ("turned.onnx", "--from", "w.safetensors", *MODEL, "--to", "python/onnxruntime")
    done = compare(folder, *arguments, "--probe", "turned.npy", "--json")
    assert done.returncode == 0, done.stderr
    assert only_cell(done)["route_comparison"]["errors"]["relative_rms"] < 1e-6
    page = (folder / "results" / "compare_turned" / "report.md").read_text()
    assert "The file takes its axes in another order than the source: x (sample, time, band)." in page
    assert "The head of the model was not stated" in page


@pytest.mark.slow
def test_what_lies_beside_the_weights_is_held_against_the_file(folder: Path) -> None:
    # The specification is found; the bands that the metadata name are another order than the file's.
    arguments = ("described.onnx", "--from", "kept/weights.safetensors", *PROBE, "--output", "kept-results")
    done = compare(folder, *arguments, "--json")
    cell = only_cell(done)
    assert (done.returncode, cell["verdict"]) == (1, "divergent")
    assert any("band names in the file are not the source's" in finding["message"] for finding in cell["findings"])


@pytest.mark.slow
def test_a_head_that_is_stated_is_held_against_the_graph(folder: Path) -> None:
    arguments = ("file.onnx", "--from", "w.safetensors", *MODEL, "--head", "softmax", *PROBE, "--output", "head")
    cell = only_cell(compare(folder, *arguments, "--json"))
    assert cell["verdict"] == "divergent"
    assert any("the graph ends without softmax" in finding["message"] for finding in cell["findings"])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--from", "nix.pt", *MODEL), "nix.pt: no such file; name a file of weights"),
        (("--from", "w.rds", *MODEL), "is .rds, no file of weights that can be read"),
        (("--from", "w.safetensors"), "nothing says of which architecture these weights are"),
        (("--from", "w.safetensors", "--model", "tempcn"), "there is no model 'tempcn'"),
        (("--from", "w.safetensors", *MODEL, "--head", "soft"), "there is no head 'soft'"),
        (("--from", "w.safetensors", "--head", "softmax"), "a head is that of a model"),
        (MODEL, "an architecture is that of weights"),
        (("--from", "other.safetensors", *MODEL), "the model of the weights takes x (sample, band 5, time 24)"),
        (("--from", "nan.safetensors", *MODEL), "'dense.weight' is not finite at [0, 5] (1 of 3072 values)"),
        (("--from", "lacking.safetensors", *MODEL), "lacks 'norm2.running_var'"),
        (("--from", "strange.safetensors", *MODEL), "holds 'attention.weight', which is no parameter of tempcnn"),
        (("--from", "narrow.safetensors", *MODEL), "'dense.bias' must have shape (16,), not (15,)"),
        (("--from", "double.safetensors", *MODEL), "must be float32, not float64"),
        (("--from", "cut.safetensors", *MODEL), "truncated"),
        (("--from", "module.pt", *MODEL), "is more than tensors, and was not loaded; save model.state_dict()"),
        (("--from", "script.pt", *MODEL), "is a TorchScript archive, which is a program"),
        (("--from", "evil.pt", *MODEL), "not a file that torch.save"),
        (("--from", "evil2.pt", *MODEL), "holds 'posix.system', which is more than tensors, and was not loaded"),
        (("--from", "softmax.keras", *MODEL, "--head", "logits"), "ends in softmax, not in logits"),
    ],
    ids=lambda value: " ".join(value[1:2]) if isinstance(value, tuple) else "",
)
def test_weights_that_cannot_be_used_get_one_line(folder: Path, arguments: tuple[str, ...], expected: str) -> None:
    done = compare(folder, "file.onnx", *arguments, *PROBE, "--output", "refused")
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    line = done.stderr.strip().splitlines()[-1]
    assert line.startswith("harness: ")
    assert expected in line
    assert not (folder / "it-ran").exists()
    assert not list((folder / "refused").rglob("manifest.json"))


@pytest.mark.slow
def test_a_scenario_may_start_from_a_file_of_weights(workplace: Workplace) -> None:
    net = random_net(7, activation="relu", head="logits", **{**SIZES, "bands": 13, "dates": 20})
    torch.save(net.module.state_dict(), workplace.folder / "w.pt")
    hyperparameters = workplace.document["model"]["hyperparameters"] | {"dropouts": [0.0] * 3, "dense_dropout": 0.0}
    workplace.document["model"] = {"name": "tempcnn", "hyperparameters": hyperparameters}
    workplace.document["source"] = {"framework": "pytorch", "file": "w.pt"}
    workplace.document["targets"] = ["python/pytorch", "python/onnxruntime"]
    done = workplace.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (workplace.results / "training.csv").exists()
    cells = {cell["target"]: cell for cell in json.loads((workplace.results / "cells.json").read_text())}
    assert cells["python/pytorch"]["verdict"] == "identical"
    assert cells["python/onnxruntime"]["verdict"] == "equivalent"
    (artifact,) = (workplace.folder / "exported").glob("import-*")
    assert {path.name for path in artifact.iterdir()} == {
        *("weights.safetensors", "model.json", "metadata.json", "import.json", "item.json", "step.json")
    }
    assert not list((workplace.folder / "exported").glob("train-*"))
    page = (workplace.results / "report.md").read_text()
    assert "Where the weights come from" in page
    assert "trained with" not in page
    assert "finished before" in workplace.run().stdout
    # Other weights under the same name are another run.
    other = random_net(8, activation="relu", head="logits", **{**SIZES, "bands": 13, "dates": 20})
    torch.save(other.module.state_dict(), workplace.folder / "w.pt")
    assert "finished before" not in workplace.run().stdout


def test_weights_that_do_not_fit_the_scenario_get_one_line(workplace: Workplace) -> None:
    net = random_net(7, activation="relu", head="logits", **SIZES)
    torch.save(net.module.state_dict(), workplace.folder / "w.pt")
    workplace.document["source"] = {"framework": "pytorch", "file": "w.pt"}
    done = workplace.run()
    assert done.returncode == 2, done.stderr
    assert "'conv1.weight' must have shape (8, 13, 5), not (8, 6, 5)" in done.stderr
    assert not workplace.results.joinpath("manifest.json").exists()
