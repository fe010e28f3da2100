from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from framepilot.contract.observed import ObservedModule, ObservedPipeline, ObservedState, ObservedStream, StreamState
from framepilot.resources.meta import Condition
from framepilot.resources.service import InferenceServiceStatus
from framepilot.rollouts.state import RolloutState
from framepilot_operator.cluster.port import Instance
from framepilot_operator.placement import Unplaced
from framepilot_operator.planning.plan import ServicePlan
from framepilot_operator.status import Facts, service_status
from support.snapshots import OWNER, SERVICE, UID, declared, desired, module, observed, rollout, stream


def facts(*modules: ObservedModule, version: str = "1", generation: int = 1) -> Facts:
    """A service whose instance runs and reports these modules."""
    instance = Instance(
        owner=OWNER,
        uid=UID,
        desired=desired(generation=1),
        observed=observed(generation, modules=modules),
        running=True,
    )
    plan = ServicePlan(SERVICE, 200, (), "planned", worst_case_ms=100, feasible=True)
    return Facts(declared(version=version), plan, instance)


def condition(found: Facts, type_: str) -> Condition:
    return next(each for each in service_status(found, 1000).conditions if each.type == type_)


def said(found: Facts, type_: str) -> tuple[str, str]:
    return condition(found, type_).status.value, condition(found, type_).reason


def test_what_serves_as_declared_is_ready():
    found = facts(module())
    assert said(found, "Ready") == ("True", "Serving")
    assert said(found, "ModelsReady") == ("True", "Serving")
    assert said(found, "Feasible") == ("True", "Planned")
    assert said(found, "Reconciling") == ("False", "UpToDate")
    assert said(found, "Stalled") == ("False", "Progressing")


def test_a_refused_version_leaves_the_service_ready_and_says_why():
    found = facts(module(rollout=rollout(RolloutState.REFUSED, "2", 0, reason="a digest is wrong")), version="2")
    assert said(found, "Ready") == ("True", "Serving")
    assert said(found, "ModelsReady") == ("False", "ModelRefused")
    assert said(found, "Stalled") == ("True", "ModelRefused")
    sentence = "face: version 2 was refused: a digest is wrong; version 1 goes on serving"
    assert condition(found, "ModelsReady").message == sentence
    status = service_status(found, 1000).modules[0]
    assert (status.serving, status.refused, status.candidate, status.batch) == ("1", "2", None, 8)


def test_an_old_refusal_is_forgotten_when_another_version_is_declared():
    found = facts(module(rollout=rollout(RolloutState.REFUSED, "2", 0)), version="1")
    assert said(found, "ModelsReady") == ("True", "Serving")
    assert service_status(found, 1000).modules[0].refused is None


def test_a_rollout_that_is_under_way_is_reconciling():
    found = facts(module(rollout=rollout(RolloutState.WARMING, "2", 0)), version="2")
    assert said(found, "Reconciling") == ("True", "RollingOut")
    assert said(found, "ModelsReady") == ("False", "RollingOut")
    assert service_status(found, 1000).modules[0].candidate == "2"


def test_a_version_that_its_store_does_not_give_is_awaited_and_says_why():
    found = facts(module(rollout=rollout(RolloutState.FETCHING, "2", 0, reason="the store is away")), version="2")
    assert said(found, "Reconciling") == ("True", "RollingOut")
    assert said(found, "ModelsReady") == ("False", "ModelUnavailable")
    assert said(found, "Stalled") == ("False", "Progressing")
    sentence = "face: version 2 is being fetched: the store is away; it is tried again."
    assert condition(found, "ModelsReady").message == condition(found, "Reconciling").message == sentence


def test_a_model_for_which_its_instance_has_too_little_memory_is_awaited_and_says_why():
    why = "it needs about 300 MiB of memory to be loaded, and 120 MiB of 2,048 MiB are free"
    waiting = module(rollout=rollout(RolloutState.FETCHING, "1", 0, reason=why)).model_copy(update={"serving": None})
    found = facts(waiting)
    assert said(found, "Ready") == ("False", "NotServing")
    assert said(found, "ModelsReady") == ("False", "ModelUnavailable")
    assert condition(found, "ModelsReady").message == f"face: version 1 is being fetched: {why}; it is tried again."


def test_an_instance_that_has_not_taken_the_newest_state_over_is_reconciling():
    assert said(facts(module(), generation=0), "Reconciling") == ("True", "Applying")
    assert said(replace(facts(module()), pending=True), "Reconciling") == ("True", "Applying")


