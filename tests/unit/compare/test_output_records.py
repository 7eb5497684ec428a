"""What is shown of an output, with its axes as the file has them."""

from __future__ import annotations

import pytest

from harness.compare.records import OutputResult, Verdict

SHOWN = OutputResult(name="y", shape=(5, 3, 4), dtype="float32", verdict=Verdict.DRIFTED, rms_ratio=2.5)


@pytest.mark.parametrize(
    ("axis", "shape"), [(0, (5, 3, 4)), (1, (3, 5, 4)), (2, (3, 4, 5)), (3, (5, 3, 4)), (None, (5, 3, 4))]
)
def test_the_sample_is_where_the_file_has_it(axis: int | None, shape: tuple[int, ...]) -> None:
    found = SHOWN.with_axis(axis)
    assert found == SHOWN.model_copy(update={"shape": shape, "sample_axis": axis})
    assert found.shape_text == " x ".join(map(str, shape))
