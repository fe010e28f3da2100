"""What part of a device each of its services gets while all of them have work: its reserve, and as much of the rest as
the others.

The parts of those that have work add up to 1, so what somebody reserved and has no work for is part of the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

MOST_RESERVED: Final = 0.95
"""The most of a device that its services may reserve together: of what is left every service has a part, so none that
reserved nothing is kept out for good."""

NOTHING_RESERVED: Final[Mapping[str, float]] = MappingProxyType({})


def shares_of(working: Iterable[str], reserves: Mapping[str, float]) -> dict[str, float]:
    """The shares, above 0 and together 1, of the services that have work.

    `reserves` are shares of the device's time; a service that is not there reserved nothing. Should they be more than
    can be reserved, all count for less, in proportion.
    """
    if not reserves:
        even = dict.fromkeys(working)
        return dict.fromkeys(even, 1 / max(len(even), 1))
    reserved = {service: reserves.get(service, 0.0) for service in working}
    total = sum(reserved.values())
    counted = min(1.0, MOST_RESERVED / total) if total else 1.0
    rest = (1 - counted * total) / max(len(reserved), 1)
    return {service: counted * reserve + rest for service, reserve in reserved.items()}
