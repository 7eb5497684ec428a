"""Models of a few layers, graphs that hold them, and what is said of each parameter."""

from __future__ import annotations

from typing import Any

from harness.compare.parameters import compare_parameters
from harness.compare.records import ParameterComparison
from harness.models.spec import Layer, ModelSpec, Parameter
from tests.unit.compare.tempcnn_graphs import Arrays, GraphBuilder, specification

SPEC = specification()
ROLES = ("scale", "shift", "mean", "variance")
Said = list[tuple[str, str, str | None, str]]


def linear(name: str, *shape: int, bias: bool = True, kind: Any = "dense") -> Layer:
    parameters = [Parameter(name=f"{name}.weight", shape=shape, role="weight")]
    if bias:
        parameters.append(Parameter(name=f"{name}.bias", shape=shape[:1], role="bias"))
    return Layer(name=name, kind=kind, parameters=tuple(parameters))


def norm(name: str, channels: int, normalises: str | None = None, epsilon: float | None = 1e-5) -> Layer:
    parameters = tuple(Parameter(name=f"{name}.{role}", shape=(channels,), role=role) for role in ROLES)  # type: ignore[arg-type]
    return Layer(name=name, kind="batch-normalisation", parameters=parameters, epsilon=epsilon, normalises=normalises)


def model(*layers: Layer, **hyperparameters: Any) -> ModelSpec:
    return SPEC.model_copy(update={"layers": layers, "hyperparameters": hyperparameters})


class Writer(GraphBuilder):
    """Writes the operations of a graph one after the other; ``name`` is what the last one gives."""

    def __init__(self) -> None:
        super().__init__()
        self.name = "x"

    def then(self, operator: str, *constants: tuple[str, Any], **attributes: Any) -> Writer:
        held = [self.constant(name, value) for name, value in constants]
        self.name = self.node(operator, self.name, *held, **attributes)
        return self

    def dense(self, *constants: tuple[str, Any]) -> Writer:
        return self.then("Gemm", *constants, transB=1)

    def normaliser(self, source: Arrays, name: str, prefix: str = "") -> Writer:
        held = [(f"{prefix}{name}.{role}", source[f"{name}.{role}"]) for role in ROLES]
        return self.then("BatchNormalization", *held, epsilon=1e-5)

    def compared(self, spec: ModelSpec, source: Arrays, held: Arrays | None = None) -> ParameterComparison:
        return compare_parameters(spec, source, self.structure(self.name, spec), self.values if held is None else held)


def said(result: ParameterComparison) -> Said:
    return [(row.name, row.relation, row.target_name, row.note) for row in result.rows]


def equal(*names: str, prefix: str = "") -> Said:
    return [(name, "equal", f"{prefix}{name}", "") for name in names]


def parts(name: str) -> list[str]:
    return [f"{name}.{role}" for role in ROLES]
