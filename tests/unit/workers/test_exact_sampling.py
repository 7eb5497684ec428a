"""Resized and sampled images against formulas of others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.unit.workers.exact_cases import LIMIT, WRONG, X1, X2, Case, distances, drawn, torch

F = torch.nn.functional


def region_means(shift: float) -> Callable[[Any, Any, Any], Any]:
    """RoiAlign with 2 x 2 samples in each of 2 x 3 cells, by PyTorch's bilinear sampling; regions lie inside the image."""

    def compute(x: Any, rois: Any, batch: Any) -> Any:
        found = []
        for (left, top, right, bottom), sample in zip(rois * 0.5 - shift, batch, strict=True):
            rows = top + (bottom - top) * (torch.arange(4, dtype=torch.float64) + 0.5) / 4
            columns = left + (right - left) * (torch.arange(6, dtype=torch.float64) + 0.5) / 6
            down, across = torch.meshgrid(
                2 * rows / (x.shape[2] - 1) - 1, 2 * columns / (x.shape[3] - 1) - 1, indexing="ij"
            )
            grid = torch.stack([across, down], -1)[None]
            values = F.grid_sample(x[int(sample)][None], grid, "bilinear", "border", True)
            found.append(F.avg_pool2d(values, 2)[0])
        return torch.stack(found)

    return compute


CASES = [
    *(
        Case(
            "Resize",
            opset,
            [X2, None, None, np.array([3, 4, 13, 17])],
            lambda x, *_: F.interpolate(x, (13, 17), mode="bicubic", align_corners=False),
            {"mode": "cubic", "coordinate_transformation_mode": "pytorch_half_pixel"},
        )
        for opset in (13, 19)
    ),
    Case(
        "Resize",
        10,
        [X2, np.array([1, 1, 2, 3], np.float32)],
        lambda x, *_: F.interpolate(x, scale_factor=(2, 3), mode="nearest"),
    ),
    Case(
        "Resize",
        13,
        [X1, None, None, np.array([3, 4, 1])],
        lambda x, *_: x[..., :1],
        {"mode": "cubic", "coordinate_transformation_mode": "pytorch_half_pixel"},
    ),
    Case(
        "Upsample",
        9,
        [drawn(2, 3, 2, 17), np.array([1, 1, 2, 1.9411764], np.float32)],
        lambda x, *_: F.interpolate(x, (4, 33), mode="nearest"),
    ),
    Case(
        "Upsample",
        7,
        [X2],
        lambda x: F.interpolate(x, scale_factor=2, mode="nearest"),
        {"scales": [1.0, 1.0, 2.0, 2.0]},
    ),
    *(
        Case(
            "GridSample",
            16,
            [X2, 1.3 * drawn(3, 5, 6, 2)],
            lambda x, g, m=mode, p=padding, a=aligned: F.grid_sample(x, g, m, p, bool(a)),
            {"mode": mode, "padding_mode": padding, "align_corners": aligned},
        )
        for mode, padding in (
            ("bilinear", "zeros"),
            ("bilinear", "border"),
            ("bilinear", "reflection"),
            ("bicubic", "zeros"),
            ("bicubic", "reflection"),
            ("bicubic", "border"),
        )
        for aligned in (0, 1)
    ),
    Case(
        "AffineGrid",
        20,
        [drawn(2, 2, 3), np.array([2, 3, 4, 5])],
        lambda t, _: F.affine_grid(t, [2, 3, 4, 5], align_corners=False),
    ),
    Case(
        "RoiAlign",
        10,
        [X2, np.array([[1.0, 2.0, 9.0, 11.5], [2.0, 4.0, 8.0, 9.0]]), np.array([2, 0])],
        region_means(0.0),
        {"output_height": 2, "output_width": 3, "sampling_ratio": 2, "spatial_scale": 0.5},
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_operator_of_ours_is_exact_where_that_of_onnx_is_not(case: Case) -> None:
    ours, theirs = distances(case)
    assert ours <= LIMIT
    assert theirs > WRONG
