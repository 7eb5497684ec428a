"""Models with faults planted in their exported graphs: TempCNN, ConvLSTM, and what must be said of each fault."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from harness.models import convlstm
from harness.models.spec import ModelSpec
from harness.workers.pytorch.model import build, state_arrays
from harness.workers.pytorch.routes import ROUTES
from harness.workers.tensors import write_tensors
from tests.integration.planted_graphs import (
    HALF_AND_BACK,
    SCALE,
    Planted,
    at_input,
    at_output,
    backwards,
    dropped,
    each,
    exchanged,
    inserted,
    plant,
    setting,
    swapped,
)
from tests.networks.tempcnn import random_net

TEMPCNN = (
    Planted(
        "epsilon 1e-3", setting("BatchNormalization", 1, epsilon=1e-3), "norm2", "epsilon 1e-3, the source has 1e-5"
    ),
    Planted("activation missing", dropped("Relu", 1), "after norm2", "the Relu after norm2 is missing"),
    Planted("LeakyReLU for ReLU", exchanged("Relu", 1, "LeakyRelu", alpha=0.1), "after norm2", "the source has a Relu"),
    Planted("padding 2 and 4", setting("Conv", 1, pads=[2, 4]), "conv2", "padding 2 and 4, the source has 3 and 3"),
    Planted("dilation 2", setting("Conv", 1, dilations=[2], pads=[6, 6]), "conv2", "dilation 2, the source has 1"),
    Planted("scale inserted", inserted("Conv", 1, SCALE), "after conv2", "a Mul after conv2 that multiplies by 1.1"),
    Planted("bands exchanged", at_input(swapped(6, 1, 0, 1)), "at the input", "bands 0 and 1 exchanged"),
    Planted("dates reversed", at_input(backwards(2)), "at the input", "the time axis backwards"),
    Planted(
        "cast to half and back", inserted("Conv", 1, *HALF_AND_BACK), "after conv2", "a Cast to float16 after conv2"
    ),
    Planted("sigmoid too many", at_output(("Sigmoid", {}, [])), "after classifier", "a Sigmoid after the Softmax"),
    Planted("BatchNorm dropped", dropped("BatchNormalization", 1), "norm2", "norm2 is missing"),
    Planted("Softmax on another axis", setting("Softmax", 0, axis=0), "after classifier", "axis 0, the source has 1"),
    Planted(
        "dense layer's ReLU missing", dropped("Relu", 3), "after dense_norm", "the Relu after dense_norm is missing"
    ),
)

CONVLSTM = (
    Planted(
        "epsilon 1e-5", setting("BatchNormalization", 0, epsilon=1e-5), "norm1", "epsilon 1e-5, the source has 1e-3"
    ),
    Planted(
        "activation missing",
        dropped("LeakyRelu", 0),
        "after lstm1",
        "the LeakyRelu (alpha 1e-2) after lstm1 is missing",
    ),
    Planted("ReLU for LeakyReLU", exchanged("LeakyRelu", 0, "Relu"), "after lstm1", "the source has a LeakyRelu"),
    Planted("slope 0.3", setting("LeakyRelu", 0, alpha=0.3), "after lstm1", "alpha 0.3, the source has 1e-2"),
    Planted(
        "padding 0 and 2", each("Conv", range(4), pads=[0, 1, 2, 1]), "lstm1", "padding 0, 1, 2, 1, the source has 1"
    ),
    Planted(
        "dilation 2",
        each("Conv", range(4, 8), dilations=[2, 2], pads=[2] * 4),
        "lstm2",
        "dilation 2 and 2, the source has 1 and 1",
    ),
    Planted("scale inserted", inserted("BatchNormalization", 0, SCALE), "after norm1", "that multiplies by 1.1"),
    Planted("bands exchanged", at_input(swapped(2, 1, 0, 1)), "at the input", "bands 0 and 1 exchanged"),
    Planted("frames reversed", at_input(backwards(2)), "at the input", "the time axis backwards"),
    Planted("cast to half and back", inserted("LeakyRelu", 0, *HALF_AND_BACK), "after lstm1", "a Cast to float16"),
    Planted(
        "sigmoid too many", at_output(("Sigmoid", {}, [])), "after output", "a Sigmoid after the Sigmoid after output"
    ),
    Planted("BatchNorm dropped", dropped("BatchNormalization", 0), "norm1", "norm1 is missing"),
    Planted("tanh of the cell missing", dropped("Tanh", 3), "in lstm1", "the Tanh in lstm1 is missing"),
    Planted(
        "transposed frames", at_input(("Transpose", {"perm": [0, 1, 2, 4, 3]}, [])), "lstm1", "axes in another order"
    ),
)

STRANGER = (
    Planted(
        "epsilon 1e-3", setting("BatchNormalization", 1, epsilon=1e-3), "norm2", "epsilon 1e-3, the source has 1e-5"
    ),
    Planted("activation missing", dropped("Relu", 1), "after norm2", "the Relu after norm2 is missing"),
    Planted("LeakyReLU for ReLU", exchanged("Relu", 1, "LeakyRelu", alpha=0.1), "after norm2", "the source has a Relu"),
    Planted("padding 0 and 2", setting("Conv", 1, pads=[0, 2, 2, 0]), "conv2", "the source has 1 throughout"),
    Planted(
        "dilation 2", setting("Conv", 1, dilations=[2, 2], pads=[2] * 4), "conv2", "dilation 2 and 2, the source has 1"
    ),
    Planted("scale inserted", inserted("Conv", 1, SCALE), "after conv2", "a Mul after conv2 that multiplies by 1.1"),
    Planted("bands exchanged", at_input(swapped(4, 1, 0, 3)), "at the input", "places 0 and 3 of axis 1 exchanged"),
    Planted("columns reversed", at_input(backwards(3)), "at the input", "axis 3 backwards"),
    Planted(
        "cast to half and back", inserted("Conv", 1, *HALF_AND_BACK), "after conv2", "a Cast to float16 after conv2"
    ),
    Planted("sigmoid too many", at_output(("Sigmoid", {}, [])), "after", "a Sigmoid after the Softmax"),
    Planted("stride 1", setting("MaxPool", 0, strides=[1, 1]), "after norm1", "stride 1 and 1, the source has 2 and 2"),
    Planted(
        "another pooling",
        exchanged("MaxPool", 0, "AveragePool", kernel_shape=[2, 2], strides=[2, 2]),
        "after norm1",
        "the source has a MaxPool",
    ),
    Planted("BatchNorm dropped", dropped("BatchNormalization", 1), "norm2", "norm2 is missing"),
    Planted("Softmax on another axis", setting("Softmax", 0, axis=0), "after head", "axis 0, the source has 1"),
)


class Stranger(torch.nn.Module):
    """A small network of images that the harness has no specification of: pooling, and a connection around a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.norm1 = torch.nn.Conv2d(4, 6, 3, padding=1), torch.nn.BatchNorm2d(6)
        self.conv2, self.norm2 = torch.nn.Conv2d(6, 6, 3, padding=1), torch.nn.BatchNorm2d(6)
        self.head = torch.nn.Linear(6, 5)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        pooled = torch.nn.functional.max_pool2d(torch.relu(self.norm1(self.conv1(image))), 2)
        joined = torch.relu(self.norm2(self.conv2(pooled))) + pooled
        return torch.softmax(self.head(joined.mean(dim=(2, 3))), dim=1)


