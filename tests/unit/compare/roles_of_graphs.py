"""Roles of the constants of a small graph, and the numbers of one of them."""

from __future__ import annotations

from typing import Any

from small_graphs import Written, graph

from harness.compare.roles import Roles, StoredTensor, find_roles


def roles(*nodes: Written, **options: Any) -> Roles:
    return find_roles(graph(*nodes, **options))


def numbers(stored: StoredTensor | None) -> Any:
    assert stored is not None
    return None if stored.value is None else stored.value.tolist()
