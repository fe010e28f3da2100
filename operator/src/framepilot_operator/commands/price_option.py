"""The option `--price`, which several commands have."""

from __future__ import annotations

from collections.abc import Iterable

import typer

from framepilot_operator.cluster.prices import read_prices


def price_option(entries: Iterable[str] | None) -> dict[str, float]:
    """The prices that were given, by device class.

    Raises:
        BadParameter: one makes no sense.
    """
    try:
        return read_prices(entries or ())
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--price") from error