@dataclass(frozen=True)
class Subject:
    """A model with its clean export, its weights and a probe, all in a folder; and the faults planted in copies of the export."""

    folder: Path
    spec: ModelSpec | None
    clean: onnx.ModelProto
    probe: NDArray[np.float32]
    faults: tuple[Planted, ...]

    def planted(self, fault: Planted) -> onnx.ModelProto:
        """The model with a fault in it."""
        return plant(self.clean, fault)

    def write(self, fault: Planted) -> Path:
        """The file with a fault in it."""
        path = self.folder / f"{fault.name.replace(' ', '-').replace(chr(39), '')}.onnx"
        onnx.save(self.planted(fault), str(path))
        return path


def _subject(
    folder: Path, module: torch.nn.Module, spec: ModelSpec, probe: np.ndarray, faults: tuple[Planted, ...]
) -> Subject:
    folder.mkdir(parents=True, exist_ok=True)
    content, _ = ROUTES.export_model(module.eval(), spec, "torch-script", 17, False, {})
    np.save(folder / "x.npy", probe)
    write_tensors(folder / "weights.safetensors", state_arrays(module))
    (folder / "model.json").write_text(spec.to_json())
    return Subject(folder, spec, onnx.load_from_string(content), probe, faults)


def planted_tempcnn(folder: Path, head: str = "softmax") -> Subject:
    """A small TempCNN with the state that training leaves."""
    torch.set_default_dtype(torch.float32)
    sizes = {"bands": 6, "dates": 24, "classes": 9, "filters": [8] * 3, "kernels": [7] * 3, "dropouts": [0.2] * 3}
    source = random_net(7, activation="relu", head=head, **sizes, dense_width=16)
    return _subject(folder, source.module, source.spec, source.probe, TEMPCNN)


