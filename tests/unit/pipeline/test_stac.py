"""The STAC item beside a model: valid, true to the model, and the same bytes for the same model."""

from __future__ import annotations

import copy
import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
from pystac.validation.local_validator import get_local_schema_cache
from stac_model.schema import SCHEMA_URI, MLModelExtension, MLModelProperties

from harness.data.dataset import Band, DatasetInfo
from harness.data.normalisation import Normalisation
from harness.data.prepared import PreparedData, ProbeRecord
from harness.data.prepared_frames import PreparedFrames
from harness.models import convlstm
from harness.models.tempcnn import build
from harness.pipeline import stac
from harness.tasks.forecast_frames import Forecast
from tests.mlm_rules import violations

#: Not in the order of the alphabet nor of the wavelengths.
BANDS = ("B8A", "B1", "B12", "B2")
CLASSES = ("permanent meadows", "maïs", "permanent-meadows", "été", "小麦")
SPEC = build(
    bands=len(BANDS),
    dates=6,
    classes=len(CLASSES),
    preset=None,
    hyperparameters={
        "filters": [3, 5],
        "kernels": [3, 3],
        "dropouts": [0.1, 0.1],
        "dense_width": 7,
        "dense_dropout": 0.1,
    },
)
PARAMETERS = (4 * 3 * 3 + 3) + 4 * 3 + (3 * 5 * 3 + 5) + 4 * 5 + (5 * 6 * 7 + 7) + 4 * 7 + (7 * 5 + 5)


def prepared(**info: Any) -> PreparedData:
    told: dict[str, Any] = {
        "name": "small fields",
        "title": "A few fields",
        "synthetic": False,
        "bands": tuple(Band(name, "reflectance", f"band {name}") for name in BANDS),
        "class_names": CLASSES,
        "licence": "CC-BY-4.0",
        "citation": "Nobody (2020). Fields.",
        "doi": "https://doi.org/10.1234/fields",
        "url": "https://example.org/fields",
    }
    return PreparedData(
        folder=Path("nowhere"),
        info=DatasetInfo(**told | info),
        dates=6,
        sampling="frozen",
        seed=1,
        normalisation=Normalisation(kind="standard", offset=(1.0, 2.0, 3.0, 4.0), scale=(0.5, 0.25, 2.0, 1.0)),
        counts={},
        probe=ProbeRecord(samples=1, sha256="", seed=1, indices=(0,)),
    )


def trained(root: Path, *, version: str = "2.13.0+cpu", seconds: float = 1.5, resumed: int | None = None) -> Path:
    folder = root / "train-0123456789abcdef"
    folder.mkdir(parents=True)
    (folder / "weights.safetensors").write_bytes(b"weights")
    (folder / "model.json").write_text(SPEC.to_json())
    (folder / "metadata.json").write_text("{}")
    (folder / "training.csv").write_text(f"epoch,seconds\n1,{seconds}\n")
    record = {
        "framework": "pytorch",
        "versions": {"torch": version, "numpy": "2.4.6"},
        "epochs": 2,
        "batch_size": 8,
        "learning_rate": 0.001,
        "seed": 1,
        "seconds": seconds,
        "resumed_at": resumed,
    }
    (folder / "training.json").write_text(json.dumps(record))
    return folder


def exported(root: Path, **record: Any) -> Path:
    folder = root / "export-fedcba9876543210"
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(b"onnx")
    told = {
        "route": "torch-dynamo",
        "exporter": "torch.onnx (torch.export)",
        "opset": 18,
        "folded": True,
        "folded_layers": ["norm1", "dense_norm"],
        "batch_normalisations": {"model": 3, "file": 1},
        "versions": {"onnx": "1.24.0rc1", "torch": "2.13.0+cpu"},
        "seconds": 0.5,
    }
    (folder / "export.json").write_text(json.dumps(told | record))
    return folder


@pytest.fixture
def train(tmp_path: Path) -> Path:
    folder = trained(tmp_path)
    stac.write_item(folder, stac.trained_item(folder, SPEC, prepared()))
    return folder


