"""One target, one graph, node by node: the reference takes the graph apart, the target answers for every part.

Streamed: at most so many tensors lie on disk at a time as one part of the graph has, and arrays of one node are in memory.
A graph of several parts is run once in all: each part goes on from the target's own values of the part before.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.compare.layers import compare_layers, layer_row, past_gate
from harness.compare.not_finite import nodata_sentence
from harness.compare.records import LayerRow, LayersComparison
from harness.errors import AccidentError, BadInputError, UnsupportedError, WorkerError
from harness.models.sampling import Sampling

Array = NDArray[Any]
#: ``ask(request, **arguments)``: the result of a worker's answer. Raises WorkerError.
Ask = Callable[..., dict[str, Any]]
#: The name of a request and its arguments.
Request = tuple[str, dict[str, Any]]

#: Tensors and bytes of one part of a graph: what is asked for in one request and lies on disk at a time.
TENSORS = 64
MAX_BYTES = 1 << 28

#: Requests in which a target may break (fail, die, hang) before it is given up: one bad node must not cost all others.
BREAKS = 2


def walk_layers(
    *,
    target: Ask,
    reference: Ask,
    model: Path,
    probe: Mapping[str, Array],
    samples: int,
    structure: Mapping[str, Any],
    scratch: Path,
    note: str = "",
    tensors: int = TENSORS,
    max_bytes: int = MAX_BYTES,
    sampling: Sampling | None = None,
    progress: Callable[[dict[str, Any]], None] | None = None,
) -> LayersComparison:
    """Local and accumulated errors of a target on every node of ``model``, over the first ``samples`` of ``probe``.

    ``sampling`` says where they lie, along axis 0 if it is not given. ``scratch`` is an empty folder and is empty again afterwards.
    ``note``: what the target's row says of its inner tensors. A node that the target refuses is a row without a local error, and so
    is one at which it breaks; WorkerError is raised where it breaks more than ``BREAKS`` times. ``progress`` is told the number of
    nodes done after each part of the graph.
    """
    loaded = target("load", path=str(model), precision="float32")
    inputs = scratch / "inputs.safetensors"
    samples = _save_samples(inputs, probe, loaded, samples, sampling or Sampling())
    rows: list[LayerRow] = []
    skipped: list[str] = []
    nodata: list[str] = []
    patience = _Patience(target)
    notes = [note] if note else []
    first, flow = 0, _Flow(model, inputs, scratch)
    while True:
        part = reference(
            "cut",
            path=str(model),
            inputs=str(inputs),
            out=str(scratch),
            first=first,
            tensors=tensors,
            max_bytes=max_bytes,
        )
        if refusal := flow.through(patience, part, again=first > 0):
            notes.append(f"Accumulated errors are not known: {refusal}")
        rows += _examine(patience, part["nodes"], flow.activations, scratch, skipped, nodata)
        first = part["next"]
        if progress is not None:
            progress({"done": first, "total": part["total"], "text": "nodes compared; --no-layers leaves them out"})
        if part["stopped"]:
            notes.append(f"The reference could not go on: {part['stopped']}; nodes from there on were not examined.")
        if part["stopped"] or first >= part["total"]:
            break
    flow.close()
    said = list(dict.fromkeys(notes))
    return compare_layers(rows, structure, samples=samples, not_examined=skipped, notes=said, nodata=nodata)


class _Patience:
    """A target that is asked again after it broke, but not for ever.

    What breaks twice on the same requests is a property of the node; what breaks once was an accident.
    """

    def __init__(self, target: Ask) -> None:
        self._target = target
        self._broken = 0

    def ask(self, *requests: Request, anew: Request | None = None) -> str:
        """Requests in turn; returns why one of them was not answered, or nothing.

        ``anew``: what a worker must be asked before them that was started in place of a lost one.
        """
        try:
            try:
                self._all(*requests)
            except AccidentError:
                self._all(*([] if anew is None else [anew]), *requests)
        except (UnsupportedError, BadInputError) as error:
            return error.what
        except WorkerError as error:
            self._broken += 1
            if self._broken > BREAKS:
                raise
            return f"it broke there: {error.what}"
        return ""

    def _all(self, *requests: Request) -> None:
        for request, arguments in requests:
            self._target(request, **arguments)


class _Flow:
    """The target's own values as they flow through the whole graph, part by part; those of one part are in :attr:`activations`."""

    def __init__(self, model: Path, inputs: Path, scratch: Path) -> None:
        self._model = model
        self._inputs = inputs
        self._segment = scratch / "segment.onnx"
        #: What later parts read, by the target; None where it is not known any more.
        self._carried: Path | None = scratch / "carried.safetensors"
        self.activations = scratch / "activations.safetensors"

    def through(self, target: _Patience, part: dict[str, Any], *, again: bool) -> str:
        """Ask for the tensors of one part, with the file's own names; returns why they cannot be had, or nothing.

        The first part, and one that cannot go on from the part before, is run as what it is of the whole model.
        """
        self.activations.unlink(missing_ok=True)
        own = [name for node in part["nodes"] for name in node["own"]]
        segment = part.get("segment")
        if segment is not None and self._carried is not None:
            refusal = self._segment_of(target, segment, own, again)
            if not refusal:
                return ""
        self._forget()
        if not own:
            return ""
        names = {"inputs": str(self._inputs), "names": own, "outputs": str(self.activations)}
        load = ("load", {"path": str(self._model), "precision": "float32"})
        if again or segment is not None:
            return target.ask(load, ("activations", names))
        return target.ask(("activations", names), anew=load)

    def _segment_of(self, target: _Patience, segment: dict[str, Any], own: list[str], again: bool) -> str:
        from safetensors.numpy import load_file, save_file

        assert self._carried is not None
        before = load_file(self._carried if again else self._inputs)
        if missing := [name for name in segment["inputs"] if name not in before]:
            return f"the value of '{missing[0]}' is not known"
        given = self._segment.with_name("segment.safetensors")
        save_file({name: before[name] for name in segment["inputs"]}, given)
        wanted = list(dict.fromkeys([*own, *(name for name in segment["carried"] if name not in before)]))
        refusal = target.ask(
            ("load", {"path": str(self._segment), "precision": "float32"}),
            ("activations", {"inputs": str(given), "names": wanted, "outputs": str(self.activations)}),
        )
        given.unlink()
        if not refusal:
            after = {name: before[name] for name in segment["carried"] if name in before}
            after |= {name: value for name in segment["carried"] if (value := _one(self.activations, name)) is not None}
            save_file(after, self._carried)
        return refusal

    def _forget(self) -> None:
        if self._carried is not None:
            self._carried.unlink(missing_ok=True)
        self._carried = None

    def close(self) -> None:
        """Take away what is left."""
        self._forget()
        for path in (self._segment, self.activations, self._inputs):
            path.unlink(missing_ok=True)