def test_an_instance_that_does_not_run_says_why():
    found = facts()
    stopped = replace(found.instance, running=False, observed=None, reason="ended with status 3")
    found = replace(found, instance=stopped)
    assert said(found, "Ready") == ("False", "NotRunning")
    assert "ended with status 3" in condition(found, "Ready").message
    assert said(found, "Reconciling") == ("True", "Starting")
    assert said(replace(found, instance=None), "Ready") == ("False", "NoInstance")


def test_a_module_that_serves_nothing_is_not_ready():
    found = facts(module().model_copy(update={"serving": None}))
    assert said(found, "Ready") == ("False", "NotServing")


def test_an_objective_that_no_plan_holds_says_what_could_be_held():
    found = facts(module())
    found = replace(found, plan=ServicePlan(SERVICE, 200, (), "too slow", 400, feasible=False, needed_ms=512.3))
    assert said(found, "Feasible") == ("False", "ObjectiveTooShort")
    assert "about 520 ms" in condition(found, "Feasible").message


def keeping(attainment: float | None, objective_ms: float | None = 200, uid: str = UID) -> Facts:
    """The service, of which such a share of frames keeps to this objective."""
    found = facts(module())
    pipeline = ObservedPipeline(service=SERVICE, uid=uid, objective_ms=objective_ms, attainment=attainment)
    state = found.instance.observed.model_copy(update={"pipelines": (pipeline,)})
    return replace(found, instance=replace(found.instance, observed=state))


def test_an_objective_that_most_frames_keep_to_is_met():
    found = keeping(0.995)
    assert said(found, "ObjectiveMet") == ("True", "Met")
    assert service_status(found, 1000).attainment == "99%"


def test_an_objective_that_frames_miss_says_how_many_do_and_what_could_be_held():
    found = keeping(0.5)
    assert said(found, "ObjectiveMet") == ("False", "Missed")
    assert condition(found, "ObjectiveMet").message == (
        "About 51% of the frames are delivered within 200 ms, and 99% are to be."
    )
    too_short = replace(found, plan=ServicePlan(SERVICE, 200, (), "too slow", 400, feasible=False, needed_ms=512.3))
    assert "about 520 ms could be held" in condition(too_short, "ObjectiveMet").message
    assert service_status(found, 1000).attainment == "51%"


def test_what_is_missed_is_missed_until_clearly_fewer_frames_are_late():
    missed = service_status(keeping(0.97), 1000)
    assert said(reporting(keeping(0.993), missed), "ObjectiveMet") == ("False", "Missed")
    assert said(reporting(keeping(0.996), missed), "ObjectiveMet") == ("True", "Met")
    edited = missed.model_copy(update={"observed_generation": 0})
    assert said(reporting(keeping(0.993), edited), "ObjectiveMet") == ("True", "Met")


def test_what_was_measured_of_another_objective_or_service_or_not_at_all_says_nothing_of_this_one():
    for found in (keeping(0.5, objective_ms=300), keeping(0.5, uid="declared again"), keeping(None), facts()):
        assert said(found, "ObjectiveMet") == ("Unknown", "NotMeasured")
        assert service_status(found, 1000).attainment is None


def test_an_app_that_does_not_say_how_it_keeps_to_the_objective_is_read():
    state = facts(module()).instance.observed.model_dump(mode="json", by_alias=True)
    for pipeline in state["pipelines"]:
        del pipeline["attainment"]
    found = facts(module())
    found = replace(found, instance=replace(found.instance, observed=ObservedState.model_validate(state)))
    assert said(found, "ObjectiveMet") == ("Unknown", "NotMeasured")


def test_a_service_that_gets_no_device_is_not_feasible_and_says_who_has_it():
    found = replace(facts(), shortage="nvidia.com/gpu is held by cameras/hall")
    assert said(found, "Feasible") == ("False", "NoDevice")
    assert condition(found, "Feasible").message == "It gets no device: nvidia.com/gpu is held by cameras/hall."


def test_an_objective_that_does_not_fit_beside_others_names_them():
    plan = ServicePlan(SERVICE, 200, (), "too slow", 400, feasible=False, needed_ms=512.3)
    found = replace(facts(module()), plan=plan, beside=("cameras/hall", "cameras/yard"))
    assert "200 ms beside cameras/hall, cameras/yard on one device;" in condition(found, "Feasible").message


def test_a_service_without_a_place_is_stalled_and_not_under_way():
    found = replace(facts(), instance=None, plan=None, unplaced=Unplaced("RuntimeNotFound", "there is no runtime"))
    assert said(found, "Stalled") == ("True", "RuntimeNotFound")
    assert said(found, "Reconciling") == ("False", "UpToDate")
    assert said(found, "Ready") == ("False", "NoInstance")
    assert condition(found, "Stalled").message == "It has no place: there is no runtime"


