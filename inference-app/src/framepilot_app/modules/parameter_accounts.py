"""What services have in memory of parameters, and what each is charged with: of what several have an equal part."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from weakref import ref

from framepilot_app.graphs.engine import Compiled, CompiledStage


@dataclass(frozen=True, slots=True)
class Account:
    """Bytes of one service: of all parameters of its programs, and those that it is charged with."""

    bytes: int = 0
    charged: int = 0


NOTHING = Account()


class ParameterAccounts:
    """Reckons anew only when other programs are there: it is asked each second, and there may be many parameters."""

    def __init__(self) -> None:
        self._known: tuple[object, ...] = ()
        self._accounts: Mapping[str, Account] = {}

    def of(self, programs: Iterable[tuple[str, Compiled | CompiledStage]]) -> Mapping[str, Account]:
        """By service; `programs` are those of all modules, and the stages that they share, with their services."""
        programs = [*programs]
        # To compare by; what was let go must not be kept for it.
        known = tuple((service, ref(program)) for service, program in programs)
        if known != self._known:
            self._known, self._accounts = known, accounts(programs)
        return self._accounts


def accounts(programs: Iterable[tuple[str, Compiled | CompiledStage]]) -> dict[str, Account]:
    """By service; within one, too, what is the same is counted once."""
    own: dict[str, dict[int, int]] = {}
    for service, program in programs:
        own.setdefault(service, {}).update((id(holder), nbytes) for holder, nbytes in program.held())
    users: dict[int, int] = {}
    for holders in own.values():
        for holder in holders:
            users[holder] = users.get(holder, 0) + 1
    return {
        service: Account(
            sum(holders.values()), round(sum(nbytes / users[holder] for holder, nbytes in holders.items()))
        )
        for service, holders in own.items()
    }
