"""The cases that the onnx package publishes, as files that any worker can read.

As a program, ``python -m harness.workers.onnx.published_cases FOLDER`` packs all suites into a folder, see
:mod:`harness.workers.case_pack`: ONNX's node cases, and the suites simple, pytorch-converted, pytorch-operator and light,
whose files come with the package.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from harness.workers.case_pack import PackWriter
from harness.workers.engine import Array

SUITES = ("node", "simple", "pytorch-converted", "pytorch-operator", "light")

#: Tolerances where a case says nothing, those of ONNX's own runner.
RTOL, ATOL = 1e-3, 1e-7

#: What travels between the harness and a worker; bfloat16 is the one type among them that numpy borrows.
DTYPES = frozenset(
    ["bool", "bfloat16", "float16", "float32", "float64"]
    + [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
)

#: Operators whose result is drawn at random: what the suite stores is one draw of many.
RANDOM = frozenset(
    ["Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"]
)
#: Cases of Dropout in training with a ratio above nought.
DRAWN = frozenset(f"test_training_dropout{ending}" for ending in ("", "_default", "_default_mask", "_mask"))


class CannotTravelError(Exception):
    """A case that no file of a worker can hold; the text is the reason."""


@dataclass(frozen=True)
class SuiteCase:
    """One case as the onnx package publishes it.

    Attributes:
        name: the suite's own name, e.g. ``test_conv_with_strides_padding``.
        suite: one of :data:`SUITES`.
        model: the model, at the opset it was written for.
        opset: that opset of the default domain; 0 where the model uses other domains alone.
        operators: sorted names of all operators, those of subgraphs included; the domain before the name where it is not
            ONNX's default one.
        inputs, outputs: graph tensor name to array, in graph order.
        rtol, atol: the suite's tolerances.
    """

    name: str
    suite: str
    model: onnx.ModelProto
    opset: int
    operators: tuple[str, ...]
    inputs: dict[str, Array]
    outputs: dict[str, Array]
    rtol: float
    atol: float


def published(suite: str) -> list[Any]:
    """The cases of a suite as the onnx package holds them, by name."""
    from onnx.backend.test.case.node import collect_testcases
    from onnx.backend.test.loader import load_model_tests

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if suite == "node":
            found = collect_testcases(None)
        elif suite == "light":
            found = [case for case in load_model_tests(kind="real") if "/light/" in (case.url or "")]
        else:
            found = load_model_tests(kind=suite)
    return sorted(found, key=lambda case: case.name)


def read_case(found: Any, suite: str) -> SuiteCase:
    """Read one case of :func:`published`.

    Raises:
        CannotTravelError: see :func:`as_array`; also where the result is drawn at random.
    """
    model, inputs, outputs = _contents(found, suite)
    operators = operators_of(model)
    if RANDOM.intersection(operators) or found.name in DRAWN:
        raise CannotTravelError("the result is drawn at random")
    held = {tensor.name for tensor in model.graph.initializer}
    given = [info for info in model.graph.input if info.name not in held] if suite == "light" else model.graph.input
    for declared in [*given, *model.graph.output]:
        kind = declared.type.WhichOneof("value") or "tensor_type"
        if kind != "tensor_type":
            raise CannotTravelError(f"{kind.removesuffix('_type')}s do not travel as arrays")
    return SuiteCase(
        name=found.name,
        suite=suite,
        model=model,
        opset=next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0),
        operators=operators,
        # A suite gives the first inputs and leaves the rest to their initializers.
        inputs={i.name: as_array(v) for i, v in zip(given, inputs, strict=False)},
        outputs={o.name: as_array(v) for o, v in zip(model.graph.output, outputs, strict=True)},
        rtol=float(found.rtol),
        atol=float(found.atol),
    )


def _contents(found: Any, suite: str) -> tuple[onnx.ModelProto, list[object], list[object]]:
    """Model, inputs and outputs of a case."""
    if suite == "node":
        inputs, outputs = found.data_sets[0]
        return found.model, list(inputs), list(outputs)
    if suite == "light":
        return _light(Path(onnx.__file__).parents[1] / found.url)
    folder = Path(found.model_dir)
    model = onnx.load(folder / "model.onnx")
    data = folder / "test_data_set_0"
    return model, _values(data, "input", model.graph.input), _values(data, "output", model.graph.output)


def _values(folder: Path, kind: str, infos: Any) -> list[object]:
    """The values of ``input_0.pb`` and so on: tensors, where the graph declares tensors."""
    count = len(list(folder.glob(f"{kind}_*.pb")))
    values: list[object] = []
    for number, info in zip(range(count), infos, strict=False):
        if info.type.WhichOneof("value") not in (None, "tensor_type"):
            values.append(None)
            continue
        values.append(onnx.TensorProto.FromString((folder / f"{kind}_{number}.pb").read_bytes()))
    return values


def _light(path: Path) -> tuple[onnx.ModelProto, list[object], list[object]]:
    """A network whose weights are made by the file itself, with the input that ONNX's own runner gives it."""
    model = onnx.load(path)
    held = {tensor.name for tensor in model.graph.initializer}
    inputs: list[object] = []
    for info in model.graph.input:
        if info.name not in held:
            shape = [axis.dim_value if axis.HasField("dim_value") else 1 for axis in info.type.tensor_type.shape.dim]
            count = int(np.prod(shape))
            inputs.append((np.arange(count).reshape(shape) / count).astype(np.float32))
    stem = str(path.with_suffix(""))
    outputs: list[object] = [
        onnx.TensorProto.FromString(Path(f"{stem}_output_{k}.pb").read_bytes()) for k in range(len(model.graph.output))
    ]
    return model, inputs, outputs


