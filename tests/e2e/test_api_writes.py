"""What the operator writes to the API server: nothing while nothing happens, and little for a change."""

from __future__ import annotations

import time
from collections import Counter

from support.kubectl import until
from support.operator_release import OperatorRelease
from support.site import KIND, Site

IDLE_S = 120.0
PASSES = 5
OFTEN = Counter({("patch", "inferenceservices/status"): 9, ("create", "events"): 4, ("patch", "pods"): 4})
"""At most so many for one change: a status for each step that it goes through, an Event for what a person may want to
hear, and a pod is told again if it does not follow in time."""


def settle(operator: OperatorRelease) -> None:
    """Wait until the operator looks at everything a few times without writing anything."""

    def quiet() -> bool:
        writes, passes = operator.api_writes(), operator.passes()
        until("more passes", lambda: operator.passes() >= passes + PASSES)
        return operator.api_writes() == writes

    until("the operator to write nothing", quiet)


def test_an_idle_operator_writes_nothing_whatever_state_its_services_are_in(
    site: Site, operator: OperatorRelease
) -> None:
    template = site.service("nowhere")["spec"]["template"]
    site.declare("serving", batching={"mode": "Fixed", "size": 2})
    site.declare("refusing")
    site.declare("nowhere", template=template | {"nodeSelector": {"nowhere": "at-all"}})
    site.declare("invalid", models={"store": "file:models"})
    site.declare("too-slow", objective={"latency": "1ms"})
    site.declare("broken", modules=[{"name": "age", "model": {"name": "age", "version": "tampered"}}])
    site.declare("absent", modules=[{"name": "age", "model": {"name": "age", "version": "9"}}])
    for name in ("serving", "refusing", "too-slow"):
        site.wait_ready(name)
    site.patch_version("refusing", "tampered")
    until("the refusal", lambda: site.module("refusing").get("refused") == "tampered")
    until("the other refusal", lambda: site.module("broken").get("refused") == "tampered")
    until("the absence", lambda: site.kubectl.condition(KIND, "absent", "ModelsReady")["reason"] == "ModelUnavailable")
    settle(operator)
    before, passes = operator.api_writes(), operator.passes()
    time.sleep(IDLE_S)
    assert operator.api_writes() - before == {}
    print(f"idle for {IDLE_S:.0f} s: {operator.passes() - passes:.0f} passes, no writes but the lease's")


def test_a_change_costs_few_writes(site: Site, operator: OperatorRelease) -> None:
    settle(operator)
    costs = {}

    def count(what: str) -> None:
        nonlocal before
        site.wait_ready("lobby")
        settle(operator)
        after = operator.api_writes()
        costs[what], before = after - before, after
        print(f"{what}: {sum(costs[what].values())} writes: {dict(costs[what])}")

    before = operator.api_writes()
    site.declare("lobby", batching={"mode": "Fixed", "size": 2})
    count("a new service")
    site.patch_batch("lobby", 7)
    until("batch 7", lambda: site.serving("lobby") == ("1", 7))
    count("another batch size")
    site.patch_version("lobby", "2")
    until("version 2", lambda: site.serving("lobby") == ("2", 7))
    count("another version")
    new, batch, version = costs.values()
    once = Counter({("create", "configmaps"): 1, ("patch", "services"): 1, ("patch", "deployments"): 1})
    desired, profile = Counter({("patch", "configmaps"): 1}), Counter({("patch", "modelprofiles"): 1})
    # What serves is written down as soon as it is known: the desired state a second time, and what was measured.
    assert new - OFTEN == once + desired + profile
    assert batch - OFTEN == desired
    assert version - OFTEN == desired + desired + profile
