from __future__ import annotations

import subprocess
import sys

import pytest

from harness.data.dataset import DataSource
from harness.data.sources import source, source_names
from harness.errors import DataError


def test_every_file_is_a_source_of_its_own_name():
    names = source_names()
    assert {"breizhcrops", "sits-csv", "synthetic-crops"} <= set(names)
    for name in names:
        found = source(name)
        assert isinstance(found, DataSource)
        assert found.name == name
        assert found.title
        assert found.options.model_config["extra"] == "forbid"


def test_an_unknown_source_is_named_with_the_nearest():
    with pytest.raises(DataError, match="there is no data source 'breizhcrop'; did you mean 'breizhcrops'"):
        source("breizhcrop")
    with pytest.raises(DataError, match="choose one of breizhcrops"):
        source("quux")


def test_names_are_known_without_importing_anything_heavy():
    code = (
        "import sys; from harness.data.sources import source_names; source_names(); "
        "print([name for name in ('numpy', 'h5py', 'pydantic') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
