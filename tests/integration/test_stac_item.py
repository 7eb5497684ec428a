"""The STAC item, the file's own metadata and an onnxruntime session's own shapes, held against each other."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
from stac_model.schema import SCHEMA_URI, MLModelProperties

from harness.files.digests import file_hash
from tests.integration.conftest import Workplace
from tests.mlm_rules import violations

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

#: The harness's axes in MLM's words.
DIMENSIONS = {"sample": "batch", "band": "bands", "time": "time", "class": "class"}


@pytest.fixture(scope="module")
def exports(finished: Workplace) -> list[Path]:
    return sorted((finished.folder / "exported").glob("export-*"))


def item_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "item.json").read_text())


def model_folders(finished: Workplace) -> list[Path]:
    return sorted(path for kind in ("train", "export") for path in (finished.folder / "exported").glob(f"{kind}-*"))


def test_every_trained_or_exported_model_lies_beside_a_valid_item(finished: Workplace) -> None:
    folders = model_folders(finished)
    assert {folder.name.partition("-")[0] for folder in folders} == {"train", "export"}
    for folder in folders:
        item = item_of(folder)
        assert item["id"] == folder.name
        assert violations(item, SCHEMA_URI) == []
        MLModelProperties(**item["properties"])
        read = pystac.Item.from_file(str(folder / "item.json"))
        for asset in read.get_assets().values():
            assert Path(asset.get_absolute_href()).is_file()
        [model] = [asset for asset in item["assets"].values() if "mlm:model" in asset["roles"]]
        assert (folder / model["href"]).suffix in (".onnx", ".safetensors")
        assert (folder / model["href"]).stat().st_size == model["file:size"]
        assert item["properties"]["harness:synthetic"] is True


def test_the_item_is_counted_among_the_files_of_its_step(finished: Workplace) -> None:
    for folder in model_folders(finished):
        record = json.loads((folder / "step.json").read_text())
        assert record["files"]["item.json"]["sha256"] == file_hash(folder / "item.json")


def test_item_metadata_and_session_agree_on_inputs_and_outputs(exports: list[Path]) -> None:
    assert exports
    for folder in exports:
        session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
        metadata = session.get_modelmeta().custom_metadata_map
        axes = json.loads(metadata["harness.axes"])
        properties = item_of(folder)["properties"]
        for told, held, key in (
            (properties["mlm:input"], session.get_inputs(), "input"),
            (properties["mlm:output"], session.get_outputs(), "result"),
        ):
            assert [tensor["name"] for tensor in told] == [tensor.name for tensor in held]
            for tensor, own in zip(told, held, strict=True):
                structure = tensor[key]
                # A dynamic dimension is a name in onnxruntime, and -1 in the item.
                assert structure["shape"] == [size if isinstance(size, int) else -1 for size in own.shape]
                assert own.type == {"float32": "tensor(float)"}[structure["data_type"]]
                assert structure["dim_order"] == [DIMENSIONS[name] for name in axes[tensor["name"]]]
        # The session takes what the item says, and gives what the item says.
        [tensor] = properties["mlm:input"]
        shape = [3 if size == -1 else size for size in tensor["input"]["shape"]]
        [answer] = session.run(None, {tensor["name"]: np.zeros(shape, tensor["input"]["data_type"])})
        result = properties["mlm:output"][0]["result"]
        assert list(answer.shape) == [3 if size == -1 else size for size in result["shape"]]
        assert answer.dtype == result["data_type"]


def test_item_and_metadata_agree_on_bands_classes_normalisation_and_data(exports: list[Path]) -> None:
    for folder in exports:
        model = onnx.load(folder / "model.onnx")
        metadata = {entry.key: entry.value for entry in model.metadata_props}
        item = item_of(folder)
        properties = item["properties"]
        bands = json.loads(metadata["harness.bands"])
        assert bands[:5] == ["B1", "B10", "B11", "B12", "B2"]
        assert properties["mlm:input"][0]["bands"] == bands
        assert [band["name"] for band in item["assets"]["model"]["eo:bands"]] == bands
        classes = properties["mlm:output"][0]["classification:classes"]
        first = int(metadata["harness.class_base"])
        assert [(one["value"] - first, one["description"]) for one in classes] == list(
            enumerate(json.loads(metadata["harness.classes"]))
        )
        normalisation = json.loads(metadata["harness.normalisation"])
        assert normalisation["kind"] == "scale"
        scaling = properties["mlm:input"][0]["value_scaling"]
        assert [one["type"] for one in scaling] == ["scale"] * len(bands)
        assert [1 / one["value"] for one in scaling] == pytest.approx(normalisation["scale"], rel=1e-15)
        data = json.loads(metadata["harness.data"])
        assert {key: properties["harness:data"][key] for key in data} == data
        assert metadata["harness.model"] == properties["mlm:architecture"].lower()
        assert metadata["harness.head"] in properties["mlm:output"][0]["description"]


def test_the_parameters_counted_are_those_the_file_holds(exports: list[Path]) -> None:
    for folder in exports:
        graph = onnx.load(folder / "model.onnx").graph
        held = sum(math.prod(tensor.dims) for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT)
        assert item_of(folder)["properties"]["mlm:total_parameters"] == held


def test_versions_are_those_of_the_records_without_their_suffix(finished: Workplace, exports: list[Path]) -> None:
    [train] = (finished.folder / "exported").glob("train-*")
    torch = json.loads((train / "training.json").read_text())["versions"]["torch"]
    for folder in [train, *exports]:
        properties = item_of(folder)["properties"]
        assert properties["mlm:framework"] == "PyTorch"
        assert properties["mlm:framework_version"] == torch.partition("+")[0]
    for folder in exports:
        versions = json.loads((folder / "export.json").read_text())["versions"]
        assert item_of(folder)["assets"]["model"]["mlm:framework_version"] == versions["onnx"]
        assert item_of(folder)["properties"]["harness:trained"] == train.name


@pytest.mark.slow
def test_two_runs_from_nothing_write_the_same_items(finished: Workplace, repeated: Workplace) -> None:
    names = [folder.name for folder in model_folders(finished)]
    assert names == [folder.name for folder in model_folders(repeated)]
    for one, other in zip(model_folders(finished), model_folders(repeated), strict=True):
        assert (one / "item.json").read_bytes() == (other / "item.json").read_bytes()
