"""Counts of published cases, what excuses a wrong answer, and the page that shows them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from harness.conformance.exact_values import excuse, inverse_fourier_transform
from harness.conformance.page import BEGIN, END, page, with_totals
from harness.conformance.scoreboard import READERS, CaseResult, Scoreboard, Standing
from harness.conformance.tolerance import compare

ROOT = Path(__file__).resolve().parents[3]
RECORD: dict[str, Any] = {"case": "test_dft_inverse", "rtol": 1e-3, "atol": 1e-7}


def board(reader: str = "r/base", *results: CaseResult) -> Scoreboard:
    return Scoreboard("1.0", (Standing.of(reader, {"R": "4.2"}, results),))


PASSED = CaseResult("test_add", "node", ("Add",), "passed")
WRONG = CaseResult("test_mul", "simple", ("Add", "Mul"), "wrong", "'y' differs | by 1")


def test_the_page_and_the_readme_show_what_was_counted() -> None:
    kept = Scoreboard.from_document(json.loads((ROOT / "docs" / "conformance.json").read_text()))
    assert (ROOT / "docs" / "conformance.md").read_text() == page(kept)
    readme = (ROOT / "README.md").read_text()
    assert BEGIN in readme
    assert END in readme
    assert with_totals(readme, kept) == readme
    assert not kept.faults()


def test_cases_count_for_each_operator_and_suite() -> None:
    standing = board("r/base", PASSED, WRONG).standings[0]
    assert standing.total() == {"passed": 1, "wrong": 1}
    assert standing.suites == {"node": {"passed": 1}, "simple": {"wrong": 1}}
    assert standing.operators == {"Add": {"passed": 1, "wrong": 1}, "Mul": {"wrong": 1}}


def test_wrong_answers_of_our_own_readers_are_faults() -> None:
    assert board("r/base", PASSED, WRONG).faults() == ["r/base: test_mul (simple): 'y' differs | by 1"]
    assert not board("python/onnxruntime", WRONG).faults()
    assert not board("r/base", PASSED).faults()


def test_readers_that_were_not_asked_keep_their_rows() -> None:
    older = board("python/onnxruntime", WRONG)
    newer = board("r/base", PASSED)
    both = newer.with_rows_of(older)
    assert [one.reader for one in both.standings] == [one for one in READERS if one in ("r/base", "python/onnxruntime")]
    assert board("r/base", PASSED).with_rows_of(board("r/base", WRONG)) == newer
    # Cases of another version are other cases.
    assert newer.with_rows_of(Scoreboard("2.0", older.standings)) == newer


def test_a_scoreboard_survives_its_document() -> None:
    made = board("r/base", PASSED, WRONG)
    assert Scoreboard.from_document(json.loads(json.dumps(made.document()))) == made


def test_an_answer_is_excused_where_the_published_one_is_shown_to_be_wrong() -> None:
    x = np.zeros((1, 4, 1, 2), np.float32)
    x[0, :, 0, 0] = [1, 2, 3, 4]
    exact = {name: value.astype(np.float32) for name, value in inverse_fourier_transform({"x": x}).items()}
    off = {"y": exact["y"] + np.float32(2e-6)}
    assert excuse(RECORD, {"x": x}, exact, off)
    # The reader's own answer is off, both are right, or the case is not listed.
    assert excuse(RECORD, {"x": x}, off, exact) is None
    assert excuse(RECORD, {"x": x}, off, off) is None
    assert excuse(RECORD, {"x": x}, exact, exact) is None
    assert excuse(RECORD | {"case": "test_dft"}, {"x": x}, exact, off) is None


def test_bfloat16_may_be_off_by_two_units_in_the_last_place() -> None:
    import ml_dtypes

    one = np.array([1.0], ml_dtypes.bfloat16)
    assert compare({"y": one}, {"y": (one + 2 * one * 2**-7).astype(one.dtype)}, 1e-3, 1e-7) is None
    assert compare({"y": one}, {"y": (one + 4 * one * 2**-7).astype(one.dtype)}, 1e-3, 1e-7) is not None
    assert compare({"y": np.float32([1])}, {"y": np.float32([1 + 2**-8])}, 1e-3, 1e-7) is not None
