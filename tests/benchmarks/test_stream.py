from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks import stream
from benchmarks.stream import StreamComparison, compare_files, open_float32
from harness.compare.ulp import max_ulp
from harness.errors import DataError

ROOT = Path(__file__).resolve().parents[2]


def compare(folder: Path, first: np.ndarray, second: np.ndarray, classes: int | None = None) -> StreamComparison:
    for name, values in (("first", first), ("second", second)):
        np.save(folder / f"{name}.npy", values)
    return compare_files(open_float32(folder / "first.npy"), open_float32(folder / "second.npy"), classes=classes)


def expected(first: np.ndarray, second: np.ndarray) -> StreamComparison:
    finite = np.isfinite(first) & np.isfinite(second)
    error = np.abs(first[finite].astype(np.float64) - second[finite])
    some = error.size > 0
    rows = first.shape[0] if first.ndim > 1 else 0
    return StreamComparison(
        count=first.size,
        differing=int((first.view(np.uint32) != second.view(np.uint32)).sum()),
        non_finite=int((~finite).sum()),
        max_abs=float(error.max()) if some else None,
        mean_abs=float(error.mean()) if some else None,
        rms=float(np.sqrt((error**2).mean())) if some else None,
        max_ulp=max_ulp(first[finite], second[finite]),
        top1_agreement=float((first.argmax(-1) == second.argmax(-1)).mean()) if rows else None,
        rows=rows,
    )


def check(found: StreamComparison, wanted: StreamComparison, relative: float = 1e-12) -> None:
    for name in StreamComparison.__dataclass_fields__:
        one, other = getattr(found, name), getattr(wanted, name)
        if name in ("max_abs", "mean_abs", "rms") and other is not None:
            assert one == pytest.approx(other, rel=relative), name
        else:
            assert one == other, name


SPECIAL = [
    0.0,
    -0.0,
    math.nan,
    math.inf,
    -math.inf,
    1.0,
    -1.0,
    1e-45,
    -1e-45,
    3.4028234663852886e38,
    -3.4028234663852886e38,
]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_values_as_without_a_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: st.DataObject) -> None:
    """Chunks of four rows, so that values of every kind meet their borders."""
    monkeypatch.setattr(stream, "CHUNK", 12)
    value = st.one_of(st.sampled_from(SPECIAL), st.floats(-10, 10, width=32), st.integers(-2, 2).map(float))
    rows = data.draw(st.lists(st.tuples(value, value, value), min_size=1, max_size=17))
    first = np.array(rows, np.float32)
    second = first.copy()
    for index in data.draw(st.lists(st.integers(0, first.size - 1), max_size=8)):
        second.flat[index] = data.draw(value)
    # Differences are rounded to float32 once: half an ULP of each.
    check(compare(tmp_path, first, second), expected(first, second), relative=1e-6)