@pytest.fixture
def export(tmp_path: Path, train: Path) -> Path:
    folder = exported(tmp_path)
    stac.write_item(folder, stac.exported_item(folder, SPEC, stac.read_item(train)))
    return folder


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """Weights that came as a file."""
    folder = trained(tmp_path / "given")
    folder = folder.rename(folder.with_name("import-0123456789abcdef"))
    record = {
        "framework": "pytorch",
        "format": "keras",
        "file": "w.keras",
        "sha256": "ab" * 32,
        "versions": {"torch": "2.13.0+cpu", "keras (file)": "3.15.1"},
    }
    (folder / "import.json").write_text(json.dumps(record))
    for name in ("training.json", "training.csv"):
        (folder / name).unlink()
    stac.write_item(folder, stac.imported_item(folder, SPEC, prepared()))
    return folder


@pytest.fixture(params=["train", "given", "export"])
def folder(request: pytest.FixtureRequest, train: Path, given: Path, export: Path) -> Path:
    return {"train": train, "given": given, "export": export}[request.param]


def test_weights_that_were_given_are_not_called_trained_here(given: Path) -> None:
    item = stac.read_item(given)
    properties = item["properties"]
    assert properties["mlm:pretrained"] is True
    assert properties["mlm:pretrained_source"] == f"w.keras (SHA-256 {'ab' * 32})"
    assert "not trained here" in properties["description"]
    assert "epochs" not in properties["mlm:hyperparameters"]
    assert set(item["assets"]) == {"model", "specification", "metadata", "import"}


def against_core_schemas(item: dict[str, Any]) -> list[str]:
    """What pystac's own copies of the STAC schemas say; nothing is downloaded."""
    import jsonschema
    from referencing import Registry, Resource

    schemas = get_local_schema_cache()
    registry = Registry().with_resources([(uri, Resource.from_contents(schema)) for uri, schema in schemas.items()])
    core = schemas[f"https://schemas.stacspec.org/v{item['stac_version']}/item-spec/json-schema/item.json"]
    return [error.message for error in jsonschema.Draft7Validator(core, registry=registry).iter_errors(item)]


def test_valid_by_the_core_schemas_and_by_stac_model_and_by_the_rules_of_the_extension(folder: Path) -> None:
    item = stac.read_item(folder)
    assert against_core_schemas(item) == []
    assert violations(item, SCHEMA_URI) == []
    properties = MLModelProperties(**item["properties"])
    assert properties.framework_version == "2.13.0"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read = pystac.Item.from_dict(copy.deepcopy(item))
    assert MLModelExtension.has_extension(read)
    # Read and written again by pystac it is the same item: nothing was migrated, nothing dropped.
    assert read.to_dict(include_self_link=False, transform_hrefs=False) == item


def test_a_forecast_of_frames_is_a_regression_whose_bands_are_named(tmp_path: Path) -> None:
    sizes = {"history": 2, "horizon": 2, "rows": 6, "columns": 5}
    spec = convlstm.build(bands=1, **sizes, hyperparameters={"filters": [3], "kernels": [3]})
    known = prepared(bands=(Band("reflectivity", "dBZ"),), class_names=())
    frames = PreparedFrames(
        folder=known.folder,
        info=known.info,
        seed=1,
        normalisation=Normalisation(kind="scale", offset=(-32.0,), scale=(1 / 127.5,)),
        counts={},
        probe=known.probe,
        forecast=Forecast(**sizes, interval=300, unit="dBZ", bottom=-32.0, top=95.5, thresholds=(25.0,), resampling={}),
    )
    item = stac.trained_item(trained(tmp_path), spec, frames)
    assert violations(item, SCHEMA_URI) == []
    assert against_core_schemas(item) == []
    properties = item["properties"]
    assert properties["mlm:tasks"] == ["regression"]
    assert properties["mlm:input"][0]["bands"] == properties["mlm:output"][0]["bands"] == ["reflectivity"]
    assert properties["mlm:output"][0]["result"]["shape"] == [-1, 1, 2, 6, 5]
    values = np.array([[[-32.0]], [[95.5]]])
    assert scaled(values, properties["mlm:input"][0]["value_scaling"]).ravel() == pytest.approx([0, 1])


