"""From what runs to `/status`: the observed state, gathered at one moment and given out as a document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from framepilot.contract.observed import (
    BatchCount,
    FrameCounts,
    Latencies,
    ObservedModule,
    ObservedPipeline,
    ObservedStream,
    ServingModel,
    StreamState,
)
from framepilot_app.modules.module import Module, StageTimes
from framepilot_app.service import ServedModule, Service, Stream
from framepilot_app.streams.uri import redact


def observed_pipeline(service: Service, device_s: float) -> ObservedPipeline:
    """The service itself, its objective and how it keeps to it, what it used of the device, and what is wrong with its
    sinks."""
    declared = service.declared
    return ObservedPipeline(
        service=service.name,
        uid=declared.uid,
        error=service.sinks.error,
        objective_ms=declared.objective_ms,
        attainment=service.attainment.share(declared.objective_ms),
        device_s=device_s,
    )


def observed_streams(service: Service) -> list[ObservedStream]:
    """Every declared stream of a service."""
    return [_stream(service.name, name, stream) for name, stream in [*service.streams.items()]]


def observed_modules(service: Service, alone: Callable[[Module], str | None]) -> list[ObservedModule]:
    """Every module of a service; `alone` says why one shares nothing with others."""
    inputs = service.inputs
    return [
        _module(service.name, served, inputs.get(served.module.name, ()), alone(served.module))
        for served in [*service.modules.values()]
    ]


def totals(services: Sequence[Service]) -> FrameCounts:
    """All frames of these services since they began; of streams that were removed, too."""
    counts = [service.past.counts() for service in services]
    for service in services:
        counts += [stream.inlet.line.counts() for stream in (*service.streams.values(), *service.leaving)]
    return add(counts)


def add(counts: Sequence[FrameCounts]) -> FrameCounts:
    """The sum of accounts."""
    dropped: Counter[str] = Counter()
    for count in counts:
        dropped.update(count.dropped)
    return FrameCounts(
        ingested=sum(count.ingested for count in counts),
        delivered=sum(count.delivered for count in counts),
        within=sum(count.within for count in counts),
        still=sum(count.still for count in counts),
        dropped=dict(dropped),
        in_flight=sum(count.in_flight for count in counts),
    )


def _stream(service: str, name: str, stream: Stream) -> ObservedStream:
    frames = stream.inlet.line.counts()
    source = redact(stream.declared.source)
    if stream.subscription is None:
        reason = "waits until every module serves"
        return ObservedStream(
            service=service, name=name, source=source, state=StreamState.CONNECTING, reason=reason, frames=frames
        )
    status = stream.subscription.status()
    return ObservedStream(
        service=service,
        name=name,
        source=source,
        state=status.state,
        fps=round(status.fps, 2),
        epoch=status.epoch,
        reason=status.reason,
        trouble=status.trouble,
        reconnects=status.reconnects,
        hung=status.hung,
        frames=frames,
    )


def _module(service: str, served: ServedModule, inputs: tuple[str, ...], alone: str | None) -> ObservedModule:
    module = served.module
    version = module.lane.version if module.lane else None
    return ObservedModule(
        service=service,
        name=module.name,
        inputs=inputs,
        model=version.spec.name if version else module.model_name,
        serving=ServingModel(version=version.spec.version, sha256=version.sha256) if version else None,
        batch=module.batch,
        rollout=served.rollouts.observed(),
        queue=module.queued,
        items=module.items,
        arrived=module.arrived,
        batches=_batches(module),
        latency_ms=latencies(module.recent()),
        profile=version.profile if version else (),
        engine=version.engines[0].name if version and version.engines else None,
        engines=version.engines if version else (),
        alone=alone,
    )


def _batches(module: Module) -> tuple[BatchCount, ...]:
    lane = module.lane
    counted = {} if lane is None else lane.batches
    return tuple(
        BatchCount(size=size, count=count, seconds=seconds) for size, (count, seconds) in sorted(counted.items())
    )


def latencies(times: Sequence[StageTimes]) -> Latencies:
    """Means of the stages and quantiles of their sum, in milliseconds."""
    if not times:
        return Latencies()
    stages = np.array([(t.pre, t.queue, t.infer, t.post) for t in times]) * 1000
    pre, queue, infer, post = (round(float(mean), 3) for mean in stages.mean(axis=0))
    p50, p99 = (round(float(value), 3) for value in np.quantile(stages.sum(axis=1), (0.5, 0.99)))
    return Latencies(pre=pre, queue=queue, infer=infer, post=post, p50=p50, p99=p99)
