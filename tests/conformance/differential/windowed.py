"""Convolutions and pools, local normalisation, and interpolation."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.conformance.differential.recipe import Drawn, Pick, Recipe, normal

SPATIAL = [(9,), (1,), (8, 7), (6, 5, 4)]
AUTO = ["pads", "none", "SAME_UPPER", "SAME_LOWER", "VALID"]
_COMMON: dict[str, list[Any]] = {
    "spatial": SPATIAL,
    "kernel": [1, 2, 3],
    "stride": [None, 1, 2, 3],
    "dilation": [None, 1, 2],
    "auto": AUTO,
    "samples": [1, 2],
}


def _window(pick: Pick, rng: np.random.Generator) -> dict[str, Any]:
    rank = len(pick["spatial"])
    found: dict[str, Any] = {}
    if pick["stride"]:
        found["strides"] = [pick["stride"]] * (rank - 1) + [max(1, pick["stride"] - 1)]
    if pick.get("dilation"):
        found["dilations"] = [pick["dilation"]] + [1] * (rank - 1)
    if pick["auto"] == "pads":
        reach = (pick["kernel"] - 1) * 1
        found["pads"] = [int(value) for value in rng.integers(0, reach + 1, 2 * rank)]
    elif pick["auto"] != "none":
        found["auto_pad"] = pick["auto"]
    return found


def _fits(pick: Pick, window: dict[str, Any]) -> bool:
    """Whether a window fits into every axis."""
    rank = len(pick["spatial"])
    pads = window.get("pads", [0] * 2 * rank)
    if pick["auto"].startswith("SAME"):
        # A window of which every place is padding has no value.
        return 1 not in pick["spatial"] or pick.get("dilation") != 2
    return all(
        size + pads[k] + pads[k + rank] >= (pick["kernel"] - 1) * window.get("dilations", [1] * rank)[k] + 1
        for k, size in enumerate(pick["spatial"])
    )


def _conv(pick: Pick, rng: np.random.Generator, _: int) -> Drawn | None:
    window = _window(pick, rng)
    if not _fits(pick, window):
        return None
    groups, rank = pick["group"], len(pick["spatial"])
    channels, filters = 2 * groups, 3 * groups
    inputs = [
        normal(rng, (pick["samples"], channels, *pick["spatial"])),
        normal(rng, (filters, 2, *(pick["kernel"],) * rank)),
    ]
    return Drawn(inputs + [normal(rng, (filters,))] * pick["bias"], {**window, "group": groups})


def _conv_transpose(pick: Pick, rng: np.random.Generator, _: int) -> Drawn | None:
    window = _window(pick, rng)
    groups, rank = pick["group"], len(pick["spatial"])
    strides, dilations = window.get("strides", [1] * rank), window.get("dilations", [1] * rank)
    if pick["extra"]:
        room = [max(a, b) - 1 for a, b in zip(strides, dilations, strict=True)]
        window["output_padding"] = [min(1, value) for value in room]
    full = [
        stride * (size - 1) + (pick["kernel"] - 1) * dilation + 1
        for stride, size, dilation in zip(strides, pick["spatial"], dilations, strict=True)
    ]
    pads = window.get("pads", [0] * 2 * rank)
    if any(size - pads[k] - pads[k + rank] < 1 for k, size in enumerate(full)):
        return None
    if pick["shaped"]:
        window.pop("pads", None)
        window["output_shape"] = [max(1, size - 1) for size in full]
    elif pick["auto"].startswith("SAME") and any(
        size * stride > length for size, stride, length in zip(pick["spatial"], strides, full, strict=True)
    ):
        # More is asked for than the kernels reach: the standard speaks of padding alone.
        return None
    inputs = [
        normal(rng, (pick["samples"], 2 * groups, *pick["spatial"])),
        normal(rng, (2 * groups, 3, *(pick["kernel"],) * rank)),
    ]
    return Drawn(inputs + [normal(rng, (3 * groups,))] * pick["bias"], {**window, "group": groups})


def _pool(pick: Pick, rng: np.random.Generator, opset: int) -> Drawn | None:
    window = _window(pick, rng)
    operator = pick["operator"]
    if "dilations" in window and opset < {"MaxPool": 10, "AveragePool": 19, "LpPool": 18}[operator]:
        return None
    if pick["ceil"]:
        if pick["auto"] not in ("pads", "none") or opset < {"MaxPool": 10, "AveragePool": 10, "LpPool": 18}[operator]:
            return None
        window["ceil_mode"] = 1
    if not _fits(pick, window):
        return None
    window["kernel_shape"] = [pick["kernel"]] * len(pick["spatial"])
    if pick.get("padding") is not None:
        window["count_include_pad"] = pick["padding"]
    if pick.get("p") is not None:
        window["p"] = pick["p"]
    indexed = pick.get("order") is not None and opset >= 8
    if indexed:
        window["storage_order"] = pick["order"]
    outputs = 2 if indexed else 1
    return Drawn([normal(rng, (pick["samples"], 2, *pick["spatial"]))], window, outputs)


def _global(pick: Pick, rng: np.random.Generator, _: int) -> Drawn:
    attributes = {} if pick.get("p") is None else {"p": pick["p"]}
    return Drawn([normal(rng, (pick["samples"], 3, *pick["spatial"]))], attributes)


def _lrn(pick: Pick, rng: np.random.Generator, _: int) -> Drawn:
    chosen = {name: pick[name] for name in ("alpha", "beta", "bias") if pick[name] is not None}
    return Drawn([normal(rng, (pick["samples"], pick["channels"], *pick["spatial"]))], {"size": pick["size"], **chosen})


def _resize(pick: Pick, rng: np.random.Generator, opset: int) -> Drawn | None:
    mode, place = pick["mode"], pick["place"]
    spatial = pick["spatial"]
    if mode == "cubic" and len(spatial) == 3:
        return None
    x = normal(rng, (pick["samples"], 2, *spatial))
    factors = [pick["factor"]] * (len(spatial) - 1) + [1.9411764]
    scales = np.array([1, 1, *factors], np.float32)
    sizes = np.array(
        [*x.shape[:2], *(max(1, round(size * factor)) for size, factor in zip(spatial, factors, strict=True))]
    )
    if any(int(np.float32(size) * np.float32(factor)) < 1 for size, factor in zip(spatial, factors, strict=True)):
        return None
    if opset < 11:
        return Drawn([x, scales], {"mode": mode}) if mode != "cubic" else None
    attributes: dict[str, Any] = {"mode": mode, "coordinate_transformation_mode": place}
    if place == "tf_half_pixel_for_nn" and opset not in (11, 12):
        return None
    if place == "half_pixel_symmetric" and opset < 19:
        return None
    if mode == "nearest":
        attributes["nearest_mode"] = pick["rounding"]
    if mode == "cubic" and pick["coefficient"] is not None:
        attributes["cubic_coeff_a"] = pick["coefficient"]
    if mode != "nearest" and pick["outside"]:
        attributes["exclude_outside"] = 1
    if pick["antialias"]:
        if opset < 18 or mode == "nearest":
            return None
        attributes["antialias"] = 1
    region: Any = None
    if place == "tf_crop_and_resize":
        region = np.array([0, 0, *[0.1] * len(spatial), 1, 1, *[1.2] * len(spatial)], np.float32)
        attributes["extrapolation_value"] = 7.5
    if opset in (11, 12):
        # The region must be there.
        region = np.zeros(0, np.float32) if region is None else region
    if pick["by"] == "scales":
        return Drawn([x, region, scales], attributes)
    empty = np.zeros(0, np.float32) if opset in (11, 12) else None
    if pick["by"] == "axes":
        if opset < 18:
            return None
        axes = list(range(2, x.ndim))
        region = None if region is None else np.array([*[0.1] * len(axes), *[1.2] * len(axes)], np.float32)
        policy = {} if pick["policy"] is None else {"keep_aspect_ratio_policy": pick["policy"]}
        return Drawn([x, region, empty, sizes[2:]], {**attributes, "axes": axes, **policy})
    return Drawn([x, region, empty, sizes], attributes)


def _upsample(pick: Pick, rng: np.random.Generator, opset: int) -> Drawn | None:
    x = normal(rng, (pick["samples"], 2, *pick["spatial"]))
    scales = [1.0, 1.0, *[pick["factor"]] * (len(pick["spatial"]) - 1), 1.9411764]
    if opset < 9:
        return Drawn([x], {"mode": pick["mode"], "scales": scales})
    return Drawn([x, np.array(scales, np.float32)], {"mode": pick["mode"]})


def pool(operator: str, **choices: list[Any]) -> Recipe:
    """A pool over windows."""
    return Recipe(operator, {**_COMMON, "ceil": [False, True], **choices, "operator": [operator]}, _pool)


_PLACES = [
    "half_pixel",
    "half_pixel_symmetric",
    "pytorch_half_pixel",
    "align_corners",
    "asymmetric",
    "tf_crop_and_resize",
    "tf_half_pixel_for_nn",
]

RECIPES = [
    Recipe("Conv", {**_COMMON, "group": [1, 2], "bias": [0, 1]}, _conv),
    Recipe(
        "ConvTranspose",
        {**_COMMON, "group": [1, 2], "bias": [0, 1], "extra": [0, 1], "shaped": [0, 1]},
        _conv_transpose,
    ),
    pool("MaxPool", order=[None, 0, 1]),
    pool("AveragePool", padding=[None, 0, 1]),
    pool("LpPool", p=[None, 1, 3]),
    *(
        Recipe(name, {"spatial": SPATIAL, "samples": [1, 3]}, _global)
        for name in ("GlobalMaxPool", "GlobalAveragePool")
    ),
    Recipe("GlobalLpPool", {"spatial": SPATIAL, "samples": [1, 3], "p": [None, 1, 3]}, _global),
    Recipe(
        "LRN",
        {
            "spatial": [(4, 3), (1, 1)],
            "samples": [1, 5],
            "channels": [1, 4, 7],
            "size": [1, 2, 3, 5],
            "alpha": [None, 0.3],
            "beta": [None, 0.5],
            "bias": [None, 2.0],
        },
        _lrn,
    ),
    Recipe(
        "Resize",
        {
            "spatial": [(7,), (1,), (5, 17), (3, 4, 2)],
            "samples": [1, 2],
            "mode": ["nearest", "linear", "cubic"],
            "place": _PLACES,
            "rounding": ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"],
            "factor": [0.6, 1.0, 2.0, 3.3],
            "by": ["scales", "sizes", "axes"],
            "coefficient": [None, -0.5],
            "outside": [0, 1],
            "antialias": [0, 1],
            "policy": [None, "not_larger", "not_smaller"],
        },
        _resize,
    ),
    Recipe(
        "Upsample",
        {
            "spatial": [(7,), (5, 17), (3, 4, 17)],
            "samples": [1, 2],
            "mode": ["nearest", "linear"],
            "factor": [1.0, 1.7, 2.0, 3.0],
        },
        _upsample,
    ),
]
