"""What is reported of a service: conditions and modules, from what was declared, planned and observed. Pure.

`Ready`: every module serves some version. `ModelsReady`: every module serves the declared one. `StreamsReady`: every
stream gives frames, or has come to its end. `Feasible`: the plan holds the objective. `ObjectiveMet`: the frames do.
`Reconciling` and `Stalled` are those of kstatus: something is on its way, or will not come by itself. Nothing here
changes with every batch, so that an idle operator writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from framepilot.contract.observed import (
    ObservedModule,
    ObservedPipeline,
    ObservedRollout,
    ObservedStream,
    StreamState,
)
from framepilot.resources.conditions import Finding, conditions
from framepilot.resources.meta import Condition, ConditionStatus
from framepilot.resources.plan import PlanStatus
from framepilot.resources.service import InferenceServiceStatus, Module, ModuleStatus
from framepilot.rollouts.state import SETTLED, RolloutState
from framepilot_operator.attainment import coarse, objective_met
from framepilot_operator.cluster.port import DeclaredService, Instance
from framepilot_operator.instance_health import not_ready, refused, under_way
from framepilot_operator.placement import Unplaced
from framepilot_operator.planning.plan import ServicePlan
from framepilot_operator.planning.plan_status import plan_status, rounded_up


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one service at one look.

    `beside`: the services that share its instance. `pending`: its instance does not have its newest desired state yet.
    `shortage`: the device that its instance waits for, and who has it. `unplaced`: why no instance shall run it.
    `problem`: why its newest declaration cannot be used. `failure`: why something could not be done for it; it is tried
    again.
    """

    service: DeclaredService
    plan: ServicePlan | None = None
    instance: Instance | None = None
    beside: tuple[str, ...] = ()
    pending: bool = False
    shortage: str | None = None
    unplaced: Unplaced | None = None
    problem: str | None = None
    failure: str | None = None

    def observed(self) -> Mapping[str, ObservedModule]:
        """The modules of this service as its instance reports them."""
        state = None if self.instance is None else self.instance.observed
        return {} if state is None else state.modules_of(self.service.key, self.service.uid)

    def streams(self) -> tuple[ObservedStream, ...]:
        """The streams of this service as its instance reports them."""
        state = None if self.instance is None else self.instance.observed
        return () if state is None else state.streams_of(self.service.key, self.service.uid)

    def sink_error(self) -> str | None:
        """What its instance says of its sinks."""
        pipeline = self._pipeline()
        return None if pipeline is None else pipeline.error

    def attainment(self) -> float | None:
        """The share of its latest frames that were within the declared objective, as its instance says."""
        pipeline = self._pipeline()
        if pipeline is None or pipeline.objective_ms != self.service.resource.spec.objective.latency_ms:
            return None
        return pipeline.attainment

    def _pipeline(self) -> ObservedPipeline | None:
        state = None if self.instance is None else self.instance.observed
        return None if state is None else state.pipeline(self.service.key, self.service.uid)


def service_status(facts: Facts, now: float) -> InferenceServiceStatus:
    """The status to report; `now` is Unix seconds. Times of conditions move only when their status changes."""
    generation = facts.service.generation
    reported = facts.service.resource.status
    objective = facts.service.resource.spec.objective
    # What was found of another declaration, of another objective perhaps, is no measure for this one.
    found = reported.attainment if reported.observed_generation == generation else None
    attainment = coarse(facts.attainment(), objective, found)
    findings = (
        _ready(facts),
        _reconciling(facts),
        _stalled(facts),
        _feasible(facts),
        objective_met(attainment, objective, _could_be_held(facts.plan)),
        _models_ready(facts),
        _streams_ready(facts),
    )
    now_true = conditions(findings, reported.conditions, generation, now)
    observed = facts.observed()
    return InferenceServiceStatus(
        observed_generation=generation,
        conditions=now_true,
        modules=tuple(_module(module, observed.get(module.name)) for module in facts.service.resource.spec.modules),
        instances=() if facts.instance is None else (facts.instance.owner.name,),
        plan=_plan(facts, now_true),
        attainment=attainment,
    )


