"""Which files beside an ``.onnx`` file its tensors lie in, found without ONNX's own library.

The harness process knows no framework, and must know the files of a model before any worker is started: they decide
whether a comparison was made before. Field numbers are those of onnx.proto (https://onnx.ai/onnx/api/classes.html).
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

from harness.errors import ModelError
from harness.files.not_a_model import check_is_model, check_is_there, link_text

#: Message -> fields that are messages on the way to a tensor's external data.
_WAYS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}

#: Protobuf's own readers give up beyond this depth too.
_MAX_DEPTH = 100

#: Names that the copy of a model has for itself.
_TAKEN = ("model.onnx", "step.json")

#: What caches of model hubs call the folder that links lead to.
_BLOBS = "blobs"


def model_file(given: Path) -> Path:
    """The file that a path to a model leads to; raises ModelError where that is none, see `check_is_model`.

    Where a cache of a model hub was copied without its links, files hold the text of the link: it is followed to the cache's own
    folder ``blobs``, and nowhere else.
    """
    path = _followed(given)
    check_is_model(path)
    return path


def external_files(model: Path) -> dict[str, Path]:
    """The files that the tensors of a model lie in, by the name the model gives them; none where it is in one piece.

    A file that is not ONNX, or cut short, has none either: what is wrong with it is for a worker to say. They are looked for beside
    the path that is given and beside the file that it is a link to, and must lie below one of the two folders, wherever links
    lead: a cache of a model hub has links beside each other whose targets lie beside each other. Raises ModelError where a file is
    missing, lies elsewhere, or is something else, see `check_is_model`.
    """
    folders = tuple(dict.fromkeys((model.absolute().parent, model.resolve().parent)))
    roots = {folder.resolve() for folder in folders} | {_followed(model).resolve().parent}
    found: dict[str, Path] = {}
    for name in sorted(_locations(_followed(model))):
        where = next((folder / name for folder in folders if name and (folder / name).is_file()), folders[0] / name)
        path = _followed(where).resolve() if where.is_file() else where.resolve()
        inside = any(path.is_relative_to(root) for root in roots)
        if not name or Path(name).is_absolute() or ".." in Path(name).parts or not inside:
            raise ModelError(
                f"its weights lie in '{name}', outside of its folder", where=str(model), hint="put them beside it"
            )
        if not path.is_file():
            raise ModelError(
                f"its weights lie in '{name}', which is missing beside it",
                where=str(model),
                hint="put the file there, or export the model in one piece",
            )
        if Path(name).as_posix() in _TAKEN or path == model.resolve():
            raise ModelError(
                f"its weights lie in '{name}', a name that cannot be copied", where=str(model), hint="rename the file"
            )
        check_is_there(path)
        found[name] = path
    return found


def _followed(path: Path) -> Path:
    """What the text of a link leads to, where that lies in ``blobs`` of a folder around it; else the path itself."""
    text = link_text(path)
    if text is None:
        return path
    target = (path.parent / text).resolve()
    around = path.resolve().parent.parents
    if target.is_file() and target.parent.name == _BLOBS and target.parent.parent in around:
        return target
    raise ModelError(
        f"holds the text of a link, '{text}', not a model: it was copied without links",
        where=str(path),
        hint="copy it again with links (cp -a), or name the file that it is a link to",
    )


def _locations(model: Path) -> set[str]:
    """The locations that a model file states, as far as it can be read."""
    found: set[str] = set()
    try:
        with model.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            for location in _walk(content, 0, len(content), "model", 0):
                found.add(location)
    except (ValueError, IndexError):
        return set()
    return found


def _walk(content: mmap.mmap, begin: int, end: int, kind: str, depth: int) -> Iterator[str]:
    if depth > _MAX_DEPTH:
        raise ValueError("nested too deep")
    if kind == "entry":
        parts = {number: content[start:stop] for number, start, stop in fields(content, begin, end)}
        if parts.get(1) == b"location":
            yield parts.get(2, b"").decode()
        return
    ways = _WAYS[kind]
    for number, start, stop in fields(content, begin, end):
        if number in ways:
            yield from _walk(content, start, stop, ways[number], depth + 1)


def fields(content: mmap.mmap, begin: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Number, begin and end of every field of a message that has a length. Raises ValueError on what is no message."""
    place = begin
    while place < end:
        tag, place = _varint(content, place, end)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            _, place = _varint(content, place, end)
        elif wire == 1:
            place += 8
        elif wire == 5:
            place += 4
        elif wire == 2:
            length, place = _varint(content, place, end)
            if place + length > end:
                raise ValueError("cut short")
            yield number, place, place + length
            place += length
        else:
            raise ValueError(f"wire type {wire}")
    if place > end:
        raise ValueError("cut short")


def _varint(content: mmap.mmap, place: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if place >= end:
            break
        byte = content[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise ValueError("no number")
