"""Where the models and packages written in each language's own files lie."""

from __future__ import annotations

from pathlib import Path


def native_folder() -> Path:
    """The folder ``native/``: at the root of a checkout, or packaged as ``harness/_native``."""
    package = Path(__file__).resolve().parents[1]
    packaged = package / "_native"
    return packaged if packaged.is_dir() else package.parent / "native"
