"""Builds the desired state of a service from its declaration, its plan, and what is known of the instance that runs it.

Two things here outlive a single look, and both are read from the document that was written last: `fallback`, the last
version that was observed serving, and `attempt`, which counts the edits of a module's model. So a refused version is
not tried again until somebody edits the declaration again, and nothing depends on what an operator remembers.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from framepilot.contract.desired import (
    DesiredModule,
    DesiredMotion,
    DesiredSink,
    DesiredState,
    DesiredStream,
    ModelRef,
    Pipeline,
    Rotation,
    SinkTls,
    SpoolSpace,
    Where,
)
from framepilot.contract.observed import ObservedModule, ObservedState
from framepilot.resources.quantities import amount, duration_ms, fraction
from framepilot.resources.service import InferenceService, ModelVersion, Module
from framepilot.resources.sink import Sink
from framepilot.resources.stream import Stream, Transport
from framepilot.rollouts.state import RolloutState
from framepilot_operator.planning.plan import ModulePlan, ServicePlan

UNASSIGNED_GENERATION = 1
"""What a document says until the cluster that stores it assigns the real generation."""


def desired_pipeline(
    service: InferenceService,
    uid: str,
    plan: ServicePlan,
    previous: DesiredState | None,
    observed: ObservedState | None,
    probes: tuple[DesiredSink, ...] = (),
) -> Pipeline:
    """What an instance shall run of a service.

    Args:
        service: what is declared.
        uid: of the service.
        plan: of the service; has every module of it.
        previous: what the instance was told last.
        observed: what it says of itself.
        probes: sinks that the operator adds to the declared ones.
    """
    before = pipeline_of(previous, service.key, uid)
    told = {} if before is None else {module.name: module for module in before.modules}
    serving = _serving(service.key, uid, previous, observed)
    planned = {module.name: module for module in plan.modules}
    return Pipeline(
        service=service.key,
        uid=uid,
        objective_ms=plan.objective_ms,
        reserve=service.spec.placement.reserve_fraction,
        limit=service.spec.placement.limit_fraction,
        memory_limit_bytes=service.spec.placement.memory_limit_bytes,
        time_limit_ms=service.spec.placement.time_limit_ms,
        credentials=service.spec.credentials_secret_name,
        streams=tuple(_stream(stream) for stream in service.spec.streams),
        modules=tuple(
            _module(service, module, planned[module.name], told.get(module.name), serving.get(module.name))
            for module in service.spec.modules
        ),
        sinks=(*(_sink(sink) for sink in service.spec.sinks), *probes),
    )


def pipeline_of(desired: DesiredState | None, service: str, uid: str) -> Pipeline | None:
    """The pipeline of a service in a document; what is there of an earlier service of its name is not its own."""
    pipelines = () if desired is None else desired.pipelines
    return next((each for each in pipelines if (each.service, each.uid) == (service, uid)), None)


def desired_state(uid: str, pipelines: Iterable[Pipeline]) -> DesiredState:
    """What an instance shall run; `uid` is its owner's. Of the generation nothing is meant."""
    ordered = tuple(sorted(pipelines, key=lambda pipeline: pipeline.service))
    return DesiredState(instance_uid=uid, generation=UNASSIGNED_GENERATION, pipelines=ordered)


def same_content(one: DesiredState | None, other: DesiredState) -> bool:
    """Whether two documents say the same, whatever their generations."""
    return one is not None and one.model_copy(update={"generation": other.generation}) == other


def _serving(
    service: str, uid: str, previous: DesiredState | None, observed: ObservedState | None
) -> dict[str, ObservedModule]:
    """What serves, as an answer to the document that was written last; nothing else can be attributed to it."""
    if previous is None or observed is None:
        return {}
    if (observed.instance_uid, observed.generation) != (previous.instance_uid, previous.generation):
        return {}
    return observed.modules_of(service, uid)


def _module(
    service: InferenceService,
    declared: Module,
    plan: ModulePlan,
    before: DesiredModule | None,
    observed: ObservedModule | None,
) -> DesiredModule:
    fallback = None if before is None else _promoted(before, observed)
    model = _pinned(
        ModelRef(
            name=declared.model.name,
            version=declared.model.version,
            uri=service.spec.models.uri_of(declared.model),
            sha256=declared.model.sha256,
            engine=declared.model.engine,
        ),
        fallback,
    )
    edited = before is not None and _edited(before.model, model, declared.model)
    return DesiredModule(
        name=declared.name,
        inputs=declared.inputs,
        where=Where() if declared.where is None else Where(min_score=declared.where.min_score_fraction),
        budget_ms=plan.budget_ms,
        batch=plan.batch,
        model=model,
        attempt=1 if before is None else before.attempt + edited,
        fallback=fallback,
    )


def _pinned(model: ModelRef, fallback: ModelRef | None) -> ModelRef:
    """The model, with the digest under which it served where the declaration names none."""
    if model.sha256 is not None or fallback is None:
        return model
    served = (fallback.name, fallback.version) == (model.name, model.version)
    return model.model_copy(update={"sha256": fallback.sha256}) if served else model


def _edited(before: ModelRef, model: ModelRef, declared: ModelVersion) -> bool:
    """Whether somebody declared another model or engine than before; a digest that is only pinned was not declared."""
    if (before.name, before.version, before.engine) != (model.name, model.version, model.engine):
        return True
    pinned_now = before.sha256 is None and declared.sha256 is None
    return before.sha256 != model.sha256 and not pinned_now


def _promoted(before: DesiredModule, observed: ObservedModule | None) -> ModelRef | None:
    """The fallback: the wished model once it is observed serving, until then the one there was."""
    if observed is None or observed.serving is None:
        return before.fallback
    rollout = observed.rollout
    if rollout is not None and (rollout.state, rollout.candidate) != (RolloutState.SERVING, before.model.version):
        return before.fallback
    serving = observed.serving
    if (observed.model, serving.version) != (before.model.name, before.model.version):
        return before.fallback
    if before.model.sha256 not in {None, serving.sha256} or not observed.runs_on(before.model.engine):
        return before.fallback
    return before.model.model_copy(update={"sha256": serving.sha256})


def _stream(stream: Stream) -> DesiredStream:
    return DesiredStream(
        name=stream.name,
        source=stream.source,
        fps=stream.fps,
        delivery=stream.effective_delivery,
        loop=stream.loop,
        realtime=stream.effective_realtime,
        priority=stream.priority,
        transport=(stream.transport or Transport.TCP).value,
        timeout_ms=stream.timeout_ms,
        motion=stream.motion
        and DesiredMotion(
            change=fraction(stream.motion.change), at_least_every_ms=duration_ms(stream.motion.at_least_every)
        ),
    )


def _sink(sink: Sink) -> DesiredSink:
    return DesiredSink(
        name=sink.name,
        type=sink.type.value,
        path=_path(sink.path),
        url=sink.url,
        rotate=sink.rotate and Rotation(size_bytes=int(amount(sink.rotate.size)), keep=sink.rotate.keep),
        spool=sink.spool and SpoolSpace(size_bytes=int(amount(sink.spool.size)), path=_path(sink.spool.path)),
        tls=sink.tls
        and SinkTls(ca=_path(sink.tls.ca), certificate=_path(sink.tls.certificate), key=_path(sink.tls.key)),
    )


def _path(path: str | None) -> Path | None:
    return None if path is None else Path(path)