def planted_convlstm(folder: Path) -> Subject:
    """A small ConvLSTM of four frames of 7 x 7, unrolled by its exporter."""
    spec = convlstm.build(
        bands=2, history=4, horizon=4, rows=7, columns=7, hyperparameters={"filters": (4, 4), "kernels": (3, 3)}
    )
    torch.set_default_dtype(torch.float32)
    torch.manual_seed(3)
    module = build(spec).eval()
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, torch.nn.BatchNorm3d):
                layer.running_mean.normal_(0, 0.2)
                layer.running_var.uniform_(0.05, 2)
                layer.weight.uniform_(0.5, 1.5)
                layer.bias.normal_(0, 0.3)
            if isinstance(layer, torch.nn.Conv2d):
                layer.weight.mul_(2)
                layer.bias.normal_(0, 0.3)
    probe = np.random.default_rng(0).standard_normal((8, 2, 4, 7, 7)).astype(np.float32)
    return _subject(folder, module, spec, probe, CONVLSTM)


def planted_stranger(folder: Path) -> Subject:
    """A network that the harness does not know, with the program of ``torch.export`` that it was exported from."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_default_dtype(torch.float32)
    torch.manual_seed(5)
    module = Stranger().eval()
    with torch.no_grad():
        for layer in (module.norm1, module.norm2):
            layer.running_mean.normal_(0, 0.2)
            layer.running_var.uniform_(0.02, 1)
            layer.weight.uniform_(0.5, 1.5)
            layer.bias.normal_(0, 0.3)
    probe = np.random.default_rng(1).standard_normal((64, 4, 8, 8)).astype(np.float32)
    image = torch.from_numpy(probe[:2])
    sizes = ({0: torch.export.Dim("n", min=1)},)
    torch.export.save(torch.export.export(module, (image,), dynamic_shapes=sizes), folder / "stranger.pt2")
    torch.onnx.export(
        module,
        (image,),
        folder / "clean.onnx",
        dynamo=False,
        do_constant_folding=False,
        training=torch.onnx.TrainingMode.PRESERVE,
        opset_version=17,
        input_names=["image"],
        output_names=["scores"],
        dynamic_axes={"image": {0: "n"}, "scores": {0: "n"}},
    )
    np.save(folder / "x.npy", probe)
    return Subject(folder, None, onnx.load(folder / "clean.onnx"), probe, STRANGER)
