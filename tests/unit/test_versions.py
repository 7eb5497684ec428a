"""Names that end in a version, in scenarios, on the command line and in file names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ScenarioError
from harness.runtimes.registry import RUNTIMES, framework_runtime, runtime
from harness.version_names import joined, parts, sort_key, split

NUMBERS = st.lists(st.integers(0, 999_999), min_size=1, max_size=4).map(lambda found: ".".join(map(str, found)))
PARTS = st.lists(st.tuples(st.sampled_from(["", "keras", "tf", "torch"]), NUMBERS), min_size=1, max_size=3)


def check_one_line(error: ScenarioError) -> None:
    assert "\n" not in error.line()
    assert error.hint
    assert len(error.line()) < 800


@given(st.text(max_size=200))
def test_any_text_is_parsed_or_refused_in_one_line(text: str) -> None:
    try:
        found = parts(text)
    except ScenarioError as error:
        check_one_line(error)
    else:
        assert "+".join(f"{short}{numbers}" for short, numbers in found) == text


@given(st.text(max_size=200), st.sampled_from([*RUNTIMES, ""]), st.booleans())
def test_any_name_is_a_runtime_or_refused_in_one_line(text: str, base: str, versioned: bool) -> None:
    name = f"{base}@{text}" if versioned else f"{base}{text}"
    try:
        row = runtime(name)
    except ScenarioError as error:
        check_one_line(error)
    else:
        assert row.name == name
        assert row.base in RUNTIMES
        assert "@" not in row.engine
        # It becomes part of file names.
        assert not set(name.replace("/", "-")) - set("abcdefghijklmnopqrstuvwxyz0123456789-.@+")


@given(PARTS)
def test_what_is_written_is_read_again(found: list[tuple[str, str]]) -> None:
    assert parts("+".join(f"{short}{numbers}" for short, numbers in found)) == found


def test_names_are_taken_apart_and_put_together() -> None:
    assert split("python/onnxruntime@1.20") == ("python/onnxruntime", "1.20")
    assert split("python/onnxruntime") == ("python/onnxruntime", "")
    for name in ("python/onnxruntime@1.20", "torch-script"):
        assert joined(*split(name)) == name


def test_versions_are_ordered_by_their_numbers() -> None:
    assert sorted(["1.31", "1.9", "1.15", "2"], key=sort_key) == ["1.9", "1.15", "1.31", "2"]
    pairs = ["keras3.15+tf2.21", "keras3.5+tf2.19", "keras3.15+tf2.19"]
    assert sorted(pairs, key=sort_key) == [pairs[1], pairs[2], pairs[0]]


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("python/onnxruntime@1.15", {"onnxruntime==1.15.*", "numpy<2"}),
        ("python/onnxruntime@1.20.1", {"onnxruntime==1.20.1.*"}),
        ("python/keras-tensorflow@keras3.10+tf2.19", {"keras==3.10.*", "tensorflow-cpu==2.19.*"}),
        ("python/keras-tensorflow@keras3.10", {"keras==3.10.*", "tensorflow-cpu"}),
        ("python/keras-torch@keras3.10+torch2.8", {"keras==3.10.*", "torch==2.8.*"}),
        ("python/pytorch@2.2", {"torch==2.2.*", "numpy<2"}),
    ],
)
def test_a_version_says_what_pip_is_asked_for(name: str, asked: set[str]) -> None:
    environment = runtime(name).environment
    assert environment is not None
    assert asked <= set(environment.asked)
    assert ("numpy<2" in environment.asked) == ("numpy<2" in asked)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("python/onnxruntime@", "'' is no version; write numbers"),
        ("python/onnxruntime@1.20rc1", "'1.20rc1' is no version"),
        ("python/onnxruntime@ort1.20", "write it as in python/onnxruntime@1.20"),
        ("python/onnxruntime@1.020", "'1.020' is no version"),
        ("python/onnxruntime@1.20+1.20", "write it as in"),
        ("python/keras-tensorflow@tf2.19+keras3.10", r"write it as in python/keras-tensorflow@keras3.10\+tf2.19"),
        ("python/keras-tensorflow@2.19", "write it as in"),
        ("python/onnxrunntime@1.20", "did you mean 'python/onnxruntime'"),
        ("r/base@4.2", "r/base cannot be asked for in a version"),
        ("julia/flux@0.16", "cannot be asked for in a version"),
    ],
)
def test_what_a_runtime_does_not_take_is_said_with_what_to_write(name: str, words: str) -> None:
    with pytest.raises(ScenarioError, match=words):
        runtime(name)


def test_a_framework_may_name_a_version_too() -> None:
    row = framework_runtime("pytorch@2.8")
    assert (row.name, row.base, row.engine, row.framework and row.framework.name) == (
        "python/pytorch@2.8",
        "python/pytorch",
        "pytorch",
        "pytorch",
    )
    with pytest.raises(ScenarioError, match="there is no framework 'pytorrch'"):
        framework_runtime("pytorrch@2.8")


def test_rows_say_what_a_version_of_them_pins() -> None:
    for row in RUNTIMES.values():
        if row.versioned is not None:
            version = "+".join(
                f"{short}{number}"
                for (short, _), number in zip(row.versioned.parts, row.versioned.example, strict=True)
            )
            assert runtime(f"{row.name}@{version}").packages == row.packages
