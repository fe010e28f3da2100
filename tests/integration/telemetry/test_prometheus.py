"""What a Prometheus server says of devices, and what becomes of the view where it says something else, or nothing."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from framepilot_operator.cluster.device_watch import DeviceWatch
from framepilot_operator.cluster.port import Snapshot
from framepilot_operator.telemetry.device_view import DeviceView
from framepilot_operator.telemetry.measurement import Measurement, Origin, Quantity
from framepilot_operator.telemetry.prometheus import PrometheusClient, PrometheusError
from framepilot_operator.telemetry.prometheus_server import PrometheusServer
from framepilot_operator.telemetry.prometheus_watch import watch_prometheus
from support.broker import free_port
from support.device_target import DeviceTarget
from support.eventually import eventually
from support.prometheus import Prometheus
from support.seen_cluster import SeenCluster, on_gpu
from support.snapshots import OWNER

GPU = "GPU-5a0c1f2e"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def server(handler: Handler) -> AsyncIterator[str]:
    """A server that answers every request so; its address."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def ask(url: str, token_file: Path | None = None) -> tuple[Measurement, ...]:
    client = PrometheusClient(PrometheusServer(url, token_file), timeout_s=10)
    try:
        return await client.devices()
    finally:
        await client.close()


def matrix(at: float, value: str, name: str = "DCGM_FI_DEV_GPU_UTIL") -> web.Response:
    labels = {"__name__": name, "UUID": GPU, "Hostname": "node-a"}
    result = [{"metric": labels, "values": [[at, value]]}]
    return web.json_response({"status": "success", "data": {"resultType": "matrix", "result": result}})


async def login_page(_: web.Request) -> web.StreamResponse:
    return web.Response(text="<!DOCTYPE html><title>Log in</title>", content_type="text/html")


async def unauthorized(_: web.Request) -> web.StreamResponse:
    return web.Response(status=401, text="who are you?")


async def around(request: web.Request) -> web.StreamResponse:
    raise web.HTTPFound(request.path_qs)


async def broken(_: web.Request) -> web.StreamResponse:
    return web.Response(status=503)


async def endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):
        for _ in itertools.repeat(None):
            await response.write(b" " * 2**20)
    return response


async def cut_off(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'{"status":')
    assert request.transport is not None
    request.transport.close()
    return response


@pytest.mark.parametrize(
    ("handler", "message"),
    [
        (login_page, "not of Prometheus' API; it begins: '<!DOCTYPE html>"),
        (unauthorized, "HTTP 401: it takes a token"),
        (around, "HTTP 302: it sends on to /api/v1/query"),
        (broken, "HTTP 503"),
        (endless, "its answer has more than 16 MiB"),
        (cut_off, "ContentLengthError|[Nn]ot enough data|payload"),
    ],
)
async def test_what_is_no_answer_is_refused_with_the_address_and_what_it_was(handler: Handler, message: str) -> None:
    async with server(handler) as url:
        with pytest.raises(PrometheusError, match=f"{url}: .*({message})"):
            await ask(url)


async def test_a_server_that_is_down_is_an_error() -> None:
    with pytest.raises(PrometheusError, match="Cannot connect"):
        await ask(f"http://127.0.0.1:{free_port()}")


async def test_a_server_that_hangs_is_given_up() -> None:
    async def hang(_: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    async with server(hang) as url:
        client = PrometheusClient(PrometheusServer(url), timeout_s=0.2)
        with pytest.raises(PrometheusError, match=r"no answer within 0\.2 s"):
            await client.devices()
        await client.close()


async def test_a_token_is_read_at_each_question_and_a_missing_one_is_an_error(tmp_path: Path) -> None:
    seen: list[str | None] = []

    async def remember(request: web.Request) -> web.StreamResponse:
        seen.append(request.headers.get("Authorization"))
        return matrix(1.0, "40")

    token = tmp_path / "token"
    async with server(remember) as url:
        for text in ("one\n", "two\n"):
            token.write_text(text)
            await ask(url, token)
        token.unlink()
        with pytest.raises(PrometheusError, match="No such file"):
            await ask(url, token)
        token.write_text("a\nb")
        with pytest.raises(PrometheusError):
            await ask(url, token)
    assert seen == ["Bearer one", "Bearer two"]


@asynccontextmanager
async def watched(handler: Handler) -> AsyncIterator[Callable[[], Awaitable[Snapshot]]]:
    """An operator's view of an instance on a GPU whose NVML is silent, with such a Prometheus; it was asked once."""
    async with server(handler) as url:
        prometheus = watch_prometheus(PrometheusServer(url))
        assert prometheus is not None
        client = PrometheusClient(PrometheusServer(url), timeout_s=0.5)
        await prometheus.ask(client)
        cluster = DeviceWatch(SeenCluster(on_gpu(GPU, time.time(), nvml=False)), prometheus)
        yield cluster.observe
        await client.close()


async def seen(handler: Handler) -> tuple[DeviceView, str | None]:
    async with watched(handler) as observe:
        snapshot = await observe()
        return snapshot.device_views[OWNER], snapshot.device_sources["prometheus"]


async def test_a_view_has_what_prometheus_says_where_nvml_is_silent() -> None:
    async def good(_: web.Request) -> web.StreamResponse:
        return matrix(time.time(), "75")

    view, silence = await seen(good)
    assert silence is None
    assert view.utilization is not None
    assert (view.utilization.value, view.utilization.source) == (0.75, "DCGM exporter (node-a)")


@pytest.mark.parametrize(
    ("ahead_s", "value", "doubt"),
    [(600, "70", "ahead of this one"), (-50, "70", "s old"), (0, "NaN", "no number"), (0, "+Inf", "no number")],
)
async def test_what_cannot_be_believed_leaves_the_view_to_the_instance_and_is_said(
    ahead_s: float, value: str, doubt: str
) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return matrix(time.time() + ahead_s, value)

    view, silence = await seen(answer)
    assert silence is None
    assert view.utilization is not None
    assert view.utilization.source == "device thread (cameras/lobby)"
    (said,) = view.doubts
    assert doubt in said


@pytest.mark.parametrize("handler", [login_page, unauthorized, around, broken, cut_off])
async def test_a_server_that_does_not_answer_leaves_the_view_to_the_instance(handler: Handler) -> None:
    view, silence = await seen(handler)
    assert silence is not None
    assert view.utilization is not None
    assert view.utilization.source == "device thread (cameras/lobby)"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Prometheus, DeviceTarget, DeviceTarget]]:
    """A real Prometheus that scrapes what two targets say."""
    targets = DeviceTarget(), DeviceTarget()
    prometheus = Prometheus(
        tmp_path_factory.mktemp("prometheus"), {"gpu/dcgm": targets[0].address, "shop/door-1": targets[1].address}, ""
    )
    try:
        yield prometheus, *targets
    finally:
        prometheus.stop()
        for target in targets:
            target.close()


