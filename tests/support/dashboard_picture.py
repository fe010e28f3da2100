"""A dashboard of the chart as a picture, from what its queries gave: for the docs, as Grafana is no part of the tests.

Panels stand where the dashboard's grid puts them. Of each kind there is a plain counterpart; colours and fonts are not
Grafana's. A panel without data says so, as in Grafana; but where there is none in a whole line of panels, the heading
above names them instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from support.dashboards import rows

DPI = 100
COLUMN_PX, LINE_PX = 52, 27
"""Of one unit of the grid."""
GAP_PX, INDENT_PX = 4, 8
HEAD_PX, FOOT_PX = 34, 26
TITLE_PX, AXIS_PX, LEFT_PX, RIGHT_PX = 22, 16, 54, 10
LEGEND_LINE_PX, LETTER_PX, HANDLE_PX = 12, 4.6, 34
SMALL = 6.0
MUTED = "#666666"
SHADES = mpl.colormaps["tab20"].colors
PALETTE = (*SHADES[::2], *SHADES[1::2])
"""Of lines, in their order, and of states, by their number."""

SCALES: Mapping[str, Sequence[tuple[float, str]]] = {
    "none": ((1, ""),),
    "percentunit": ((0.01, " %"),),
    "s": ((1e-6, " µs"), (1e-3, " ms"), (1, " s")),
    "bytes": ((1, " B"), (2**10, " KiB"), (2**20, " MiB"), (2**30, " GiB")),
    "cps": ((1, " c/s"),),
    "reqps": ((1, " req/s"),),
    "watt": ((1, " W"),),
    "celsius": ((1, " °C"),),
    "hertz": ((1, " Hz"), (1e3, " kHz"), (1e6, " MHz"), (1e9, " GHz")),
}
"""By Grafana's name of a unit: what one of a symbol is, the smallest first."""


@dataclass(frozen=True)
class Series:
    """What a legend calls it, and a value for each moment of the picture; NaN where there is none."""

    name: str
    values: np.ndarray

    @property
    def seen(self) -> bool:
        return not np.isnan(self.values).all()


@dataclass(frozen=True)
class Box:
    """A place in the picture, in pixels from its top left."""

    left: float
    top: float
    width: float
    height: float

    @property
    def middle(self) -> tuple[float, float]:
        return self.left + self.width / 2, self.top + self.height / 2


Answers = Mapping[int, Sequence[Series]]
"""The series of a panel that have data, by the panel's id."""


def picture(dashboard: Mapping[str, Any], answers: Answers, seconds: np.ndarray, heading: str, foot: str) -> Figure:
    """The whole dashboard. `seconds` are the moments of all series, from the first; `foot` stands below everything.

    Raises:
        KeyError: a panel is of a kind, or in a unit, that cannot be drawn.
    """
    placed = [*_placed(dashboard, answers)]
    width = 24 * COLUMN_PX
    height = max(each.box.top + each.box.height for each in placed) + FOOT_PX
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="#f4f5f5")
    canvas = Canvas(figure, width, height)
    canvas.text(INDENT_PX, 22, heading, size=11, weight="bold")
    canvas.text(INDENT_PX, height - 9, foot, size=7, color=MUTED)
    for place in placed:
        if place.panel["type"] == "row":
            canvas.heading(place)
            continue
        inner = canvas.frame(place.box, place.panel["title"])
        if series := answers[place.panel["id"]]:
            DRAWN[place.panel["type"]](canvas, inner, place.panel, series, seconds)
        else:
            canvas.text(*inner.middle, "No data", size=9, color=MUTED, ha="center")
    return figure


@dataclass(frozen=True)
class Place:
    """A panel, or a heading, and where it is; of a heading also the panels that are left out below it."""

    panel: Mapping[str, Any]
    box: Box
    left_out: Sequence[str] = ()


