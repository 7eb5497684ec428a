"""Test folders that are no packages can be given to pytest together, in any order: one name is one module."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

UNIT = Path(__file__).parent
FILES = [path for path in sorted(UNIT.rglob("*.py")) if path.name != "conftest.py"]


def test_every_module_of_unit_tests_has_a_name_of_its_own() -> None:
    assert [name for name, count in Counter(path.name for path in FILES).items() if count > 1] == []


def test_nothing_is_imported_from_a_conftest() -> None:
    """Every folder has one, and all of them are called the same."""
    found = [str(path) for path in FILES if re.search(r"^(from|import) conftest\b", path.read_text(), re.MULTILINE)]
    assert found == []
