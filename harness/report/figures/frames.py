"""A sequence frame by frame: what was seen, what followed, what was forecast, and by how much it is off; still and moving."""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.report.contents import Contents
from harness.report.drawing import style
from harness.report.drawing.figure import ReportFigure
from harness.report.formatting import significant
from harness.report.result_files.manifest import ForecastPart
from harness.tasks.example_frames import Array, ExampleFrames

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage
    from PIL.Image import Image

#: Most frames side by side, and most forecasts under each other; the result file holds all.
MOST_FRAMES, MOST_FORECASTS = 6, 3

#: Names of matplotlib's colour maps.
_RAIN, _DIFFERENCE = "YlGnBu", "PuOr_r"

#: Milliseconds that a frame of the animation stands, and the last one.
_STANDS, _LAST_STANDS = 350, 1400
#: Dots per inch of the animation.
_DPI = 110


@dataclass(frozen=True)
class _Scales:
    """Colours of one sequence: physical values from ``bottom`` to ``top``, differences from -``reach`` to ``reach``."""

    bottom: float
    top: float
    reach: float
    unit: str


def draw(contents: Contents) -> style.Drawing | None:
    """Rows of up to six frames: seen, truth, then each forecast and its difference from the truth. None without frames."""
    results = contents.results
    example, known = results.frames, results.manifest.data.forecast
    if example is None or known is None or not example.forecasts:
        return None
    scales = _scales(example, known)
    shown = list(example.forecasts.items())[:MOST_FORECASTS]
    steps = _spread(known.horizon)
    past = _spread(known.history)
    columns = max(len(steps), len(past))
    rows = 2 + 2 * len(shown)
    # What names at the left and colour bars at the right leave.
    side = (style.WIDTH - 1.95) / columns
    figure = style.new_figure(rows * (side * known.rows / known.columns + 0.08) + 0.45)
    panels = figure.subplots(rows, columns, squeeze=False)
    interval = known.interval / 60
    before = [_minutes((index + 1 - known.history) * interval) for index in past]
    after = [_minutes((index + 1) * interval) for index in steps]
    rain = _row(panels[0], "Seen", [_seen(known, example, index) for index in past], before, scales)
    _row(panels[1], "Truth", [_truth(known, example, index) for index in steps], after, scales)
    gap: AxesImage | None = None
    for place, (who, array) in enumerate(shown):
        name = style.wrapped(results.display(who), 14)
        frames = [_physical(known, array[index]) for index in steps]
        _row(panels[2 + 2 * place], name, frames, [], scales)
        differences = [frame - _truth(known, example, index) for frame, index in zip(frames, steps, strict=True)]
        gap = _row(panels[3 + 2 * place], "Forecast\n− truth", differences, [], scales, difference=True)
    assert gap is not None
    for image, axes, label in ((rain, panels[:2], scales.unit), (gap, panels[2:], f"Difference ({scales.unit})")):
        bar = figure.colorbar(image, ax=list(axes.ravel()), fraction=0.03, pad=0.015, aspect=22)
        bar.set_label(label)
        bar.outline.set_visible(False)  # type: ignore[operator]
    return style.Drawing(
        f"Maps of {len(past)} frames seen and {len(steps)} that followed, forecast by "
        + "; ".join(f"{results.display(who)}: {_in_words(known, example, array)}" for who, array in shown)
        + ".",
        figure,
    )


def _remarks(contents: Contents) -> str:
    """Which sequence is shown, and what is not."""
    example = contents.results.frames
    if example is None:
        return ""
    last = datetime.fromtimestamp(example.last_seen, tz=UTC)
    left = len(example.forecasts) - MOST_FORECASTS
    more = f" {left} more forecasts that differ visibly are not drawn." if left > 0 else ""
    return (
        f"The test sequence with most rain, last seen at {last:%Y-%m-%d %H:%M} UTC. Pixels without data are grey. Forecasts that "
        f"nobody could tell from one drawn (less than half a shade of 256 anywhere) are left out.{more} The same as an "
        "animation: figures/frames.gif."
    )


def animation(contents: Contents) -> bytes | None:
    """The whole sequence as a GIF that runs for ever: truth, the source's forecast, and their difference.

    None where nothing is forecast. Equal frames give equal bytes.
    """
    results = contents.results
    example, known = results.frames, results.manifest.data.forecast
    if example is None or known is None or not example.forecasts:
        return None
    who, forecast = next(iter(example.forecasts.items()))
    scales = _scales(example, known)
    figure = style.new_figure(2.55 * max(1.0, known.rows / known.columns) + 0.55)
    panels = figure.subplots(1, 3)
    blank = np.full(forecast[0].shape, np.nan)
    images = [
        _row(panels[index : index + 1], "", [blank], [], scales, difference=index == 2) for index in range(len(panels))
    ]
    for axes, title in zip(panels, ("Truth", results.display(who), "Forecast − truth"), strict=True):
        axes.set_title(style.wrapped(title, 26), fontsize=9)
    for image, axes in ((images[1], panels[:2]), (images[2], panels[2:])):
        bar = figure.colorbar(image, ax=list(axes), location="bottom", fraction=0.05, pad=0.03, aspect=30)
        bar.set_label(scales.unit)
        bar.outline.set_visible(False)  # type: ignore[operator]
    moment = figure.suptitle(" ", fontsize=10)
    pictures = []
    for step in range(-known.history, known.horizon):
        if step < 0:
            frames = [_seen(known, example, known.history + step), blank, blank]
        else:
            truth, ahead = _truth(known, example, step), _physical(known, forecast[step])
            frames = [truth, ahead, ahead - truth]
        for image, frame in zip(images, frames, strict=True):
            image.set_data(np.ma.masked_invalid(frame))
        minutes = (step + 1) * known.interval / 60
        moment.set_text(_minutes(minutes) + (" (seen)" if step < 0 else ""))
        pictures.append(_picture(figure))
        # The layout of the first frame holds for all, so that nothing jumps.
        figure.set_layout_engine("none")
    return _gif(pictures)


