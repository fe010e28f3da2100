"""What the services of a runtime share, what that saves, and why it is not more. Pure.

Its instance says all of it, with counts. While that is away, what was reported of the runtime last has to do.
"""

from __future__ import annotations

from dataclasses import dataclass

from framepilot.contract.observed import ObservedStage, ObservedState
from framepilot.resources.quantities import fraction
from framepilot_operator.commands.runtime_view import RuntimeView, SharingView


@dataclass(frozen=True, slots=True)
class Use:
    """What a stage did since it is there: batches, pictures that it ran on, items that these served, and seconds that
    the device took.

    `saved_seconds` is about what the device would have taken in addition if each item had had a picture of its own;
    None: nothing has run.
    """

    batches: int
    pictures: int
    items: int
    seconds: float
    saved_seconds: float | None


@dataclass(frozen=True, slots=True)
class StageExplanation:
    """A beginning that runs once for these modules; `share`, 0..1, is its part of the arithmetic of the largest model
    that uses it. `name` is what metrics call it. `use`, and `engine`, which runs it, are None where its instance does
    not say.
    """

    name: str
    modules: tuple[str, ...]
    nodes: int
    share: float
    use: Use | None
    engine: str | None


@dataclass(frozen=True, slots=True)
class Parameters:
    """Bytes of parameters: those in memory, those if each model had its own, and the difference."""

    unique: int
    referenced: int
    saved: int


@dataclass(frozen=True, slots=True)
class Charged:
    """What a service was charged with: seconds of the device's time, its share, 0..1, of those of all, None where none
    was needed yet, and bytes of parameters."""

    service: str
    seconds: float
    share: float | None
    parameter_bytes: int


@dataclass(frozen=True, slots=True)
class Alone:
    """A module, `<namespace>/<service>/<module>`, that shares no beginning, and why."""

    module: str
    reason: str


@dataclass(frozen=True, slots=True)
class RuntimeExplanation:
    """A runtime. `services` are those that it is to run, `missing` those of them that its instance does not run.

    `instance` is the one that says all this now; None: none does, `silence` says why if that is known, and what is
    shared is as it was reported last: then `age_s` is for how many seconds it has been known, None: it is not known.
    """

    runtime: str
    services: tuple[str, ...]
    instance: str | None
    silence: str | None = None
    age_s: float | None = None
    missing: tuple[str, ...] = ()
    stages: tuple[StageExplanation, ...] = ()
    parameters: Parameters | None = None
    charged: tuple[Charged, ...] = ()
    alone: tuple[Alone, ...] = ()


def heard(runtime: RuntimeView, instance: str, state: ObservedState) -> RuntimeExplanation:
    """As its instance says it."""
    running = {each.service for each in state.pipelines}
    known = state.parameters
    return RuntimeExplanation(
        runtime=runtime.key,
        services=tuple(sorted(running | {*runtime.services})),
        instance=instance,
        missing=tuple(sorted({*runtime.services} - running)),
        stages=tuple(_stage(stage) for stage in sorted(state.stages, key=lambda stage: -stage.share)),
        parameters=None if known is None else _parameters(known.unique, known.referenced),
        charged=_charged(state),
        alone=tuple(
            Alone(f"{module.service}/{module.name}", module.alone)
            for module in state.modules
            if module.alone is not None
        ),
    )


def reported(runtime: RuntimeView, silence: str | None, now: float) -> RuntimeExplanation:
    """As it was reported before its instance fell silent; `now` is Unix seconds."""
    known = runtime.status.sharing
    return RuntimeExplanation(
        runtime=runtime.key,
        services=runtime.services,
        instance=None,
        silence=silence,
        age_s=None if known is None else max(now - known.since.timestamp(), 0.0),
        stages=() if known is None else tuple(_reported_stages(known)),
        parameters=None if known is None else _reported_parameters(known),
    )


def _stage(stage: ObservedStage) -> StageExplanation:
    more = stage.items - stage.pictures
    saved = stage.seconds * more / stage.pictures if stage.pictures else None
    use = Use(stage.batches, stage.pictures, stage.items, stage.seconds, saved)
    return StageExplanation(stage.short_id, stage.modules, stage.nodes, stage.share, use, stage.engine)


def _reported_stages(known: SharingView) -> list[StageExplanation]:
    return [
        StageExplanation(
            ObservedStage(modules=stage.modules).short_id, stage.modules, stage.nodes, fraction(stage.share), None, None
        )
        for stage in known.stages
    ]


def _parameters(unique: int, referenced: int) -> Parameters:
    return Parameters(unique, referenced, referenced - unique)


def _reported_parameters(known: SharingView) -> Parameters | None:
    if known.parameters_unique_bytes is None or known.parameters_referenced_bytes is None:
        return None
    return _parameters(known.parameters_unique_bytes, known.parameters_referenced_bytes)


def _charged(state: ObservedState) -> tuple[Charged, ...]:
    total = sum(each.device_s for each in state.pipelines)
    return tuple(
        Charged(each.service, each.device_s, each.device_s / total if total > 0 else None, each.charged_bytes)
        for each in sorted(state.pipelines, key=lambda each: (-each.device_s, each.service))
    )
