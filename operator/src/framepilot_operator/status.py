"""What is reported of a service: conditions and modules, from what was declared, planned and observed. Pure.

`Ready`: every module serves some version. `ModelsReady`: every module serves the declared one. `Feasible`: the plan
holds the objective. `Reconciling` and `Stalled` are those of kstatus: something is on its way, or will not come by
itself. Nothing here changes with every batch, so that an idle operator writes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from framepilot.contract.observed import ObservedModule, ObservedRollout
from framepilot.resources.meta import Condition, ConditionStatus
from framepilot.resources.service import InferenceServiceStatus, Module, ModuleStatus
from framepilot.rollouts.state import RolloutState
from framepilot_operator.cluster.port import DeclaredService, Instance
from framepilot_operator.planning.plan import ServicePlan

LONGEST_MESSAGE: Final = 4096
_SETTLED: Final = frozenset({RolloutState.SERVING, RolloutState.REFUSED})


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one service at one look.

    `pending`: its instance does not have its newest desired state yet. `problem`: why its newest declaration cannot be
    used. `failure`: why something could not be done for it; it is tried again.
    """

    service: DeclaredService
    plan: ServicePlan | None = None
    instance: Instance | None = None
    pending: bool = False
    problem: str | None = None
    failure: str | None = None

    def observed(self) -> Mapping[str, ObservedModule]:
        """The modules of this service as its instance reports them."""
        state = None if self.instance is None else self.instance.observed
        modules = () if state is None else state.modules
        return {module.name: module for module in modules if module.service == self.service.key}


@dataclass(frozen=True, slots=True)
class _Finding:
    """A condition without its times."""

    type: str
    status: ConditionStatus
    reason: str
    message: str


def service_status(facts: Facts, now: float) -> InferenceServiceStatus:
    """The status to report; `now` is Unix seconds. Times of conditions move only when their status changes."""
    generation = facts.service.generation
    before = {condition.type: condition for condition in facts.service.resource.status.conditions}
    findings = (_ready(facts), _reconciling(facts), _stalled(facts), _feasible(facts), _models_ready(facts))
    observed = facts.observed()
    return InferenceServiceStatus(
        observed_generation=generation,
        conditions=tuple(_condition(finding, before.get(finding.type), generation, now) for finding in findings),
        modules=tuple(_module(module, observed.get(module.name)) for module in facts.service.resource.spec.modules),
        instances=() if facts.instance is None else (facts.instance.name.rpartition("/")[2],),
    )


def _ready(facts: Facts) -> _Finding:
    if facts.instance is None:
        return _Finding("Ready", ConditionStatus.FALSE, "NoInstance", "There is no instance yet.")
    if not facts.instance.running:
        return _Finding("Ready", ConditionStatus.FALSE, "NotRunning", _because("The instance does not run", facts))
    if facts.instance.observed is None:
        return _Finding("Ready", ConditionStatus.FALSE, "NotObserved", _because("The instance does not answer", facts))
    observed = facts.observed()
    idle = [
        module.name
        for module in facts.service.resource.spec.modules
        if module.name not in observed or observed[module.name].serving is None
    ]
    if idle:
        return _Finding("Ready", ConditionStatus.FALSE, "NotServing", f"Nothing serves yet: {', '.join(idle)}.")
    return _Finding("Ready", ConditionStatus.TRUE, "Serving", "Every module serves.")


def _reconciling(facts: Facts) -> _Finding:
    reason, message = _under_way(facts) or ("UpToDate", "Nothing is on its way.")
    status = ConditionStatus.FALSE if reason == "UpToDate" else ConditionStatus.TRUE
    return _Finding("Reconciling", status, reason, message)


def _under_way(facts: Facts) -> tuple[str, str] | None:
    instance = facts.instance
    if facts.failure is not None:
        return "Retrying", f"It is tried again: {facts.failure}"
    if instance is None or facts.pending:
        return "Applying", "The desired state is being written."
    if not instance.running or instance.observed is None:
        return "Starting", _because("The instance is starting", facts)
    if instance.desired is not None and instance.observed.generation < instance.desired.generation:
        return "Applying", f"The instance has not taken over generation {instance.desired.generation} yet."
    rolling = [
        f"{name}: version {module.rollout.candidate} is {module.rollout.state.value}"
        for name, module in facts.observed().items()
        if module.rollout is not None and module.rollout.state not in _SETTLED
    ]
    return ("RollingOut", f"{'; '.join(rolling)}.") if rolling else None


