"""Which instance runs which services."""

from __future__ import annotations

import re
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from framepilot.resources.runtime import InferenceRuntime, InferenceRuntimeSpec
from framepilot.resources.template import InstanceTemplate, Resources
from framepilot_operator.cluster.port import (
    DeclaredRuntime,
    DeclaredService,
    Instance,
    Problem,
    RemoveRuntime,
    Snapshot,
    WriteRuntime,
)
from framepilot_operator.manifests.owner import Owner
from framepilot_operator.placement import Placement, Unplaced, implicit_name, placed
from support.snapshots import declared_runtime, desired, named, wanting, within

GPU = "example.com/gpu"


def implicit(*services: DeclaredService) -> DeclaredRuntime:
    """The runtime that the operator declared for them."""
    template = services[0].resource.spec.template
    runtime = declared_runtime(implicit_name(template))
    resource = runtime.resource.model_copy(update={"spec": InferenceRuntimeSpec(template=template)})
    return replace(runtime, resource=resource, implicit=True, services=frozenset(each.uid for each in services))


def running(owner: Owner, *services: str) -> Instance:
    """An instance that was told to run these."""
    (pipeline,) = desired().pipelines
    pipelines = tuple(pipeline.model_copy(update={"service": service}) for service in services)
    return Instance(owner, "u", desired().model_copy(update={"pipelines": pipelines}), running=True)


def members(placement: Placement) -> dict[str, list[str]]:
    return {str(group.owner): [service.key for service in group.services] for group in placement.groups}


def test_a_service_without_a_wish_has_an_instance_of_its_own() -> None:
    assert members(placed(Snapshot((named("one"), named("two"))))) == {
        "cameras/one": ["cameras/one"],
        "cameras/two": ["cameras/two"],
    }


def test_services_that_name_the_same_runtime_share_it_and_it_is_theirs_by_its_uid() -> None:
    services = (within("shared", named("two")), within("shared", named("one")))
    placement = placed(Snapshot(services, (declared_runtime("shared"), declared_runtime("idle"))))
    assert members(placement) == {"runtime cameras/shared": ["cameras/one", "cameras/two"]}
    assert placement.groups[0].uid == "uid of shared"
    assert placement.runtimes == ()


def test_the_same_device_in_the_same_template_is_shared_and_nothing_else_is() -> None:
    other = wanting(named("other"), "example.com/npu")
    alone = wanting(named("alone"), GPU, isolated=True)
    asked = placed(Snapshot((wanting(named("one")), wanting(named("two")), other, alone, named("cpu"))))
    assert members(asked) == {"cameras/alone": ["cameras/alone"], "cameras/cpu": ["cameras/cpu"]}
    assert asked.waiting == {"cameras/one", "cameras/two", "cameras/other"}
    written = [change for change in asked.runtimes if isinstance(change, WriteRuntime)]
    assert [dict(change.services) for change in written] == [{"one": "one", "two": "two"}, {"other": "other"}]
    assert [change.runtime.spec.template.devices for change in written] == [{GPU: 1}, {"example.com/npu": 1}]


def test_an_implicit_runtime_is_written_again_only_for_a_service_that_it_does_not_know() -> None:
    one, two = wanting(named("one")), wanting(named("two"))
    both = implicit(one, two)
    assert placed(Snapshot((one, two), (both,))).runtimes == ()
    assert placed(Snapshot((one,), (both,))).runtimes == ()
    (change,) = placed(Snapshot((one, two), (implicit(one),))).runtimes
    assert isinstance(change, WriteRuntime)
    assert dict(change.services) == {"one": "one", "two": "two"}
    again = replace(two, uid="declared again")
    (change,) = placed(Snapshot((one, again), (both,))).runtimes
    assert isinstance(change, WriteRuntime)
    assert change.services["two"] == "declared again"


def test_an_implicit_runtime_that_somebody_edited_is_written_again_and_one_of_nobody_goes() -> None:
    one = wanting(named("one"))
    edited = implicit(one)
    spec = InferenceRuntimeSpec(template=InstanceTemplate(resources=Resources(limits={GPU: "2"})))
    resource: InferenceRuntime = edited.resource.model_copy(update={"spec": spec})
    (change,) = placed(Snapshot((one,), (replace(edited, resource=resource),))).runtimes
    assert isinstance(change, WriteRuntime)
    assert change.runtime.spec.template == one.resource.spec.template
    assert placed(Snapshot((), (edited, declared_runtime("a-persons")))).runtimes == (
        RemoveRuntime(edited.key, edited.uid),
    )