def test_the_core_schemas_do_find_faults(train: Path) -> None:
    item = stac.read_item(train)
    item["properties"]["license"] = "free of charge"
    del item["properties"]["end_datetime"]
    assert len(against_core_schemas(item)) >= 2


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (lambda item: item["stac_extensions"].remove(SCHEMA_URI), "extensions"),
        (lambda item: item["stac_extensions"].remove(stac.EO), "eo extension"),
        (lambda item: item["assets"]["model"].pop("mlm:artifact_type"), "artifact_type"),
        (lambda item: item["assets"]["model"].pop("eo:bands"), "eo:bands"),
        (lambda item: item["assets"]["model"]["eo:bands"].reverse(), "eo:bands"),
        (lambda item: item["assets"]["model"]["roles"].remove("mlm:model"), "mlm:model"),
        (lambda item: item["properties"].update({"mlm:framework_version": "2.13.0+cpu"}), "framework_version"),
        (lambda item: item["properties"].update({"mlm:artifact_type": "onnx"}), "not allowed"),
        (lambda item: item["properties"].pop("mlm:pretrained_source"), "pretrained_source"),
        (lambda item: item["properties"]["mlm:input"][0]["bands"].pop(), "bands on an axis"),
        (lambda item: item["properties"]["mlm:input"][0]["value_scaling"].pop(), "scalings"),
        (
            lambda item: item["properties"]["mlm:input"][0]["input"].update(dim_order=["batch", "channel", "time"]),
            "bands",
        ),
        (lambda item: item["properties"]["mlm:input"][0]["input"].update(shape=[-1, 4]), "dim_order"),
    ],
)
def test_the_rules_do_find_faults(train: Path, spoil: Callable[[dict[str, Any]], Any], word: str) -> None:
    item = stac.read_item(train)
    spoil(item)
    assert any(word in violation for violation in violations(item, SCHEMA_URI))


def test_the_extension_is_at_the_version_that_stac_model_writes() -> None:
    assert stac.MLM == SCHEMA_URI


def test_bands_stand_in_the_order_of_the_channels(folder: Path) -> None:
    item = stac.read_item(folder)
    [tensor] = item["properties"]["mlm:input"]
    assert tensor["bands"] == list(BANDS)
    assert [band["name"] for band in item["assets"]["model"]["eo:bands"]] == list(BANDS)
    assert tensor["input"] == {"shape": [-1, 4, 6], "dim_order": ["batch", "bands", "time"], "data_type": "float32"}
    assert [scaling["mean"] for scaling in tensor["value_scaling"]] == [1.0, 2.0, 3.0, 4.0]


def test_every_href_of_an_asset_is_a_file_beside_the_item(folder: Path) -> None:
    assets = stac.read_item(folder)["assets"]
    assert len(assets) == {"train": 5, "import": 4, "export": 2}[folder.name.partition("-")[0]]
    for asset in assets.values():
        assert (folder / asset["href"]).is_file()
        assert "/" not in asset["href"].removeprefix("./")


def test_size_and_checksum_are_those_of_the_model_file(train: Path) -> None:
    import hashlib

    asset = stac.read_item(train)["assets"]["model"]
    assert asset["file:size"] == 7
    assert bytes.fromhex(asset["file:checksum"]) == b"\x12\x20" + hashlib.sha256(b"weights").digest()


