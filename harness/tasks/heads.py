"""What the numbers of a model's output are, by the head that the model ends in."""

from __future__ import annotations

from typing import Literal

#: ``linear``: values in units of their own, of no probability.
Head = Literal["logits", "log-softmax", "softmax", "sigmoid", "linear"]
