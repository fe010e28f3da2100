"""When a run on one machine is over by itself: nothing will come any more, and nothing is under way."""

from __future__ import annotations

from collections.abc import Iterator

from framepilot.contract.observed import ObservedStream, StreamState
from framepilot_operator.cluster.port import DeclaredService, Snapshot

OVER = frozenset({StreamState.ENDED, StreamState.FAILED})


def ended(snapshot: Snapshot) -> bool:
    """Whether every declared stream of every service has ended or failed, with every frame delivered or dropped."""
    return bool(snapshot.services) and all(_service_ended(snapshot, service) for service in snapshot.services)


def failures(snapshot: Snapshot) -> Iterator[str]:
    """One sentence for each stream that failed."""
    for instance in snapshot.instances:
        for stream in instance.observed.streams if instance.observed else ():
            if stream.state is StreamState.FAILED:
                yield f"{stream.service} stream {stream.name} failed: {stream.reason}"


def _service_ended(snapshot: Snapshot, service: DeclaredService) -> bool:
    streams = {stream.name: stream for stream in _observed(snapshot, service.key)}
    return streams.keys() == {stream.name for stream in service.resource.spec.streams} and all(
        stream.state in OVER and stream.frames.in_flight == 0 for stream in streams.values()
    )


def _observed(snapshot: Snapshot, service: str) -> Iterator[ObservedStream]:
    """The streams of a service, of the instances that are up to date."""
    for instance in snapshot.instances:
        state, desired = instance.observed, instance.desired
        if state is not None and desired is not None and state.generation >= desired.generation:
            yield from (stream for stream in state.streams if stream.service == service)