def test_equal_models_give_equal_bytes_whatever_their_seconds(tmp_path: Path) -> None:
    texts = []
    for root, seconds, resumed in ((tmp_path / "one", 1.25, None), (tmp_path / "two", 99.0, 1)):
        folder = trained(root, seconds=seconds, resumed=resumed)
        stac.write_item(folder, stac.trained_item(folder, SPEC, prepared()))
        onnx = exported(root, seconds=seconds)
        stac.write_item(onnx, stac.exported_item(onnx, SPEC, stac.read_item(folder)))
        texts.append([(where / "item.json").read_bytes() for where in (folder, onnx)])
    assert texts[0] == texts[1]


def test_an_item_says_nothing_of_this_machine(folder: Path) -> None:
    assert str(folder.parent) not in (folder / "item.json").read_text()


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ("2.13.0+cpu", "2.13.0"),
        ("2.13.0", "2.13.0"),
        ("2.14.0a0+git1234", "2.14.0"),
        ("1.24.0rc1", "1.24.0"),
        ("2.6", "2.6.0"),
        ("v3", "3.0.0"),
        ("2026.09.01.2", "2026.9.1"),
        ("0.4.2-1", "0.4.2"),
        ("", None),
        ("unknown", None),
    ],
)
def test_versions_are_bare(text: str, bare: str | None) -> None:
    assert stac.bare_version(text) == bare


def test_a_framework_of_unknown_version_has_none(tmp_path: Path) -> None:
    folder = trained(tmp_path, version="unknown")
    assert "mlm:framework_version" not in stac.trained_item(folder, SPEC, prepared())["properties"]


def test_an_export_names_onnx_as_its_assets_framework_and_pytorch_as_its_models(export: Path) -> None:
    item = stac.read_item(export)
    assert (item["properties"]["mlm:framework"], item["properties"]["mlm:framework_version"]) == ("PyTorch", "2.13.0")
    asset = item["assets"]["model"]
    assert (asset["mlm:framework"], asset["mlm:framework_version"]) == ("ONNX", "1.24.0")
    assert item["properties"]["harness:trained"] == "train-0123456789abcdef"


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"folded_layers": [], "batch_normalisations": {"model": 3, "file": 3}}, PARAMETERS),
        ({"folded_layers": ["norm1", "dense_norm"]}, PARAMETERS - 4 * 3 - 4 * 7),
        ({"folded_layers": ["norm1", "norm2", "dense_norm"]}, PARAMETERS - 4 * (3 + 5 + 7)),
    ],
)
def test_folded_normalisations_are_not_counted(
    tmp_path: Path, train: Path, record: dict[str, Any], expected: int
) -> None:
    folder = exported(tmp_path, **record)
    properties = stac.exported_item(folder, SPEC, stac.read_item(train))["properties"]
    assert stac.read_item(train)["properties"]["mlm:total_parameters"] == PARAMETERS
    assert properties["mlm:total_parameters"] == expected


@pytest.mark.parametrize(("kept", "expected"), [(0, PARAMETERS - 4 * (3 + 5 + 7)), (3, PARAMETERS), (1, None)])
def test_where_folded_layers_lost_their_names_only_all_or_none_is_counted(
    tmp_path: Path, train: Path, kept: int, expected: int | None
) -> None:
    folder = exported(tmp_path, batch_normalisations={"model": 3, "file": kept})
    record = json.loads((folder / "export.json").read_text())
    del record["folded_layers"]
    (folder / "export.json").write_text(json.dumps(record))
    properties = stac.exported_item(folder, SPEC, stac.read_item(train))["properties"]
    assert properties.get("mlm:total_parameters") == expected


def scaled(values: np.ndarray, scaling: list[dict[str, Any]] | None) -> np.ndarray:
    """MLM's words carried out (value scaling object of its README), on (sample, band)."""
    if scaling is None:
        return values
    columns = []
    for column, one in zip(values.T, scaling, strict=True):
        match one["type"]:
            case "min-max":
                columns.append((column - one["minimum"]) / (one["maximum"] - one["minimum"]))
            case "z-score":
                columns.append((column - one["mean"]) / one["stddev"])
            case "scale":
                columns.append(column / one["value"])
    return np.stack(columns, axis=1)


