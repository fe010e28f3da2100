"""Whoever takes one thing at a time, where several come together."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


def one_by_one(take: Callable[[T], object]) -> Callable[[Iterable[T]], None]:
    """Calls it for each."""

    def take_all(several: Iterable[T]) -> None:
        for each in several:
            take(each)

    return take_all
