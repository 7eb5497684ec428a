"""Graphs inside of nodes (the bodies of Loop and Scan, the branches of If), as nodes of the graph around them.

What is left is one graph without inner ones, in which a tensor can be followed from outside into a body: for roles and
constants, not for computing. Tensors that a body takes and gives get nodes of operators that ONNX does not have:

============ ============================================================================================
``Carried``  a value that a loop hands from step to step; it depends on everything that the loop reads
``Sliced``   one element of what a Scan goes along
``Stacked``  the values of every step that a loop gives beside each other
``Chosen``   what one of the branches of an If gives
============ ============================================================================================

A value that a loop hands on as it came is no ``Carried`` but the ``Identity`` of what it starts from: so converters pass
weights into bodies.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

#: Operators whose attributes hold graphs that :func:`flattened` knows.
LOOPS = frozenset({"Loop", "Scan"})
CONTROL = LOOPS | {"If"}


def bodies(node: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Graphs inside of a node, as the worker contract tells it, in the order of the names of their attributes."""
    for name, value in sorted((node.get("attributes") or {}).items(), key=lambda attribute: attribute[0]):
        for entry in value if isinstance(value, list) else [value]:
            if isinstance(entry, Mapping) and isinstance(entry.get("graph"), Mapping):
                yield name, entry["graph"]


