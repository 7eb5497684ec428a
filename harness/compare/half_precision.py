"""Whether a graph computes in half precision, and what the smallest step of a number is there.

A file may hold float16 weights and cast them before use: then it computes in float32. It computes in the type of the numbers that
its operators take.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Precision = Literal["float32", "float16", "bfloat16"]

#: Bits of the fraction, and the exponent of the smallest normal number (IEEE 754 binary16; bfloat16 has float32's exponents).
_FORMATS: dict[Precision, tuple[int, int]] = {"float32": (23, -126), "float16": (10, -14), "bfloat16": (7, -126)}

_HALF: tuple[Precision, ...] = ("float16", "bfloat16")

#: ``to`` of Cast, by onnx.proto's TensorProto.DataType.
_CASTS: dict[int, str] = {1: "float32", 10: "float16", 11: "float64", 16: "bfloat16"}

#: Operators that hand values on, and compute nothing.
_HANDING = frozenset(
    {
        "Cast",
        "CastLike",
        "Constant",
        "DequantizeLinear",
        "Flatten",
        "Identity",
        "Reshape",
        "Shape",
        "Squeeze",
        "Transpose",
    }
    | {"Unsqueeze"}
)


def computes_in(structure: Mapping[str, Any] | None) -> Precision:
    """The type that a graph (see the worker contract) computes in: half precision where an operator takes it, else float32."""
    if structure is None:
        return "float32"
    kinds: dict[str, str] = {
        str(entry["name"]): str(entry["dtype"]) for entry in (*structure["inputs"], *structure["initializers"])
    }
    for node in structure["nodes"]:
        taken = [kind for name in node["inputs"] if (kind := kinds.get(name, "")).startswith(("float", "bfloat"))]
        if node["operator"] not in _HANDING:
            for half in _HALF:
                if half in taken:
                    return half
        made = _made(node, taken, kinds)
        kinds |= dict.fromkeys(node["outputs"], made)
    return "float32"


def _made(node: Mapping[str, Any], taken: list[str], kinds: Mapping[str, str]) -> str:
    attributes = node["attributes"]
    match node["operator"]:
        case "Cast":
            return _CASTS.get(attributes.get("to", 0), "")
        case "CastLike":
            return kinds.get(node["inputs"][1], "")
        case "Constant":
            tensor = attributes.get("value", {})
            return str(tensor["tensor"]["dtype"]) if isinstance(tensor, dict) and "tensor" in tensor else ""
        case "DequantizeLinear":
            return kinds.get(node["inputs"][1], "")
        case "Shape":
            return "int64"
        case _:
            return taken[0] if taken else ""


def precision_of(outputs: Array, computed_in: Precision) -> Precision:
    """The type whose steps outputs move in: their own, or half precision where they were computed in it and cast at the end."""
    own = outputs.dtype.name
    if own in ("float16", "bfloat16"):
        return own  # type: ignore[return-value]
    if computed_in == "float32" or own != "float32":
        return "float32"
    values = outputs[np.isfinite(outputs)]
    if computed_in == "float16":
        with np.errstate(over="ignore"):
            kept = np.array_equal(values.astype(np.float16).astype(np.float32), values)
    else:
        kept = not np.any(np.ascontiguousarray(values).view(np.uint32) & 0xFFFF)
    return computed_in if kept else "float32"


def spacing(scale: float, precision: Precision) -> float:
    """The distance to the next larger number of a type at a finite magnitude ``scale``."""
    digits, smallest = _FORMATS[precision]
    exponent = math.frexp(scale)[1] - 1 if scale else smallest
    return math.ldexp(1.0, max(exponent, smallest) - digits)
