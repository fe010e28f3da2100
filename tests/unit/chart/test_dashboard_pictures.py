"""The pictures of the dashboards in the docs: there is one of each, and all that a dashboard has can be drawn."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from support.dashboard_picture import COLUMN_PX, DRAWN, SCALES, Series, picture, scale, stretches
from support.dashboards import FILES, panels, picture_of, read
from support.screenshots import png

DOCS = Path(__file__).parents[3] / "docs"
LARGEST_BYTES = 150_000
SECONDS = np.arange(31)

each_dashboard = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


def drawn(path: Path, names: tuple[str, ...]) -> int:
    """Draw a dashboard with a series of each of these names in every panel; how high it is in pixels."""
    dashboard = read(path)
    values = np.where(SECONDS % 10 == 0, math.nan, 1.0)
    answers = {panel["id"]: [Series(name, values) for name in names] for panel in panels(dashboard)}
    figure = picture(dashboard, answers, SECONDS, "A dashboard", "What it is of")
    assert png(figure).startswith(b"\x89PNG")
    width, height = figure.get_size_inches() * figure.dpi
    assert round(width) == 24 * COLUMN_PX
    return round(height)


@each_dashboard
def test_there_is_a_picture_of_it_in_the_docs(path: Path) -> None:
    shown = picture_of(path)
    assert f"](images/{shown.name})" in (DOCS / "monitoring.md").read_text()
    with Image.open(shown) as image:
        assert image.width == 24 * COLUMN_PX
    assert shown.stat().st_size <= LARGEST_BYTES


@each_dashboard
def test_every_kind_of_panel_and_every_unit_can_be_drawn(path: Path) -> None:
    for panel in panels(read(path)):
        assert panel["type"] in DRAWN
        assert panel["fieldConfig"]["defaults"]["unit"] in SCALES


@each_dashboard
def test_it_is_drawn_with_gaps_in_what_it_shows(path: Path) -> None:
    drawn(path, ("default/lobby",))


@each_dashboard
def test_rows_without_data_are_headings_alone(path: Path) -> None:
    assert drawn(path, ()) < drawn(path, ("default/lobby",)) / 4


def test_what_cannot_be_drawn_is_an_error() -> None:
    dashboard = read(FILES[0])
    panel = panels(dashboard)[0]
    panel["type"] = "piechart"
    answers = {each["id"]: [Series("a", np.ones(31))] for each in panels(dashboard)}
    with pytest.raises(KeyError, match="piechart"):
        picture(dashboard, answers, SECONDS, "", "")


@pytest.mark.parametrize(
    ("unit", "largest", "symbol"),
    [
        ("s", 0.0, " µs"),
        ("s", 0.25, " ms"),
        ("s", 2.5, " s"),
        ("bytes", 3 * 2**20, " MiB"),
        ("percentunit", 1.0, " %"),
        ("none", 1e9, ""),
    ],
)
def test_values_have_the_largest_symbol_that_fits(unit: str, largest: float, symbol: str) -> None:
    assert scale(unit, largest)[1] == symbol


def test_a_state_is_one_stretch_for_as_long_as_it_holds() -> None:
    assert [*stretches([math.nan, 0, 0, 2, math.nan, 2])] == [(1, 2, 0), (3, 1, 2), (5, 1, 2)]
    assert [*stretches([])] == []
