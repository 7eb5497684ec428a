"""ONNX's own node cases, in every opset from 7 on in which they are legal, as files that any worker can read.

The onnx package publishes each node case at one opset. Here every case is restated for each opset: stamped where the
operators' schemas are the same, rewritten where :mod:`tests.conformance.older_opsets` knows how, and otherwise left
out *with its reason*. The tolerances are the suite's own.

As a program, for the author of a runtime::

    python -m tests.conformance.cases --out FOLDER --operators Conv,Gemm --opsets 7-22

writes ``FOLDER/<opset>/<case>/`` with ``model.onnx``, ``inputs.safetensors``, ``outputs.safetensors`` and
``case.json``, and counts in ``FOLDER/excluded.json`` what was left out.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import onnx
from onnx import defs, helper, shape_inference

from harness.workers.engine import Array
from harness.workers.onnx.published_cases import CannotTravelError, SuiteCase, operators_of, published, read_case
from tests.conformance.draft import Draft, NoVariant
from tests.conformance.legality import MEANING_CHANGED, check_schema, signature, subgraph_nodes
from tests.conformance.older_opsets import ADAPTERS

OLDEST_OPSET = 7
NEWEST_OPSET = defs.onnx_opset_version()


@dataclass(frozen=True)
class Variant:
    """One case at one opset.

    Attributes:
        case: the published case.
        opset: the opset of this variant.
        model: the model, stamped with that opset and the oldest IR version that knows it.
        inputs, outputs: graph tensor name to array, in graph order.
        since: operator to the since-version in force, e.g. ``{"Conv": 11}``.
        changes: what was rewritten, in words; empty where only the stamp differs.
        first_of_signature: whether this is the lowest opset with these since-versions.
    """

    case: SuiteCase
    opset: int
    model: onnx.ModelProto
    inputs: dict[str, Array]
    outputs: dict[str, Array]
    since: dict[str, int]
    changes: tuple[str, ...]
    first_of_signature: bool


@dataclass
class Exclusions:
    """Reason to number of (case, opset) pairs that were left out for it."""

    by_reason: Counter[str] = field(default_factory=Counter)
    by_case: dict[str, dict[int, str]] = field(default_factory=dict)

    def add(self, case: str, opset: int, reason: str) -> None:
        """Count one pair."""
        self.by_reason[reason] += 1
        self.by_case.setdefault(case, {})[opset] = reason


def node_cases(
    exclusions: Exclusions, opsets: Iterable[int], operators: frozenset[str] | None = None
) -> Iterator[SuiteCase]:
    """The suite's node cases that consist of ordinary arrays; the others are counted in ``exclusions``.

    Args:
        exclusions: receives what is left out, once per opset.
        opsets: the opsets that are wanted.
        operators: only cases all of whose operators are among these; None for all.
    """
    opsets = list(opsets)
    for found in published("node"):
        try:
            names = operators_of(found.model)
            if operators is not None and not operators.issuperset(names):
                continue
            foreign = {o.domain for o in found.model.opset_import} - {"", "ai.onnx"}
            if foreign:
                raise CannotTravelError(f"domain {min(foreign)}")
            yield read_case(found, "node")
        except CannotTravelError as reason:
            for opset in opsets:
                exclusions.add(found.name, opset, str(reason))


def tensor_facts(case: SuiteCase) -> tuple[dict[str, tuple[int, ...]], dict[str, str]]:
    """Shapes and types of the tensors of a case, as far as they are known before it runs."""
    shapes: dict[str, tuple[int, ...]] = {}
    types: dict[str, str] = {}
    graph = case.model.graph
    inferred = graph
    if len(graph.node) > 1:
        inferred = shape_inference.infer_shapes(case.model, data_prop=True).graph
    for info in [*inferred.value_info, *inferred.output, *inferred.input]:
        if info.type.WhichOneof("value") != "tensor_type":
            continue
        tensor = info.type.tensor_type
        if tensor.elem_type:
            types[info.name] = type_string(tensor.elem_type)
        if tensor.HasField("shape") and all(d.HasField("dim_value") for d in tensor.shape.dim):
            shapes[info.name] = tuple(d.dim_value for d in tensor.shape.dim)
    for name, value in [*case.inputs.items(), *case.outputs.items()]:
        shapes[name] = tuple(value.shape)
    return shapes, types


def type_string(elem_type: int) -> str:
    """``tensor(float)`` for 1 and so on, as schemas write it."""
    return f"tensor({onnx.TensorProto.DataType.Name(elem_type).lower()})"


def stamp(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """A copy of a model with one opset import and the oldest IR version that knows it."""
    stamped = onnx.ModelProto()
    stamped.CopyFrom(model)
    del stamped.opset_import[:]
    stamped.opset_import.append(helper.make_opsetid("", opset))
    stamped.ir_version = helper.find_min_ir_version_for(list(stamped.opset_import))
    return stamped


def restate(case: SuiteCase, opset: int, shapes: dict[str, tuple[int, ...]], types: dict[str, str]) -> Draft:
    """Rewrite a case for an opset in which one of its operators has another schema.

    Raises:
        NoVariant: there is no legal way to say it there.
    """
    draft = Draft(stamp(case.model, opset), opset, case.opset, dict(case.inputs), dict(case.outputs), dict(shapes))
    for node in list(draft.graph.node):
        adapter = ADAPTERS.get(node.op_type)
        if adapter is not None:
            adapter(draft, node)
        rule = MEANING_CHANGED.get(node.op_type)
        reason = rule(draft, node) if rule is not None else None
        if reason is not None:
            raise NoVariant(f"{node.op_type}: {reason}")
    known_types = types | {
        name: type_string(helper.np_dtype_to_tensor_dtype(value.dtype)) for name, value in draft.inputs.items()
    }
    for node in draft.graph.node:
        check_schema(node, opset, case.opset, known_types)
        for inner in subgraph_nodes(node):
            if inner.op_type in ADAPTERS or inner.op_type in MEANING_CHANGED:
                raise NoVariant(f"{inner.op_type} inside a subgraph is not rewritten")
            check_schema(inner, opset, case.opset, {})
    return draft


def variants(case: SuiteCase, opsets: Iterable[int], exclusions: Exclusions) -> Iterator[Variant]:
    """One case in each of the given opsets in which it is legal.

    Args:
        case: the published case.
        opsets: the opsets that are wanted, ascending.
        exclusions: receives the pairs that have no legal variant.
    """
    shapes, types = tensor_facts(case)
    drafts: dict[tuple[int, ...], Draft | NoVariant] = {}
    for opset in opsets:
        try:
            since = signature(case.operators, opset)
        except NoVariant as reason:
            exclusions.add(case.name, opset, str(reason))
            continue
        first = since not in drafts
        if first:
            try:
                drafts[since] = legal_draft(case, opset, since, shapes, types)
            except NoVariant as reason:
                drafts[since] = reason
        draft = drafts[since]
        if isinstance(draft, NoVariant):
            exclusions.add(case.name, opset, str(draft))
            continue
        yield Variant(
            case=case,
            opset=opset,
            model=stamp(draft.model, opset),
            inputs=draft.inputs,
            outputs=draft.outputs,
            since=dict(zip(case.operators, since, strict=True)),
            changes=tuple(dict.fromkeys(draft.notes)),
            first_of_signature=first,
        )


def legal_draft(
    case: SuiteCase,
    opset: int,
    since: tuple[int, ...],
    shapes: dict[str, tuple[int, ...]],
    types: dict[str, str],
) -> Draft:
    """The case as it stands where the schemas are the same, rewritten otherwise; onnx's own checker accepts it.

    Raises:
        NoVariant: there is no legal way to say it there, or the checker refuses what was rewritten.
    """
    if since == signature(case.operators, case.opset):
        return Draft(stamp(case.model, opset), opset, case.opset, case.inputs, case.outputs, shapes)
    draft = restate(case, opset, shapes, types)
    try:
        onnx.checker.check_model(draft.model, full_check=True)
    except (onnx.checker.ValidationError, shape_inference.InferenceError) as error:
        raise NoVariant(f"onnx.checker: {str(error).splitlines()[0][:160]}") from None
    return draft


def parse_opsets(text: str) -> list[int]:
    """``7-22`` or ``9,13,17-20`` as a list of numbers."""
    found: set[int] = set()
    for part in text.split(","):
        low, _, high = part.partition("-")
        found.update(range(int(low), int(high or low) + 1))
    return sorted(found)


def main(arguments: list[str] | None = None) -> None:
    """The program: write cases into a folder and say how many."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.cases", description=main.__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--operators", help="comma-separated operator names; all if left out")
    parser.add_argument("--opsets", type=parse_opsets, help=f"e.g. 7-22; default {OLDEST_OPSET}-{NEWEST_OPSET}")
    given = parser.parse_args(arguments)
    chosen = frozenset(given.operators.split(",")) if given.operators else None
    from tests.conformance.pack import make_pack

    with tempfile.TemporaryDirectory() as scratch:
        pack = make_pack(Path(scratch), chosen, given.opsets)
        for record in pack.records:
            pack.place(record, given.out / record["folder"])
            (given.out / record["folder"] / "case.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
    excluded = pack.excluded
    (given.out / "excluded.json").write_text(json.dumps(excluded, indent=1), encoding="utf-8")
    per_opset = Counter(record["opset"] for record in pack.records)
    for opset, count in sorted(per_opset.items()):
        print(f"opset {opset:2d}: {count} cases")
    print(f"{len(pack.records)} cases written to {given.out}; {excluded['pairs']} left out:")
    for reason, count in list(excluded["by_reason"].items())[:20]:
        print(f"  {count:6d}  {reason}")


if __name__ == "__main__":
    main()
