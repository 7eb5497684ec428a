"""What the numbers of a model's output are, by the head that the model ends in."""

from __future__ import annotations

from typing import Literal

Head = Literal["logits", "log-softmax", "softmax", "sigmoid"]
