"""What the steps that leave weights share: their specification and metadata, and the model files that others find in them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.errors import ModelError
from harness.files.atomic import to_json, write_atomically
from harness.models.sampling import Sampling
from harness.models.spec import ModelSpec
from harness.pipeline.step import Context
from harness.scenario.sections import ModelSection

#: Kinds of steps that leave weights with their specification.
WEIGHTS = ("train", "import")


def write_described(context: Context, section: ModelSection) -> tuple[ModelSpec, Any]:
    """Specification and metadata of a scenario's model, which its data size; both are written to the step's folder."""
    from harness.data.open_prepared import open_prepared
    from harness.models import build_for

    prepared = open_prepared(context.needed("data"))
    spec = build_for(
        section.name,
        prepared.sizes,
        head=section.head,
        preset=section.preset,
        hyperparameters=section.hyperparameters,
    )
    _check_shared(spec, prepared.shared)
    info = prepared.info
    metadata = {
        "harness.model": spec.model,
        "harness.spec": spec.to_json(),
        "harness.classes": json.dumps(list(info.class_names), ensure_ascii=False),
        "harness.class_base": "0",
        "harness.bands": json.dumps([band.name for band in info.bands], ensure_ascii=False),
        "harness.axes": json.dumps(
            {tensor.name: [axis.name for axis in tensor.axes] for tensor in (*spec.inputs, *spec.outputs)}
        ),
        "harness.normalisation": prepared.normalisation.model_dump_json(),
        "harness.head": spec.head,
        "harness.data": json.dumps(
            {
                "name": info.name,
                "synthetic": info.synthetic,
                "licence": info.licence,
                "doi": info.doi,
                "citation": info.citation,
            },
            ensure_ascii=False,
        ),
    }
    write_atomically(context.folder / "model.json", spec.to_json() + "\n")
    write_atomically(context.folder / "metadata.json", to_json(metadata))
    return spec, prepared


def _check_shared(spec: ModelSpec, given_once: Sequence[str]) -> None:
    """Raise ModelError where the model and its data do not agree on which inputs all samples share."""
    for tensor in spec.inputs:
        if (tensor.name in given_once) != (tensor.sample_axis is None):
            gives, takes = "once for all samples", "for every sample"
            if tensor.sample_axis is None:
                gives, takes = takes, gives
            raise ModelError(
                f"the data give '{tensor.name}' {gives}, and {spec.model} takes it {takes}",
                where="model.hyperparameters",
                hint="change the model's hyper-parameters or the options of the data",
            )


def model_file(folder: Path) -> Path:
    """The model file in the folder of an export, a training or a given file."""
    names = ("model.onnx", "model.keras", "savedmodel/saved_model.pb")
    return next((folder / name for name in names if (folder / name).exists()), folder / "weights.safetensors")


def model_of(context: Context) -> Path:
    """The model file of whichever needed step made it or was given it."""
    return model_file(context.needed("export", "given", *WEIGHTS))


def probe_of(context: Context) -> Path:
    """The probe: drawn with the data, or given, or as the source of a given file takes it."""
    return context.needed("data", "probe", "source") / "probe.safetensors"


def sampling_of(context: Context) -> Sampling:
    """What was found of a given file, else what the specification of the weights says."""
    return read_sampling(context.needs)


def read_sampling(folders: Mapping[str, Path]) -> Sampling:
    """The same from the folders of steps by id; axis 0 throughout where nothing says otherwise."""
    if "samples" in folders:
        found = json.loads((folders["samples"] / "samples.json").read_text())
        return Sampling(found["axes"], found["whole"])
    weights = next((folders[name] for name in WEIGHTS if name in folders), None)
    if weights is None:
        return Sampling()
    return Sampling.of_spec(ModelSpec.from_json((weights / "model.json").read_text()))
