"""A convolution in pieces of a bounded workspace."""

from __future__ import annotations

import numpy as np
import pytest

from harness.workers.onnx.exact import convolution
from harness.workers.onnx.exact.operator import Node

torch = pytest.importorskip("torch", reason="the formula is PyTorch's: pip install torch")


@pytest.mark.parametrize("workspace", [1 << 26, 3000, 1])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_a_convolution_in_pieces_is_that_of_pytorch(rank: int, workspace: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution, "WORKSPACE", workspace)
    drawn = np.random.default_rng(rank)
    x, w = drawn.standard_normal((3, 4, *(9, 8, 7)[:rank])), drawn.standard_normal((6, 2, *(3, 2, 3)[:rank]))
    b = drawn.standard_normal(6)
    stride, dilation, pad = (2, 1, 1)[:rank], (1, 2, 1)[:rank], (1, 2, 0)[:rank]
    asked = {"group": 2, "strides": [*stride], "dilations": [*dilation], "pads": [*pad, *pad]}
    apply = (torch.conv1d, torch.conv2d, torch.conv3d)[rank - 1]
    tensors = [torch.from_numpy(value) for value in (x, w, b)]
    wanted = apply(*tensors, stride=stride, padding=pad, dilation=dilation, groups=2).numpy()
    found = convolution.conv(Node(17, asked, ("y",)), x, w, b)
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-13)


def test_no_more_windows_are_copied_at_a_time_than_fit_the_workspace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution, "WORKSPACE", 1 << 16)
    import tracemalloc

    x, w = np.ones((2, 8, 64, 64)), np.ones((1, 8, 3, 3))
    tracemalloc.start()
    convolution.conv(Node(17, {"group": 1, "pads": [1, 1, 1, 1]}, ("y",)), x, w)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # All windows at once would be nine times the input.
    assert peak < 3 * x.nbytes