def _placed(dashboard: Mapping[str, Any], answers: Answers) -> Iterator[Place]:
    top = HEAD_PX
    for row, panels in rows(dashboard):
        lines = [[*line] for _, line in groupby(panels, lambda panel: panel["gridPos"]["y"])]
        shown = [line for line in lines if any(answers[panel["id"]] for panel in line)]
        left_out = [panel["title"] for line in lines if line not in shown for panel in line]
        yield Place(row, Box(0, top, 24 * COLUMN_PX, LINE_PX), left_out)
        top += LINE_PX
        for line in shown:
            for panel in line:
                grid = panel["gridPos"]
                box = Box(grid["x"] * COLUMN_PX, top, grid["w"] * COLUMN_PX, grid["h"] * LINE_PX)
                yield Place(panel, box)
            top += max(panel["gridPos"]["h"] for panel in line) * LINE_PX


class Canvas:
    """A figure that is drawn on in pixels from its top left."""

    def __init__(self, figure: Figure, width: float, height: float) -> None:
        self._figure = figure
        self._width = width
        self._height = height

    def text(self, x: float, y: float, text: str, **how: Any) -> None:
        self._figure.text(x / self._width, 1 - y / self._height, text, **how)

    def axes(self, box: Box) -> Axes:
        left, bottom = box.left / self._width, 1 - (box.top + box.height) / self._height
        return self._figure.add_axes((left, bottom, box.width / self._width, box.height / self._height))

    def heading(self, place: Place) -> None:
        """Write the heading of a row."""
        title = place.panel["title"]
        self.text(INDENT_PX, place.box.top + 19, title, size=9, weight="bold")
        if place.left_out:
            text = f"without data: {', '.join(place.left_out)}"
            self.text(INDENT_PX + 7.5 * len(title) + 20, place.box.top + 19, text, size=7, color=MUTED)

    def frame(self, box: Box, title: str) -> Box:
        """Draw the frame of a panel; what is left in it."""
        outer = Box(box.left + GAP_PX, box.top + GAP_PX, box.width - 2 * GAP_PX, box.height - 2 * GAP_PX)
        axes = self.axes(outer)
        axes.set(xticks=(), yticks=(), facecolor="white")
        for edge in axes.spines.values():
            edge.set(color="#dddddd")
        self.text(outer.left + 8, outer.top + 16, title, size=8, weight="bold")
        return Box(outer.left, outer.top + TITLE_PX, outer.width, outer.height - TITLE_PX)


def _lines(canvas: Canvas, box: Box, panel: Mapping[str, Any], series: Sequence[Series], seconds: np.ndarray) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    largest = defaults.get("max", max(np.nanmax(each.values) for each in series))
    factor, symbol = scale(defaults["unit"], largest)
    axes = _over_time(canvas, box, seconds, [each.name for each in series])
    for number, each in enumerate(series):
        axes.plot(seconds, each.values / factor, label=each.name, linewidth=1.2, color=_colour(number))
    # One that is 0 all the time needs an axis, too, and one at the very top has to be seen.
    top = defaults["max"] / factor * 1.03 if "max" in defaults else max(largest / factor * 1.1, 1e-9)
    axes.set_ylim(defaults.get("min", axes.get_ylim()[0]), 1 if largest == 0 else top)
    axes.yaxis.set_major_locator(MaxNLocator(4, steps=(1, 2, 2.5, 5, 10)))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}{symbol}")
    axes.grid(visible=True, color="#e8e8e8", linewidth=0.6)
    handles, names = axes.get_legend_handles_labels()
    _legend(axes, handles, names, box)


