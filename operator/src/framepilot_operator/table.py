"""What a person sees of a snapshot: a table on a terminal, or a line for each thing that is new in a log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from framepilot.contract.observed import ObservedModule, ObservedState, ObservedStream, StreamState
from framepilot.resources.meta import Condition, ConditionStatus
from framepilot.rollouts.state import RolloutState
from framepilot_operator.cluster.port import Snapshot

TRUE_IS_WRONG = frozenset({"Stalled"})
NEITHER_IS_WRONG = frozenset({"Reconciling"})

_STREAM_STYLES = {StreamState.RUNNING: "green", StreamState.STALLED: "yellow", StreamState.FAILED: "red"}
_ROLLOUT_STYLES = {RolloutState.SERVING: "", RolloutState.REFUSED: "red"}


def render(snapshot: Snapshot) -> RenderableType:
    """Streams, modules and devices of every instance, and below them what is wrong."""
    states = _states(snapshot)
    return Group(_streams(states), "", _modules(states), "", _devices(snapshot), *_wrong(snapshot))


def news(before: Snapshot, after: Snapshot) -> Iterator[str]:
    """A line for each stream, module and sentence of a snapshot that is not as it was."""
    known = dict(_facts(before))
    for subject, fact in _facts(after):
        if known.get(subject) != fact:
            yield f"{subject}: {fact}"
    still = {subject for subject, _ in wrong(after)}
    for subject in dict(wrong(before)):
        if subject not in still:
            yield f"{subject}: no longer wrong"


def totals(snapshot: Snapshot) -> str:
    """One line of counts, for a log that would otherwise be silent while all is well."""
    frames = [state.frames for state in _states(snapshot)]
    dropped = sum(sum(counts.dropped.values()) for counts in frames)
    return (
        f"frames: {sum(counts.ingested for counts in frames)} ingested, "
        f"{sum(counts.delivered for counts in frames)} delivered, {dropped} dropped, "
        f"{sum(counts.in_flight for counts in frames)} in flight"
    )


def wrong(snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    """What is wrong: who says it, and the sentence."""
    for problem in snapshot.problems:
        yield problem.where, problem.message
    for service in snapshot.services:
        for condition in service.resource.status.conditions:
            if _is_wrong(condition):
                yield f"{service.key} {condition.type}", condition.message
    for instance in snapshot.instances:
        if instance.reason is not None:
            yield f"instance {instance.owner}", instance.reason
        if instance.observed is not None and instance.observed.error is not None:
            yield f"instance {instance.owner} desired state", instance.observed.error


def _is_wrong(condition: Condition) -> bool:
    if condition.type in NEITHER_IS_WRONG:
        return False
    bad = ConditionStatus.TRUE if condition.type in TRUE_IS_WRONG else ConditionStatus.FALSE
    return condition.status is bad


def _states(snapshot: Snapshot) -> list[ObservedState]:
    return [instance.observed for instance in snapshot.instances if instance.observed is not None]


def _facts(snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    for state in _states(snapshot):
        for stream in state.streams:
            reason = f" ({stream.reason})" if stream.reason else ""
            yield f"{stream.service} stream {stream.name}", f"{stream.state.value}{reason}"
        for module in state.modules:
            subject = f"{module.service} module {module.name}"
            if module.serving is not None:
                yield f"{subject} model", f"{module.model} {module.serving.version} serves"
            yield f"{subject} batch", f"{module.batch.size}, waits {module.batch.max_wait_ms:g} ms"
            if module.rollout is not None:
                yield f"{subject} rollout", _rollout(module)
    yield from wrong(snapshot)


def _streams(states: Sequence[ObservedState]) -> Table:
    table = plain_table("stream", "state", "fps", "delivered", "dropped", "in flight", right=2)
    for stream in sorted((stream for state in states for stream in state.streams), key=_stream_key):
        table.add_row(
            f"{stream.service}/{stream.name}",
            Text(stream.state.value, _STREAM_STYLES.get(stream.state, "")),
            f"{stream.fps:.1f}",
            str(stream.frames.delivered),
            _by_reason(stream.frames.dropped),
            str(stream.frames.in_flight),
        )
    return table


def _modules(states: Sequence[ObservedState]) -> Table:
    table = plain_table("module", "model", "rollout", "batch", "wait ms", "p50 ms", "p99 ms", "queue", "items", right=3)
    for module in sorted((module for state in states for module in state.modules), key=_module_key):
        serving = f" {module.serving.version}" if module.serving else ""
        rollout = module.rollout.state if module.rollout else None
        table.add_row(
            f"{module.service}/{module.name}",
            f"{module.model}{serving}",
            Text(_rollout(module), _ROLLOUT_STYLES.get(rollout, "yellow") if rollout else ""),
            str(module.batch.size),
            f"{module.batch.max_wait_ms:g}",
            f"{module.latency_ms.p50:.1f}",
            f"{module.latency_ms.p99:.1f}",
            str(module.queue),
            str(module.items),
        )
    return table


def _devices(snapshot: Snapshot) -> Table:
    table = plain_table("instance", "device", "class", "restarts", right=3)
    for instance in snapshot.instances:
        device = instance.observed.device if instance.observed else None
        name, kind = (device.name, device.device_class) if device else ("", "")
        table.add_row(str(instance.owner), name, kind, str(instance.restarts))
    return table


def _wrong(snapshot: Snapshot) -> Iterator[Text]:
    for subject, sentence in wrong(snapshot):
        yield Text(f"{subject}: {sentence}", "red")


def plain_table(*columns: str, right: int) -> Table:
    """A table without lines, whose columns from position `right` on hold numbers."""
    table = Table(box=None, pad_edge=False, header_style="bold", expand=False)
    for position, column in enumerate(columns):
        table.add_column(column, justify="right" if position >= right else "left", no_wrap=position == 0)
    return table


def _rollout(module: ObservedModule) -> str:
    rollout = module.rollout
    if rollout is None:
        return ""
    reason = f": {rollout.reason}" if rollout.reason else ""
    return f"{rollout.state.value} {rollout.candidate}{reason}"


def _by_reason(dropped: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in sorted(dropped.items()) if count) or "0"


def _stream_key(stream: ObservedStream) -> tuple[str, str]:
    return stream.service, stream.name


def _module_key(module: ObservedModule) -> tuple[str, str]:
    return module.service, module.name
