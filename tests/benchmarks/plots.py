"""Plots of figures, as SVG beside the pages of docs/ that show them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

FOLDER = Path(__file__).parents[2] / "docs" / "images"
STYLES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
"""So that lines differ without their colours, too."""

# The same figures give the same file.
mpl.rcParams["svg.hashsalt"] = "framepilot"


def distributions(name: str, series: Mapping[str, Sequence[float]], label: str) -> str:
    """For each series the share of its values that are at most x; the Markdown that shows it."""
    with _drawn(name) as figure:
        axes = figure.subplots()
        for style, (title, values) in zip(STYLES, series.items(), strict=False):
            ordered = np.sort(values)
            axes.plot(ordered, np.arange(1, len(ordered) + 1) / len(ordered), linestyle=style, label=title)
        axes.set(xscale="log", xlabel=label, ylabel="share of workloads", ylim=(0, 1))
        _plain_numbers(axes)
        axes.grid(visible=True, alpha=0.3)
        axes.legend()
    return _shown(name, f"{label}: the share of workloads up to each value")


def scattered(name: str, series: Mapping[str, Sequence[tuple[float, float]]], labels: tuple[str, str]) -> str:
    """Points of each series, both axes logarithmic; the Markdown that shows it."""
    with _drawn(name) as figure:
        axes = figure.subplots()
        for marker, (title, points) in zip("o^s*x", series.items(), strict=False):
            axes.plot(*zip(*points, strict=True), linestyle="", marker=marker, markersize=3, alpha=0.6, label=title)
        axes.set(xscale="log", yscale="log", xlabel=labels[0], ylabel=labels[1])
        _plain_numbers(axes)
        axes.grid(visible=True, alpha=0.3)
        axes.legend()
    return _shown(name, f"{labels[1]} by {labels[0]}")


def bars(name: str, groups: Sequence[str], series: Mapping[str, Sequence[float]], label: str) -> str:
    """For each group a bar of each series, side by side; the Markdown that shows it."""
    with _drawn(name) as figure:
        axes = figure.subplots()
        width = 0.8 / len(series)
        for place, (hatch, (title, values)) in enumerate(
            zip(("", "//", "..", "xx", "--"), series.items(), strict=False)
        ):
            axes.bar(np.arange(len(groups)) + place * width, values, width, label=title, hatch=hatch, alpha=0.8)
        axes.set(ylabel=label)
        axes.set_xticks(np.arange(len(groups)) + 0.4 - width / 2, groups, rotation=90, fontsize="small")
        axes.grid(visible=True, axis="y", alpha=0.3)
        axes.legend()
    return _shown(name, f"{label}, by {' and '.join(series)}")


def lines(
    name: str, panels: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]], labels: tuple[str, Sequence[str]]
) -> str:
    """Panels below each other with one x axis, each with its own series; the Markdown that shows it."""
    with _drawn(name, height=max(4.0, 2.0 * len(panels))) as figure:
        every = figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
        for axes, (title, series), label in zip(every, panels.items(), labels[1], strict=True):
            for style, (each, points) in zip(STYLES, series.items(), strict=False):
                axes.plot(*zip(*points, strict=True), linestyle=style, label=each)
            axes.set(ylabel=label, title=title)
            axes.grid(visible=True, alpha=0.3)
            axes.legend(fontsize="small")
        every[-1].set_xlabel(labels[0])
    return _shown(name, "; ".join(panels))


def _plain_numbers(axes) -> None:
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.set_minor_formatter(lambda value, _: f"{value:g}" if str(f"{value:.0e}")[0] in "25" else "")


@contextmanager
def _drawn(name: str, height: float = 4.0) -> Iterator[Figure]:
    figure = Figure(figsize=(7, height), layout="constrained")
    yield figure
    FOLDER.mkdir(exist_ok=True)
    figure.savefig(FOLDER / f"{name}.svg", metadata={"Date": None})


def _shown(name: str, text: str) -> str:
    return f"![{text}](images/{name}.svg)"
