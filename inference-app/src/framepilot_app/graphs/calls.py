"""Calls: an ATen function and its arguments, made ready once, so that running it only looks up what a batch computed.

A batch's tensors stand in numbered slots; an argument is a slot or a constant. Every call can be made from Python, and
most can be written into a script that torch's own interpreter runs (`script.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch

from framepilot_app.graphs import aten
from framepilot_app.graphs.script import Script, Slot

Values = list[aten.Value | None]
"""What is computed and still needed while a batch runs, by slot."""


class Call(Protocol):
    """One ready call."""

    def __call__(self, values: Values) -> aten.Value:
        """Make it, from Python."""

    def takes(self) -> tuple[int, ...]:
        """The slots it takes."""

    def write(self, script: Script) -> str:
        """Write it into a script; the name of its result there.

        Raises:
            NotScriptable: it can only be made from Python.
        """


class Instruction(NamedTuple):
    """One call: the node that it ends with, where its result goes, and what nobody needs after it.

    `piece` is how many items of a batch it takes at once, 0 for all.
    """

    name: str
    call: Call
    slot: int
    dead: tuple[int, ...]
    piece: int = 0

    def run(self, values: Values) -> aten.Value:
        """Make the call for all items, if need be for one piece after the other."""
        if not self.piece:
            return self.call(values)
        taken = {slot: _pieces(values[slot], self.piece) for slot in self.call.takes()}
        given = []
        for index in range(max(map(len, taken.values()))):
            own = [*values]
            for slot, pieces in taken.items():
                own[slot] = pieces[index]
            given.append(self.call(own))
        return given[0] if len(given) == 1 else torch.cat([each for each in given if isinstance(each, torch.Tensor)])


@dataclass(frozen=True, slots=True)
class PlainCall:
    """A function of the slots; `make` is how it is called."""

    function: aten.Function
    args: tuple[aten.Bound, ...]
    kwargs: Mapping[str, aten.Bound]
    make: Callable[[Values], aten.Value]

    @classmethod
    def of(cls, function: aten.Function, args: list[aten.Bound], kwargs: dict[str, aten.Bound]) -> PlainCall:
        """The common shapes have a way of their own, as this is what every batch runs."""
        return cls(function, tuple(args), kwargs, _maker(function, args, kwargs))

    def __call__(self, values: Values) -> aten.Value:
        """Make it."""
        return self.make(values)

    def takes(self) -> tuple[int, ...]:
        """The slots among its arguments."""
        return tuple(_slots([*self.args, *self.kwargs.values()]))

    def write(self, script: Script) -> str:
        """By the function's schema."""
        return script.call(self.function, self.args, self.kwargs)


def _maker(
    function: aten.Function, args: list[aten.Bound], kwargs: dict[str, aten.Bound]
) -> Callable[[Values], aten.Value]:
    match args:
        case [Slot(index), *rest] if not _has_slot(rest) and not _has_slot(list(kwargs.values())):
            return lambda values: function(values[index], *rest, **kwargs)
        case [Slot(first), Slot(second), *rest] if not _has_slot(rest) and not _has_slot(list(kwargs.values())):
            return lambda values: function(values[first], values[second], *rest, **kwargs)
        case _:
            return lambda values: function(
                *[_filled(argument, values) for argument in args],
                **{key: _filled(argument, values) for key, argument in kwargs.items()},
            )


def _pieces(value: aten.Value | None, size: int) -> Sequence[torch.Tensor]:
    if not isinstance(value, torch.Tensor):
        raise TypeError("only tensors run in pieces")
    pieces: Sequence[torch.Tensor] = torch.ops.aten.split.Tensor(value, size)
    return pieces


def _slots(arguments: aten.Bound) -> Iterator[int]:
    match arguments:
        case Slot(index):
            yield index
        case list() | tuple():
            for argument in arguments:
                yield from _slots(argument)


def _has_slot(arguments: aten.Bound) -> bool:
    return next(_slots(arguments), None) is not None


def _filled(argument: aten.Bound, values: Values) -> aten.Bound:
    match argument:
        case Slot(index):
            return values[index]
        case list():
            return [_filled(item, values) for item in argument]
        case _:
            return argument
