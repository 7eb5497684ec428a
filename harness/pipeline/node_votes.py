"""Single nodes of a graph asked of several runtimes in turn, on equal inputs, and a whole graph put together from them.

A runtime that refuses a node, or breaks at it, gives way to the next one. Where the first two that can compute a node part, all
others are asked, and the majority's answer is the node's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from harness.compare import gates
from harness.compare.oracle_votes import Array, Tensors, agreeing, distance, majority
from harness.compare.partings import parting
from harness.compare.records import Parting
from harness.errors import UnsupportedError, WorkerError
from harness.files.arrays import load_arrays, save_arrays

#: ``ask(runtime, request, **arguments)``: the result of a worker's answer. Raises WorkerError.
Ask = Callable[..., dict[str, Any]]
#: Tensors of one request.
TENSORS = 64


@dataclass
class NodeVotes:
    """The nodes of one file.

    ``voters``: runtimes that compute single nodes in ``precision``, the preferred one first; ``reader``: the one that takes the
    graph apart. ``scratch``: an empty folder.
    """

    ask: Ask
    reader: str
    voters: Sequence[str]
    model: Path
    scratch: Path
    precision: str = "float64"
    nodes: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        path = self.scratch / "nodes.json"
        self.ask(self.reader, "nodes", path=str(self.model), outputs=str(path))
        self.nodes = json.loads(path.read_text())

    def all_answers(self, node: Mapping[str, Any], values: Tensors) -> Parting:
        """What every voter says of a node on these values of what it reads."""
        answers, refused = self._answers(node, values, enough=lambda answers: False)
        return parting(answers, refused, node=node)

    def decide(self, node: Mapping[str, Any], values: Tensors) -> tuple[Tensors, list[str], Parting | None]:
        """The outputs of a node, who gave them, and how voters part over it where they do.

        In double precision two that agree are enough, in single precision the first that can. Raises UnsupportedError where
        nobody can compute it.
        """
        wanted = 2 if self.precision == "float64" else 1
        answers, refused = self._answers(
            node, values, enough=lambda answers: len(answers) == wanted and len(agreeing(answers)) == 1
        )
        if not answers:
            reasons = "; ".join(dict.fromkeys(refused.values()))
            raise UnsupportedError(f"nobody can compute {node['operator']} (node '{node.get('name', '')}'): {reasons}")
        groups = agreeing(answers)
        if len(groups) == 1:
            return answers[groups[0][0]], groups[0], None
        parted, wins = parting(answers, refused, node=node), majority(groups)
        return answers[(wins or groups[0])[0]], wins, parted

    def _answers(
        self, node: Mapping[str, Any], values: Tensors, enough: Callable[[Mapping[str, Tensors]], bool]
    ) -> tuple[dict[str, Tensors], dict[str, str]]:
        answers: dict[str, Tensors] = {}
        refused: dict[str, str] = {}
        path, given, outputs = (
            self.scratch / name for name in ("node.onnx", "node.inputs.safetensors", "node.outputs.safetensors")
        )
        save_arrays(given, {name: values[name] for name in node["reads"]})
        made = self.ask(
            self.reader, "node", path=str(self.model), index=node["index"], inputs=str(given), out=str(path)
        )
        save_arrays(given, {name: values[name] for name in made["inputs"]})
        for voter in self.voters:
            try:
                self.ask(voter, "load", path=str(path), precision=self.precision)
                self.ask(voter, "predict", inputs=str(given), outputs=str(outputs), batch_size=None)
                answers[voter] = load_arrays(outputs)
            except WorkerError as error:
                refused[voter] = error.what
            if enough(answers):
                break
        return answers, refused

    def run(self, inputs: Tensors, outputs: Sequence[str]) -> Composed:
        """The outputs of the whole graph for one call's inputs, decided node by node."""
        values: dict[str, Array] = dict(inputs)
        last = {name: place for place, node in enumerate(self.nodes) for name in node["reads"]}
        gave: dict[str, None] = {}
        partings: list[Parting] = []
        for place, node in enumerate(self.nodes):
            found, names, parted = self.decide(node, values)
            values |= found
            gave |= dict.fromkeys(names)
            if parted is not None:
                partings.append(parted)
            for name in node["reads"]:
                if last[name] <= place and name not in outputs:
                    values.pop(name, None)
        return Composed({name: values[name] for name in outputs}, list(gave), partings)


@dataclass(frozen=True)
class Composed:
    """Outputs of a graph by name, the runtimes whose answers they are made of, and the nodes over which they part."""

    outputs: Tensors
    by: list[str]
    partings: list[Parting]


def first_parting(votes: NodeVotes, pair: Sequence[str], inputs: Tensors, names: Sequence[str]) -> Parting | None:
    """The first node, in the order of the file, at which two runtimes part on the whole graph, with what all voters say of it.

    Both load the file once. ``inputs`` of one call; ``names``: tensors that may be asked for. None where they cannot be followed.
    """
    given = votes.scratch / "inputs.safetensors"
    save_arrays(given, inputs)
    try:
        for runtime in pair:
            votes.ask(runtime, "load", path=str(votes.model), precision="float64")
        wanted = [(node, [name for name in node["outputs"] if name in names]) for node in votes.nodes]
        for begin in range(0, len(wanted), TENSORS):
            part = wanted[begin : begin + TENSORS]
            one, other = (_activations(votes, runtime, given, [n for _, own in part for n in own]) for runtime in pair)
            for node, own in part:
                if any(distance(other[name], one[name]) > gates.ORACLE_AGREEMENT for name in own):
                    values = dict(inputs) | _activations(
                        votes, pair[0], given, [name for name in node["reads"] if name not in inputs]
                    )
                    return votes.all_answers(node, values)
    except WorkerError:
        return None
    return None


def _activations(votes: NodeVotes, runtime: str, given: Path, names: Sequence[str]) -> dict[str, Array]:
    if not names:
        return {}
    path = votes.scratch / "activations.safetensors"
    votes.ask(runtime, "activations", inputs=str(given), names=[*dict.fromkeys(names)], outputs=str(path))
    return load_arrays(path)


def widened(arrays: Tensors) -> dict[str, Array]:
    """Numbers of floating point as doubles, all else as it is."""
    return {name: array.astype(np.float64) if array.dtype.kind == "f" else array for name, array in arrays.items()}