def _plan(facts: Facts, now_true: Sequence[Condition]) -> PlanStatus | None:
    """What is planned; where nothing could be, what was goes on."""
    reported = facts.service.resource.status
    if facts.plan is None:
        return reported.plan
    # A plan that holds the objective, and one that does not, are decided for different reasons.
    feasible = [[each.status for each in every if each.type == "Feasible"] for every in (reported.conditions, now_true)]
    return plan_status(facts.plan, reported.plan if feasible[0] == feasible[1] else None)


def _ready(facts: Facts) -> Finding:
    missing = not_ready(facts.instance)
    if missing is not None:
        return Finding("Ready", ConditionStatus.FALSE, *missing)
    observed = facts.observed()
    idle = [
        module.name
        for module in facts.service.resource.spec.modules
        if module.name not in observed or observed[module.name].serving is None
    ]
    if idle:
        return Finding("Ready", ConditionStatus.FALSE, "NotServing", f"Nothing serves yet: {', '.join(idle)}.")
    return Finding("Ready", ConditionStatus.TRUE, "Serving", "Every module serves.")


def _reconciling(facts: Facts) -> Finding:
    reason, message = _under_way(facts) or ("UpToDate", "Nothing is on its way.")
    status = ConditionStatus.FALSE if reason == "UpToDate" else ConditionStatus.TRUE
    return Finding("Reconciling", status, reason, message)


def _under_way(facts: Facts) -> tuple[str, str] | None:
    if facts.failure is not None:
        return "Retrying", f"It is tried again: {facts.failure}"
    if facts.unplaced is not None:
        return None
    coming = under_way(facts.instance, pending=facts.pending)
    if coming is not None:
        return coming
    rolling = [
        f"{name}: {_way(module.rollout)}"
        for name, module in facts.observed().items()
        if module.rollout is not None and module.rollout.state not in SETTLED
    ]
    return ("RollingOut", f"{'; '.join(rolling)}.") if rolling else None


def _stalled(facts: Facts) -> Finding:
    reason, message = _stuck(facts) or ("Progressing", "Nothing stands in the way.")
    status = ConditionStatus.FALSE if reason == "Progressing" else ConditionStatus.TRUE
    return Finding("Stalled", status, reason, message)


def _stuck(facts: Facts) -> tuple[str, str] | None:
    if facts.problem is not None:
        return "InvalidDeclaration", f"The newest declaration is not used, the one before is in force: {facts.problem}"
    if facts.unplaced is not None:
        before = "" if facts.instance is None else "; what it was declared before goes on where it runs"
        return facts.unplaced.reason, f"It has no place: {facts.unplaced.message}{before}"
    not_taken = refused(facts.instance)
    if not_taken is not None:
        return not_taken
    refusals = list(_refusals(facts))
    if refusals:
        return "ModelRefused", "; ".join(refusals)
    sink_error = facts.sink_error()
    return None if sink_error is None else ("SinkFailed", f"Results are not written: {sink_error}")


def _feasible(facts: Facts) -> Finding:
    plan = facts.plan
    if facts.shortage is not None:
        return Finding("Feasible", ConditionStatus.FALSE, "NoDevice", f"It gets no device: {facts.shortage}.")
    if plan is None or plan.feasible is None:
        reason = "There is no plan yet" if plan is None else plan.reason
        return Finding("Feasible", ConditionStatus.UNKNOWN, "NotMeasured", f"It cannot be said yet: {reason}.")
    objective = f"{plan.objective_ms:g} ms"
    if plan.feasible:
        return Finding("Feasible", ConditionStatus.TRUE, "Planned", f"The plan holds the objective of {objective}.")
    beside = f" beside {', '.join(facts.beside)} on one device" if facts.beside else ""
    message = f"No plan holds the objective of {objective}{beside}{_could_be_held(plan)}."
    return Finding("Feasible", ConditionStatus.FALSE, "ObjectiveTooShort", message)


def _could_be_held(plan: ServicePlan | None) -> str:
    """The nearest objective, for the end of a sentence, where none that is planned holds the declared one."""
    if plan is None or plan.feasible is not False or plan.needed_ms is None:
        return ""
    return f"; an objective of about {rounded_up(plan.needed_ms):g} ms could be held"


