"""TempCNN at batch 64 on one thread: plain R against onnxruntime, the same file, in turn.

    python -m benchmarks.r_base [--rounds 7]

Seconds are those the workers measure around their engine's own call.
"""

from __future__ import annotations

from benchmarks.in_turn import against_onnxruntime

if __name__ == "__main__":
    against_onnxruntime("r/base", samples=64)
