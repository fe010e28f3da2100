"""One look at instances, and what two looks one after the other say of how they are used. Pure.

Counts on `/status` grow from the start of a process, so a rate is the difference of two looks; of a process that was
looked at once, or has started anew, there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from framepilot.contract.document import Document
from framepilot.contract.observed import FrameCounts, ObservedModule, ObservedState, ObservedStream


@dataclass(frozen=True, slots=True)
class Look:
    """What instances said at a monotonic time in seconds, by their names; and why others said nothing."""

    at: float
    states: Mapping[str, ObservedState]
    silent: Mapping[str, str] = field(default_factory=dict)


class DeviceRow(Document):
    """How the device of an instance is used; shares of time, bytes, degrees Celsius, watts. What is not known is None.

    `utilization` is the device's by whomever, `source` says who measured it, `own` is what this instance runs there.
    """

    instance: str
    device: str
    device_class: str
    source: str | None = None
    utilization: float | None = None
    own: float | None = None
    memory_used_bytes: int | None = None
    memory_total_bytes: int | None = None
    temperature_celsius: float | None = None
    power_watts: float | None = None
    trouble: str | None = None


class ModuleRow(Document):
    """A module; items per second, milliseconds."""

    service: str
    module: str
    model: str
    version: str | None
    batch: int
    items_per_second: float | None
    queue: int
    infer_ms: float
    p50_ms: float
    p99_ms: float


class StreamRow(Document):
    """A stream; frames per second."""

    service: str
    stream: str
    state: str
    captured: float
    delivered: float | None
    dropped: float | None
    reason: str | None = None


class Usage(Document):
    """How instances are used, and why some say nothing."""

    devices: tuple[DeviceRow, ...]
    modules: tuple[ModuleRow, ...]
    streams: tuple[StreamRow, ...]
    silent: dict[str, str]


def usage(before: Look | None, now: Look, meant: Callable[[str], bool]) -> Usage:
    """Of the services that are `meant`, by `<namespace>/<name>`, and of the instances that run them."""
    devices: list[DeviceRow] = []
    modules: list[ModuleRow] = []
    streams: list[StreamRow] = []
    for instance, state in sorted(now.states.items()):
        earlier = _same_process(before, instance, state)
        seconds = now.at - before.at if before is not None else 0.0
        if any(meant(each.service) for each in state.pipelines):
            devices.append(_device(instance, state))
        modules += _modules(earlier, state, seconds, meant)
        streams += _streams(earlier, state, seconds, meant)
    return Usage(devices=tuple(devices), modules=tuple(modules), streams=tuple(streams), silent=dict(now.silent))


def _same_process(before: Look | None, instance: str, state: ObservedState) -> ObservedState | None:
    earlier = None if before is None else before.states.get(instance)
    return earlier if earlier is not None and earlier.started_at == state.started_at else None


def _device(instance: str, state: ObservedState) -> DeviceRow:
    device, use = state.device, state.device.use
    row = DeviceRow(instance=instance, device=device.name, device_class=device.device_class)
    if use is None:
        return row
    return row.model_copy(
        update={
            "source": use.source.value,
            "utilization": use.utilization,
            "own": use.own,
            "memory_used_bytes": use.memory_used_bytes,
            "memory_total_bytes": use.memory_total_bytes,
            "temperature_celsius": use.temperature_celsius,
            "power_watts": use.power_watts,
            "trouble": "; ".join(_troubles(use.error, use.throttled)) or None,
        }
    )


def _troubles(error: str | None, throttled: Iterable[str] | None) -> Iterator[str]:
    if error is not None:
        yield error
    if throttled:
        yield f"its clocks are kept low: {', '.join(throttled)}"


def _modules(
    earlier: ObservedState | None, state: ObservedState, seconds: float, meant: Callable[[str], bool]
) -> Iterator[ModuleRow]:
    known = {(each.service, each.name): each.items for each in (earlier.modules if earlier else ())}
    for module in sorted(state.modules, key=_module_key):
        if not meant(module.service):
            continue
        latency = module.latency_ms
        yield ModuleRow(
            service=module.service,
            module=module.name,
            model=module.model,
            version=module.serving.version if module.serving else None,
            batch=module.batch.size,
            items_per_second=_rate(known.get(_module_key(module)), module.items, seconds),
            queue=module.queue,
            infer_ms=latency.infer,
            p50_ms=latency.p50,
            p99_ms=latency.p99,
        )


def _streams(
    earlier: ObservedState | None, state: ObservedState, seconds: float, meant: Callable[[str], bool]
) -> Iterator[StreamRow]:
    known = {_stream_key(each): each.frames for each in (earlier.streams if earlier else ())}
    for stream in sorted(state.streams, key=_stream_key):
        if not meant(stream.service):
            continue
        before = known.get(_stream_key(stream))
        yield StreamRow(
            service=stream.service,
            stream=stream.name,
            state=stream.state.value,
            captured=stream.fps,
            delivered=_rate(None if before is None else before.delivered, stream.frames.delivered, seconds),
            dropped=_rate(None if before is None else _dropped(before), _dropped(stream.frames), seconds),
            reason=stream.reason or stream.trouble,
        )


def _rate(before: int | None, now: int, seconds: float) -> float | None:
    """What was counted in a second; None if it is not known. A stream that was declared anew begins at 0."""
    return None if before is None or seconds <= 0 or now < before else (now - before) / seconds


def _dropped(counts: FrameCounts) -> int:
    return sum(counts.dropped.values())


def _module_key(module: ObservedModule) -> tuple[str, str]:
    return module.service, module.name


def _stream_key(stream: ObservedStream) -> tuple[str, str]:
    return stream.service, stream.name
