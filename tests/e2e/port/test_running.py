"""An instance that runs: what reaches its process, what it costs, what is kept of what it measured."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest

from framepilot.resources.meta import ConditionStatus
from framepilot.resources.parse import parse_resource
from framepilot.resources.profile import MEASURED_LABEL, ModelProfile
from framepilot_operator.cluster import kube_api
from framepilot_operator.cluster.port import ClusterError, Snapshot, WriteProfile
from support.images.build import INFERENCE_APP
from support.kubectl import Kubectl
from support.port_operator import OBJECT, Operators, instance_of, patch_size, stored
from support.resources import profile_document
from support.site import Site

pytestmark = pytest.mark.usefixtures("alone")


def in_force(size: int) -> Callable[[Snapshot], bool]:
    """Whether a model serves with this batch size, as the newest desired state says."""

    def settled(snapshot: Snapshot) -> bool:
        instance = instance_of(snapshot)
        desired, observed = instance.desired, instance.observed
        if desired is None or observed is None or observed.generation != desired.generation or not observed.modules:
            return False
        return observed.modules[0].serving is not None and observed.modules[0].batch.size == size

    return settled


def up_to_date(snapshot: Snapshot) -> bool:
    """Whether it is told that nothing is on its way any more."""
    (service,) = snapshot.services
    return any(
        condition.type == "Reconciling" and condition.status is ConditionStatus.FALSE
        for condition in service.resource.status.conditions
    )


async def test_a_change_reaches_the_running_process_and_a_lost_nudge_is_repeated(
    namespace: Kubectl, operators: Operators, site: Site, images: dict[str, str]
) -> None:
    site.declare("lobby", batching={"mode": "Fixed", "size": 4})
    operator = operators(image=images[INFERENCE_APP])
    await operator.settle("the first model to serve", in_force(4))
    before = site.container("lobby")
    for size in (8, 2, 16):
        patch_size(namespace, size)
        await operator.settle(f"batches of {size}", in_force(size))
    # As if an operator had ended between the two writes: nobody has told the pod.
    following = stored(namespace).model_copy(update={"generation": 99})
    patch = json.dumps({"data": {"desired.json": following.to_json()}})
    namespace("patch", "configmap", OBJECT, "--type=merge", "-p", patch)
    await operator.settle("what nobody was told of", in_force(16))
    annotations = site.pod("lobby")["metadata"]["annotations"]
    assert annotations["framepilot.dev/generation"] == "99"
    assert "framepilot.dev/nudge" in annotations
    assert site.container("lobby") == before
    profiles = (await operator.look()).profiles
    assert [profile.spec.model for profile in profiles] == ["age"]


async def test_a_running_service_costs_no_request_but_its_status(
    operators: Operators, site: Site, images: dict[str, str]
) -> None:
    site.declare("lobby", batching={"mode": "Fixed", "size": 4})
    operator = operators(image=images[INFERENCE_APP])
    await operator.settle("the model to serve", lambda snapshot: in_force(4)(snapshot) and up_to_date(snapshot))
    assert (await operator.settled()).changed is False
    before = operator.counted()
    for _ in range(20):
        await operator.reconcile_untold()
        await asyncio.sleep(0.1)
    assert operator.counted() == before


async def test_a_measured_profile_is_kept_and_a_persons_stands_before_it(
    namespace: Kubectl, operators: Operators, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kube_api, "PAGE", 2)
    document = profile_document()
    document["metadata"]["namespace"] = namespace.namespace
    labelled = {**document["metadata"], "labels": {MEASURED_LABEL: "true"}}
    measured = parse_resource({**document, "metadata": labelled}, "test")
    assert isinstance(measured, ModelProfile)
    operator = operators()
    await operator.look()
    await operator.cluster.apply(WriteProfile(measured))
    (kept,) = (await operator.cluster.observe()).profiles
    assert kept.spec == measured.spec
    namespace.apply(*({**document, "metadata": {"name": f"z-by-hand-{number}"}} for number in range(4)))
    # More than two pages, and the last of them in the alphabet come first.
    names = [profile.metadata.name for profile in (await operators().look()).profiles]
    assert names == [*(f"z-by-hand-{number}" for number in range(4)), measured.metadata.name]


async def test_a_persons_profile_is_not_written_over(namespace: Kubectl, operators: Operators) -> None:
    document = profile_document()
    document["metadata"]["namespace"] = namespace.namespace
    namespace.apply(document)
    theirs = parse_resource(document, "test")
    assert isinstance(theirs, ModelProfile)
    operator = operators()
    await operator.look()
    other = theirs.model_copy(update={"spec": theirs.spec.model_copy(update={"engine": "torch"})})
    with pytest.raises(ClusterError, match="is somebody else's"):
        await operator.cluster.apply(WriteProfile(other))
    (kept,) = (await operators().look()).profiles
    assert kept.spec == theirs.spec
