"""What `/metrics` exports. Counts are read from their one place at scrape time, durations are recorded as they occur.

Label values follow from the desired state, so their number is bounded by what is declared. A counter that can be known
beforehand is there from the start, as 0: Prometheus sees no increase in one that begins with the first event.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector

from framepilot.contract import metrics as names
from framepilot.contract.observed import ObservedState, SinkState, StreamState
from framepilot.rollouts.state import RolloutState
from framepilot_app.frames import Delivered, DropReason
from framepilot_app.modules.device import BatchDone
from framepilot_app.modules.module import Module
from framepilot_app.sinks.outbox import Loss
from framepilot_app.telemetry.device_metrics import device_metrics
from framepilot_app.telemetry.durations import Durations
from framepilot_app.telemetry.families import Family, counted, counter, gauge, info, measured

LATENCY_BUCKETS_S = (0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10)
STAGE_BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Durations, recorded as they occur. Thread-safe."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._latency = Durations(names.FRAME_LATENCY, LATENCY_BUCKETS_S)
        self._stage = Durations(names.MODULE_STAGE, STAGE_BUCKETS_S)
        self._batch = Durations(names.MODULE_BATCH_ITEMS, BATCH_BUCKETS)
        self._write = Durations(names.SINK_WRITE, STAGE_BUCKETS_S)
        self._all = (self._latency, self._stage, self._batch, self._write)
        for each in self._all:
            registry.register(each)

    def fold(self) -> None:
        """Count what was recorded; called now and then."""
        for each in self._all:
            each.fold()

    def delivered(self, outcome: Delivered) -> None:
        """A frame was delivered."""
        self._latency.observe(outcome.frame.stream, outcome.latency_ms / 1000)

    def batch(self, done: BatchDone) -> None:
        """A batch has run."""
        service, module = done.module.service, done.module.name
        self._batch.observe((service, module), len(done.items))
        self._stage.observe((service, module, "infer"), done.seconds)
        pre, queue = (service, module, "pre"), (service, module, "queue")
        for item in done.items:
            self._stage.observe(pre, item.pre_s)
            self._stage.observe(queue, done.started_at - item.arrived_at)

    def decoded(self, module: Module, seconds: float) -> None:
        """The outputs of a batch were decoded so long after its end."""
        self._stage.observe((module.service, module.name, "post"), seconds)

    def written(self, service: str, sink: str, seconds: float) -> None:
        """A sink was written once, for so long."""
        self._write.observe((service, sink), seconds)


@dataclass(frozen=True, slots=True)
class Failures:
    """What should never happen, counted: threads that died, by kind, and tasks of workers that raised."""

    threads: Mapping[str, int]
    tasks: int


class StateCollector(Collector):
    """Turns `/status` into metrics, so that the two never disagree. `busy_s` is the device thread's, in seconds."""

    def __init__(
        self,
        observe: Callable[[], ObservedState],
        busy_s: Callable[[], float],
        failures: Callable[[], Failures],
    ) -> None:
        self._observe = observe
        self._busy_s = busy_s
        self._failures = failures

    def collect(self) -> Iterator[Family]:
        """One scrape."""
        state = self._observe()
        yield from _frames(state)
        yield from _streams(state)
        yield from _modules(state)
        yield from _rollouts(state)
        yield from _sinks(state)
        yield from _shared(state)
        yield counted(names.DEVICE_BUSY, self._busy_s())
        yield from device_metrics(state.device)
        failures = self._failures()
        died = counter(names.THREADS_DIED)
        for thread, count in failures.threads.items():
            died.add_metric([thread], count)
        yield died
        yield counted(names.TASKS_FAILED, failures.tasks)
        yield measured(names.DESIRED_GENERATION, state.generation)
        yield measured(names.DESIRED_ERROR, bool(state.error))


def _frames(state: ObservedState) -> Iterator[Family]:
    ingested = counter(names.FRAMES_INGESTED)
    delivered = counter(names.FRAMES_DELIVERED)
    within = counter(names.FRAMES_WITHIN)
    dropped = counter(names.FRAMES_DROPPED)
    in_flight = gauge(names.FRAMES_IN_FLIGHT)
    objective = gauge(names.OBJECTIVE)
    for pipeline in state.pipelines:
        if pipeline.objective_ms is not None:
            objective.add_metric([pipeline.service], pipeline.objective_ms / 1000)
    for stream in state.streams:
        key = [stream.service, stream.name]
        ingested.add_metric(key, stream.frames.ingested)
        delivered.add_metric(key, stream.frames.delivered)
        within.add_metric(key, stream.frames.within)
        in_flight.add_metric(key, stream.frames.in_flight)
        for reason, count in _from_zero(DropReason, stream.frames.dropped).items():
            dropped.add_metric([*key, reason], count)
    yield from (ingested, delivered, within, dropped, in_flight, objective)


