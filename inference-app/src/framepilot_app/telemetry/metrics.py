"""What `/metrics` exports. Counts are read from their one place at scrape time, durations are recorded as they occur.

Label values come from the desired state, so their number is bounded by what is declared. A counter that can be known
beforehand is there from the start, as 0: Prometheus sees no increase in one that begins with the first event.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

from framepilot.contract import metrics as names
from framepilot.contract.observed import ObservedState, SinkState, StreamState
from framepilot.rollouts.state import RolloutState
from framepilot_app.frames import Delivered, DropReason, Outcome
from framepilot_app.modules.device import BatchDone
from framepilot_app.sinks.outbox import Loss

LATENCY_BUCKETS_S = (0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10)
STAGE_BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Durations, recorded as they occur. Thread-safe."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._latency = Histogram(
            names.FRAME_LATENCY,
            "From the return of decode to the hand-over to the sinks.",
            [names.SERVICE, names.STREAM],
            buckets=LATENCY_BUCKETS_S,
            registry=registry,
        )
        self._within = Counter(
            names.FRAMES_WITHIN.removesuffix("_total"),
            "Frames delivered within the objective; one that is dropped is not.",
            [names.SERVICE, names.STREAM],
            registry=registry,
        )
        self._stage = Histogram(
            names.MODULE_STAGE,
            "Duration of a module's stages for one batch (infer) or item (pre, queue).",
            [names.SERVICE, names.MODULE, names.STAGE],
            buckets=STAGE_BUCKETS_S,
            registry=registry,
        )
        self._batch = Histogram(
            names.MODULE_BATCH_ITEMS,
            "Items in a batch.",
            [names.SERVICE, names.MODULE],
            buckets=BATCH_BUCKETS,
            registry=registry,
        )

    def frame(self, outcome: Outcome) -> None:
        """A frame has ended."""
        frame = outcome.frame
        within = self._within.labels(*frame.stream)
        if isinstance(outcome, Delivered):
            latency_s = outcome.latency_ms / 1000
            self._latency.labels(*frame.stream).observe(latency_s)
            if frame.captured_at + latency_s <= frame.deadline:
                within.inc()

    def batch(self, done: BatchDone) -> None:
        """A batch has run."""
        service, module = done.module.service, done.module.name
        self._batch.labels(service, module).observe(len(done.items))
        self._stage.labels(service, module, "infer").observe(done.seconds)
        for item in done.items:
            self._stage.labels(service, module, "pre").observe(item.pre_s)
            self._stage.labels(service, module, "queue").observe(done.started_at - item.arrived_at)


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

    def collect(
        self,
    ) -> Iterator[CounterMetricFamily | GaugeMetricFamily | InfoMetricFamily]:
        """One scrape."""
        state = self._observe()
        yield from _frames(state)
        yield from _streams(state)
        yield from _modules(state)
        yield from _rollouts(state)
        yield from _sinks(state)
        yield CounterMetricFamily(names.DEVICE_BUSY, "Time in which the device ran batches.", self._busy_s())
        failures = self._failures()
        died = CounterMetricFamily(names.THREADS_DIED, "Threads that died unexpectedly.", labels=[names.THREAD])
        for thread, count in failures.threads.items():
            died.add_metric([thread], count)
        yield died
        yield CounterMetricFamily(names.TASKS_FAILED, "Tasks of workers that raised unexpectedly.", failures.tasks)
        yield GaugeMetricFamily(names.DESIRED_GENERATION, "Generation of the desired state in force.", state.generation)
        yield GaugeMetricFamily(
            names.DESIRED_ERROR, "1 while the desired state found is not in force.", bool(state.error)
        )


def _frames(state: ObservedState) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
    labels = [names.SERVICE, names.STREAM]
    ingested = CounterMetricFamily(names.FRAMES_INGESTED, "Frames decoded.", labels=labels)
    delivered = CounterMetricFamily(names.FRAMES_DELIVERED, "Frames handed to the sinks.", labels=labels)
    dropped = CounterMetricFamily(names.FRAMES_DROPPED, "Frames dropped, by reason.", labels=[*labels, names.REASON])
    in_flight = GaugeMetricFamily(names.FRAMES_IN_FLIGHT, "Frames that have not ended yet.", labels=labels)
    objective = GaugeMetricFamily(
        names.OBJECTIVE, "The latency that a service's frames are to keep to.", labels=[names.SERVICE]
    )
    for pipeline in state.pipelines:
        if pipeline.objective_ms is not None:
            objective.add_metric([pipeline.service], pipeline.objective_ms / 1000)
    for stream in state.streams:
        key = [stream.service, stream.name]
        ingested.add_metric(key, stream.frames.ingested)
        delivered.add_metric(key, stream.frames.delivered)
        in_flight.add_metric(key, stream.frames.in_flight)
        for reason, count in _from_zero(DropReason, stream.frames.dropped).items():
            dropped.add_metric([*key, reason], count)
    yield from (ingested, delivered, dropped, in_flight, objective)


def _streams(state: ObservedState) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
    labels = [names.SERVICE, names.STREAM]
    states = GaugeMetricFamily(
        names.STREAM_STATE, "1 for the state that the stream is in, 0 for the others.", labels=[*labels, names.STATE]
    )
    reconnects = CounterMetricFamily(names.STREAM_RECONNECTS, "Openings of a source after the first.", labels=labels)
    hung = CounterMetricFamily(names.STREAM_HUNG, "Reads that the system did not come back from.", labels=labels)
    for stream in state.streams:
        key = [stream.service, stream.name]
        for each in StreamState:
            states.add_metric([*key, each.value], stream.state is each)
        reconnects.add_metric(key, stream.reconnects)
        hung.add_metric(key, stream.hung)
    yield from (states, reconnects, hung)


def _modules(state: ObservedState) -> Iterator[CounterMetricFamily | GaugeMetricFamily | InfoMetricFamily]:
    labels = [names.SERVICE, names.MODULE]
    items = CounterMetricFamily(names.MODULE_ITEMS, "Items that have run.", labels=labels)
    queue = GaugeMetricFamily(names.MODULE_QUEUE, "Items that wait for a batch.", labels=labels)
    cap = GaugeMetricFamily(names.MODULE_BATCH_CAP, "The most items of one batch.", labels=labels)
    serving = GaugeMetricFamily(names.MODULE_SERVING, "1 while some version of the module serves.", labels=labels)
    version = InfoMetricFamily(names.MODULE_VERSION.removesuffix("_info"), "The version that serves.", labels=labels)
    for module in state.modules:
        key = [module.service, module.name]
        items.add_metric(key, module.items)
        queue.add_metric(key, module.queue)
        cap.add_metric(key, module.batch.size)
        serving.add_metric(key, module.serving is not None)
        if module.serving is not None:
            version.add_metric(key, {names.VERSION: module.serving.version, "model": module.model})
    yield from (items, queue, cap, serving, version)


def _rollouts(state: ObservedState) -> Iterator[GaugeMetricFamily]:
    labels = [names.SERVICE, names.MODULE]
    states = GaugeMetricFamily(
        names.ROLLOUT_STATE,
        "1 for the state that the module's latest rollout is in, 0 for the others.",
        labels=[*labels, names.STATE],
    )
    pause = GaugeMetricFamily(names.ROLLOUT_PAUSE, "Between two batches, for the latest switch.", labels=labels)
    step = GaugeMetricFamily(
        names.ROLLOUT_STEP, "The longest that one step of the latest rollout held the device.", labels=labels
    )
    load = GaugeMetricFamily(names.ROLLOUT_LOAD, "All steps of the latest loading.", labels=labels)
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


def _sinks(state: ObservedState) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
    labels = [names.SERVICE, names.SINK]
    offered = CounterMetricFamily(names.SINK_OFFERED, "Events handed over, or found in the spool.", labels=labels)
    written = CounterMetricFamily(names.SINK_WRITTEN, "Events that the receiver took.", labels=labels)
    dropped = CounterMetricFamily(names.SINK_DROPPED, "Events dropped, by reason.", labels=[*labels, names.REASON])
    waiting = GaugeMetricFamily(names.SINK_WAITING, "Events that wait to be written.", labels=labels)
    spooled = GaugeMetricFamily(names.SINK_SPOOLED, "Those of them that wait on disk.", labels=labels)
    connected = GaugeMetricFamily(names.SINK_CONNECTED, "1 while the sink can be written.", labels=labels)
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


def _from_zero(reasons: Iterable[StrEnum], counts: Mapping[str, int]) -> dict[str, int]:
    """The counts, and 0 for each of the reasons that has not occurred."""
    return {**dict.fromkeys(map(str, reasons), 0), **counts}
