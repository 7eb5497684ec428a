"""Scenario files: what is read, and the one line that a bad one gets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import HarnessError, ScenarioError
from harness.pipeline.plan import make_plan
from harness.scenario.read import read_scenario
from harness.scenario.sections import Scenario, json_schema

ROOT = Path(__file__).resolve().parents[3]
SCENARIOS = sorted((ROOT / "scenarios").glob("*.yaml"))
TEXT = (ROOT / "scenarios" / "tempcnn_py_to_r.yaml").read_text()


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "scenario.yaml"
    path.write_text(text)
    return path


def line_of(text: str, fragment: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), start=1) if fragment in line)


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_every_shipped_scenario_can_be_read_and_is_named_after_its_file(path: Path) -> None:
    assert read_scenario(path).scenario == path.stem


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("epochs: 6", "epoch: 6", "unknown key 'source.training.epoch'; did you mean 'epochs'?"),
        ("name: tempcnn", "name: tempcn", "there is no model 'tempcn'; did you mean 'tempcnn'?"),
        ("preset: breizhcrops", "preset: breizcrops", "did you mean 'breizhcrops'?"),
        ("- r/base", "- r/bass", "there is no runtime 'r/bass'; did you mean 'r/base'?"),
        ("source: synthetic-crops", "source: sintetic-crops", "did you mean 'synthetic-crops'?"),
        ("framework: pytorch", "framework: pytorhc", "there is no framework 'pytorhc'"),
        ("route: torch-script, opset: 17, fold: true", "route: torchscript", "did you mean 'torch-script'?"),
        (
            "epochs: 6",
            "epochs: 6\n    loss: mse",
            "source.training.loss: loss must be cross-entropy for classification",
        ),
        ("epochs: 6", "epochs: -6", "source.training.epochs: input should be greater than 0 (found -6)"),
        ("samples: 256", "samples: 12", "probe.samples: input should be greater than or equal to 64 (found 12)"),
        ("samples: 256", "samples: many", "probe.samples"),
        ("expect: equivalent", "expect: fine", "expect"),
        ("seed: 20190306", "seed: 1\nseed: 2", "key 'seed' is given twice"),
        ("title:", "titel:", "unknown key 'titel'; did you mean 'title'?"),
        ("- r/base", "- r/base\n  - r/base", "target r/base is named twice"),
    ],
)
def test_a_bad_scenario_gets_one_line_with_its_number(tmp_path: Path, old: str, new: str, expected: str) -> None:
    text = TEXT.replace(old, new, 1)
    assert text != TEXT
    path = written(tmp_path, text)
    with pytest.raises(ScenarioError) as caught:
        read_scenario(path)
    line = caught.value.line()
    assert expected in line
    assert "\n" not in line
    number = int(line.removeprefix(str(path) + ":").partition(":")[0])
    fragment = new.splitlines()[-1].strip()
    # A list of targets is judged as a whole, and so named by its key.
    assert number == line_of(text, "targets:" if "named twice" in expected else fragment)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "does not hold a mapping"),
        ("- 1\n- 2\n", "does not hold a mapping"),
        ("a: [1, 2\nb: 3\n", "is not valid YAML"),
        ("a: &x [1]\nb: *x\n", "aliases are not allowed"),
        ("scenario: !!python/object/apply:os.system ['true']\n", "is not valid YAML"),
        ("scenario: x\n", "is missing"),
        ("? [1, 2]\n: 3\n", "a key must be a plain word"),
    ],
)
def test_files_that_are_no_scenarios(tmp_path: Path, text: str, expected: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ScenarioError) as caught:
        read_scenario(path)
    assert expected in caught.value.line()
    assert str(path) in caught.value.line()


def test_a_missing_file_names_its_nearest_neighbour(tmp_path: Path) -> None:
    written(tmp_path, TEXT)
    with pytest.raises(ScenarioError, match=r"no such file; did you mean '.*scenario\.yaml'"):
        read_scenario(tmp_path / "scenari.yaml")


def test_binary_and_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"\x08\x07\x12\xff\xfe" * 20)
    with pytest.raises(ScenarioError, match="not UTF-8"):
        read_scenario(tmp_path / "model.onnx")
    with pytest.raises(ScenarioError, match="cannot be read"):
        read_scenario(tmp_path)


def test_targets_need_a_route_that_writes_what_they_read(tmp_path: Path) -> None:
    document = yaml.safe_load(TEXT)
    document["routes"] = ["torch-dynamo"]
    # Its own routes would be missed first.
    document.pop("timing", None)
    path = written(tmp_path, yaml.safe_dump(document))
    with pytest.raises(ScenarioError, match="no route of this scenario writes what python/pytorch reads"):
        read_scenario(path)


def test_a_route_needs_a_framework_that_it_converts(tmp_path: Path) -> None:
    document = yaml.safe_load(TEXT)
    document["routes"] = ["safetensors", "tf2onnx"]
    document.pop("timing", None)
    path = written(tmp_path, yaml.safe_dump(document))
    with pytest.raises(ScenarioError, match="tf2onnx converts models of keras-tensorflow, not of pytorch") as caught:
        read_scenario(path)
    assert "choose one of safetensors, torch-dynamo, torch-script" in caught.value.line()
    document["source"] = {"framework": "keras-tensorflow"}
    assert read_scenario(written(tmp_path, yaml.safe_dump(document))).source.framework == "keras-tensorflow"


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused_in_one_line(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("any") / "any.yaml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass") if text.isprintable() else path.write_bytes(
        text.encode("utf-8", errors="replace")
    )
    with pytest.raises(HarnessError) as caught:
        read_scenario(path)
    assert "\n" not in caught.value.line()


def test_the_schema_describes_what_is_accepted() -> None:
    schema = json_schema()
    json.dumps(schema)
    assert set(schema["properties"]) == set(Scenario.model_fields)
    assert schema["additionalProperties"] is False


def test_the_plan_is_the_product_of_routes_and_targets_that_fit(tmp_path: Path) -> None:
    scenario = read_scenario(written(tmp_path, TEXT))
    plan = make_plan(scenario)
    pairs = {(cell.route_label, cell.target) for cell in plan.cells}
    assert ("safetensors", "python/pytorch") in pairs
    assert ("safetensors", "r/torch") in pairs
    assert ("safetensors", "r/base") not in pairs
    assert ("torch-script-opset17-unfolded", "r/base") in pairs
    assert ("torch-script-opset17-unfolded", "r/torch") in pairs
    assert ("torch-script-opset17-unfolded", "python/pytorch") not in pairs
    assert len(pairs) == 2 + 4 * (len(scenario.targets) - 1)
    seen: set[str] = set()
    for step in plan.steps:
        assert set(step.needs) <= seen, f"{step.id} comes before what it needs"
        seen.add(step.id)


def test_an_oracle_in_an_environment_of_its_own_is_for_those_who_name_it(tmp_path: Path) -> None:
    text = (ROOT / "scenarios" / "tempcnn_keras_to_r.yaml").read_text()

    def asked(scenario: str) -> set[str | None]:
        return {
            step.runtime and step.runtime.name for step in make_plan(read_scenario(written(tmp_path, scenario))).steps
        }

    assert "python/keras-torch" in asked(text)
    assert "python/keras-jax" not in asked(text)
    assert "python/keras-jax" in asked(text.replace("targets:\n", "targets:\n  - python/keras-jax\n"))


@pytest.mark.parametrize(
    ("line", "samples"), [("", 8), ("layers: false", 0), ("layers: true", 8), ("layers: {samples: 3}", 3)]
)
def test_layers_are_followed_unless_switched_off(tmp_path: Path, line: str, samples: int) -> None:
    plan = make_plan(read_scenario(written(tmp_path, f"{TEXT}\n{line}\n")))
    steps = [step for step in plan.steps if step.kind == "layers"]
    onnx = [cell for cell in plan.cells if cell.route != "safetensors"]
    assert onnx
    assert [cell.layers for cell in onnx] == [
        step.id for step in sorted(steps, key=lambda step: step.id)
    ] or not samples
    assert {step.settings()["samples"] for step in steps} == ({samples} if samples else set())
    assert all(cell.layers is None for cell in plan.cells if cell not in onnx or not samples)
    # Nothing is taken apart that the reference could not compute or the target could not open.
    for step in steps:
        kinds = {plan.step(name).kind for name in step.needs}
        assert {"oracle", "target", "export", "data"} <= kinds


def test_a_misspelt_key_of_layers_is_told_with_the_right_one(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError) as caught:
        read_scenario(written(tmp_path, f"{TEXT}\nlayers: {{sample: 3}}\n"))
    assert "layers.sample" in caught.value.what
    assert "samples" in (caught.value.hint or "")


def from_file(tmp_path: Path, source: str) -> Path:
    document = yaml.safe_load(TEXT)
    document["source"] = yaml.safe_load(source)
    return written(tmp_path, yaml.safe_dump(document))


def test_weights_from_a_file_take_the_place_of_a_training(tmp_path: Path) -> None:
    (tmp_path / "w.pt").write_bytes(b"")
    plan = make_plan(read_scenario(from_file(tmp_path, f"{{file: {tmp_path}/w.pt}}")))
    kinds = [step.kind for step in plan.steps]
    assert "train" not in kinds
    assert kinds.count("import") == 1
    needing = {step.kind for step in plan.steps if "import" in step.needs}
    assert {"source", "export"} <= needing
    assert all(need in [step.id for step in plan.steps] for step in plan.steps for need in step.needs)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{file: nowhere.pt}", "source.file: there is no file 'nowhere.pt'; paths are found from the current folder"),
        ("{file: w.rds}", "source.file: 'w.rds' is no file of weights that can be read; give one of .safetensors"),
        ("{file: w.pt, training: {epochs: 3}}", "both a file of weights and a training are given; keep one of them"),
        (
            "{file: w.pt, framework: rtorch}",
            "there is no framework 'rtorch'",
        ),
        ("{fil: w.pt}", "unknown key 'source.fil'; did you mean 'file'?"),
        ("{file: 3}", "source.file"),
    ],
)
def test_a_bad_source_gets_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, expected: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.pt").write_bytes(b"")
    with pytest.raises(ScenarioError) as caught:
        read_scenario(from_file(tmp_path, source))
    assert expected in caught.value.line()


def test_a_file_of_weights_is_found_below_the_folder_of_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "w.pt").write_bytes(b"")
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
    assert read_scenario(from_file(tmp_path, "{file: kept/w.pt}")).source.file == "kept/w.pt"