def test_one_that_is_refused_a_place_and_runs_still_says_that_it_does():
    found = replace(facts(module()), plan=None, unplaced=Unplaced("ReserveTooLarge", "others hold it"))
    assert said(found, "Ready") == ("True", "Serving")
    assert said(found, "Stalled") == ("True", "ReserveTooLarge")
    message = condition(found, "Stalled").message
    assert message == "It has no place: others hold it; what it was declared before goes on where it runs"


def test_what_another_service_of_the_name_does_in_the_instance_is_not_this_ones():
    found = replace(facts(module()), service=replace(declared(), uid="declared again"))
    assert said(found, "Ready") == ("False", "NotServing")
    assert said(found, "ModelsReady") == ("Unknown", "NotObserved")
    assert service_status(found, 1000).modules[0].serving is None


def test_a_sink_that_fails_is_told_of_its_own_service_alone():
    def failing(service: str) -> Facts:
        pipelines = (
            ObservedPipeline(service=service, uid=UID, error="sink 'events': the disk is full"),
            *(() if service == SERVICE else (ObservedPipeline(service=SERVICE, uid=UID),)),
        )
        found = facts(module())
        state = found.instance.observed.model_copy(update={"pipelines": pipelines})
        return replace(found, instance=replace(found.instance, observed=state))

    assert said(failing(SERVICE), "Stalled") == ("True", "SinkFailed")
    assert "the disk is full" in condition(failing(SERVICE), "Stalled").message
    assert said(failing("cameras/hall"), "Stalled") == ("False", "Progressing")


def test_an_invalid_declaration_and_a_failure_are_told():
    found = facts(module())
    assert said(replace(found, problem="min 9 is larger than max 3"), "Stalled") == ("True", "InvalidDeclaration")
    assert said(replace(found, failure="the disk is full"), "Reconciling") == ("True", "Retrying")


def test_the_time_of_a_condition_moves_only_when_its_status_does():
    first = service_status(facts(module()), 1000.7)
    reported = reporting(facts(module()), first)
    later = service_status(reported, 2000)
    assert later == first
    assert later.conditions[0].last_transition_time == datetime.fromtimestamp(1000, UTC)
    broken = replace(reported, instance=replace(reported.instance, running=False))
    times = {each.type: each.last_transition_time.timestamp() for each in service_status(broken, 2000).conditions}
    assert times["Ready"] == 2000
    assert times["Feasible"] == 1000


def reporting(found: Facts, status: InferenceServiceStatus) -> Facts:
    resource = found.service.resource.model_copy(update={"status": status})
    return replace(found, service=replace(found.service, resource=resource))


def with_streams(*streams: ObservedStream) -> Facts:
    found = facts(module())
    state = found.instance.observed.model_copy(update={"streams": streams})
    return replace(found, instance=replace(found.instance, observed=state))


def in_trouble(state: StreamState, why: str | None, name: str = "door", **changed: object) -> ObservedStream:
    return stream(state, name=name).model_copy(update={"trouble": why, **changed})


def test_a_camera_that_is_stalled_is_said_by_name_with_the_reason():
    found = with_streams(in_trouble(StreamState.STALLED, "no frame for 5 s"), stream(name="yard"))
    assert said(found, "StreamsReady") == ("False", "StreamStalled")
    assert condition(found, "StreamsReady").message == "door: no frame for 5 s."
    assert said(found, "Ready") == ("True", "Serving")


def test_streams_that_give_frames_or_have_ended_are_in_order():
    found = with_streams(stream(), stream(StreamState.ENDED, name="film"))
    assert said(found, "StreamsReady") == ("True", "Reading")
    assert said(facts(), "StreamsReady") == ("Unknown", "NotObserved")


def test_a_file_that_failed_is_said():
    found = with_streams(stream(StreamState.FAILED, name="film", reason="it is no video"))
    assert said(found, "StreamsReady") == ("False", "StreamFailed")
    assert condition(found, "StreamsReady").message == "film: it is no video."


def test_a_camera_that_comes_and_goes_changes_the_status_of_its_service_once():
    states = [(StreamState.STALLED, "gone"), (StreamState.RUNNING, None), (StreamState.STALLED, "refused")]
    flapping = [
        in_trouble(state, "gone", reason=reason, reconnects=count, fps=float(count))
        for count, (state, reason) in enumerate(states)
    ]
    statuses = {service_status(with_streams(each), 1000).model_dump_json() for each in flapping}
    assert len(statuses) == 1


def test_streams_of_another_service_in_the_instance_are_not_this_ones():
    found = with_streams(in_trouble(StreamState.STALLED, "gone").model_copy(update={"service": "cameras/other"}))
    assert said(found, "StreamsReady") == ("Unknown", "NotObserved")
