"""Durations, percents, prices and amounts: text in a resource (`200ms`, `60%`, `0.35`, `4Gi`), numbers in Python.

There are no floats in the API.

A duration is one number above 0 and one unit, a form that CEL's `duration()` reads as well. An amount is a quantity of
Kubernetes that is not negative; as everywhere in Kubernetes, a whole number may be written without quotes (`cpu: 2`).
https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Final

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from framepilot.resources.text import Form, rules

_UNITS: Final = {
    **{
        unit: Decimal(10) ** exponent
        for unit, exponent in zip("numkMGTPE", (-9, -6, -3, 3, 6, 9, 12, 15, 18), strict=True)
    },
    **{f"{unit}i": Decimal(1024) ** power for power, unit in enumerate("KMGTPE", start=1)},
}
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
PROMISE: Final = Form(
    "[5-9][0-9]([.][0-9]{1,2})?%",
    "a share that can be promised; write a percent from 50% to 99.99%, such as 99%",
    8,
)


@dataclass(frozen=True, slots=True)
class IntOrForm(Form):
    """A form that a whole number has, too, written as one: text in Python, int-or-string for the API server."""

    def __get_pydantic_core_schema__(self, source: type[str], handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(
            _as_text, Form.__get_pydantic_core_schema__(self, source, handler)
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        either = f"type(self) == int ? self >= 0 : {self.matches('self')}"
        return {
            "x-kubernetes-int-or-string": True,
            "maxLength": self.max_length,
            **rules((either, f"must be {self.expected}")),
        }


def _as_text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


AMOUNT: Final = IntOrForm(
    "[+]?([0-9]+([.][0-9]*)?|[.][0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][-+]?[0-9]{1,2})?",
    "an amount; write a number of 0 or more and perhaps a unit, such as 2, 500m or 4Gi",
    32,
)

_BELOW_ONE: Final = "0[.]([1-9][0-9]{0,2}|0[1-9][0-9]?|00[1-9])"
_PART: Final = f"([1-9][0-9]?([.][0-9]{{1,3}})?|{_BELOW_ONE})%"
SHARE: Final = Form(
    _PART,
    "a part of a picture; write a percent above 0% and below 100%, such as 1% or 0.5%",
    8,
)

RESERVE: Final = Form(
    f"(([1-9]|[1-8][0-9]|9[0-4])([.][0-9]{{1,3}})?|95([.]0{{1,3}})?|{_BELOW_ONE})%",
    "a share of a device that can be reserved; write a percent above 0% and at most 95%, such as 25%",
    8,
)

LIMIT: Final = Form(
    _PART,
    "a part of a device's time; write a percent above 0% and below 100%, such as 30%",
    8,
)

_BYTES: Final = "[1-9][0-9]{0,4}(Mi|Gi|Ti)"
SIZE: Final = Form(
    _BYTES,
    "a size on disk; write a whole number above 0 and one of the units Mi, Gi, Ti, such as 64Mi or 2Gi",
    8,
)

MEMORY: Final = Form(
    _BYTES,
    "an amount of memory; write a whole number above 0 and one of the units Mi, Gi, Ti, such as 64Mi or 2Gi",
    8,
)

PRICE: Final = Form(
    "(0|[1-9][0-9]{0,6})([.][0-9]{1,6})?",
    "a price; write a number of 0 or more, below 10 million and with at most 6 digits after its point, such as 0.35",
    16,
)

Duration = Annotated[str, DURATION]
Percent = Annotated[str, PERCENT]
Promise = Annotated[str, PROMISE]
Share = Annotated[str, SHARE]
Reserve = Annotated[str, RESERVE]
Price = Annotated[str, PRICE]
Amount = Annotated[str, AMOUNT]
Size = Annotated[str, SIZE]
Limit = Annotated[str, LIMIT]
Memory = Annotated[str, MEMORY]


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


def price(text: str) -> float:
    """The number that a price stands for, in whatever currency prices are.

    Raises:
        ValueError: it is not a price.
    """
    return float(PRICE.check(text))


def format_price(value: float) -> str:
    """The price of a number, to a millionth: `0.35`.

    Raises:
        ValueError: it is negative, or above 10 million.
    """
    if not 0 <= value <= 10_000_000:
        raise ValueError(f"{value} cannot be written as a price; it must be from 0 to 10,000,000")
    return _plain(min(round(Decimal(value), 6), Decimal("9999999.999999")))


def amount(text: str) -> Decimal:
    """The number that an amount stands for: bytes, cores, or a count.

    Raises:
        ValueError: it is not an amount.
    """
    AMOUNT.check(text)
    unit = next((unit for unit in sorted(_UNITS, key=len, reverse=True) if text.endswith(unit)), "")
    return Decimal(text.removesuffix(unit)) * _UNITS.get(unit, Decimal(1))


def _plain(number: Decimal) -> str:
    """A decimal without exponent and without zeros at the end of its fraction."""
    return f"{number:f}".rstrip("0").rstrip(".") if "." in f"{number:f}" else f"{number:f}"
