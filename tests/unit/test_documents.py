"""What documents say exists: files, links, commands; and what is written down twice is the same."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

import pytest
import yaml

import harness
from harness.files.store_care import check_store, clean_store
from harness.results.references import needed_artifacts

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    "copy",
    [
        "CITATION.cff",
        "LICENSE",
        "native/julia/LICENSE",
        "native/julia/Project.toml",
        "native/r/DESCRIPTION",
        "native/r/LICENSE",
        "native/r/man/plainonnx-package.Rd",
    ],
)
def test_the_authors_are_the_same_everywhere(copy: str) -> None:
    assert harness.AUTHORS in (ROOT / copy).read_text()
    assert f"`{copy}`" in (ROOT / "RELEASING.md").read_text()


def test_the_citation_names_this_version_and_licence() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert citation["version"] == harness.__version__
    assert citation["license"] == project["license"]
    assert citation["keywords"] == project["keywords"]


def test_the_readme_of_the_store_is_no_artifact_and_stays(tmp_path: Path) -> None:
    shutil.copy(ROOT / "exported" / "README.md", tmp_path)
    assert check_store(tmp_path) == []
    assert clean_store(tmp_path, needed=()).removed == ()
    assert (tmp_path / "README.md").is_file()


def test_the_readme_of_the_results_is_no_result(tmp_path: Path) -> None:
    shutil.copy(ROOT / "results" / "README.md", tmp_path)
    assert needed_artifacts(tmp_path) == set()
