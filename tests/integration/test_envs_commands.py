"""The commands about environments, as a user types them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


def harness(*arguments: str, cache: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    # Nothing but an empty folder to fetch from.
    alone = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(cache), "PIP_CONFIG_FILE": os.devnull}
    environment = os.environ | alone | {"HARNESS_CACHE": str(cache)} | variables
    return subprocess.run(
        [sys.executable, "-m", "harness", *arguments], capture_output=True, text=True, env=environment
    )


def test_where_there_are_none_nothing_is_listed_or_removed(tmp_path: Path) -> None:
    assert json.loads(harness("envs", "list", "--json", cache=tmp_path).stdout) == []
    done = harness("envs", "clean", cache=tmp_path)
    assert (done.returncode, done.stdout) == (0, "there was nothing to remove\n")
    done = harness("envs", "clean", "python/onnxruntime@1.20", cache=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "harness: envs clean: there is no environment python-onnxruntime@1.20; there is none at all"
    ]


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("python/onnxruntime@1.20", 3, "no package index that can be reached has"),
        ("python/onnxruntime@one", 2, "'one' is no version"),
        ("r/base@4.2", 2, "r/base cannot be asked for in a version"),
    ],
)
def test_what_cannot_be_made_is_one_line_and_leaves_nothing(tmp_path: Path, name: str, code: int, words: str) -> None:
    done = harness("prepare", name, cache=tmp_path)
    assert done.returncode == code
    last = done.stderr.splitlines()[-1]
    assert last.startswith("harness: ")
    assert words in last
    assert "Traceback" not in done.stderr
    folder = tmp_path / "environments"
    assert not folder.exists() or not [path for path in folder.iterdir() if path.is_dir()]


def test_a_leftover_is_listed_as_such_and_removed(tmp_path: Path) -> None:
    left = tmp_path / "environments" / "making-python-onnxruntime@1.20-0123456789abcdef-x1y2"
    (left / "environment").mkdir(parents=True)
    (left / "environment" / "file").write_text("half")
    rows = json.loads(harness("envs", "list", "--json", cache=tmp_path).stdout)
    assert [(row["whole"], row["bytes"] > 0) for row in rows] == [(False, True)]
    assert "python/onnxruntime@1.20" not in json.loads(harness("runtimes", "--json", cache=tmp_path).stdout)
    assert harness("envs", "clean", cache=tmp_path).stdout.startswith("removed making-python-onnxruntime@1.20")
    assert not left.exists()
