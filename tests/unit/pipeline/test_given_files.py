"""Files that are given as a model and are none, links of a hub's cache, and probes with their axes in another order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from harness.data.probe import read_probe  # noqa: E402
from harness.errors import DataError, ModelError  # noqa: E402
from harness.pipeline.given_plan import Given, given_plan  # noqa: E402

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 12345678\n"


def plan(path: Path, tmp_path: Path) -> dict[str, str]:
    """The files that a comparison of a model copies, by the names of the copies."""
    probe = tmp_path / "x.npy"
    np.save(probe, np.zeros((1, 2), np.float32))
    made = given_plan(Given(path, ("python/onnxruntime",), {"": probe}))
    (step,) = (step for step in made.steps if step.id == "given")
    return step.paths  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (
            POINTER,
            "is a Git LFS pointer, not the file itself (12,345,678 bytes are elsewhere); fetch it with `git lfs pull`",
        ),
        (b"\n<!DOCTYPE html>\n<html>", "is a web page (HTML), not a model; download the file itself"),
        (b"<html lang='en'>", "is a web page (HTML)"),
        (b"PK\x03\x04" + bytes(40), "is a ZIP archive"),
        (b"\x89HDF\r\n\x1a\n" + bytes(40), "is an HDF5 file"),
        (b"../blobs/aaaa", "holds the text of a link, '../blobs/aaaa', not a model: it was copied without links"),
        (b"../../blobs/aaaa", "holds the text of a link"),
    ],
)
def test_what_is_no_model_is_named(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "deep" / "model.onnx"
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        plan(path, tmp_path)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_ending_in_capitals_is_an_ending(tmp_path: Path) -> None:
    path = tmp_path / "MODEL.ONNX"
    path.write_bytes(b"\x08\x08")
    assert plan(path, tmp_path) == {"model.onnx": str(path)}


def cache(folder: Path) -> Path:
    """A hub's cache with a model and its weights; returns the folder of its links, which are still to be made."""
    tensor = onnx.numpy_helper.from_array(np.arange(4, dtype=np.float32), "w")
    graph = onnx.helper.make_graph([], "g", [], [], [tensor])
    folder.joinpath("blobs").mkdir(parents=True)
    snapshot = folder / "snapshots" / "main"
    snapshot.mkdir(parents=True)
    model = onnx.helper.make_model(graph)
    onnx.save(model, folder / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    folder.joinpath("m.onnx").rename(folder / "blobs" / "aaaa")
    folder.joinpath("m.data").rename(folder / "blobs" / "bbbb")
    return snapshot


@pytest.mark.parametrize("as_text", [False, True], ids=["links", "texts of links"])
def test_weights_are_found_through_the_links_of_a_cache(tmp_path: Path, as_text: bool) -> None:
    snapshot = cache(tmp_path / "hub")
    for name, blob in (("m.onnx", "aaaa"), ("m.data", "bbbb")):
        target = f"../../blobs/{blob}"
        if as_text:
            (snapshot / name).write_text(target)
        else:
            (snapshot / name).symlink_to(target)
    blobs = tmp_path / "hub" / "blobs"
    assert plan(snapshot / "m.onnx", tmp_path) == {"model.onnx": str(blobs / "aaaa"), "m.data": str(blobs / "bbbb")}


@pytest.mark.parametrize("as_text", [False, True], ids=["links", "texts of links"])
def test_links_to_anywhere_else_are_not_followed(tmp_path: Path, as_text: bool) -> None:
    snapshot = cache(tmp_path / "hub")
    (snapshot / "m.onnx").symlink_to("../../blobs/aaaa")
    secret = tmp_path / "secret"
    secret.write_bytes((tmp_path / "hub" / "blobs" / "bbbb").read_bytes())
    if as_text:
        (snapshot / "m.data").write_text("../../../secret")
    else:
        (snapshot / "m.data").symlink_to(secret)
    with pytest.raises(ModelError, match="holds the text of a link" if as_text else "outside of its folder"):
        plan(snapshot / "m.onnx", tmp_path)


def test_weights_that_are_a_pointer_are_named(tmp_path: Path) -> None:
    snapshot = cache(tmp_path / "hub")
    (snapshot / "m.onnx").symlink_to("../../blobs/aaaa")
    (snapshot / "m.data").write_bytes(POINTER)
    with pytest.raises(ModelError, match=r"m\.data: is a Git LFS pointer"):
        plan(snapshot / "m.onnx", tmp_path)


@pytest.mark.parametrize(
    ("shape", "wanted", "told"),
    [
        ((64, 45, 10), ["n", 10, 45], "its axes are in another order: numpy.transpose(X, (0, 2, 1)) fits"),
        ((8, 32, 33, 4), [None, 4, 32, 33], "numpy.transpose(X, (0, 3, 1, 2)) fits"),
        ((4, 32, 32), ["n", 32, 4], "numpy.transpose(X, (2, 1, 0)) fits"),
        ((64, 45, 11), ["n", 10, 45], "mind the order of the axes"),
    ],
)
def test_the_order_of_axes_that_fits_is_told(
    tmp_path: Path, shape: tuple[int, ...], wanted: list[int | str | None], told: str
) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.zeros(shape, np.float32))
    with pytest.raises(DataError) as caught:
        read_probe({"x": path}, [{"name": "x", "dtype": "float32", "shape": wanted}])
    assert told in str(caught.value)
