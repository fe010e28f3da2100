"""What is in flight on one device, kept by priority and service, and what of it goes before a frame that is let in.

It is counted as frames start and end, so a look at it costs no more where many frames are in flight.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Group = tuple[str, ...]
"""Whose frames are served first come, first served: the newest streams of a service, or one lossless stream. The first
part is the service's name."""


@dataclass(slots=True)
class _Flying:
    """Frames of one group and priority; `work` is in device seconds."""

    frames: int = 0
    work: float = 0.0


class Load:
    """Frames that were let in and have not ended. Not thread-safe.

    Groups take turns on the device: services by their shares of it, those of one service evenly; within a group it is
    first come, first served.
    """

    def __init__(self) -> None:
        # By priority and service; what has no frame in flight is not there.
        self._groups: dict[int, dict[str, dict[Group, _Flying]]] = {}
        self._work: dict[int, dict[str, float]] = {}

    @property
    def services(self) -> set[str]:
        """Those that have frames in flight."""
        return {service for works in self._work.values() for service in works}

    def start(self, group: Group, priority: int, work: float) -> None:
        """A frame that takes so many device seconds is in flight."""
        service = group[0]
        flying = self._groups.setdefault(priority, {}).setdefault(service, {}).setdefault(group, _Flying())
        flying.frames += 1
        flying.work += work
        works = self._work.setdefault(priority, {})
        works[service] = works.get(service, 0.0) + work

    def end(self, group: Group, priority: int, work: float) -> None:
        """One that was started with just this has ended.

        Raises:
            KeyError: nothing of its group and priority is in flight.
        """
        service = group[0]
        services = self._groups[priority]
        groups = services[service]
        flying = groups[group]
        flying.frames -= 1
        flying.work -= work
        self._work[priority][service] -= work
        # With the last frame goes what rounding has left.
        if not flying.frames:
            del groups[group]
        if not groups:
            del services[service], self._work[priority][service]
        if not services:
            del self._groups[priority], self._work[priority]

    def frames(self, group: Group, priority: int) -> int:
        """How many frames of a group are in flight that one of this priority does not overtake."""
        found = 0
        for of, services in self._groups.items():
            if of >= priority and (flying := services.get(group[0], {}).get(group)):
                found += flying.frames
        return found

    def work(self, service: str, priority: int) -> float:
        """Device seconds of a service's work that a frame of this priority does not overtake."""
        return sum(works.get(service, 0.0) for of, works in self._work.items() if of >= priority)

    def ahead(
        self, group: Group, priority: int, work: float, longest_batch: float, shares: Mapping[str, float] | None
    ) -> float:
        """Device seconds until a frame that takes `work` has its turn, if it is let in now.

        Its own group's work goes before it, and that of higher priorities. Another group of its service and priority
        takes turns with its own, so it gets no more meanwhile than the own one; another service gets as much more or
        less as its share of the device is than that of the own one. Of lower priorities only a batch that runs already
        counts, `longest_batch` seconds at most.

        Args:
            group: the frame's.
            priority: the frame's.
            work: device seconds that it takes itself.
            longest_batch: seconds for which a batch of less urgent work can hold the device.
            shares: of the services in flight, and of its own; None: all have the same.
        """
        service = group[0]
        groups = self._groups.get(priority, {}).get(service, {})
        own = groups[group].work if group in groups else 0.0
        within = sum(min(each.work, own + work) for other, each in groups.items() if other != group)
        higher = sum(sum(works.values()) for of, works in self._work.items() if of > priority)
        lower = sum(sum(works.values()) for of, works in self._work.items() if of < priority)
        others = self._others(service, priority, own + within + work, shares)
        return own + within + higher + others + min(lower, longest_batch)

    def _others(self, service: str, priority: int, mine: float, shares: Mapping[str, float] | None) -> float:
        """What other services get while this one gets so much. With a hundred of them it is most of a decision."""
        works = self._work.get(priority, {})
        if shares is None:
            if not works or mine >= max(works.values()):
                return sum(works.values()) - works.get(service, 0.0)
            return sum([min(work, mine) for other, work in works.items() if other != service])
        turns = mine / shares[service]
        return sum([min(work, turns * shares[other]) for other, work in works.items() if other != service])
