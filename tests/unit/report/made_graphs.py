"""The model of the made-up scenario, and the graphs that its routes wrote. Test data: nothing was exported."""

from __future__ import annotations

from typing import Any

from harness.models import tempcnn

#: Names that would break a page which forgot to escape them.
CLASSES = (
    "barley",
    "wheat",
    "rapeseed",
    "maize <b>grain & silage</b>",
    "sunflower \"late\" | 'early'",
    "orchards and other long-lived plantations of $fruit$ trees",
    "nuts_and_*berries*",
    "permanent meadows",
    "temporary meadows",
)
BANDS = ("B1", "B10", "B11", "B12", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9")
MODEL = tempcnn.build(bands=13, dates=45, classes=len(CLASSES))

FOLDED = "torch-dynamo-opset18-folded"
UNFOLDED = "torch-dynamo-opset18-unfolded"
SCRIPT = "torch-script-opset11-folded"


def _graph(opset: int, *, folded: tuple[str, ...], script: bool, size: int) -> dict[str, Any]:
    """TempCNN as an exporter writes it, with some batch normalisations folded; ``script``: with names of its own."""
    nodes: list[dict[str, Any]] = []
    stored: list[dict[str, Any]] = []
    shapes: dict[str, list[Any]] = {}
    flowing, length = "x", ["batch", 128, 45]

    def node(operator: str, weights: tuple[tuple[str, list[int]], ...] = (), **attributes: Any) -> None:
        nonlocal flowing
        name = f"{operator.lower()}_{len(nodes)}"
        inputs = [flowing, *(weight for weight, _ in weights)]
        stored.extend(
            {"name": weight, "dtype": "float32", "shape": shape, "sha256": weight} for weight, shape in weights
        )
        last = len(nodes) + len(folded) == 14 - script
        flowing = "logits" if last else f"{name}_output"
        nodes.append(
            {
                "name": name,
                "operator": operator,
                "domain": "",
                "inputs": inputs,
                "outputs": [flowing],
                "attributes": attributes,
            }
        )
        shapes[flowing] = length

    def normalised(layer: str, units: int) -> None:
        if layer not in folded:
            parts = ("weight", "bias", "running_mean", "running_var")
            node(
                "BatchNormalization",
                tuple((f"{layer}.{part}", [units]) for part in parts),
                epsilon=9.999999747378752e-06,
            )
        node("Relu")

    for number, bands in ((1, 13), (2, 128), (3, 128)):
        renamed = script and f"norm{number}" in folded
        names = [
            f"onnx::Conv_{40 + 3 * number + place}" if renamed else f"conv{number}.{part}"
            for place, part in enumerate(("weight", "bias"))
        ]
        node("Conv", ((names[0], [128, bands, 7]), (names[1], [128])), kernel_shape=[7], pads=[3, 3], strides=[1])
        normalised(f"norm{number}", 128)
    length = ["batch", 5760]
    if script:
        node("Flatten", axis=1)
    else:
        nodes.append(
            {
                "name": "shape_of_it",
                "operator": "Constant",
                "domain": "",
                "inputs": [],
                "outputs": ["wanted"],
                "attributes": {"value": {"tensor": {"dtype": "int64", "shape": [2], "values": [0, 5760]}}},
            }
        )
        node("Reshape", (("wanted", [2]),))
        stored.pop()
    length = ["batch", 512]
    node("Gemm", (("dense.weight", [512, 5760]), ("dense.bias", [512])), transB=1)
    normalised("dense_norm", 512)
    length = ["batch", 9]
    node("Gemm", (("classifier.weight", [9, 512]), ("classifier.bias", [9])), transB=1)
    return {
        "format": "onnx",
        "ir_version": 10,
        "producer": "pytorch 2.13.0",
        "opsets": {"": opset},
        "bytes": size,
        "inputs": [{"name": "x", "dtype": "float32", "shape": ["batch", 13, 45]}],
        "outputs": [{"name": nodes[-1]["outputs"][0], "dtype": "float32", "shape": ["batch", 9]}],
        "nodes": nodes,
        "initializers": stored,
        "shapes": shapes,
        "metadata": {},
    }


_ALL = ("norm1", "norm2", "norm3", "dense_norm")
#: The graph of every route that writes one, as ``structures.json`` holds them.
GRAPHS = {
    FOLDED: _graph(18, folded=_ALL, script=False, size=12_804_112),
    UNFOLDED: _graph(18, folded=(), script=False, size=12_816_400),
    SCRIPT: _graph(11, folded=_ALL[:3], script=True, size=12_807_015),
}