def test_several_chunks_and_a_short_last_one(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    first = generator.standard_normal((3 * stream.CHUNK // 10 + 17, 10), dtype=np.float32)
    second = first + np.float32(1e-3) * generator.standard_normal(first.shape, dtype=np.float32)
    first[5, 3] = second[9, 9] = np.nan
    first[20] = 1.0
    found = compare(tmp_path, first, second)
    check(found, expected(first, second), relative=1e-6)
    assert found.rows == len(first)
    assert found.top1_agreement is not None
    assert 0.9 < found.top1_agreement < 1


def test_equal_files(tmp_path: Path) -> None:
    values = np.random.default_rng(0).standard_normal((stream.CHUNK, 10), dtype=np.float32)
    found = compare(tmp_path, values, values)
    assert found == expected(values, values)
    assert found.max_ulp == 0
    values[77, 3] = np.nan
    assert compare(tmp_path, values, values).non_finite == 1


def test_one_value_in_the_last_chunk(tmp_path: Path) -> None:
    values = np.zeros(2 * stream.CHUNK + 5, np.float32)
    other = values.copy()
    other[-1] = -1e-45
    found = compare(tmp_path, values, other)
    assert (found.differing, found.max_ulp, found.top1_agreement) == (1, 1, None)


def test_axis_of_flat_values(tmp_path: Path) -> None:
    first, second = np.float32([0, 1, 1, 0]), np.float32([0, 1, 0, 1])
    assert compare(tmp_path, first, second, classes=2).top1_agreement == 0.5
    with pytest.raises(DataError, match="whole rows of 3"):
        compare(tmp_path, first, second, classes=3)


def test_formats_hold_the_same_values(tmp_path: Path) -> None:
    values = np.random.default_rng(0).standard_normal((30, 4), dtype=np.float32)
    np.save(tmp_path / "a.npy", values)
    values.tofile(tmp_path / "a.raw")
    safetensors.numpy.save_file({"other": np.zeros(3, np.int64), "logits": values}, tmp_path / "a.safetensors")
    reference = open_float32(tmp_path / "a.npy")
    for other in (
        open_float32(tmp_path / "a.raw", shape=(30, 4)),
        open_float32(tmp_path / "a.safetensors", tensor="logits"),
    ):
        found = compare_files(other, reference)
        assert (found.count, found.differing, found.top1_agreement) == (120, 0, 1.0)


def test_files_that_cannot_be_read_say_why(tmp_path: Path) -> None:
    values = np.zeros((30, 4), np.float32)
    np.save(tmp_path / "whole.npy", values)
    content = (tmp_path / "whole.npy").read_bytes()
    cases = {
        "truncated.npy": (content[:-4], "truncated: 604 bytes instead of 608"),
        "header.npy": (content[:20], "not a readable"),
        "text.npy": (b"not numpy at all", "not a readable"),
        "odd.raw": (b"12345", "5 bytes"),
        "short.safetensors": (b"\xff" * 8, "truncated"),
    }
    for name, (data, text) in cases.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(DataError, match=text) as error:
            open_float32(tmp_path / name)
        assert name in str(error.value)
    with pytest.raises(DataError, match="no such file"):
        open_float32(tmp_path / "absent.npy")


def test_dtypes_and_orders_that_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "double.npy", np.zeros(3))
    np.save(tmp_path / "fortran.npy", np.asfortranarray(np.ones((3, 2), np.float32)))
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], object), allow_pickle=True)
    safetensors.numpy.save_file({"a": np.zeros(3), "b": np.zeros(2, np.float32)}, tmp_path / "two.safetensors")
    for name, tensor, text in (
        ("double.npy", None, "float64"),
        ("fortran.npy", None, "column-major"),
        ("objects.npy", None, "object"),
        ("two.safetensors", "a", "F64"),
        ("two.safetensors", "c", "it holds a, b"),
        ("two.safetensors", None, "name the tensor"),
    ):
        with pytest.raises(DataError, match=text):
            open_float32(tmp_path / name, tensor=tensor)


def test_other_shapes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="shapes differ"):
        compare(tmp_path, np.zeros((2, 3), np.float32), np.zeros((3, 2), np.float32))


def test_a_file_that_shrinks_while_it_is_read(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros(stream.CHUNK, np.float32))
    whole = open_float32(tmp_path / "a.npy")
    shrunk = tmp_path / "b.npy"
    shrunk.write_bytes((tmp_path / "a.npy").read_bytes()[:-100])
    with pytest.raises(DataError, match="ended while it was read"):
        compare_files(stream.Float32File(shrunk, whole.shape, whole.offset), whole)


def test_benchmark_agrees_with_plain_numpy_in_little_memory(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.compare_stream", "--values", "2000000"]
    done = subprocess.run([*command, "--folder", str(tmp_path)], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    lines = {line.split()[0]: line.split() for line in done.stdout.splitlines()}
    assert float(lines["stream"][3]) < 100
    assert float(lines["ratio"][1]) > 0
    assert list(tmp_path.iterdir()) == []
