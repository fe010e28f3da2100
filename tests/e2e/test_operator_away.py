"""The operator is away for a minute, in which patches are made and pods are killed: instances go on, and converge."""

from __future__ import annotations

from support.kubectl import until
from support.operator_release import OperatorRelease
from support.site import FPS, Site
from support.web_store import WebStore

AWAY_S = 60


def test_instances_go_on_without_the_operator_and_converge_when_it_is_back(
    site: Site, operator: OperatorRelease, slow_store: WebStore
) -> None:
    for name in ("yard", "lobby", "gate"):
        site.declare(name, batching={"mode": "Fixed", "size": 2}, models={"store": slow_store.url})
    for name in ("yard", "lobby", "gate"):
        site.wait_ready(name)
    site.patch_version("gate", "2")
    until("gate to be in the middle of a rollout", lambda: site.rollout("gate") == ("2", "Fetching"))

    operator.scale(0)
    try:
        untouched = site.container("yard")
        arrived = site.ledger("yard").arrived
        site.patch_batch("yard", 5)
        site.patch_batch("lobby", 4)
        site.patch_version("lobby", "2")
        gate_restarts = site.container("gate")[1]
        site.kill_container("gate")
        old = site.pod("lobby")["metadata"]["name"]
        site.kubectl("delete", "pod", old, "--wait=false")
        until("another pod of lobby", lambda: site.pod("lobby")["metadata"]["name"] != old)
        # Each finds the desired state of before: lobby one without its patches, gate one with a rollout, which it
        # begins anew beside the version that served.
        until("lobby to serve again", lambda: site.serving("lobby") == ("1", 2))
        until("gate to be started again", lambda: site.container("gate")[1] == gate_restarts + 1)
        until("gate to serve what it served", lambda: site.serving("gate") == ("1", 2))
        until("gate to go on with its rollout", lambda: site.rollout("gate") == ("2", "Fetching"))
        until("a minute of results of yard", lambda: site.ledger("yard").arrived >= arrived + FPS * AWAY_S)
        assert site.serving("yard") == ("1", 2)
        assert site.serving("lobby") == ("1", 2)
        assert site.serving("gate") == ("1", 2)
    finally:
        operator.scale(1)

    until("yard to converge", lambda: site.serving("yard") == ("1", 5))
    until("lobby to take its patches", lambda: site.serving("lobby")[1] == 4)
    slow_store.released.set()
    until("lobby to converge", lambda: site.serving("lobby") == ("2", 4))
    until("gate to converge", lambda: site.serving("gate") == ("2", 2))
    for name in ("yard", "lobby", "gate"):
        site.wait_ready(name)
    assert site.container("yard") == untouched
    ledger = site.ledger_beyond_now("yard")
    print(f"yard: {ledger.arrived} arrived, {ledger.missing} lost")
    assert ledger.whole
    assert ledger.epochs == 1
    # A pod that is deleted delivers what is in flight before it ends.
    assert site.ledger("lobby").whole