def test_a_runtime_of_a_person_is_never_written_over() -> None:
    one = wanting(named("one"))
    theirs = replace(implicit(one), implicit=False, services=frozenset())
    placement = placed(Snapshot((one,), (theirs,)))
    assert placement.runtimes == ()
    assert members(placement) == {f"runtime {theirs.key}": ["cameras/one"]}


def test_an_instance_that_runs_nothing_any_more_is_abandoned() -> None:
    old = running(Owner.service("cameras/one"), "cameras/one")
    moved = within("shared", named("one"))
    placement = placed(Snapshot((moved,), (declared_runtime("shared"),), (old,)))
    assert placement.abandoned == (old.owner,)
    assert placed(Snapshot(instances=(old,))).abandoned == (old.owner,)


def test_a_service_leaves_its_instance_only_for_another_one() -> None:
    old = running(Owner.service("cameras/one"), "cameras/one")
    for service in (wanting(named("one")), within("missing", named("one"))):
        placement = placed(Snapshot((service,), (), (old,)))
        assert (placement.groups, placement.abandoned, placement.kept) == ((), (), {"cameras/one"})


def test_what_cannot_be_used_stays_where_it_runs_and_so_does_its_runtime() -> None:
    one = wanting(named("one"))
    runtime = implicit(one)
    there = running(Owner.runtime(runtime.key), "cameras/one")
    problems = (Problem("one", "from the future", "cameras/one"),)
    placement = placed(Snapshot((), (runtime,), (there,), problems=problems))
    assert (placement.groups, placement.abandoned, placement.runtimes) == ((), (), ())


def test_a_service_without_its_runtime_is_told_what_to_do() -> None:
    placement = placed(Snapshot((within("missing", named("one")),)))
    assert placement.unplaced == {
        "cameras/one": Unplaced(
            "RuntimeNotFound",
            "there is no InferenceRuntime 'missing' in namespace 'cameras'; declare it, or remove placement.runtimeRef",
        )
    }
    assert placement.waiting == frozenset()


def test_a_service_that_is_refused_its_reserve_stays_where_it_runs_and_takes_nothing_from_those_who_come_there():
    """It wants to leave its instance, and nobody may have what it holds before it could."""
    elsewhere, here = Owner.runtime("cameras/elsewhere"), Owner.runtime("cameras/here")
    services = (
        within("elsewhere", named("full"), "90%"),
        within("elsewhere", named("one"), "60%"),
        within("here", named("two"), "60%"),
    )
    (pipeline,) = desired().pipelines
    instances = tuple(
        Instance(owner, "u", desired().model_copy(update={"pipelines": pipelines}), running=True)
        for owner, pipelines in (
            (elsewhere, (pipeline.model_copy(update={"service": "cameras/full", "reserve": 0.9}),)),
            (here, (pipeline.model_copy(update={"service": "cameras/one", "reserve": 0.6}),)),
        )
    )
    placement = placed(Snapshot(services, (declared_runtime("elsewhere"), declared_runtime("here")), instances))
    assert {key: each.reason for key, each in placement.unplaced.items()} == {
        "cameras/one": "ReserveTooLarge",
        "cameras/two": "ReserveTooLarge",
    }
    assert members(placement) == {"runtime cameras/elsewhere": ["cameras/full"]}
    assert (placement.kept, placement.abandoned) == ({"cameras/one", "cameras/two"}, ())


@given(
    st.dictionaries(st.sampled_from(["cpu", "memory", GPU, "nvidia.com/mig-1g.5gb"]), st.integers(1, 9), min_size=1),
    st.randoms(use_true_random=False),
)
def test_the_name_of_an_implicit_runtime_is_that_of_its_template_however_it_is_written(limits, random) -> None:
    limits = {GPU: 1, **limits}
    names = list(limits)
    random.shuffle(names)
    one = InstanceTemplate(resources=Resources(limits={name: str(count) for name, count in limits.items()}))
    other = InstanceTemplate(resources=Resources(limits={name: str(limits[name]) for name in names}))
    assert implicit_name(one) == implicit_name(other)
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", implicit_name(one))
    more = InstanceTemplate(resources=Resources(limits={**one.resources.limits, "cpu": "64"}))
    assert implicit_name(more) != implicit_name(one)
