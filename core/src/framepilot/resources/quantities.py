"""Durations and percents: text in a resource (`200ms`, `60%`), numbers in Python. There are no floats in the API.

A duration is one number above 0 and one unit, a form that CEL's `duration()` reads as well.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Final

from framepilot.resources.text import Form

_MS_OF: Final = {"ms": Decimal(1), "s": Decimal(1000), "m": Decimal(60_000)}

DURATION: Final = Form(
    # Either a whole part above 0, or a fraction that is not all zeros: so it is never 0.
    "([1-9][0-9]{0,5}([.][0-9]{1,6})?|0[.][0-9]{0,2}[1-9][0-9]{0,2})(ms|s|m)",
    "a duration above 0; write a number and one of the units ms, s, m, such as 200ms or 1.5s",
    16,
)
PERCENT: Final = Form(
    "(100([.]0{1,3})?|[1-9]?[0-9]([.][0-9]{1,3})?)%",
    "a percent; write a number from 0 to 100 and a percent sign, such as 60%",
    8,
)

Duration = Annotated[str, DURATION]
Percent = Annotated[str, PERCENT]


def duration_ms(text: str) -> float:
    """Milliseconds of a duration.

    Raises:
        ValueError: it is not a duration.
    """
    DURATION.check(text)
    unit = "ms" if text.endswith("ms") else text[-1]
    return float(Decimal(text.removesuffix(unit)) * _MS_OF[unit])


def format_duration(ms: float) -> str:
    """The duration that is nearest to some milliseconds, to the microsecond: `12.5ms`, `1.5s`; at least `0.001ms`.

    Raises:
        ValueError: it is not above 0, or 999,999 seconds or more.
    """
    if not 0 < ms < 999_999_000:
        raise ValueError(f"{ms} ms cannot be written as a duration; it must be above 0 and below 999,999 s")
    exact = max(round(Decimal(ms), 3), Decimal("0.001"))
    return f"{_plain(exact)}ms" if exact < 1000 else f"{_plain(exact / 1000)}s"


def fraction(text: str) -> float:
    """The fraction, 0..1, of a percent.

    Raises:
        ValueError: it is not a percent.
    """
    PERCENT.check(text)
    return float(Decimal(text.removesuffix("%")) / 100)


def format_percent(value: float) -> str:
    """The percent of a fraction in 0..1, to a thousandth of a percent: `60%`, `2.5%`.

    Raises:
        ValueError: it is not in 0..1.
    """
    if not 0 <= value <= 1:
        raise ValueError(f"{value} cannot be written as a percent; it must be from 0 to 1")
    return f"{_plain(round(Decimal(value) * 100, 3))}%"


def _plain(number: Decimal) -> str:
    """A decimal without exponent and without zeros at the end of its fraction."""
    return f"{number:f}".rstrip("0").rstrip(".") if "." in f"{number:f}" else f"{number:f}"
