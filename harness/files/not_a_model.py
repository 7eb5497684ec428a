"""What lies under the name of a model file without being one: a pointer to it, a web page, an archive of a framework."""

from __future__ import annotations

import re
from pathlib import Path

from harness.errors import ModelError

#: Bytes that are looked at.
_HEAD = 1024

_LFS = b"version https://git-lfs.github.com/spec/"
_PAGE = re.compile(rb"^(\xef\xbb\xbf)?\s*<(!doctype\s+html|html|head|\?xml|!--)", re.IGNORECASE)
_MAGIC = (
    (b"PK\x03\x04", "a ZIP archive, as .keras, .pt and .npz files are", "export the model to ONNX, or unpack it"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras' .h5 files are", "export the model to ONNX"),
    (b"\x1f\x8b", "a gzip file", "unpack it with gunzip"),
    (b"\x93NUMPY", "a NumPy array", "name the model first, and arrays by --probe"),
    (b"%PDF", "a PDF document", "name an ONNX model"),
)


def check_is_model(path: Path) -> None:
    """Raise ModelError where a file is known to be something else than a model."""
    head = check_is_there(path)
    for magic, what, hint in _MAGIC:
        if head.startswith(magic):
            raise ModelError(f"is {what}, not an ONNX file", where=str(path), hint=hint)


def check_is_there(path: Path) -> bytes:
    """Raise ModelError where a file of a model or of its weights is a pointer to it, or a web page; returns how it begins."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if head.startswith(_LFS):
        found = re.search(rb"^size (\d+)", head, re.MULTILINE)
        stands_for = f" ({int(found[1]):,} bytes are elsewhere)" if found else ""
        raise ModelError(
            f"is a Git LFS pointer, not the file itself{stands_for}",
            where=str(path),
            hint="fetch it with `git lfs pull`",
        )
    if _PAGE.match(head):
        raise ModelError(
            "is a web page (HTML), not a model",
            where=str(path),
            hint="download the file itself: on GitHub by 'raw', on a model hub by 'resolve' in place of 'blob' in the address",
        )
    return head


def link_text(path: Path) -> str | None:
    """The target of a link that is a file with the target's name in it: what copies without links leave. None: it is another file.

    Such a text is one line, a relative path with a folder in it.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if len(head) >= _HEAD or not re.fullmatch(rb"(\.\./)+[^\x00-\x1f]+", head):
        return None
    try:
        return head.decode()
    except UnicodeDecodeError:
        return None
