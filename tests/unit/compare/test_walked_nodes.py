"""A row for every node of a file that its source has too: the gap, in floors, and how values are distributed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness.compare.outputs import noise_floor
from harness.compare.parting import paired
from harness.compare.placement import Histogram
from harness.compare.walked_nodes import histogram, walked_nodes
from tests.unit.compare.run_graphs import LIMIT, PLAIN, run
from tests.unit.compare.small_graphs import structure

SOURCE = run(PLAIN)
SINGLE = {name: value.astype(np.float32) for name, value in SOURCE.values.items()}
STACK = """File "/lib/torch/nn/modules/module.py", line 1, in _call
    return forward(x)
  File "net.py", line 30, in forward
    x = self.act(x)
  File "/lib/torch/nn/functional.py", line 2, in relu
"""


def rows(
    file: Any = PLAIN, single: Any = SINGLE, metadata: dict[str, dict[str, str]] | None = None, **changed: Any
) -> dict[str, Any]:
    given = run(file, **changed)
    written = structure(*file)
    for node in written["nodes"]:
        node["metadata"] = (metadata or {}).get(node["outputs"][0])
    # Pairs are those of the file once every difference is set right.
    pairs = paired(run(file), SOURCE, LIMIT)
    return {row.tensor: row for row in walked_nodes(written, given, SOURCE, single, pairs)}


def test_a_node_is_told_with_its_gap_in_floors_of_the_source() -> None:
    error = 3e-6 * np.sign(SOURCE.values["c"] + 0.5)
    found = rows(c=SOURCE.values["c"] + error)
    assert [*found] == ["a", "b", "c", "d", "e", "y"]
    row = found["c"]
    assert (row.node, row.operator, row.reference, row.local) == ("Relu_2", "Relu", "c", 0.0)
    assert row.gap == pytest.approx(3e-6 / SOURCE.values["c"].std(), rel=1e-3)
    assert row.floors == pytest.approx(3e-6 / noise_floor(SINGLE["c"], SOURCE.values["c"]).rms)
    assert (found["b"].gap, found["b"].floors) == (0.0, 0.0)
    assert row.difference is not None
    assert (row.difference.low, row.difference.high) == pytest.approx((3e-6, 3e-6), rel=1e-6)
    assert row.own_values is not None
    assert row.reference_values is not None
    assert row.own_values.low == row.reference_values.low == 0.0
    assert row.own_values.high == SOURCE.values["c"].max() + 3e-6
    assert sum(row.own_values.counts) == sum(row.reference_values.counts) == SOURCE.values["c"].size


def test_a_tensor_in_another_layout_is_compared_in_that_of_the_file() -> None:
    file = [
        ("Transpose", "x", "t", {"perm": [2, 0, 1]}),
        ("Transpose", "t", "u", {"perm": [1, 2, 0]}),
        ("MatMul", "u dense1.weight", "a"),
        *PLAIN[1:],
    ]
    row = rows(file)["t"]
    assert (row.reference, row.gap, row.floors, row.operator) == ("x", 0.0, 0.0, "Transpose")


def test_what_cannot_be_compared_has_no_gap() -> None:
    sick = SOURCE.values["c"].copy()
    sick[0, 0, 0] = np.nan
    found = rows(c=sick)["c"]
    assert (found.gap, found.floors) == (None, None)
    short = rows(y=SOURCE.values["y"][:4])["y"]
    assert (short.gap, short.floors, short.difference) == (None, None, None)
    assert short.own_values is not None
    for single in ({}, {"c": SINGLE["c"][:1]}):
        assert rows(single=single)["c"].floors is None


def test_nodes_that_the_source_does_not_have_have_no_row() -> None:
    file = [*PLAIN[:5], ("Sin", "e", "s"), ("Tanh", "s", "y")]
    assert [*rows(file)] == ["a", "b", "c", "d", "e"]


def test_what_exporters_store_of_a_node_is_told() -> None:
    metadata = {
        "c": {"namespace": "Net/act", "pkg.torch.onnx.stack_trace": STACK, "stack_trace": "File other"},
        "d": {"pkg.torch.onnx.name_scopes": "['act']", "stack_trace": 'File "/a/torch/b.py", line 3\n'},
        "e": {"stack_trace": "no file"},
    }
    found = rows(metadata=metadata)
    assert (found["c"].namespace, found["c"].source_line) == (
        "Net/act",
        'File "net.py", line 30, in forward: x = self.act(x)',
    )
    assert (found["d"].namespace, found["d"].source_line) == ("['act']", 'File "/a/torch/b.py", line 3')
    assert [(found[name].namespace, found[name].source_line) for name in "ea"] == [("", ""), ("", "")]


def test_a_histogram_is_over_the_range_of_both_without_what_is_not_finite() -> None:
    values = np.array([0.0, 1.0, 24.0, np.nan, np.inf])
    found = histogram(values)
    assert found is not None
    assert (found.low, found.high, len(found.counts)) == (0.0, 24.0, 24)
    assert [found.counts[place] for place in (0, 1, 23)] == [1, 1, 1]
    assert sum(found.counts) == 3
    wider = histogram(values, np.array([48.0, -np.inf]))
    assert wider is not None
    assert (wider.low, wider.high, sum(wider.counts)) == (0.0, 48.0, 3)
    assert wider.counts[12] == 1
    assert histogram(np.full(3, np.nan), np.ones(3)) is None
    assert histogram(np.full(3, 2.0)) == Histogram(low=2.0, high=2.0, counts=[3])


def test_values_of_both_are_shown_over_one_range() -> None:
    row = rows(c=2 * SOURCE.values["c"] + 1)["c"]
    assert row.own_values is not None
    assert row.reference_values is not None
    assert (row.own_values.low, row.own_values.high) == (0.0, 2 * SOURCE.values["c"].max() + 1)
    assert (row.reference_values.low, row.reference_values.high) == (row.own_values.low, row.own_values.high)
    assert row.own_values.counts[0] == 0
    assert row.reference_values.counts[0] > 0
    assert row.reference_values.counts[-1] == 0
