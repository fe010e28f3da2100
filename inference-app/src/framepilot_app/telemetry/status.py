"""From what runs to `/status`: the observed state, gathered at one moment and given out as a document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

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
from framepilot_app.modules.module import Module
from framepilot_app.modules.parameter_accounts import Account
from framepilot_app.service import ServedModule, Service, Stream
from framepilot_app.streams.uri import redact


def observed_pipeline(service: Service, device_s: float, account: Account) -> ObservedPipeline:
    """The service itself, its objective and how it keeps to it, what it used of the device and has in memory, its
    limits, and what is wrong with its sinks."""
    declared = service.declared
    return ObservedPipeline(
        service=service.name,
        uid=declared.uid,
        error=service.sinks.error,
        objective_ms=declared.objective_ms,
        attainment=service.attainment.share(declared.objective_ms),
        device_s=device_s,
        parameter_bytes=account.bytes,
        charged_bytes=account.charged,
        limit=declared.limit if declared.limit < 1 else None,
        memory_limit_bytes=declared.memory_limit_bytes,
        time_limit_ms=declared.time_limit_ms,
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


def totals(service: Service) -> FrameCounts:
    """All frames of a service since it began; of streams that were removed, too."""
    return add([*(stream.inlet.line.counts() for stream in [*service.streams.values()]), past(service)])


def past(service: Service) -> FrameCounts:
    """All frames of its streams that were removed, also of those that still have some in flight."""
    return add([service.past.counts(), *(stream.inlet.line.counts() for stream in [*service.leaving])])


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
        decode_s=status.decode_s,
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
        time_limit=module.observed_time_limit(),
    )


def _batches(module: Module) -> tuple[BatchCount, ...]:
    lane = module.lane
    counted = {} if lane is None else lane.batches
    return tuple(
        BatchCount(size=size, count=count, seconds=seconds) for size, (count, seconds) in sorted(counted.items())
    )


def latencies(times: NDArray[np.float64]) -> Latencies:
    """Means of the stages and quantiles of their sum, in milliseconds; `times` are seconds, items x `StageTimes`."""
    if not len(times):
        return Latencies()
    pre, queue, infer, post = (round(1000 * each, 3) for each in times.mean(axis=0).tolist())
    p50, p99 = quantiles_ms(times, 0.5, 0.99)
    return Latencies(pre=pre, queue=queue, infer=infer, post=post, p50=p50, p99=p99)


def quantiles_ms(times: NDArray[np.float64], *shares: float) -> list[float]:
    """Of the sums of the stages, in milliseconds; `times` as in `latencies`, and not empty."""
    sums = np.sort(times.sum(axis=1)).tolist()
    return [round(1000 * _quantile(sums, share), 3) for share in shares]


def _quantile(ascending: Sequence[float], share: float) -> float:
    """Linear between the two next to it. NumPy's own is made for arrays and takes longer than all the rest of this."""
    place = share * (len(ascending) - 1)
    low = int(place)
    high = min(low + 1, len(ascending) - 1)
    return ascending[low] + (ascending[high] - ascending[low]) * (place - low)