def _streams(state: ObservedState) -> Iterator[Family]:
    states = gauge(names.STREAM_STATE)
    reconnects = counter(names.STREAM_RECONNECTS)
    hung = counter(names.STREAM_HUNG)
    decode = counter(names.STREAM_DECODE)
    for stream in state.streams:
        key = [stream.service, stream.name]
        for each in StreamState:
            states.add_metric([*key, each.value], stream.state is each)
        reconnects.add_metric(key, stream.reconnects)
        hung.add_metric(key, stream.hung)
        decode.add_metric(key, stream.decode_s)
    yield from (states, reconnects, hung, decode)


def _modules(state: ObservedState) -> Iterator[Family]:
    items = counter(names.MODULE_ITEMS)
    queue = gauge(names.MODULE_QUEUE)
    cap = gauge(names.MODULE_BATCH_CAP)
    serving = gauge(names.MODULE_SERVING)
    version = info(names.MODULE_VERSION)
    left = gauge(names.MODULE_TIME_LIMIT_ITEMS)
    over = counter(names.MODULE_OVER_TIME_LIMIT)
    for module in state.modules:
        key = [module.service, module.name]
        items.add_metric(key, module.items)
        queue.add_metric(key, module.queue)
        cap.add_metric(key, module.batch.size)
        serving.add_metric(key, module.serving is not None)
        if module.serving is not None:
            version.add_metric(key, {names.VERSION: module.serving.version, names.MODEL: module.model})
        if module.time_limit is not None:
            left.add_metric(key, module.time_limit.size)
            over.add_metric(key, module.time_limit.over)
    yield from (items, queue, cap, serving, version, left, over)


def _rollouts(state: ObservedState) -> Iterator[Family]:
    states = gauge(names.ROLLOUT_STATE)
    pause = gauge(names.ROLLOUT_PAUSE)
    step = gauge(names.ROLLOUT_STEP)
    load = gauge(names.ROLLOUT_LOAD)
    for module in state.modules:
        if module.rollout is None:
            continue
        key = [module.service, module.name]
        for each in RolloutState:
            states.add_metric([*key, each.value], module.rollout.state is each)
        for family, took_ms in (
            (pause, module.rollout.pause_ms),
            (step, module.rollout.longest_step_ms),
            (load, module.rollout.load_ms),
        ):
            if took_ms is not None:
                family.add_metric(key, took_ms / 1000)
    yield from (states, pause, step, load)


def _sinks(state: ObservedState) -> Iterator[Family]:
    offered = counter(names.SINK_OFFERED)
    written = counter(names.SINK_WRITTEN)
    dropped = counter(names.SINK_DROPPED)
    waiting = gauge(names.SINK_WAITING)
    spooled = gauge(names.SINK_SPOOLED)
    connected = gauge(names.SINK_CONNECTED)
    for sink in state.sinks:
        key = [sink.service, sink.name]
        offered.add_metric(key, sink.offered)
        written.add_metric(key, sink.written)
        waiting.add_metric(key, sink.waiting)
        spooled.add_metric(key, sink.spooled)
        connected.add_metric(key, sink.state is SinkState.CONNECTED)
        for reason, count in _from_zero(Loss, sink.dropped).items():
            dropped.add_metric([*key, reason], count)
    yield from (offered, written, dropped, waiting, spooled, connected)


def _shared(state: ObservedState) -> Iterator[Family]:
    charged = counter(names.SERVICE_DEVICE_SECONDS)
    held = gauge(names.SERVICE_PARAMETERS)
    for pipeline in state.pipelines:
        charged.add_metric([pipeline.service], pipeline.device_s)
        held.add_metric([pipeline.service], pipeline.charged_bytes)
    parameters = state.parameters
    batches = counter(names.STAGE_BATCHES)
    pictures = counter(names.STAGE_PICTURES)
    items = counter(names.STAGE_ITEMS)
    seconds = counter(names.STAGE_SECONDS)
    for stage in state.stages:
        key = [stage.short_id, str(len(stage.modules))]
        batches.add_metric(key, stage.batches)
        pictures.add_metric(key, stage.pictures)
        items.add_metric(key, stage.items)
        seconds.add_metric(key, stage.seconds)
    yield from (charged, held)
    yield measured(names.PARAMETERS_UNIQUE, None if parameters is None else parameters.unique)
    yield measured(names.PARAMETERS_REFERENCED, None if parameters is None else parameters.referenced)
    yield from (batches, pictures, items, seconds)


def _from_zero(reasons: Iterable[StrEnum], counts: Mapping[str, int]) -> dict[str, int]:
    """The counts, and 0 for each of the reasons that has not occurred."""
    return {**dict.fromkeys(map(str, reasons), 0), **counts}