def as_array(value: object) -> Array:
    """A value of the suite as an ordinary array.

    Raises:
        CannotTravelError: it is a sequence, an optional, a string or of a type that safetensors files of numpy do not hold.
    """
    if isinstance(value, onnx.TensorProto):
        kind = onnx.TensorProto.DataType.Name(value.data_type).lower()
        if kind == "string":
            raise CannotTravelError("strings do not travel as arrays")
        value = numpy_helper.to_array(value)
    if isinstance(value, list):
        raise CannotTravelError("sequences do not travel as arrays")
    if value is None:
        raise CannotTravelError("optionals do not travel as arrays")
    array = np.asarray(value)
    if array.dtype.kind in "OUS":
        raise CannotTravelError("strings do not travel as arrays")
    if array.dtype.name not in DTYPES:
        raise CannotTravelError(f"dtype {array.dtype.name} is not among the types that travel")
    return np.ascontiguousarray(array).reshape(array.shape)


def operators_of(model: onnx.ModelProto) -> tuple[str, ...]:
    """Sorted operator names of a model, those of subgraphs included; see :class:`SuiteCase`."""
    return tuple(sorted({qualified_name(node) for node in nested_nodes(model.graph)}))


def qualified_name(node: onnx.NodeProto) -> str:
    """The name of an operator, after its domain where that is not ONNX's default one."""
    return node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"


def nested_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """All nodes of a graph, those of subgraphs included."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in [attribute.g, *attribute.graphs]:
                yield from nested_nodes(inner)


def pack(folder: Path) -> None:
    """Write the cases of all suites into a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    records, excluded = [], []
    with (folder / "cases.bin").open("wb") as file:
        writer = PackWriter(file, folder / "arrays.safetensors")
        for suite in SUITES:
            for found in published(suite):
                try:
                    case = read_case(found, suite)
                except CannotTravelError as reason:
                    excluded.append({"case": found.name, "suite": suite, "reason": str(reason)})
                    continue
                records.append(
                    {
                        "case": case.name,
                        "suite": suite,
                        "opset": case.opset,
                        "folder": f"{suite}/{case.name}",
                        "operators": list(case.operators),
                        "inputs": list(case.inputs),
                        "outputs": list(case.outputs),
                        "rtol": case.rtol,
                        "atol": case.atol,
                        "place": writer.add_case(case.model.SerializeToString(), case.inputs, case.outputs),
                    }
                )
    index = {"onnx": onnx.__version__, "cases": records, "excluded": {"cases": excluded}}
    (folder / "index.json").write_text(json.dumps(index), encoding="utf-8")


if __name__ == "__main__":
    pack(Path(sys.argv[1]))