def _scales(example: ExampleFrames, known: ForecastPart) -> _Scales:
    """Colours as far as the sequence goes, so that light rain is seen too; the same for all its pictures."""
    seen = np.where(example.seen_measured, example.seen, np.nan)
    truth = np.where(example.measured, example.truth, np.nan)
    finite = [array[np.isfinite(array)] for array in (seen, truth, *example.forecasts.values())]
    top = max((float(array.max()) for array in finite if array.size), default=1.0)
    gaps = [np.abs(array - truth) for array in example.forecasts.values()]
    reach = max((float(gap[np.isfinite(gap)].max()) for gap in gaps if np.isfinite(gap).any()), default=1.0)
    span = known.top - known.bottom
    return _Scales(known.bottom, known.bottom + (top or 1.0) * span, (reach or 1.0) * span, known.unit)


def _spread(count: int) -> list[int]:
    """Up to six indices, evenly spread, the last among them."""
    number = min(count, MOST_FRAMES)
    return [round((index + 1) * count / number) - 1 for index in range(number)]


def _minutes(value: float) -> str:
    """Minutes from the last frame that is seen, with their sign."""
    return f"{value:+g} min".replace("-", "−") if value else "0 min"


def _scaled(known: ForecastPart, frame: Array) -> Array:
    return np.asarray(frame, dtype=np.float64) * (known.top - known.bottom) + known.bottom


def _physical(known: ForecastPart, frame: Array) -> Array:
    return np.where(np.isfinite(frame), _scaled(known, frame), np.nan)


def _seen(known: ForecastPart, example: ExampleFrames, index: int) -> Array:
    """A frame of what was seen in the physical unit, NaN where nothing was measured; the model sees 0 there."""
    return np.where(example.seen_measured[index], _scaled(known, example.seen[index]), np.nan)


def _truth(known: ForecastPart, example: ExampleFrames, step: int) -> Array:
    """A frame of the truth in the physical unit, NaN where nothing was measured."""
    return np.where(example.measured[step], _scaled(known, example.truth[step]), np.nan)


def _row(
    panels: Any, name: str, frames: list[Array], titles: list[str], scales: _Scales, *, difference: bool = False
) -> AxesImage:
    """A row of maps; panels that are left over are taken away. Returns the last one's image, for its colour bar."""
    image: AxesImage | None = None
    for axes in panels[len(frames) :]:
        axes.set_axis_off()
    for axes, frame in zip(panels, frames, strict=False):
        image = _map(axes, frame, scales, difference=difference)
    for axes, title in zip(panels, titles, strict=False):
        axes.set_title(title, fontsize=8)
    if name:
        panels[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
    assert image is not None
    return image


def _map(axes: Axes, frame: Array, scales: _Scales, *, difference: bool) -> AxesImage:
    import matplotlib

    colours = matplotlib.colormaps[_DIFFERENCE if difference else _RAIN].with_extremes(bad="#d0d0d0")
    low, high = (-scales.reach, scales.reach) if difference else (scales.bottom, scales.top)
    image = axes.imshow(
        np.ma.masked_invalid(frame), cmap=colours, vmin=low, vmax=high, interpolation="nearest", aspect="equal"
    )
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(True)
        spine.set_linewidth(0.4)
    return image


def _in_words(known: ForecastPart, example: ExampleFrames, forecast: Array) -> str:
    gap = _scaled(known, forecast) - _scaled(known, example.truth)
    gap = gap[example.measured]
    if not gap.size:
        return "nothing was measured"
    error = float(np.sqrt(np.mean(gap * gap)))
    return f"RMSE of this sequence {significant(error)} {known.unit}"


def _picture(figure: Figure) -> Image:
    from PIL import Image

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    buffer.seek(0)
    return Image.open(buffer).convert("RGB")


def _palette() -> list[int]:
    """256 colours, each as red, green and blue: 100 of each map, 56 greys from black to white."""
    import matplotlib

    shares = np.linspace(0.0, 1.0, 100)
    maps = [matplotlib.colormaps[name](shares)[:, :3] for name in (_RAIN, _DIFFERENCE)]
    greys = np.repeat(np.linspace(0.0, 1.0, 56)[:, None], 3, axis=1)
    colours = np.rint(255 * np.concatenate([*maps, greys])).astype(int)
    return [int(value) for value in colours.ravel()]


def _gif(pictures: list[Image]) -> bytes:
    from PIL import Image

    # One palette for all, so that colours do not flicker from frame to frame: those of both maps, and greys for letters.
    palette = Image.new("P", (1, 1))
    palette.putpalette(_palette())
    frames = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    buffer = io.BytesIO()
    frames[0].save(
        buffer,
        format="GIF",
        save_all=True,
        append_images=frames[1:],
        duration=[_STANDS] * (len(frames) - 1) + [_LAST_STANDS],
        loop=0,
        optimize=False,
    )
    return buffer.getvalue()


FIGURE = ReportFigure(
    title="One sequence, frame by frame",
    section="task",
    position=5,
    caption="Values in the physical unit; differences are forecast minus truth.",
    draw=draw,
    remarks=_remarks,
    samples=lambda results: "n = 1 test sample",
    animation=animation,
)
