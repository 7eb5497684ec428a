"""One file per data source; each offers `SOURCE`, and all yield the same Dataset.

A file ``<name>.py`` in this folder is the source ``<name>`` with ``-`` for ``_``: adding a source means adding a file.
Names are found without importing anything, sources are imported when they are asked for.
"""

from __future__ import annotations

import importlib
import pkgutil
from difflib import get_close_matches
from typing import TYPE_CHECKING

from harness.errors import DataError

if TYPE_CHECKING:
    from harness.data.dataset import DataSource


def source_names() -> tuple[str, ...]:
    """The names of all data sources, sorted."""
    return tuple(sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__)))


def source(name: str) -> DataSource:
    """The data source of a name. Raises DataError, with the nearest name, where there is none."""
    names = source_names()
    if name not in names:
        near = get_close_matches(name, names, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"choose one of {', '.join(names)}"
        raise DataError(f"there is no data source '{name}'", hint=hint)
    module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    found: DataSource = module.SOURCE
    return found
