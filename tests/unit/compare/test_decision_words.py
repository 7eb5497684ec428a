"""Every word that is said of a decision on a given output, and the limits at which it becomes another."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from small_graphs import Written, structure

from harness.compare.asked_decision import FORMS, read_decision
from harness.compare.decision_choice import ChosenDecision, GivenOutput, choose_decision
from harness.errors import DataError, ScenarioError


def given(
    shape: tuple[int, ...],
    *nodes: Written,
    values: Any = None,
    dtype: str = "float32",
    sample_axis: int | None = 0,
    **metadata: Any,
) -> GivenOutput:
    """``metadata`` by the end of the key; JSON where it is no text."""
    held = {f"harness.{key}": value if isinstance(value, str) else json.dumps(value) for key, value in metadata.items()}
    numbers = np.linspace(0.0, 1.0, int(np.prod(shape))).reshape(shape) if values is None else np.asarray(values)
    written = structure(*(nodes or [("Reshape", "x", "y")]))
    return GivenOutput("y", numbers, dtype, written, held, sample_axis)


def chosen(output: GivenOutput, asked: str | None = None) -> ChosenDecision:
    return choose_decision(output, None if asked is None else read_decision(asked))


SIGMOID: Written = ("Sigmoid", "x", "y")
LAST: tuple[Written, ...] = (("MatMul", "x w", "y"),)
TEXTS = np.array([["a", "b"]])
NUMBERS = ("0", "1", "2")


@pytest.mark.parametrize(
    ("output", "asked", "sentence"),
    [
        (given((), values=1.0), None, "no decision is made on the output 'y': it belongs to no sample"),
        (given((2, 3), sample_axis=None), None, "no decision is made on the output 'y': it belongs to no sample"),
        (given((0, 3)), None, "no decision is made on the output 'y': it is empty, 0 x 3"),
        (
            given((1, 2), values=TEXTS, dtype="string"),
            None,
            "the classes that the output 'y' holds are compared one by one: it holds texts, which are classes already",
        ),
        (
            given((2, 3), values=np.ones((2, 3), int), dtype="int32"),
            None,
            "the classes that the output 'y' holds are compared one by one: it holds whole numbers, which are classes already",
        ),
        (
            given((2, 3), values=np.ones((2, 3), bool), dtype="bool"),
            None,
            "the classes that the output 'y' holds are compared one by one: it holds booleans, which are classes already",
        ),
        (
            given((2, 3), ("ArgMax", "x", "y"), values=np.ones((2, 3))),
            None,
            "the classes that the output 'y' holds are compared one by one: the graph ends in ArgMax",
        ),
        (given((2, 3), SIGMOID), None, "each of 3 labels of the output 'y' is decided at 0.5: it ends in a sigmoid"),
        (given((2, 1), SIGMOID), None, "the output 'y' is decided at 0.5: it ends in a sigmoid"),
        (
            given((2, 3), ("LogSoftmax", "x", "y")),
            None,
            "the class of a sample is the largest of 3 along axis 1 of the output 'y': it ends in a log-softmax",
        ),
        (
            given((2, 3), head="softmax"),
            None,
            "the class of a sample is the largest of 3 along axis 1 of the output 'y': it ends in a softmax",
        ),
        (
            given((2, 3)),
            None,
            "the class of a sample is the largest of 3 along axis 1 of the output 'y': the file does not say what it is for, and "
            "it has the shape of scores of classes; --decision says otherwise",
        ),
        *(
            (
                given(shape),
                None,
                "no decision is made on the output 'y': the file does not say what it is for, and it holds single numbers; "
                "--decision says otherwise",
            )
            for shape in ((6,), (6, 1), (6, 1, 4, 4))
        ),
        *(
            (
                given(shape, *nodes),
                None,
                "no decision is made on the output 'y': the file does not say what it is for, and it has no axis of classes that "
                "is known; --decision says otherwise",
            )
            for shape, nodes in (((6, 5, 4), ()), ((6, 5, 4), LAST), ((6, 1, 4), ()), ((6, 1, 1, 1, 4), ()))
        ),
        (
            given((2, 3, 4), ("Softmax", "x", "y")),
            None,
            "the class of a place is the largest of 4 along axis 2 of the output 'y': it ends in a softmax",
        ),
        (
            given((2, 3), task="regression"),
            None,
            "no decision is made on the output 'y': the file names the task regression",
        ),
        (
            given((2, 3), task="multi-label"),
            None,
            "each of 3 labels of the output 'y' is decided at 0: the file names the task multi-label, of logits",
        ),
        (
            given((2, 3), SIGMOID, task="multi-label"),
            None,
            "each of 3 labels of the output 'y' is decided at 0.5: the file names the task multi-label",
        ),
        (
            given((2, 3), head="softmax", task="multi-label"),
            None,
            "each of 3 labels of the output 'y' is decided at 0.5: the file names the task multi-label",
        ),
        (
            given((2, 3), task="classification"),
            None,
            "the class of a sample is the largest of 3 along axis 1 of the output 'y': the file names the task classification",
        ),
        (
            given((2,), values=np.ones(2, int), dtype="int64", task="classification"),
            None,
            "the classes that the output 'y' holds are compared one by one: the file names the task classification",
        ),
        (
            given((2, 3, 4, 5), task="segmentation"),
            None,
            "the class of a pixel is the largest of 3 along axis 1 of the output 'y': the file names the task segmentation",
        ),
        (given((2, 3)), "none", "no decision is made on the output 'y': --decision says so"),
        (
            given((2, 3)),
            "argmax",
            "the class of a sample is the largest of 3 along axis 1 of the output 'y': --decision says so",
        ),
        (
            given((2, 3, 4)),
            "argmax-axis=-1",
            "the class of a place is the largest of 4 along axis 2 of the output 'y': --decision says so",
        ),
        (
            given((2, 3), values=np.ones((2, 3))),
            "classes",
            "the classes that the output 'y' holds are compared one by one: --decision says so",
        ),
        (
            given((1, 2), values=TEXTS, dtype="string"),
            "classes",
            "the classes that the output 'y' holds are compared one by one: --decision says so",
        ),
        (
            given((2, 2)),
            "threshold=0.25,0.125",
            "each of 2 labels of the output 'y' is decided at 2 thresholds from 0.125 to 0.25: --decision says so",
        ),
        (
            given((2, 2)),
            "threshold=0.5,0.5",
            "each of 2 labels of the output 'y' is decided at 0.5: --decision says so",
        ),
        (given((2,)), "threshold=2", "the output 'y' is decided at 2: --decision says so"),
    ],
)
def test_what_is_decided_and_why(output: GivenOutput, asked: str | None, sentence: str) -> None:
    found = chosen(output, asked)
    assert found.sentence() == sentence
    assert (found.output, found.asked, found.assumed) == ("y", asked is not None, sentence.endswith("otherwise"))


@pytest.mark.parametrize(
    ("output", "asked", "what", "where", "hint"),
    [
        *(
            (
                output,
                "argmax",
                "the output 'y' belongs to no sample: nothing is decided by it",
                "--decision",
                "say none",
            )
            for output in (given((), values=1.0), given((2, 3), sample_axis=None))
        ),
        (
            given((1, 2), values=TEXTS, dtype="string"),
            "threshold=1",
            "the output 'y' holds texts",
            "--decision",
            "say classes, or none",
        ),
        (
            given((2, 3), task="segmentation"),
            None,
            "the file names the task segmentation, and its output 'y' of shape 2 x 3 is none of it",
            "harness.task",
            f"say --decision {FORMS}",
        ),
        *(
            (
                given(shape, **{"task": task}),
                None,
                f"the file names the task {task}, and its output 'y' of shape {words} is none of it",
                "harness.task",
                f"say --decision {FORMS}",
            )
            for shape, words, task in (
                ((2, 3, 4), "2 x 3 x 4", "classification"),
                ((2, 1), "2 x 1", "classification"),
                ((2,), "2", "classification"),
                ((2,), "2", "multi-label"),
                ((2, 1, 4, 5), "2 x 1 x 4 x 5", "segmentation"),
            )
        ),
        (
            given((2, 3, 4)),
            "argmax",
            "the output 'y' of shape 2 x 3 x 4 has no axis of classes that is known",
            "--decision",
            "say argmax-axis=K",
        ),
        (
            given((2, 1)),
            "argmax-axis=1",
            "the output 'y' of shape 2 x 1 has 1 class along axis 1",
            "--decision",
            "argmax needs two; decide by a threshold",
        ),
        (
            given((2, 2), values=np.ones((2, 2), bool), dtype="bool"),
            "threshold=0.5",
            "the output 'y' holds booleans, which no threshold applies to",
            "--decision",
            "say classes",
        ),
        (
            given((2, 3)),
            "threshold=1,2",
            "2 thresholds for 3 labels of the output 'y' of shape 2 x 3",
            "--decision",
            "give one, or one for each label",
        ),
        (
            given((2, 3, 4)),
            "threshold=1,2",
            "2 thresholds for 1 label of the output 'y' of shape 2 x 3 x 4",
            "--decision",
            "give one, or one for each label",
        ),
        (
            given((2, 3)),
            "classes",
            "the output 'y' holds numbers that are not whole: they are no classes",
            "--decision",
            "decide by argmax or by a threshold",
        ),
        (given((2, 3)), "argmax-axis=2", "the output 'y' of shape 2 x 3 has no axis 2", "--decision", "it has 2"),
        (given((2, 3)), "argmax-axis=-3", "the output 'y' of shape 2 x 3 has no axis -3", "--decision", "it has 2"),
        (
            given((2, 3)),
            "argmax-axis=-2",
            "axis -2 of the output 'y' is the sample",
            "--decision",
            "name the axis of the classes",
        ),
    ],
)
def test_what_cannot_be_decided_and_what_to_do(
    output: GivenOutput, asked: str | None, what: str, where: str, hint: str
) -> None:
    with pytest.raises(DataError) as caught:
        chosen(output, asked)
    assert (caught.value.what, caught.value.where, caught.value.hint) == (what, where, hint)


@pytest.mark.parametrize(
    "text", ["argmax=1", "argmax-axis=a", "argmax-axis", "threshold=", "threshold", "none=", "ARGMAX", ""]
)
def test_words_that_are_no_decision(text: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        read_decision(text)
    assert caught.value.what == f"there is no decision '{text}'"
    assert (caught.value.where, caught.value.hint) == ("--decision", f"say one of {FORMS}")


def test_a_threshold_that_is_not_finite() -> None:
    with pytest.raises(ScenarioError) as caught:
        read_decision("threshold=1,nan")
    assert caught.value.what == "a threshold of 'threshold=1,nan' is not finite"
    assert (caught.value.where, caught.value.hint) == ("--decision", "give numbers")


@pytest.mark.parametrize(
    ("nodes", "shape", "sample_axis", "axis"),
    [
        ((), (5, 4, 3, 2), 0, 1),
        ((("Softmax", "x", "y", {"axis": 2}),), (5, 4, 3, 2), 0, 2),
        # The file has the sample elsewhere: axes before it lie one further.
        ((("Softmax", "x", "y", {"axis": 1}),), (5, 4, 3, 2), 2, 2),
        ((("Softmax", "x", "y", {"axis": 3}),), (5, 4, 3, 2), 2, 3),
        ((("Softmax", "x", "y", {"axis": 1}),), (5, 4, 3), 2, 2),
        (LAST, (5, 4, 3), 0, 2),
        (LAST, (5, 4), 0, 1),
        (LAST, (5, 4, 1), 0, None),
        # The axis that is the sample is none of classes.
        ((("Softmax", "x", "y", {"axis": 2}),), (5, 4, 3), 2, None),
        ((), (5, 4, 3), 0, None),
        ((), (5, 1, 3, 2), 0, None),
        ((), (5, 4, 3, 2, 6), 0, None),
    ],
)
def test_the_axis_of_classes(
    nodes: tuple[Written, ...], shape: tuple[int, ...], sample_axis: int, axis: int | None
) -> None:
    output = given(shape, *nodes, sample_axis=sample_axis)
    if axis is None:
        with pytest.raises(DataError, match="no axis of classes"):
            chosen(output, "argmax")
        return
    found = chosen(output, "argmax")
    assert (found.axis, len(found.names)) == (axis, shape[axis])
    assert found.rule == ("argmax" if len(shape) == 2 else "argmax-per-pixel")


@pytest.mark.parametrize(
    ("nodes", "shape", "axis", "names"),
    [
        ((), (5, 3), 1, NUMBERS),
        ((), (5,), None, ()),
        ((), (5, 3, 4), None, ()),
        ((), (5, 3, 4, 2), 1, NUMBERS),
        (LAST, (5, 4, 3), 2, NUMBERS),
        ((), (5, 1), 1, ()),
    ],
)
def test_the_axis_of_labels(
    nodes: tuple[Written, ...], shape: tuple[int, ...], axis: int | None, names: tuple[str, ...]
) -> None:
    found = chosen(given(shape, *nodes), "threshold=0.5")
    assert (found.rule, found.axis, found.names, found.thresholds) == ("threshold", axis, names, (0.5,))


def test_names_are_those_of_the_file_where_they_are_as_many() -> None:
    assert chosen(given((2, 3), classes=["a", 1, None])).names == ("a", "1", "None")
    for stated in (["a", "b"], "[1", {"a": 1, "b": 2, "c": 3}):
        assert chosen(given((2, 3), classes=stated)).names == NUMBERS


def test_classes_that_an_output_holds_are_named_where_the_file_names_enough() -> None:
    values = np.array([0, 2, 1])
    whole = {"values": values, "dtype": "int64"}
    assert chosen(given((3,), **whole, classes=["a", "b", "c"])).names == ("a", "b", "c")
    assert chosen(given((3,), **whole, classes=["a", "b", "c", "d"])).names == ("a", "b", "c", "d")
    assert chosen(given((3,), **whole, classes=["a", "b"])).names == ()
    asked = chosen(given((3,), **whole, classes=["a", "b", "c"]), "classes")
    assert (asked.output, asked.rule, asked.why, asked.asked) == ("y", "classes", "--decision says so", True)
    truth = given((2,), values=np.array([True, False]), dtype="bool", classes=["a", "b"])
    assert chosen(truth).names == ("false", "true")
    assert chosen(truth, "classes").asked
    nothing = given((2,), values=np.zeros(2, int), dtype="int64", classes=["a"])
    assert chosen(nothing).names == ("a",)
    assert chosen(given((2,), values=np.array(["a", "b"]), dtype="string", classes=["a"])).names == ()
    for values in ([0.0, np.inf], [0.0, np.nan], [0.5, 1.0]):
        with pytest.raises(DataError):
            chosen(given((2,), values=values), "classes")


def test_the_task_may_stand_in_a_specification() -> None:
    assert chosen(given((2, 3), spec={"task": "regression"})).rule == "none"
    assert chosen(given((2, 3), spec={"task": "regression"}, task="classification")).rule == "argmax"
    for spec in ("{", "[1]", {"task": "knitting"}, {}):
        assert chosen(given((2, 3), spec=spec)).assumed
    assert chosen(given((2, 3), task="knitting", spec={"task": "regression"})).assumed


def test_whole_numbers_of_a_task_are_classes_or_labels() -> None:
    """Of classification they are classes where the axis of scores is gone; labels have their thresholds still."""
    whole = {"values": np.ones((2, 3), np.int64), "dtype": "int64"}
    assert chosen(given((2, 3), **whole, task="classification")).rule == "argmax"
    assert chosen(given((2, 3), **whole, task="multi-label")).rule == "threshold"
    maps = {"values": np.ones((2, 3, 3), np.int64), "dtype": "int64"}
    assert chosen(given((2, 3, 3), **maps, task="segmentation")).rule == "classes"
    assert chosen(given((2, 3), ("ArgMax", "x", "y"), values=np.full((2, 3), 0.5))).rule == "argmax"
