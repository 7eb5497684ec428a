"""Makes the files of drawn networks of one framework: ``python -m tests.networks.make FRAMEWORK FOLDER SEED ...``.

Every network gets a folder of its name with ``model.onnx`` and one ``.npy`` per input, or with ``refused.txt`` where its exporter
refuses it or writes what ONNX's own checker refuses. One process per framework: two of them in one process get in each other's way.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx

from harness.workers.serve import pin_threads

# Before a framework is imported.
pin_threads()

from tests.networks.drawn import Choices, Draw, Network, drawn  # noqa: E402


def pytorch(draw: Draw, path: Path) -> Network:
    """A network of PyTorch by one of its two exporters."""
    import torch

    from tests.networks.torch_families import FAMILIES, settled

    torch.set_num_threads(1)
    torch.manual_seed(draw.seed)
    c = Choices(np.random.default_rng([0x4E46, draw.seed]))
    network = FAMILIES[draw.family](c)
    module = network.module.eval() if draw.family == "tempcnn" else settled(network, c, trained=draw.trained)
    # More samples than one, so that no exporter takes them for a constant.
    example = {name: torch.from_numpy(np.ascontiguousarray(array[:3])) for name, array in network.inputs.items()}
    names = {"input_names": [*example], "output_names": [*network.outputs]}
    if draw.exporter == "torch-script":
        torch.onnx.export(
            module,
            tuple(example.values()),
            str(path),
            dynamo=False,
            opset_version=draw.opset,
            dynamic_axes={name: {0: "sample"} for name in (*example, *network.outputs)},
            **names,
        )
        return network
    sample = torch.export.Dim("sample")
    program = torch.onnx.export(
        module,
        tuple(example.values()),
        dynamo=True,
        opset_version=draw.opset,
        dynamic_shapes=tuple({0: sample} for _ in example),
        external_data=False,
        verbose=False,
        **names,
    )
    assert program is not None
    program.save(str(path), external_data=False)
    return network


def keras(draw: Draw, path: Path) -> Network:
    """A network of Keras on TensorFlow by Keras' own export or by tf2onnx."""
    from harness.workers.keras import on_tensorflow  # noqa: F401, I001  (sets the backend)

    import keras as keras_itself
    import tensorflow
    import tf2onnx

    from tests.networks.keras_families import FAMILIES, settled

    keras_itself.backend.clear_session()
    keras_itself.utils.set_random_seed(draw.seed)
    c = Choices(np.random.default_rng([0x4E46, draw.seed]))
    network = FAMILIES[draw.family](c)
    model = settled(network, c, trained=draw.trained)
    shapes = {name: (None, *array.shape[1:]) for name, array in network.inputs.items()}
    if draw.exporter == "keras-export":
        signature = [keras_itself.InputSpec(shape=shape, dtype="float32", name=name) for name, shape in shapes.items()]
        given = signature if len(signature) == 1 else [signature]
        model.export(str(path), format="onnx", verbose=False, input_signature=given, opset_version=draw.opset)
        return network
    specs = [tensorflow.TensorSpec(shape, "float32", name=name) for name, shape in shapes.items()]
    tf2onnx.convert.from_keras(model, input_signature=specs, opset=draw.opset, output_path=str(path))
    return network


MAKERS = {"pytorch": pytorch, "keras": keras}


def main(framework: str, folder: Path, seeds: list[int]) -> None:
    """Make the networks of those seeds."""
    for seed in seeds:
        draw = drawn(seed)
        place = folder / draw.name
        place.mkdir(parents=True, exist_ok=True)
        try:
            network = MAKERS[framework](draw, place / "model.onnx")
            # Exporters write operators that an opset does not have, and axes that are none.
            onnx.checker.check_model(str(place / "model.onnx"), full_check=True)
        except Exception as error:
            # Whatever an exporter raises, this network has no file.
            (place / "model.onnx").unlink(missing_ok=True)
            lines = [line for line in str(error).splitlines() if line.strip()]
            (place / "refused.txt").write_text(f"{type(error).__name__}: {(lines or [''])[0][:300]}\n")
            continue
        for name, array in network.inputs.items():
            np.save(place / f"{name}.npy", array)
        (place / "made").touch()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), [int(seed) for seed in sys.argv[3:]])