def _stalled(facts: Facts) -> _Finding:
    reason, message = _stuck(facts) or ("Progressing", "Nothing stands in the way.")
    status = ConditionStatus.FALSE if reason == "Progressing" else ConditionStatus.TRUE
    return _Finding("Stalled", status, reason, message)


def _stuck(facts: Facts) -> tuple[str, str] | None:
    if facts.problem is not None:
        return "InvalidDeclaration", f"The newest declaration is not used, the one before is in force: {facts.problem}"
    state = None if facts.instance is None else facts.instance.observed
    if state is not None and state.error is not None:
        return "DesiredStateRefused", f"The instance does not take the desired state: {state.error}"
    refused = list(_refusals(facts))
    return ("ModelRefused", "; ".join(refused)) if refused else None


def _feasible(facts: Facts) -> _Finding:
    plan = facts.plan
    if plan is None or plan.feasible is None:
        reason = "There is no plan yet" if plan is None else plan.reason
        return _Finding("Feasible", ConditionStatus.UNKNOWN, "NotMeasured", f"It cannot be said yet: {reason}.")
    objective = f"{plan.objective_ms:g} ms"
    if plan.feasible:
        return _Finding("Feasible", ConditionStatus.TRUE, "Planned", f"The plan holds the objective of {objective}.")
    needed = (
        "" if plan.needed_ms is None else f"; an objective of about {_rounded_up(plan.needed_ms):g} ms could be held"
    )
    return _Finding(
        "Feasible", ConditionStatus.FALSE, "ObjectiveTooShort", f"No plan holds the objective of {objective}{needed}."
    )


def _models_ready(facts: Facts) -> _Finding:
    refused = list(_refusals(facts))
    if refused:
        return _Finding("ModelsReady", ConditionStatus.FALSE, "ModelRefused", "; ".join(refused))
    observed = facts.observed()
    if not observed:
        return _Finding("ModelsReady", ConditionStatus.UNKNOWN, "NotObserved", "No instance has reported its models.")
    missing = [
        _progress(module, observed.get(module.name))
        for module in facts.service.resource.spec.modules
        if not _serves(module, observed.get(module.name))
    ]
    if missing:
        return _Finding("ModelsReady", ConditionStatus.FALSE, "RollingOut", f"{'; '.join(missing)}.")
    return _Finding("ModelsReady", ConditionStatus.TRUE, "Serving", "Every module serves its declared version.")


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
    return serving.version == module.model.version and module.model.sha256 in {None, serving.sha256}


def _progress(module: Module, observed: ObservedModule | None) -> str:
    rollout = None if observed is None else observed.rollout
    if rollout is None or rollout.state in _SETTLED:
        return f"{module.name}: version {module.model.version} is not rolled out yet"
    return f"{module.name}: version {rollout.candidate} is {rollout.state.value}"


def _module(module: Module, observed: ObservedModule | None) -> ModuleStatus:
    if observed is None:
        return ModuleStatus(name=module.name)
    rollout, refusal = observed.rollout, _refusal(module, observed)
    return ModuleStatus(
        name=module.name,
        serving=None if observed.serving is None else observed.serving.version,
        candidate=None if rollout is None or rollout.state in _SETTLED else rollout.candidate,
        batch=observed.batch.size,
        refused=None if refusal is None else refusal.candidate,
    )


def _condition(finding: _Finding, before: Condition | None, generation: int, now: float) -> Condition:
    same = before is not None and before.status is finding.status
    return Condition(
        type=finding.type,
        status=finding.status,
        reason=finding.reason,
        message=finding.message[:LONGEST_MESSAGE],
        # Whole seconds, as Kubernetes stores times.
        last_transition_time=before.last_transition_time
        if same and before is not None
        else datetime.fromtimestamp(math.floor(now), UTC),
        observed_generation=generation,
    )


def _because(what: str, facts: Facts) -> str:
    reason = None if facts.instance is None else facts.instance.reason
    return f"{what}." if reason is None else f"{what}: {reason}"


def _rounded_up(value: float) -> float:
    """Two digits: noise in a profile must not change the message."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 1) if value > 0 else 1.0
    return math.ceil(value / unit) * unit
