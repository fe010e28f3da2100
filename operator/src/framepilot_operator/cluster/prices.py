"""What the device of an instance costs an hour: as its node says, else as is given for devices of its class.

A price decides nothing. So one that makes no sense is said, and is as good as none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from framepilot.resources.quantities import price
from framepilot.resources.text import DEVICE_CLASS
from framepilot_operator.cluster.port import Instance, Problem
from framepilot_operator.manifests.names import PRICE_LABEL
from framepilot_operator.manifests.seen import SeenNode


def read_prices(entries: Iterable[str]) -> dict[str, float]:
    """Prices by device class, from entries `CLASS=PRICE`.

    Raises:
        ValueError: one is none, or a class has two.
    """
    prices: dict[str, float] = {}
    for entry in entries:
        device_class, separator, written = entry.partition("=")
        if not separator:
            raise ValueError(f"'{entry}' is not CLASS=PRICE, as in cpu=0.05")
        if DEVICE_CLASS.check(device_class) in prices:
            raise ValueError(f"there are two prices of {device_class}; leave one out")
        try:
            prices[device_class] = price(written)
        except ValueError as error:
            raise ValueError(f"the price of {device_class}: {error}") from error
    return prices


def priced(instance: Instance, by_class: Mapping[str, float], node: SeenNode | None = None) -> Instance:
    """The instance with the price of its device; `node` is where it runs."""
    found = None if node is None else _label(node)
    if found is None and instance.observed is not None:
        found = by_class.get(instance.observed.device.plain_class)
    return replace(instance, price_per_hour=found)


def price_problems(nodes: Iterable[SeenNode]) -> tuple[Problem, ...]:
    """What is wrong with the prices that nodes say."""
    return tuple(Problem(f"node {node.metadata.name}", said) for node in nodes if (said := _wrong(node)) is not None)


def _label(node: SeenNode) -> float | None:
    return None if node.price is None or _wrong(node) is not None else price(node.price)


def _wrong(node: SeenNode) -> str | None:
    try:
        if node.price is not None:
            price(node.price)
    except ValueError as error:
        return f"its label {PRICE_LABEL} is not used: {error}"
    return None
