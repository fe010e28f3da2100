"""Calls: an ATen function and its arguments, made ready once, so that running it only looks up what a batch computed.

A batch's tensors stand in numbered slots; an argument is a slot or a constant.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from framepilot_app.graphs import aten

Values = list[aten.Value | None]
"""What is computed and still needed while a batch runs, by slot."""

Call = Callable[[Values], aten.Value]


class Instruction(NamedTuple):
    """One call: the node that it ends with, where its result goes, and what nobody needs after it."""

    name: str
    call: Call
    slot: int
    dead: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Slot:
    """Stands for the value of a slot in prepared arguments."""

    index: int


def call(function: aten.Function, args: list[aten.Bound], kwargs: dict[str, aten.Bound]) -> Call:
    """A function of the slots. The common shapes have their own, as this is what every batch runs."""
    match args:
        case [Slot(index), *rest] if not _has_slot(rest) and not _has_slot(list(kwargs.values())):
            return unary_call(function, index, tuple(rest), kwargs)
        case [Slot(first), Slot(second), *rest] if not _has_slot(rest) and not _has_slot(list(kwargs.values())):
            return binary_call(function, first, second, tuple(rest), kwargs)
        case _:
            return lambda values: function(
                *[_filled(argument, values) for argument in args],
                **{key: _filled(argument, values) for key, argument in kwargs.items()},
            )


def unary_call(
    function: aten.Function, index: int, rest: tuple[aten.Bound, ...], kwargs: dict[str, aten.Bound]
) -> Call:
    """A call whose first argument is in a slot, and no other."""
    return lambda values: function(values[index], *rest, **kwargs)


def binary_call(
    function: aten.Function, first: int, second: int, rest: tuple[aten.Bound, ...], kwargs: dict[str, aten.Bound]
) -> Call:
    """A call whose first two arguments are in slots, and no other."""
    return lambda values: function(values[first], values[second], *rest, **kwargs)


def _has_slot(arguments: object) -> bool:
    match arguments:
        case Slot():
            return True
        case list() | tuple():
            return any(_has_slot(argument) for argument in arguments)
        case _:
            return False


def _filled(argument: aten.Bound, values: Values) -> aten.Bound:
    match argument:
        case Slot(index):
            return values[index]
        case list():
            return [_filled(item, values) for item in argument]
        case _:
            return argument