def dcgm(uuid: str, values: dict[str, object], at: float | None = None, **labels: str) -> str:
    pairs = {"gpu": "0", "UUID": uuid, "Hostname": "node-a", **labels}
    text = ",".join(f'{name}="{value}"' for name, value in pairs.items())
    stamp = "" if at is None else f" {int(at * 1000)}"
    return "".join(f"DCGM_FI_DEV_{name}{{{text}}} {value}{stamp}\n" for name, value in values.items())


def of(prometheus: Prometheus, uuid: str) -> list[Measurement]:
    """What the real server says of a GPU, in a loop of its own."""
    return [each for each in asyncio.run(ask(prometheus.url)) if each.uuid == uuid]


def value(found: list[Measurement], quantity: Quantity) -> list[float | None]:
    return [each.value for each in found if each.quantity is quantity]


def test_a_real_server_says_what_an_exporter_and_an_instance_export(site) -> None:
    prometheus, exporter, instance = site
    exporter.text = dcgm("GPU-a", {"GPU_UTIL": 75, "FB_USED": 1024, "FB_FREE": 3072}, pod="door-1", namespace="shop")
    instance.text = (
        'framepilot_device_info{device_class="nvidia-l4",device="NVIDIA L4",uuid="GPU-a"} 1\n'
        'framepilot_device_utilization_ratio{source="nvml"} 0.65\n'
        "framepilot_device_memory_used_bytes 1e9\n"
    )
    eventually(lambda: len(of(prometheus, "GPU-a")) == 5, "both targets to be scraped")
    found = of(prometheus, "GPU-a")
    # This server has a namespace of its own for the target, so the exporter's was renamed.
    assert {each.pod for each in found if each.origin is Origin.DCGM} == {"shop/door-1"}
    assert sorted(value(found, Quantity.UTILIZATION), key=str) == [0.65, 0.75]
    assert value(found, Quantity.MEMORY_TOTAL) == [4 * 2**30]
    assert all(abs(each.at - time.time()) < 60 for each in found)


def test_a_real_server_passes_on_what_is_no_number(site) -> None:
    prometheus, exporter, _ = site
    exporter.text = dcgm("GPU-b", {"GPU_UTIL": "NaN", "GPU_TEMP": "+Inf", "POWER_USAGE": 70})
    eventually(lambda: len(of(prometheus, "GPU-b")) == 3, "the exporter to be scraped")
    found = of(prometheus, "GPU-b")
    assert (value(found, Quantity.UTILIZATION), value(found, Quantity.TEMPERATURE)) == ([None], [None])
    assert value(found, Quantity.POWER) == [70]


def test_a_real_servers_old_samples_have_the_time_at_which_they_were_taken(site) -> None:
    prometheus, exporter, _ = site
    at = time.time() - 40
    exporter.text = dcgm("GPU-c", {"GPU_UTIL": 75}, at=at)
    eventually(lambda: of(prometheus, "GPU-c"), "the exporter to be scraped")
    (found,) = of(prometheus, "GPU-c")
    assert found.at == pytest.approx(at, abs=0.01)


def test_a_real_server_may_have_two_series_for_one_gpu(site) -> None:
    prometheus, exporter, _ = site
    exporter.text = dcgm("GPU-d", {"GPU_UTIL": 75}, pod="a") + dcgm("GPU-d", {"GPU_UTIL": 75}, pod="b")
    eventually(lambda: len(of(prometheus, "GPU-d")) == 2, "the exporter to be scraped")
    assert value(of(prometheus, "GPU-d"), Quantity.UTILIZATION) == [0.75, 0.75]


def test_an_instance_that_starts_again_counts_nothing_twice(site) -> None:
    prometheus, _, instance = site
    instance.text = 'framepilot_device_info{uuid="GPU-e"} 1\nframepilot_device_last_xid 79\n'
    eventually(lambda: value(of(prometheus, "GPU-e"), Quantity.LAST_XID) == [79], "the instance to be scraped")
    instance.text = 'framepilot_device_info{uuid="GPU-e"} 1\nframepilot_device_memory_used_bytes 5\n'
    eventually(lambda: value(of(prometheus, "GPU-e"), Quantity.MEMORY_USED) == [5], "the new process to be scraped")


def test_a_real_servers_own_error_is_said(site) -> None:
    prometheus, *_ = site
    with pytest.raises(PrometheusError, match="HTTP 404"):
        asyncio.run(ask(f"{prometheus.url}/nowhere"))