def _states(canvas: Canvas, box: Box, panel: Mapping[str, Any], series: Sequence[Series], seconds: np.ndarray) -> None:
    texts = _texts(panel)
    seen = sorted({int(value) for each in series for value in each.values if not np.isnan(value)})
    axes = _over_time(canvas, box, seconds, [texts[value] for value in seen], left_px=130)
    step = seconds[1] - seconds[0]
    for line, each in enumerate(series):
        for start, length, value in stretches(each.values):
            axes.barh(line, length * step, left=seconds[start], height=0.8, color=_colour(value))
    axes.set_ylim(len(series) - 0.5, -0.5)
    axes.set_yticks(range(len(series)), [each.name for each in series])
    _legend(axes, [Patch(color=_colour(value)) for value in seen], [texts[value] for value in seen], box)


def _number(canvas: Canvas, box: Box, panel: Mapping[str, Any], series: Sequence[Series], seconds: np.ndarray) -> None:
    (one,) = series
    value = one.values[-1]
    factor, symbol = scale(panel["fieldConfig"]["defaults"]["unit"], value)
    text = "No data" if np.isnan(value) else f"{value / factor:.3g}{symbol}"
    canvas.text(*box.middle, text, size=18, color="#2a7a2a", ha="center", va="center")


Draw = Callable[[Canvas, Box, Mapping[str, Any], Sequence[Series], np.ndarray], None]
DRAWN: Mapping[str, Draw] = {"timeseries": _lines, "state-timeline": _states, "stat": _number}
"""What draws a panel, by Grafana's name of its kind."""


def scale(unit: str, largest: float) -> tuple[float, str]:
    """What values up to this one are divided by, and the symbol that they have then.

    Raises:
        KeyError: the unit is not known.
    """
    fitting = [each for each in SCALES[unit] if each[0] <= abs(largest)]
    return fitting[-1] if fitting else SCALES[unit][0]


def stretches(values: Sequence[float]) -> Iterator[tuple[int, int, int]]:
    """Where a state holds: the index of its beginning, how many values, and which; what is NaN is left out."""
    start = 0
    for index in range(1, len(values) + 1):
        if index == len(values) or values[index] != values[start]:
            if not np.isnan(values[start]):
                yield start, index - start, int(values[start])
            start = index


def _colour(number: int) -> Any:
    return PALETTE[number % len(PALETTE)]


def _texts(panel: Mapping[str, Any]) -> list[str]:
    (mapping,) = panel["fieldConfig"]["defaults"]["mappings"]
    return [each["text"] for each in mapping["options"].values()]


def _over_time(canvas: Canvas, box: Box, seconds: np.ndarray, names: Sequence[str], left_px: int = LEFT_PX) -> Axes:
    """Axes in a panel, with room below for a legend of these names."""
    below = AXIS_PX + 8 + LEGEND_LINE_PX * -(-len(names) // _columns(box, names))
    axes = canvas.axes(Box(box.left + left_px, box.top + 4, box.width - left_px - RIGHT_PX, box.height - below - 6))
    axes.set_xlim(seconds[0], seconds[-1])
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=(1, 3, 6)))
    axes.xaxis.set_major_formatter(lambda second, _: f"{int(second) // 60}:{int(second) % 60:02}")
    axes.tick_params(labelsize=SMALL, length=2, color="#bbbbbb", labelcolor=MUTED, pad=2)
    for edge in axes.spines.values():
        edge.set(color="#cccccc", linewidth=0.6)
    return axes


def _columns(box: Box, names: Sequence[str]) -> int:
    longest = max(map(len, names), default=0)
    return max(1, min(len(names), int(box.width / (longest * LETTER_PX + HANDLE_PX))))


def _legend(axes: Axes, handles: Sequence[Any], names: Sequence[str], box: Box) -> None:
    axes.legend(
        handles,
        names,
        loc="upper left",
        bbox_to_anchor=(0, -AXIS_PX / (axes.get_position().height * axes.figure.get_figheight() * DPI)),
        ncols=_columns(box, names),
        fontsize=SMALL,
        frameon=False,
        handlelength=1.4,
        handletextpad=0.5,
        columnspacing=1.2,
        labelspacing=0.25,
        borderaxespad=0,
        borderpad=0,
    )
