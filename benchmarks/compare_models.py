"""The models that the cost of ``harness compare`` is measured on, and a probe for each.

    python -m benchmarks.compare_models NAME FOLDER [--gigabytes 1.5]

writes ``model.onnx`` and ``X.npy`` to FOLDER. Random weights, seeded; exported by PyTorch's TorchScript exporter at opset 17, which
takes a second where dynamo takes a minute.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

OPSET = 17
#: Width of the layers of ``large``: 4096 x 4096 float32 are 64 MiB.
WIDTH = 4096


def unet(folder: Path) -> None:
    """U-Net (Ronneberger et al. 2015) of 4 levels, 16 to 128 filters, 0.47 million parameters; two tiles of 4 x 256 x 256."""
    import torch
    from torch import nn

    def block(channels: int, filters: int) -> nn.Sequential:
        layers: list[nn.Module] = []
        for taken in (channels, filters):
            layers += [nn.Conv2d(taken, filters, 3, padding=1), nn.BatchNorm2d(filters), nn.ReLU()]
        return nn.Sequential(*layers)

    class UNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            filters = (16, 32, 64, 128)
            self.down = nn.ModuleList(block(*pair) for pair in zip((4, *filters), filters, strict=False))
            rising = list(zip(filters[:0:-1], filters[-2::-1], strict=True))
            self.grow = nn.ModuleList(nn.ConvTranspose2d(deep, flat, 2, stride=2) for deep, flat in rising)
            self.up = nn.ModuleList(block(deep, flat) for deep, flat in rising)
            self.pool = nn.MaxPool2d(2)
            self.head = nn.Conv2d(filters[0], 5, 1)

        def forward(self, x: Any) -> Any:
            kept = []
            for place, level in enumerate(self.down):
                x = level(x if place == 0 else self.pool(x))
                kept.append(x)
            for grow, level, beside in zip(self.grow, self.up, kept[-2::-1], strict=True):
                x = level(torch.cat([grow(x), beside], 1))
            return self.head(x)

    _export(UNet(), folder, (2, 4, 256, 256))


def transformer(folder: Path) -> None:
    """Encoder (Vaswani et al. 2017) of 2 layers, width 64, 4 heads; 64 samples of 45 steps and 10 bands."""
    import torch
    from torch import nn

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Linear(10, 64)
            self.place = nn.Parameter(0.02 * torch.randn(1, 45, 64))
            layer = nn.TransformerEncoderLayer(64, 4, dim_feedforward=256, batch_first=True)
            self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
            self.head = nn.Linear(64, 9)

        def forward(self, x: Any) -> Any:
            return self.head(self.layers(self.embed(x) + self.place).mean(1))

    _export(Encoder(), folder, (64, 45, 10))


def tempcnn(folder: Path) -> None:
    """TempCNN (Pelletier et al. 2019) of 3.2 million parameters; 64 samples of 10 bands and 45 dates."""
    from torch import nn

    layers: list[nn.Module] = []
    for channels in (10, 128, 128):
        layers += [nn.Conv1d(channels, 128, 7, padding=3), nn.BatchNorm1d(128), nn.ReLU()]
    layers += [nn.Flatten(), nn.Linear(128 * 45, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, 9)]
    _export(nn.Sequential(*layers), folder, (64, 10, 45))


def gru(folder: Path) -> None:
    """GRU classifier (Cho et al. 2014) of width 64, unrolled into nodes step by step; 64 samples of 20 steps and 10 bands."""
    import torch
    from torch import nn

    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gates = nn.Linear(10 + 64, 128)
            self.new = nn.Linear(10 + 64, 64)
            self.head = nn.Linear(64, 9)

        def forward(self, x: Any) -> Any:
            state = torch.tanh(x[:, 0, :1]) @ torch.zeros(1, 64)
            for value in x.unbind(1):
                update, reset = torch.sigmoid(self.gates(torch.cat([value, state], 1))).split(64, 1)
                new = torch.tanh(self.new(torch.cat([value, reset * state], 1)))
                state = update * state + (1 - update) * new
            return self.head(state)

    _export(Classifier(), folder, (64, 20, 10))


def large(folder: Path, gigabytes: float = 1.5) -> None:
    """Linear layers of width 4096 whose weights lie in a file beside the model, ``gigabytes`` of them; 64 samples."""
    import onnx
    from onnx import TensorProto, helper

    count = max(1, round(gigabytes * 1e9 / (4 * WIDTH * WIDTH)))
    drawn = np.random.default_rng(0)
    nodes, tensors = [], []
    with (folder / "model.onnx.data").open("wb") as file:
        for place in range(count):
            tensor = TensorProto(name=f"weight{place}", data_type=TensorProto.FLOAT, dims=[WIDTH, WIDTH])
            tensor.data_location = TensorProto.EXTERNAL
            values = {"location": file.name.rpartition("/")[2], "offset": file.tell(), "length": 4 * WIDTH * WIDTH}
            for key, value in values.items():
                tensor.external_data.add(key=key, value=str(value))
            (drawn.standard_normal((WIDTH, WIDTH), np.float32) * np.float32(1.4 / WIDTH**0.5)).tofile(file)
            tensors.append(tensor)
            nodes.append(helper.make_node("MatMul", [f"x{place}", tensor.name], [f"y{place}"], f"linear{place}"))
            nodes.append(helper.make_node("Relu", [f"y{place}"], [f"x{place + 1}"], f"relu{place}"))
    graph = helper.make_graph(
        nodes,
        "large",
        [helper.make_tensor_value_info("x0", TensorProto.FLOAT, ["sample", WIDTH])],
        [helper.make_tensor_value_info(f"x{count}", TensorProto.FLOAT, ["sample", WIDTH])],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    onnx.save(model, folder / "model.onnx")
    np.save(folder / "X.npy", drawn.standard_normal((64, WIDTH), np.float32))


def _export(module: Any, folder: Path, shape: tuple[int, ...]) -> None:
    """With BatchNorm's statistics of one step of training; the first axis is the sample, of any number."""
    import warnings

    import torch

    torch.manual_seed(0)
    values = np.random.default_rng(0).standard_normal(shape, np.float32)
    x = torch.from_numpy(values)
    for parameter in module.parameters():
        if parameter.dim() > 1:
            torch.nn.init.kaiming_uniform_(parameter, a=5**0.5)
    with torch.no_grad():
        module.train()(x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            (x,),
            str(folder / "model.onnx"),
            dynamo=False,
            opset_version=OPSET,
            input_names=["x"],
            output_names=["y"],
            dynamic_axes={"x": {0: "sample"}, "y": {0: "sample"}},
        )
    np.save(folder / "X.npy", values)


#: By name what builds a model, in the order in which they are measured.
MODELS = {"tempcnn": tempcnn, "transformer": transformer, "gru": gru, "unet": unet, "large": large}


def main() -> None:
    """Build one."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("name", choices=MODELS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--gigabytes", type=float, default=1.5, help="weights of 'large'")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    if given.name == "large":
        large(given.folder, given.gigabytes)
    else:
        MODELS[given.name](given.folder)


if __name__ == "__main__":
    main()