def _save_samples(
    path: Path, probe: Mapping[str, Array], loaded: Mapping[str, Any], samples: int, sampling: Sampling
) -> int:
    """The first samples of the probe; as many as a model takes whose batch is fixed. Returns their number.

    A probe with fewer than that begins again.
    """
    from safetensors.numpy import save_file

    fixed = sampling.fixed(loaded)
    held = sampling.count(probe)
    chosen = np.arange(min(samples, held) if fixed is None else fixed) % held
    save_file(sampling.taken(probe, chosen), path)
    return min(len(chosen), held)


def _examine(
    target: _Patience,
    nodes: list[dict[str, Any]],
    activations: Path,
    scratch: Path,
    skipped: list[str],
    nodata: list[str],
) -> list[LayerRow]:
    """The rows of one part of the graph; ``activations``: the target's values in the whole graph, if the file exists.

    The files of the part are taken away. What cannot be examined is added to ``skipped``, what NaN is taken for otherwise to
    ``nodata``.
    """
    from safetensors import safe_open

    rows = []
    for node in nodes:
        stem = scratch / f"{node['index']:05d}"
        local, note = None, node["reason"] or ""
        if not note:
            local, note = _alone(target, stem)
        if note:
            skipped.append(f"{node['operator']} '{node['node']}': {note}")
        tensors = stem.with_name(f"{stem.name}.tensors.safetensors")
        if tensors.exists():
            with safe_open(tensors, "numpy") as stored:
                known = set(stored.keys())
                for name in node["tensors"]:
                    expected = f"expected:{name}"
                    rows.append(
                        layer_row(
                            tensor=name,
                            node=node["node"],
                            operator=node["operator"],
                            oracle64=stored.get_tensor(f"oracle:{name}"),
                            reference32=stored.get_tensor(f"reference:{name}"),
                            expected64=stored.get_tensor(expected) if expected in known else None,
                            local=None if local is None else local.get(name),
                            accumulated=_one(activations, name)
                            if name in node["own"] and activations.exists()
                            else None,
                            note=note,
                        )
                    )
                    if local is not None and name in local and past_gate(rows[-1].local) and expected in known:
                        about = (node["operator"], node["node"], name, _count_nan(stem))
                        nodata += filter(None, [nodata_sentence(*about, local[name], stored.get_tensor(expected))])
        for suffix in (".onnx", ".inputs.safetensors", ".tensors.safetensors", ".outputs.safetensors"):
            stem.with_name(stem.name + suffix).unlink(missing_ok=True)
    return rows


def _count_nan(stem: Path) -> int:
    """How many values of a node's own inputs are NaN."""
    from safetensors.numpy import load_file

    arrays = load_file(stem.with_name(stem.name + ".inputs.safetensors")).values()
    return sum(int(np.count_nonzero(np.isnan(array))) for array in arrays if array.dtype.kind == "f")


def _alone(target: _Patience, stem: Path) -> tuple[dict[str, Array] | None, str]:
    """The target's outputs of a node on its own, or why there are none."""
    from safetensors.numpy import load_file

    model, inputs, outputs = (
        stem.with_name(stem.name + suffix) for suffix in (".onnx", ".inputs.safetensors", ".outputs.safetensors")
    )
    refusal = target.ask(
        ("load", {"path": str(model), "precision": "float32"}),
        ("predict", {"inputs": str(inputs), "outputs": str(outputs), "batch_size": None}),
    )
    return (None, refusal) if refusal else (load_file(outputs), "")


def _one(path: Path, name: str) -> Array | None:
    """One tensor of a file, without reading the others."""
    from safetensors import safe_open

    with safe_open(path, "numpy") as stored:
        return stored.get_tensor(name) if name in stored.keys() else None  # noqa: SIM118


def read_layers(folder: Path) -> LayersComparison:
    """What a ``layers`` step left in its folder."""
    return LayersComparison.model_validate(json.loads((folder / "layers.json").read_text()))
