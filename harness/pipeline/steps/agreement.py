"""How the oracles of an exported graph agree, and which of them is right at the nodes where they part."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from harness.compare.oracle_votes import Array, Tensors, agreeing, distance, largest_distance, majority
from harness.compare.partings import parting
from harness.compare.records import OracleAgreement, Parting
from harness.errors import AccidentError, WorkerError
from harness.files.arrays import load_arrays, save_arrays
from harness.files.atomic import to_json, write_atomically
from harness.models.sampling import Sampling
from harness.pipeline.fingerprint import of_runtime
from harness.pipeline.node_votes import NodeVotes, first_parting, widened
from harness.pipeline.source_code import code_hash
from harness.pipeline.step import Context, Step
from harness.pipeline.steps.oracle import OUTPUTS, answered
from harness.pipeline.steps.weights import model_of, probe_of, sampling_of
from harness.runtimes.registry import availability, runtime

#: Samples on which two oracles are followed node by node: those around the one where they lie farthest apart.
FOLLOWED = 8


@dataclass(frozen=True, kw_only=True)
class AgreementStep(Step):
    """Leaves ``agreement.json`` and, where no two oracles of the whole graph agree, outputs that are put together node by node.

    ``beside``: the oracles. ``voters``: runtimes that are asked for single nodes where oracles part or none can, in turn.
    """

    kind: ClassVar[str] = "agreement"

    voters: tuple[str, ...]
    batch_size: int

    def outside(self) -> dict[str, Any]:
        """The runtimes that may be asked, and what counts votes."""
        return {"voters": [of_runtime(runtime(name)) for name in self.voters], "code": code_hash(__name__)}

    def carry_out(self, context: Context) -> None:
        """Compare what the oracles left; where they part, ask for single nodes."""
        found = {
            name.rpartition(" ")[2]: load_arrays(context.needs[name] / OUTPUTS)
            for name in self.beside
            if answered(context.needs.get(name))
        }
        agreement = OracleAgreement(
            groups=agreeing(found),
            distances={f"{a}, {b}": _finite(largest_distance(found[b], found[a])) for a, b in combinations(found, 2)},
            replaced=context.ask("faults", path=str(model_of(context)))["faults"],
        )
        if len(agreement.groups) != 1:
            with tempfile.TemporaryDirectory(prefix="nodes-", dir=context.folder) as scratch:
                try:
                    agreement = self._by_node(context, agreement, found, Path(scratch))
                except AccidentError:
                    raise
                except WorkerError as error:
                    agreement = agreement.model_copy(update={"stopped": error.what})
        write_atomically(context.folder / "agreement.json", to_json(agreement.model_dump(mode="json")))

    def _by_node(
        self, context: Context, agreement: OracleAgreement, found: Mapping[str, Tensors], scratch: Path
    ) -> OracleAgreement:
        votes = NodeVotes(
            ask=context.ask_other,
            reader=self.worker.name,
            voters=[name for name in self.voters if availability(runtime(name)).installed],
            model=model_of(context),
            scratch=scratch,
        )
        wins = majority(agreement.groups)
        if not wins:
            context.tell("the oracles part: asking for every node alone")
            return self._composed(context, agreement, votes)
        context.tell("the oracles part: looking for the node")
        partings = [
            self._named(context, votes, wins[0], name, found)
            for group in agreement.groups
            for name in group
            if name not in wins
        ]
        return agreement.model_copy(update={"partings": [one for one in partings if len(one.groups) > 1]})

    def _named(
        self, context: Context, votes: NodeVotes, right: str, wrong: str, found: Mapping[str, Tensors]
    ) -> Parting:
        """The first node at which one oracle parts from the majority; the outputs where none can be named."""
        sampling, probe = sampling_of(context), load_arrays(probe_of(context))
        loaded = context.ask("load", path=str(votes.model), precision="float64")
        sample = _farthest(found[right], found[wrong], sampling)
        size = sampling.fixed(loaded) or FOLLOWED
        chosen = np.arange(sampling.count(probe)) if sampling.whole else sample + np.arange(size)
        inputs = widened(sampling.taken(probe, chosen % sampling.count(probe)))
        known = [name for node in votes.nodes for name in node["outputs"] if name]
        return first_parting(votes, (right, wrong), inputs, known) or parting(found, {})

    def _composed(self, context: Context, agreement: OracleAgreement, votes: NodeVotes) -> OracleAgreement:
        inputs, outputs = declared(context)
        pieces, by, partings = [], dict[str, None](), list[Parting]()
        for batch, kept in batches(load_arrays(probe_of(context)), inputs, sampling_of(context), self.batch_size):
            made = votes.run(widened(batch), outputs)
            pieces.append((made.outputs, kept))
            by |= dict.fromkeys(made.by)
            # The first batch tells which nodes; later ones would repeat it.
            partings = partings or made.partings
        save_arrays(context.folder / OUTPUTS, joined(pieces, sampling_of(context)))
        return agreement.model_copy(update={"by_node": [*by], "partings": partings})


def declared(context: Context) -> tuple[list[dict[str, Any]], list[str]]:
    """The inputs of the file as its structure has them, and the names of its outputs."""
    with tempfile.TemporaryDirectory(prefix="structure-", dir=context.folder) as scratch:
        path = Path(scratch) / "structure.json"
        context.ask("structure", path=str(model_of(context)), outputs=str(path))
        structure = json.loads(path.read_text())
    return structure["inputs"], [str(entry["name"]) for entry in structure["outputs"]]


def batches(
    probe: Mapping[str, Array], inputs: list[dict[str, Any]], sampling: Sampling, batch_size: int
) -> Iterator[tuple[dict[str, Array], int]]:
    """Inputs of one call after the other, and how many of its samples are not there to fill it."""
    loaded = {"inputs": inputs, "outputs": []}
    size, count = sampling.per_call(batch_size, loaded), sampling.count(probe)
    fixed = None if sampling.whole else sampling.fixed(loaded)
    for begin in range(0, count, size or count):
        kept = min(size or count, count - begin)
        chosen = np.minimum(np.arange(begin, begin + (fixed or kept)), count - 1)
        yield sampling.taken(probe, chosen), kept


def joined(pieces: list[tuple[Tensors, int]], sampling: Sampling) -> dict[str, Array]:
    """The outputs of all calls, without the samples that filled them."""
    found = {}
    for name in pieces[0][0]:
        axis = sampling.axes.get(name, 0)
        if axis is None or (len(pieces) == 1 and pieces[0][0][name].ndim <= axis):
            found[name] = pieces[0][0][name]
            continue
        parts = [outputs[name].take(range(min(kept, outputs[name].shape[axis])), axis) for outputs, kept in pieces]
        found[name] = np.concatenate(parts, axis)
    return found


def _farthest(one: Tensors, other: Tensors, sampling: Sampling) -> int:
    """The sample in which two runs lie farthest apart; 0 where that is not known."""
    name = max(one, key=lambda name: distance(other[name], one[name]) if name in other else 0.0)
    axis = sampling.axes.get(name, 0)
    if name not in other or axis is None or one[name].shape != other[name].shape or one[name].ndim <= axis:
        return 0
    if one[name].dtype.kind != "f":
        apart = np.asarray(one[name] != other[name], np.float64)
    else:
        with np.errstate(invalid="ignore"):
            apart = np.nan_to_num(np.abs(one[name] - other[name]), nan=np.inf)
    return int(np.unravel_index(int(np.argmax(apart)), apart.shape)[axis]) if apart.size else 0


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def read_agreement(folder: Path | None) -> OracleAgreement:
    """What an ``agreement`` step left in its folder; nothing where there is no such step."""
    if folder is None:
        return OracleAgreement()
    return OracleAgreement.model_validate(json.loads((folder / "agreement.json").read_text()))
