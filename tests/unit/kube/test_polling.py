"""Asking processes for their `/status`, over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from framepilot.contract.observed import ObservedPipeline, ObservedState
from framepilot_operator.cluster.kube_polling import Pace, StatusPolling, Target
from framepilot_operator.telemetry.status_client import StatusClient
from support.eventually import eventually_async
from support.snapshots import SERVICE, UID, module, observed

OFTEN = Pace(settled_s=0.01, eager_s=0.01)


@dataclass
class App:
    """What a process says of itself, and how often it was asked."""

    state: object = None
    asked: int = 0
    address: str = ""
    told: list[str] = field(default_factory=list)


@pytest.fixture
async def app() -> AsyncIterator[App]:
    served = App(observed(1))

    async def status(_: web.Request) -> web.Response:
        served.asked += 1
        if served.state is None:
            return web.Response(status=503)
        return web.Response(text=served.state.model_dump_json())

    application = web.Application()
    application.add_routes([web.get("/status", status)])
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    served.address = "{}:{}".format(*runner.addresses[0][:2])
    yield served
    await runner.cleanup()


@pytest.fixture
async def polling(app: App, request: pytest.FixtureRequest) -> AsyncIterator[StatusPolling]:
    client = StatusClient(5)
    made = StatusPolling(client, getattr(request, "param", OFTEN), app.told.append, lambda: 42.0)
    yield made
    await made.close()
    await client.close()


def target(app: App, generation: int = 1) -> Target:
    return Target("cameras/lobby", "u", app.address, generation)


async def asked_again(app: App, times: int = 3) -> None:
    enough = app.asked + times
    await eventually_async(lambda: app.asked >= enough, "the process to be asked again")


async def test_what_a_process_says_is_known_and_dated(app: App, polling: StatusPolling) -> None:
    polling.follow({"p/0": target(app)})
    await eventually_async(lambda: polling.heard("p/0").observed is not None)
    assert polling.heard("p/0").observed == observed(1)
    assert polling.heard("p/0").at == 42.0


async def test_somebody_is_told_of_changes_that_matter_and_of_nothing_else(app: App, polling: StatusPolling) -> None:
    app.state = observed(1, [module(items=1)])
    polling.follow({"p/0": target(app)})
    await eventually_async(lambda: app.told == ["cameras/lobby"])
    app.state = observed(1, [module(items=2)])
    await asked_again(app)
    assert app.told == ["cameras/lobby"]
    app.state = observed(1, [module(size=4, items=3)])
    await eventually_async(lambda: app.told == ["cameras/lobby"] * 2)


async def test_nobody_is_told_that_frames_keep_to_the_objective_a_little_better_or_worse(
    app: App, polling: StatusPolling
) -> None:
    def keeping(attainment: float | None, objective_ms: float = 200) -> ObservedState:
        pipeline = ObservedPipeline(service=SERVICE, uid=UID, objective_ms=objective_ms, attainment=attainment)
        return observed(1).model_copy(update={"pipelines": (pipeline,)})

    app.state = keeping(None)
    polling.follow({"p/0": target(app)})
    await eventually_async(lambda: app.told == ["cameras/lobby"])
    for attainment in (0.5, 0.501):
        app.state = keeping(attainment)
        await eventually_async(lambda: polling.heard("p/0").observed == app.state)
    assert app.told == ["cameras/lobby"]
    app.state = keeping(0.501, objective_ms=300)
    await eventually_async(lambda: app.told == ["cameras/lobby"] * 2)


async def test_a_process_that_falls_silent_keeps_what_it_said_and_says_why_no_more(
    app: App, polling: StatusPolling
) -> None:
    polling.follow({"p/0": target(app)})
    await eventually_async(lambda: polling.heard("p/0").observed is not None)
    app.state = None
    await eventually_async(lambda: polling.heard("p/0").silence is not None)
    assert "503" in str(polling.heard("p/0").silence)
    assert polling.heard("p/0").observed == observed(1)


async def test_what_another_instance_says_at_the_same_address_is_not_believed(app: App, polling: StatusPolling) -> None:
    polling.follow({"p/0": Target("cameras/lobby", "another", app.address, 1)})
    await eventually_async(lambda: polling.heard("p/0").silence is not None)
    assert polling.heard("p/0").observed is None


async def test_a_process_that_is_gone_is_forgotten_and_asked_no_more(app: App, polling: StatusPolling) -> None:
    polling.follow({"p/0": target(app)})
    await eventually_async(lambda: polling.heard("p/0").observed is not None)
    polling.follow({"p/1": target(app)})
    assert polling.heard("p/0").observed is None
    await eventually_async(lambda: polling.heard("p/1").observed is not None)


@pytest.mark.parametrize("polling", [Pace(settled_s=3600, eager_s=0.01)], indirect=True)
async def test_a_settled_process_is_asked_at_once_when_it_was_told_something_new(
    app: App, polling: StatusPolling
) -> None:
    app.state = observed(1, [module()])
    polling.follow({"p/0": target(app)})
    await eventually_async(lambda: polling.heard("p/0").observed is not None)
    assert app.asked == 1
    app.state = observed(2, [module()])
    polling.follow({"p/0": target(app, generation=2)})
    await eventually_async(lambda: polling.heard("p/0").observed == observed(2, [module()]))


@pytest.mark.parametrize("polling", [Pace(settled_s=3600, eager_s=0.01)], indirect=True)
@pytest.mark.parametrize("state", [observed(0, [module()]), observed(1, [module()]).model_copy(update={"modules": ()})])
async def test_a_process_with_something_under_way_is_asked_often(
    app: App, polling: StatusPolling, state: object
) -> None:
    app.state = state
    polling.follow({"p/0": target(app, generation=1 if state.generation == 0 else 2)})
    await asked_again(app, 5)
