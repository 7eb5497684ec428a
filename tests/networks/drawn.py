"""What a drawn network is: its seed, its family, and how it is exported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Samples of a probe.
SAMPLES = 64

#: Families of each framework, and how often they are drawn against each other.
FAMILIES: dict[str, dict[str, int]] = {
    "pytorch": {
        "tempcnn": 2,
        "image": 4,
        "decoder": 3,
        "series": 2,
        "volume": 1,
        "recurrent": 4,
        "convolutional-recurrent": 1,
        "attention": 4,
        "several-inputs": 3,
        "dense": 1,
    },
    "keras": {"image": 3, "decoder": 2, "recurrent": 3, "attention": 2, "several-inputs": 2},
}

#: Exporters with the opsets that they write. PyTorch's newer one writes 18 and above.
EXPORTERS: dict[str, dict[str, tuple[int, ...]]] = {
    "pytorch": {"torch-script": (11, 12, 13, 14, 15, 16, 17, 18, 19, 20), "torch-dynamo": (18, 19, 20, 21, 22)},
    "keras": {"keras-export": (13, 15, 17, 18), "tf2onnx": (11, 13, 15, 17, 18)},
}


@dataclass(frozen=True)
class Draw:
    """One network of many: everything else follows from its seed."""

    seed: int
    framework: str
    family: str
    exporter: str
    opset: int
    trained: bool

    @property
    def name(self) -> str:
        """``0042-keras-image-tf2onnx-17-trained``."""
        ending = "trained" if self.trained else "random"
        return f"{self.seed:04d}-{self.framework}-{self.family}-{self.exporter}-{self.opset}-{ending}"


def drawn(seed: int) -> Draw:
    """The network of a seed. One of six is Keras'."""
    random = np.random.default_rng([0x4E45, seed])
    framework = "keras" if seed % 6 == 5 else "pytorch"
    turns = _turns(FAMILIES[framework])
    family = turns[(seed // 6 if framework == "keras" else seed - seed // 6) % len(turns)]
    exporter = str(random.choice([*EXPORTERS[framework]]))
    opset = int(random.choice(EXPORTERS[framework][exporter]))
    return Draw(seed, framework, family, exporter, opset, bool(random.integers(0, 2)))


def _turns(families: dict[str, int]) -> list[str]:
    """Every family as often as it says, one after the other, so that few networks are of all of them."""
    return [name for turn in range(max(families.values())) for name, times in families.items() if times > turn]


@dataclass(frozen=True)
class Network:
    """A model of a framework, what it takes, by name and with axis 0 the sample, and the names of what it gives."""

    module: Any
    inputs: dict[str, NDArray[Any]]
    outputs: tuple[str, ...] = ("y",)


@dataclass
class Choices:
    """Random choices in the words of the families."""

    random: np.random.Generator = field(repr=False)

    def number(self, low: int, high: int) -> int:
        """A whole number between two, both possible."""
        return int(self.random.integers(low, high, endpoint=True))

    def of(self, *options: Any) -> Any:
        """One of several."""
        return options[int(self.random.integers(len(options)))]

    def often(self, share: float = 0.5) -> bool:
        """True in that share of the cases."""
        return bool(self.random.random() < share)

    def values(self, *shape: int) -> NDArray[np.float32]:
        """Standard normal values of a scale and an offset of their own."""
        scale, offset = np.exp(self.random.normal(0, 0.7)), self.random.normal(0, 0.5)
        return (self.random.standard_normal(shape) * scale + offset).astype(np.float32)


#: A family: from its choices to a network.
Family = Callable[[Choices], Network]