def all_nodes(structure: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Every node of a graph and of the graphs inside of its nodes."""
    for node in structure["nodes"]:
        yield node
        for _, body in bodies(node):
            yield from all_nodes(body)


def stored(structure: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Every initializer of a graph and of the graphs inside of its nodes."""
    yield from structure["initializers"]
    for node in structure["nodes"]:
        for _, body in bodies(node):
            yield from stored(body)


def stated(structure: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Weights in Constant nodes, of graphs inside of nodes too: ``name`` of the node's output, ``dtype``, ``shape``.

    Tensors of floating point with an axis at least, which workers tell among the parameters as they do initializers.
    """
    for node in all_nodes(structure):
        value = (node.get("attributes") or {}).get("value")
        tensor = value.get("tensor") if isinstance(value, Mapping) else None
        if node["operator"] != "Constant" or not isinstance(tensor, Mapping):
            continue
        if "float" in str(tensor.get("dtype")) and tensor.get("shape"):
            yield {"name": node["outputs"][0], "dtype": tensor["dtype"], "shape": tensor["shape"]}


def flattened(structure: Mapping[str, Any]) -> Mapping[str, Any]:
    """The structure of a graph with the nodes of all graphs inside of it; one that has none is given back as it is.

    Tensors keep their names. Where several bodies use one and the same, which ONNX allows beside each other, the second and
    those after it become ``<name>#2``, and so on.
    """
    if not any(True for node in structure["nodes"] for _ in bodies(node)):
        return structure
    taken: set[str] = set()
    names = _Names(taken, {})
    names.define(_defined(structure))
    nodes: list[dict[str, Any]] = []
    initializers = list(structure["initializers"])
    for node in structure["nodes"]:
        _add(node, names, nodes, initializers)
    return {**structure, "nodes": nodes, "initializers": initializers}


class _Names:
    """What the tensors of one scope are called in the flat graph; names that it does not define are those around it."""

    def __init__(self, taken: set[str], around: Mapping[str, str]) -> None:
        self._taken = taken
        self._here = dict(around)

    def define(self, names: Iterable[str]) -> None:
        for name in names:
            unique, number = name, 1
            while unique in self._taken:
                number += 1
                unique = f"{name}#{number}"
            self._taken.add(unique)
            self._here[name] = unique

    def inner(self) -> _Names:
        return _Names(self._taken, self._here)

    def __call__(self, name: str) -> str:
        return self._here.get(name, name)


def _defined(graph: Mapping[str, Any]) -> list[str]:
    """Names that a graph gives to tensors of its own."""
    found = [entry["name"] for entry in (*graph["inputs"], *graph["initializers"])]
    found += [name for node in graph["nodes"] for name in node["outputs"] if name]
    return list(dict.fromkeys(found))


def _add(
    node: Mapping[str, Any], names: _Names, nodes: list[dict[str, Any]], initializers: list[Mapping[str, Any]]
) -> None:
    """One node of some scope into the flat lists, with what is inside of it."""
    inner = list(bodies(node))
    given, made = [names(name) for name in node["inputs"]], [names(name) for name in node["outputs"]]
    if not inner:
        nodes.append({**node, "inputs": given, "outputs": made})
        return
    scopes = []
    for _, body in inner:
        scope = names.inner()
        scope.define(_defined(body))
        scopes.append(scope)
        initializers += [{**entry, "name": scope(entry["name"])} for entry in body["initializers"]]
        for one in body["nodes"]:
            _add(one, scope, nodes, initializers)
    if node["operator"] in LOOPS and len(inner) == 1:
        nodes += _loop(node, inner[0][1], given, made, scopes[0], names)
    else:
        outputs = [
            [scope(entry["name"]) for entry in body["outputs"]] for scope, (_, body) in zip(scopes, inner, strict=True)
        ]
        for place, name in enumerate(made):
            branches = [some[place] for some in outputs if place < len(some)]
            nodes.append(_made(node, "Chosen", [*given, *branches], name))


def _loop(
    node: Mapping[str, Any],
    body: Mapping[str, Any],
    given: list[str],
    made: list[str],
    scope: _Names,
    names: _Names,
) -> Iterator[dict[str, Any]]:
    """What joins the body of a Loop or Scan to the graph around it."""
    inside = [scope(entry["name"]) for entry in body["inputs"]]
    results = [scope(entry["name"]) for entry in body["outputs"]]
    if node["operator"] == "Loop":
        # Number of steps and condition come first, of the body's results the condition.
        initial, states, sliced = given[2:], inside[2:], []
        results = results[1:]
    else:
        # Before opset 9 the lengths of the sequences came first.
        given = given[len(given) - len(inside) :]
        count = len(inside) - int(node["attributes"].get("num_scan_inputs", 0))
        initial, states, sliced = given[:count], inside[:count], list(zip(given[count:], inside[count:], strict=False))
    origin = {one["outputs"][0]: one["inputs"][0] for one in body["nodes"] if one["operator"] == "Identity"}
    reads = [*given, *(names(name) for name in _reads_around(body))]
    for start, state, result in zip(initial, states, results, strict=False):
        if _same(body, state, result, scope, origin):
            yield _made(node, "Identity", [start], state)
        else:
            yield _made(node, "Carried", [start, *reads], state)
    for whole, element in sliced:
        yield _made(node, "Sliced", [whole], element)
    for place, name in enumerate(made):
        if place < len(results):
            kept = place < len(states) and _same(body, states[place], results[place], scope, origin)
            operator = "Identity" if kept else "Carried" if place < len(states) else "Stacked"
            yield _made(node, operator, [results[place]], name)


def _same(body: Mapping[str, Any], state: str, result: str, scope: _Names, origin: Mapping[str, str]) -> bool:
    """Whether a body gives a value as it took it."""
    inner = {scope(name): name for name in _defined(body)}
    name = inner.get(result, result)
    while name in origin:
        name = origin[name]
    return scope(name) == state


def _reads_around(graph: Mapping[str, Any]) -> list[str]:
    """Names that the nodes of a graph, and the graphs inside of them, read and it does not define."""
    own = set(_defined(graph))
    found: list[str] = []
    for node in graph["nodes"]:
        found += [name for name in node["inputs"] if name and name not in own]
        for _, body in bodies(node):
            found += [name for name in _reads_around(body) if name not in own]
    found += [entry["name"] for entry in graph["outputs"] if entry["name"] not in own]
    return list(dict.fromkeys(found))


def _made(node: Mapping[str, Any], operator: str, inputs: Sequence[str], output: str) -> dict[str, Any]:
    return {
        "name": node.get("name") or node["operator"],
        "operator": operator,
        "domain": "harness.loop" if operator != "Identity" else "",
        "inputs": [name for name in inputs if name],
        "outputs": [output],
        "attributes": {},
    }
