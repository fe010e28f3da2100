"""Prometheus is asked beside the loop: less often while it fails, and that it fails is said once."""

from __future__ import annotations

import asyncio
import logging
from itertools import pairwise

import pytest

from framepilot_operator.cluster.device_watch import INSTANCES, PROMETHEUS, DeviceWatch
from framepilot_operator.kubernetes.measured import Measured
from framepilot_operator.kubernetes.metrics import Metrics
from framepilot_operator.telemetry.device_view import FRESH_S
from framepilot_operator.telemetry.measurement import Measurement, Origin, Quantity
from framepilot_operator.telemetry.prometheus import PrometheusError
from framepilot_operator.telemetry.prometheus_server import PrometheusServer
from framepilot_operator.telemetry.prometheus_watch import SELDOM_S, PrometheusWatch, pause_s
from support.eventually import eventually_async
from support.seen_cluster import SeenCluster, on_gpu
from support.snapshots import OWNER

NOW = 1000.0
SAID = (Measurement("GPU-1", Quantity.POWER, 70.0, NOW, Origin.DCGM, "node-a"),)


class Scripted:
    """Answers so, one after the other; then it hangs."""

    def __init__(self, *answers: tuple[Measurement, ...] | PrometheusError) -> None:
        self.answers = list(answers)
        self.hanging = asyncio.Event()
        self.closed = False

    async def devices(self) -> tuple[Measurement, ...]:
        if not self.answers:
            self.hanging.set()
            await asyncio.Event().wait()
        answer = self.answers.pop(0)
        if isinstance(answer, PrometheusError):
            raise answer
        return answer

    async def close(self) -> None:
        self.closed = True


async def test_going_away_and_coming_back_is_said_once_each(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    away = PrometheusError("http://prometheus: no answer within 4 s")
    client = Scripted(SAID, away, away, away, SAID, SAID)
    watch = PrometheusWatch(lambda: client)
    for _ in range(6):
        await watch.ask(client)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "no answer within 4 s" in caplog.text


async def test_what_was_said_last_is_kept_while_it_is_away():
    away = PrometheusError("away")
    client = Scripted(SAID, away)
    watch = PrometheusWatch(lambda: client)
    await watch.ask(client)
    assert (watch.latest, watch.silence) == (SAID, None)
    await watch.ask(client)
    assert (watch.latest, watch.silence) == (SAID, "away")


def test_it_is_asked_less_often_while_it_fails_but_never_given_up():
    pauses = [pause_s(5.0, failures) for failures in range(100)]
    assert pauses[0] == 5.0
    assert pauses[-1] == SELDOM_S
    assert all(shorter <= longer for shorter, longer in pairwise(pauses))


async def test_the_loop_waits_for_no_answer():
    client = Scripted()
    watch = PrometheusWatch(lambda: client)
    asking = asyncio.create_task(watch.run())
    await eventually_async(client.hanging.is_set)
    snapshot = await DeviceWatch(SeenCluster(on_gpu("GPU-1", NOW)), watch, lambda: NOW).observe()
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    assert snapshot.device_views[OWNER].utilization is not None
    assert snapshot.device_sources == {INSTANCES: None, PROMETHEUS: "Prometheus is being asked for the first time"}
    assert client.closed


async def test_it_is_asked_as_long_as_the_loop_goes_on():
    client = Scripted(SAID)
    watch = PrometheusWatch(lambda: client, every_s=0.001)

    class Going(SeenCluster):
        async def triggers(self):
            await client.hanging.wait()
            for trigger in ():
                yield trigger

    cluster = DeviceWatch(Going(on_gpu("GPU-1", NOW)), watch, lambda: NOW)
    assert [trigger async for trigger in cluster.triggers()] == []
    assert client.closed
    view = (await cluster.observe()).device_views[OWNER]
    assert view.values[Quantity.POWER].source == "DCGM exporter (node-a)"


async def test_a_mistake_of_ours_ends_the_asking_and_is_said(caplog: pytest.LogCaptureFixture):
    def connect() -> Scripted:
        raise RuntimeError("a mistake")

    class Going(SeenCluster):
        async def triggers(self):
            await eventually_async(lambda: "a mistake" in caplog.text)
            for trigger in ():
                yield trigger

    cluster = DeviceWatch(Going(on_gpu("GPU-1", NOW)), PrometheusWatch(connect), lambda: NOW)
    assert [trigger async for trigger in cluster.triggers()] == []


@pytest.mark.parametrize(("age_s", "up"), [(0.0, 1.0), (FRESH_S + 1, 0.0)])
async def test_the_operators_metrics_say_which_source_is_there(age_s: float, up: float):
    metrics = Metrics()
    await Measured(DeviceWatch(SeenCluster(on_gpu("GPU-1", NOW - age_s)), None, lambda: NOW), metrics).observe()
    name = "framepilot_operator_device_source_up"
    assert metrics.registry.get_sample_value(name, {"source": INSTANCES}) == up
    assert metrics.registry.get_sample_value(name, {"source": PROMETHEUS}) is None


@pytest.mark.parametrize(
    "url",
    ["prometheus:9090", "ftp://prometheus", "http://", "http://me:secret@host", "http://host:port", "http://host/?a=b"],
)
def test_an_address_that_is_none_is_refused(url: str):
    with pytest.raises(ValueError, match="http://HOST:PORT"):
        PrometheusServer(url)
