"""Who leads: one at a time, never longer than the lease allows, and not for longer than needed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from kubernetes.aio.client.api_client import ApiClient

from framepilot_operator.cluster.kube_api import KubeApi
from framepilot_operator.kubernetes.connection import GuardedClient
from framepilot_operator.kubernetes.leader import Leadership, LeadershipLostError, LeaseSettings
from framepilot_operator.kubernetes.metrics import Metrics
from support.eventually import eventually_async
from support.lease_api import LeaseApi, lease_api

DURATION_S = 3


@pytest.fixture
async def server() -> AsyncIterator[LeaseApi]:
    async with lease_api() as api:
        yield api


@pytest.fixture
async def candidate(server: LeaseApi) -> AsyncIterator[Callable[..., Leadership]]:
    clients: list[ApiClient] = []

    def make(identity: str, **options: object) -> Leadership:
        clients.append(ApiClient(server.configuration()))
        return Leadership(
            KubeApi(clients[-1], Metrics().api_requests), LeaseSettings("ours", identity, DURATION_S), **options
        )

    yield make
    for client in clients:
        await client.close()


async def test_the_other_waits_while_one_leads_and_takes_over_when_it_is_gone(server, candidate):
    first, second = candidate("first"), candidate("second")
    await first.acquire()
    keeping, waiting = asyncio.create_task(first.keep()), asyncio.create_task(second.acquire())
    before = server.writes
    await eventually_async(lambda: server.writes >= before + DURATION_S + 2)
    assert server.holder == "first"
    assert not waiting.done()
    keeping.cancel()  # as a process that is killed: it gives nothing back
    await asyncio.wait_for(waiting, 10)
    assert server.holder == "second"


async def test_a_lease_given_back_is_free_at_once(server, candidate):
    first, second = candidate("first"), candidate("second")
    await first.acquire()
    await first.release()
    assert server.holder is None
    with pytest.raises(LeadershipLostError):
        first.check()
    assert await second._step()


async def test_a_lease_of_another_is_not_given_back(server, candidate):
    first = candidate("first")
    await first.acquire()
    server.hand_to("second")
    await first.release()
    assert server.holder == "second"


async def test_a_leader_that_did_not_run_for_a_while_may_not_write(candidate):
    now = 0.0
    leader = candidate("first", clock=lambda: now)
    await leader.acquire()
    leader.check()
    now = 2.1
    with pytest.raises(LeadershipLostError, match="did not run"):
        leader.check()
    with pytest.raises(LeadershipLostError):
        await asyncio.wait_for(leader.keep(), 10)


async def test_a_leader_stops_as_soon_as_it_sees_another(server, candidate):
    leader = candidate("first", clock=lambda: 0.0)
    await leader.acquire()
    server.hand_to("second")
    with pytest.raises(LeadershipLostError, match="held by second"):
        await asyncio.wait_for(leader.keep(), 10)


async def test_a_server_that_does_not_answer_costs_the_lease(server, candidate):
    leader = candidate("first")
    await leader.acquire()
    server.hangs = True
    with pytest.raises(LeadershipLostError, match="does not answer"):
        await asyncio.wait_for(leader.keep(), 10)


async def test_a_candidate_that_may_not_read_the_lease_says_so(server, candidate):
    server.forbids = True
    waiting = candidate("first")
    assert waiting.trouble is not None
    assert not await waiting._step()
    assert "forbidden" in str(waiting.trouble)
    server.forbids = False
    await waiting.acquire()
    assert waiting.trouble is None


async def test_who_may_not_write_only_reads(server):
    def never() -> None:
        raise LeadershipLostError("over")

    async with GuardedClient(server.configuration(), never) as client:
        leadership = Leadership(KubeApi(client, Metrics().api_requests), LeaseSettings("ours", "first", DURATION_S))
        assert not await leadership._step()
        assert "over" in str(leadership.trouble)
    assert server.lease is None