def _models_ready(facts: Facts) -> Finding:
    refusals = list(_refusals(facts))
    if refusals:
        return Finding("ModelsReady", ConditionStatus.FALSE, "ModelRefused", "; ".join(refusals))
    observed = facts.observed()
    if not observed:
        return Finding("ModelsReady", ConditionStatus.UNKNOWN, "NotObserved", "No instance has reported its models.")
    missing = [
        _progress(module, observed.get(module.name))
        for module in facts.service.resource.spec.modules
        if not _serves(module, observed.get(module.name))
    ]
    if missing:
        delayed = any(
            module.rollout is not None and module.rollout.state not in SETTLED and module.rollout.reason
            for module in observed.values()
        )
        reason = "ModelUnavailable" if delayed else "RollingOut"
        return Finding("ModelsReady", ConditionStatus.FALSE, reason, f"{'; '.join(missing)}.")
    return Finding("ModelsReady", ConditionStatus.TRUE, "Serving", "Every module serves its declared version.")


def _streams_ready(facts: Facts) -> Finding:
    streams = facts.streams()
    if not streams:
        return Finding("StreamsReady", ConditionStatus.UNKNOWN, "NotObserved", "No instance has reported its streams.")
    # What a stream says of its trouble changes seldom, whatever it does meanwhile.
    failed = [f"{stream.name}: {stream.reason}" for stream in streams if stream.state is StreamState.FAILED]
    stalled = [f"{stream.name}: {stream.trouble}" for stream in streams if stream.trouble is not None]
    if failed or stalled:
        reason = "StreamFailed" if failed else "StreamStalled"
        return Finding("StreamsReady", ConditionStatus.FALSE, reason, f"{'; '.join([*failed, *stalled])}.")
    return Finding("StreamsReady", ConditionStatus.TRUE, "Reading", "No stream is in trouble.")


def _refusals(facts: Facts) -> Iterator[str]:
    """One sentence for each module whose declared version was refused."""
    observed = facts.observed()
    for module in facts.service.resource.spec.modules:
        found = observed.get(module.name)
        rollout = _refusal(module, found)
        if found is None or rollout is None:
            continue
        serving = "nothing serves" if found.serving is None else f"version {found.serving.version} goes on serving"
        reason = rollout.reason or "no reason given"
        yield f"{module.name}: version {rollout.candidate} was refused: {reason}; {serving}"


def _refusal(module: Module, observed: ObservedModule | None) -> ObservedRollout | None:
    rollout = None if observed is None else observed.rollout
    if rollout is None or rollout.state is not RolloutState.REFUSED:
        return None
    # An earlier verdict about a version that is declared no more is of no interest.
    return rollout if rollout.candidate == module.model.version else None


def _serves(module: Module, observed: ObservedModule | None) -> bool:
    serving = None if observed is None else observed.serving
    if serving is None or observed is None or observed.model != module.model.name:
        return False
    if not observed.runs_on(module.model.engine):
        return False
    return serving.version == module.model.version and module.model.sha256 in {None, serving.sha256}


def _progress(module: Module, observed: ObservedModule | None) -> str:
    rollout = None if observed is None else observed.rollout
    if rollout is None or rollout.state in SETTLED:
        return f"{module.name}: version {module.model.version} is not rolled out yet"
    return f"{module.name}: {_way(rollout)}"


def _way(rollout: ObservedRollout) -> str:
    """How far a version has come, and why it does not come further now.

    Loading takes a few states and a second or two: that each is seen is not worth a write.
    """
    if rollout.state is not RolloutState.FETCHING:
        return f"version {rollout.candidate} is being loaded and checked"
    reason = f": {rollout.reason}; it is tried again" if rollout.reason else ""
    return f"version {rollout.candidate} is being fetched{reason}"


def _module(module: Module, observed: ObservedModule | None) -> ModuleStatus:
    if observed is None:
        return ModuleStatus(name=module.name)
    rollout, refusal = observed.rollout, _refusal(module, observed)
    return ModuleStatus(
        name=module.name,
        serving=None if observed.serving is None else observed.serving.version,
        candidate=None if rollout is None or rollout.state in SETTLED else rollout.candidate,
        batch=observed.batch.size,
        refused=None if refusal is None else refusal.candidate,
    )
