"""Whether there is memory for one more version beside what runs: who passes a limit is killed, with everybody in it.

It is asked before a version is loaded. What is being loaded counts in full until it serves: what it keeps, and what its
batches need while they run. Batches run one at a time, so of these the largest counts, that of a version that serves
included: it may have given back what its last one took. A parameter that is there is in what is used already, and one
that two versions bring is brought once.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final
from weakref import WeakKeyDictionary

from framepilot.contract.observed import MemoryKind, ObservedMemory
from framepilot.scheduling.headroom import usable
from framepilot_app.models.model import UnavailableError

DIGITS: Final = 2
"""Of the amounts in a reason, so that it is not another one at each try."""
MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Room:
    """Memory that has a limit, and what is used of it, in bytes; `limited_by` says where the limit is from."""

    kind: MemoryKind
    limit: int
    used: int
    limited_by: str


@dataclass(frozen=True, slots=True)
class Needs:
    """What a version takes, in bytes.

    `parameters` are those that it brings, by what they are known by; `own` is what it takes besides while it is loaded,
    and `passing` what is there only while a batch runs then; `serving` is the same once it serves.
    """

    kind: MemoryKind
    parameters: Mapping[Hashable, int]
    own: int
    passing: int
    serving: int = 0


def together(loading: Iterable[Needs], lacking: AbstractSet[Hashable], serving: Iterable[Needs] = ()) -> int:
    """What versions that are being loaded take, and batches; `lacking` are the parameters that are not there yet."""
    loading = [*loading]
    parameters = {key: nbytes for each in loading for key, nbytes in each.parameters.items() if key in lacking}
    passing = max((*(each.passing for each in loading), *(each.serving for each in serving)), default=0)
    return sum(parameters.values()) + sum(each.own for each in loading) + passing


def refusal(room: Room, share: float, needed: int, promised: int) -> str | None:
    """Why a version does not fit; None if it does.

    Args:
        room: what it has to fit in.
        share: of the limit, that has to stay free.
        needed: what it takes.
        promised: what is spoken for: what others that are being loaded will take, and the largest batch.
    """
    taken = room.used + promised
    if taken + needed <= usable(room.limit, share):
        return None
    free, kept = max(room.limit - taken, 0), room.limit - usable(room.limit, share)
    return (
        f"it needs about {_amount(needed)} of memory to be loaded, and {_amount(free)} of {room.limit / MIB:,.0f} MiB "
        f"({room.limited_by}) are free, of which {_amount(kept)} are to stay so (--memory-headroom {share:g}); raise "
        "the limit, take a smaller model or largest batch, or remove what else runs here"
    )


class Headroom:
    """The versions that are being loaded, and what there is for one more. Used on the event loop.

    Args:
        share: of each limit, that has to stay free; 0: nothing is refused.
        rooms: reads the limits that there are now, the tightest of each kind first.
        lacking: of some parameters those that are not in memory.
    """

    def __init__(
        self,
        share: float,
        rooms: Callable[[], Sequence[Room]],
        lacking: Callable[[Iterable[Hashable]], AbstractSet[Hashable]],
    ) -> None:
        self._share = share
        self._rooms = rooms
        self._lacking = lacking
        self._loading: list[Needs] = []
        self._serving: WeakKeyDictionary[Hashable, Needs] = WeakKeyDictionary()

    @contextmanager
    def held(self, which: str, needs: Needs, module: Hashable) -> Iterator[None]:
        """Memory for a version while it is being loaded; afterwards it is in what is used, and the version serves as
        long as its module is there, or until another one does.

        Raises:
            UnavailableError: there is too little; it is tried again, as a limit or what runs may change.
        """
        self._check(which, needs)
        self._loading.append(needs)
        try:
            yield
            self._serving[module] = needs
        finally:
            self._loading = [each for each in self._loading if each is not needs]

    def observed(self) -> tuple[ObservedMemory, ...]:
        """What `/status` says: of each kind of memory the tightest limit."""
        first = {room.kind: room for room in reversed(self._rooms())}
        return tuple(
            ObservedMemory(
                kind=room.kind,
                limit_bytes=room.limit,
                used_bytes=room.used,
                headroom_bytes=round(room.limit - usable(room.limit, self._share)),
                loading_bytes=self._together(room.kind, *self._loading) - self._together(room.kind),
            )
            for room in first.values()
        )

    def _check(self, which: str, needs: Needs) -> None:
        if not self._share:
            return
        promised = self._together(needs.kind, *self._loading)
        needed = self._together(needs.kind, *self._loading, needs) - promised
        for room in self._rooms():
            reason = refusal(room, self._share, needed, promised) if room.kind is needs.kind else None
            if reason is not None:
                raise UnavailableError(which, reason)

    def _together(self, kind: MemoryKind, *loading: Needs) -> int:
        """What these take of one kind of memory, beside what serves."""
        loading = tuple(each for each in loading if each.kind is kind)
        lacking = self._lacking([key for each in loading for key in each.parameters])
        return together(loading, lacking, [each for each in self._serving.values() if each.kind is kind])


def _amount(nbytes: float) -> str:
    return f"{float(f'{nbytes / MIB:.{DIGITS}g}'):,g} MiB"
