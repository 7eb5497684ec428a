"""A runtime with its framework, a route and a language are one row each: a second place would be missed here."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.cli.app import app
from harness.errors import ScenarioError
from harness.pipeline.plan import make_plan
from harness.pipeline.stac import trained_item
from harness.runtimes import registry
from harness.runtimes.language import Sources
from harness.runtimes.launch import command, environment
from harness.runtimes.registry import LANGUAGES, RUNTIMES, availability, framework_runtime, packages, runtime, sources
from harness.runtimes.routes import ROUTES, Route
from harness.runtimes.row import Availability, Framework, Runtime
from harness.runtimes.tooling import Package
from harness.scenario.read import read_scenario
from harness.scenario.sections import json_schema
from harness.workers.serve import Server
from tests.unit.pipeline.test_stac import SPEC, prepared, trained

TEA = Runtime(
    "python/tea",
    host="python",
    worker="tea_worker",
    packages=("numpy",),
    reads=("onnx",),
    install="pip install tea",
    framework=Framework("tea", "Tea on leaves", native="teapot", mlm=("TeaML", "tealib")),
)
EXPORT = Route("tea-export", "tea poured into ONNX", ("teapot",), "onnx", (), ("opset",))

SCENARIO = (Path(__file__).resolve().parents[2] / "scenarios" / "tempcnn_py_to_r.yaml").read_text()


@pytest.fixture(autouse=True)
def rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RUNTIMES, TEA.name, TEA)
    monkeypatch.setitem(ROUTES, EXPORT.name, EXPORT)


def scenario(folder: Path, framework: str, route: str, target: str) -> Path:
    path = folder / "scenario.yaml"
    head = SCENARIO.partition("\nroutes:")[0].replace("framework: pytorch", f"framework: {framework}")
    path.write_text(f"{head}\nroutes: [{route}]\ntargets: [{target}]\n")
    return path


def test_the_command_line_lists_the_runtime() -> None:
    shown = json.loads(CliRunner().invoke(app, ["runtimes", "--json"]).stdout)
    assert shown["python/tea"]["installed"]
    assert shown["python/tea"]["install"] == "pip install tea"


def test_the_schema_names_them() -> None:
    schema = json_schema()
    fields = {name: section["properties"] for name, section in schema["$defs"].items()}
    assert "tea (Tea on leaves)" in fields["SourceSection"]["framework"]["description"]
    assert "tea-export (tea poured into ONNX)" in fields["RouteSection"]["route"]["description"]
    assert "tea-export" in schema["properties"]["routes"]["items"]["anyOf"][0]["enum"]
    assert "python/tea" in schema["properties"]["targets"]["description"]


def test_a_scenario_may_use_them(tmp_path: Path) -> None:
    read = read_scenario(scenario(tmp_path, "tea", "tea-export", "python/tea"))
    steps = {step.id: step for step in make_plan(read).steps}
    assert steps["train"].runtime is TEA
    assert steps["export tea-export-opset18-folded"].runtime is TEA
    assert steps["target tea-export-opset18-folded python/tea"].runtime is TEA


@pytest.mark.parametrize(
    ("framework", "route", "words"),
    [
        ("tee", "tea-export", r"choose one of .*\btea\b"),
        ("pytorch", "tea-export", "tea-export converts models of tea, not of pytorch"),
        ("tea", "torch-dynamo", "choose one of safetensors, tea-export"),
        ("tea", "tea-exprot", "did you mean 'tea-export'"),
    ],
)
def test_errors_suggest_them(tmp_path: Path, framework: str, route: str, words: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        read_scenario(scenario(tmp_path, framework, route, "python/tea"))
    assert caught.match(words)


def test_names_are_suggested_and_found() -> None:
    with pytest.raises(ScenarioError, match="did you mean 'python/tea'"):
        runtime("python/te")
    assert framework_runtime("tea") is TEA


def test_the_stac_item_has_the_frameworks_own_name_and_version(tmp_path: Path) -> None:
    folder = trained(tmp_path)
    record = json.loads((folder / "training.json").read_text())
    record |= {"framework": "tea", "versions": {"tealib": "3.1.4"}}
    (folder / "training.json").write_text(json.dumps(record))
    properties = trained_item(folder, SPEC, prepared())["properties"]
    assert (properties["mlm:framework"], properties["mlm:framework_version"]) == ("TeaML", "3.1.4")


def test_the_worker_module_of_the_row_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tea_worker.py").write_text(
        "from harness.workers.engine import Engine\n"
        "class ENGINE(Engine):\n"
        "    runtime = 'python/tea'\n"
        "    def versions(self): return {'tealib': '3.1.4'}\n"
        "    def threads(self): return {}\n"
        "    def load(self, path, precision): raise NotImplementedError\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "tea_worker", raising=False)
    answer = json.loads(Server("python/tea", TEA.worker).handle('{"id": 1, "request": "describe"}'))
    assert answer["result"]["versions"]["tealib"] == "3.1.4"
    assert command(TEA)[1:] == ["-m", "harness.workers.serve", "python/tea", "tea_worker"]


def test_the_sources_of_a_framework_are_the_models_of_its_folder() -> None:
    assert sources(TEA).native == ("teapot",)


class Lisp:
    """A language of one file."""

    name = "lisp"

    def availability(self, row: Runtime) -> Availability:
        return Availability(False, {}, "sbcl is not on the path", row.install)

    def host_of(self, row: Runtime) -> str:
        return "sbcl"

    def lacks_environment(self, row: Runtime) -> bool:
        return False

    def command(self, row: Runtime) -> list[str]:
        return ["sbcl", "--script", row.engine]

    def variables(self, row: Runtime, inherited: dict[str, str], threads: int) -> dict[str, str]:
        return inherited | {"SBCL_THREADS": str(threads)}

    def packages(self, row: Runtime) -> list[Package]:
        return [Package("quicklisp", "1", "lisp", 10, True)]

    def sources(self, row: Runtime) -> Sources:
        return Sources(native=("lisp",))


def test_a_language_is_asked_for_everything_about_its_runtimes(monkeypatch: pytest.MonkeyPatch) -> None:
    row = Runtime("lisp/base", host="sbcl", packages=(), reads=("onnx",), install="apt-get install sbcl")
    monkeypatch.setitem(LANGUAGES, "lisp", Lisp())
    monkeypatch.setitem(RUNTIMES, row.name, row)
    assert availability(row).reason == "sbcl is not on the path"
    assert registry.host_of(row) == "sbcl"
    assert not registry.lacks_environment(row)
    assert command(row) == ["sbcl", "--script", "base"]
    variables = environment(row, 3)
    assert variables["SBCL_THREADS"] == variables["OMP_NUM_THREADS"] == "3"
    assert packages(row)[0].name == "quicklisp"
    assert sources(row) == Sources(native=("lisp",))
    shown = json.loads(CliRunner().invoke(app, ["runtimes", "--json"]).stdout)
    assert shown["lisp/base"]["reason"] == "sbcl is not on the path"
