"""Where environments, locks and what was found out about this machine are kept between runs."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """``$HARNESS_CACHE``, else ``eo-interop-harness`` below ``$XDG_CACHE_HOME`` or ``~/.cache``."""
    if explicit := os.environ.get("HARNESS_CACHE"):
        return Path(explicit)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "eo-interop-harness"
