"""One look at instances, and what two looks one after the other say of how they are used. Pure.

Counts on `/status` grow from the start of a process, so a rate is the difference of two looks; of a process that was
looked at once, or has started anew, there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from framepilot.contract.document import Document
from framepilot.contract.observed import DeviceUse, FrameCounts, ObservedModule, ObservedState, ObservedStream
from framepilot_operator.telemetry.device_view import DeviceView
from framepilot_operator.telemetry.measurement import Quantity


@dataclass(frozen=True, slots=True)
class Look:
    """What instances said at a monotonic time in seconds, by their names; and why others said nothing."""

    at: float
    states: Mapping[str, ObservedState]
    silent: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DeviceLook:
    """By instance the view of its device; `silence` is why Prometheus has no part in it, if one was asked."""

    views: Mapping[str, DeviceView] = field(default_factory=dict)
    silence: str | None = None


class DeviceRow(Document):
    """How the device of an instance is used; shares of time, bytes, degrees Celsius, watts. What is not known is None.

    `utilization` is the device's by whomever; `source` says who measured it, `age_s` seconds ago. `own` is what this
    instance runs there, and `others` what none of our instances does.
    """

    instance: str
    device: str
    device_class: str
    source: str | None = None
    age_s: float | None = None
    utilization: float | None = None
    own: float | None = None
    others: float | None = None
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
    """A stream; frames per second. A still frame, in which nothing had changed, is not among the dropped here."""

    service: str
    stream: str
    state: str
    captured: float
    still: float | None
    delivered: float | None
    dropped: float | None
    reason: str | None = None


class ServiceRow(Document):
    """A service: the latency that its frames are to keep to, milliseconds, and the share of them that did of late."""

    service: str
    objective_ms: float | None
    attainment: float | None


class Usage(Document):
    """How instances are used, and why some say nothing, or Prometheus does not."""

    devices: tuple[DeviceRow, ...]
    services: tuple[ServiceRow, ...]
    modules: tuple[ModuleRow, ...]
    streams: tuple[StreamRow, ...]
    silent: dict[str, str]


def usage(before: Look | None, now: Look, meant: Callable[[str], bool], devices: DeviceLook) -> Usage:
    """Of the services that are `meant`, by `<namespace>/<name>`, and of the instances that run them.

    `devices`: what is known of those that they run on.
    """
    rows: list[DeviceRow] = []
    services: list[ServiceRow] = []
    modules: list[ModuleRow] = []
    streams: list[StreamRow] = []
    for instance, state in sorted(now.states.items()):
        earlier = _same_process(before, instance, state)
        seconds = now.at - before.at if before is not None else 0.0
        pipelines = [each for each in state.pipelines if meant(each.service)]
        if pipelines:
            rows.append(_device(instance, state, devices.views.get(instance, DeviceView())))
        services += [
            ServiceRow(service=each.service, objective_ms=each.objective_ms, attainment=each.attainment)
            for each in pipelines
        ]
        modules += _modules(earlier, state, seconds, meant)
        streams += _streams(earlier, state, seconds, meant)
    return Usage(
        devices=tuple(rows),
        services=tuple(sorted(services, key=lambda row: row.service)),
        modules=tuple(modules),
        streams=tuple(streams),
        silent=dict(now.silent) | ({} if devices.silence is None else {"Prometheus": devices.silence}),
    )


def _same_process(before: Look | None, instance: str, state: ObservedState) -> ObservedState | None:
    earlier = None if before is None else before.states.get(instance)
    return earlier if earlier is not None and earlier.started_at == state.started_at else None


def _device(instance: str, state: ObservedState, view: DeviceView) -> DeviceRow:
    device, use = state.device, state.device.use
    known = {quantity: value.value for quantity, value in view.values.items()}
    memory_used, memory_total = known.get(Quantity.MEMORY_USED), known.get(Quantity.MEMORY_TOTAL)
    return DeviceRow(
        instance=instance,
        device=device.name,
        device_class=device.device_class,
        source=view.utilization and view.utilization.source,
        age_s=view.utilization and view.utilization.age_s,
        utilization=known.get(Quantity.UTILIZATION),
        own=use and use.own,
        others=view.others and view.others.value,
        memory_used_bytes=None if memory_used is None else int(memory_used),
        memory_total_bytes=None if memory_total is None else int(memory_total),
        temperature_celsius=known.get(Quantity.TEMPERATURE),
        power_watts=known.get(Quantity.POWER),
        trouble="; ".join(_troubles(use, view)) or None,
    )


def _troubles(use: DeviceUse | None, view: DeviceView) -> Iterator[str]:
    if use is not None and use.error is not None:
        yield use.error
    if use is not None and use.throttled:
        yield f"its clocks are kept low: {', '.join(use.throttled)}"
    yield from view.doubts


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
            still=_rate(None if before is None else before.still, stream.frames.still, seconds),
            delivered=_rate(None if before is None else before.delivered, stream.frames.delivered, seconds),
            dropped=_rate(None if before is None else _dropped(before), _dropped(stream.frames), seconds),
            reason=stream.reason or stream.trouble,
        )


def _rate(before: int | None, now: int, seconds: float) -> float | None:
    """What was counted in a second; None if it is not known. A stream that was declared anew begins at 0."""
    return None if before is None or seconds <= 0 or now < before else (now - before) / seconds


def _dropped(counts: FrameCounts) -> int:
    """But for those that nothing moved in: they are no sign of trouble."""
    return sum(count for reason, count in counts.dropped.items() if reason != "still")


def _module_key(module: ObservedModule) -> tuple[str, str]:
    return module.service, module.name


def _stream_key(stream: ObservedStream) -> tuple[str, str]:
    return stream.service, stream.name