@pytest.mark.parametrize(
    "normalisation",
    [
        Normalisation(kind="standard", offset=(1523.7, -3.0), scale=(1 / 811.3, 0.7)),
        Normalisation(kind="percentile", offset=(60.41481246948242, 0.01), scale=(0.0028029139446812523, 33.0)),
        Normalisation(kind="scale", offset=(0.0, 0.0), scale=(1e-4, 1e-4)),
        Normalisation(kind="scale", offset=(0.0, 5.0), scale=(1e-4, 1e-4)),
        Normalisation(kind="none", offset=(0.0, 0.0), scale=(1.0, 1.0)),
    ],
    ids=lambda normalisation: normalisation.kind,
)
def test_value_scaling_does_what_the_normalisation_does(normalisation: Normalisation) -> None:
    values = np.random.default_rng(5).uniform(-100, 10000, (50, 2))
    expected = (values - np.array(normalisation.offset)) * np.array(normalisation.scale)
    np.testing.assert_allclose(scaled(values, stac.value_scaling(normalisation)), expected, rtol=1e-11, atol=1e-12)


def test_classes_keep_index_and_exact_name_and_have_one_for_machines(train: Path) -> None:
    [output] = stac.read_item(train)["properties"]["mlm:output"]
    classes = output["classification:classes"]
    assert [(one["value"], one["description"]) for one in classes] == list(enumerate(CLASSES))
    assert [one["name"] for one in classes] == ["permanent-meadows-0", "mais", "permanent-meadows-2", "ete", "class-4"]
    assert output["result"] == {"shape": [-1, 5], "dim_order": ["batch", "class"], "data_type": "float32"}


def test_place_and_time_are_not_made_up(folder: Path) -> None:
    item = stac.read_item(folder)
    assert item["geometry"] is None
    assert "bbox" not in item
    assert item["properties"]["datetime"] is None
    assert "created" not in item["properties"]
    assert "not recorded" in item["properties"]["description"]


def test_citation_and_licence_of_the_data(folder: Path) -> None:
    item = stac.read_item(folder)
    assert item["properties"]["sci:doi"] == "10.1234/fields"
    assert item["properties"]["sci:citation"] == "Nobody (2020). Fields."
    assert item["properties"]["sci:publications"] == [{"doi": "10.3390/rs11050523"}]
    assert item["properties"]["harness:data"]["licence"] == "CC-BY-4.0"
    assert {link["rel"]: link["href"] for link in item["links"]} == {
        "cite-as": "https://doi.org/10.1234/fields",
        "about": "https://example.org/fields",
    }


def test_data_without_citation_leave_the_fields_out(train: Path) -> None:
    item = stac.trained_item(train, SPEC, prepared(doi=None, url=None, citation="not stated"))
    assert "sci:doi" not in item["properties"]
    assert "sci:citation" not in item["properties"]
    assert item["links"] == []
    assert against_core_schemas(item) == []


def test_synthetic_data_are_named_so(tmp_path: Path, train: Path) -> None:
    item = stac.trained_item(train, SPEC, prepared(synthetic=True))
    onnx = stac.exported_item(exported(tmp_path), SPEC, item)
    for one in (item, onnx):
        assert one["properties"]["harness:synthetic"] is True
        assert "synthetic" in one["properties"]["description"]
    assert stac.read_item(train)["properties"]["harness:synthetic"] is False


def test_the_name_of_any_data_set_makes_a_legal_name(train: Path) -> None:
    for name in ("Champs d'été (2020)", "x/y", "中国", "-"):
        assert violations(stac.trained_item(train, SPEC, prepared(name=name)), SCHEMA_URI) == []


def test_a_missing_record_is_no_asset(train: Path, tmp_path: Path) -> None:
    copied = tmp_path / "copy" / train.name
    shutil.copytree(train, copied)
    (copied / "training.csv").unlink()
    assert "epochs" not in stac.trained_item(copied, SPEC, prepared())["assets"]
