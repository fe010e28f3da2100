"""What the page is made of, over HTTP from a real app: its files, the history, pictures, and who may see them."""

from __future__ import annotations

import asyncio
import json
import re

import aiohttp
import cv2
import numpy as np
import pytest

from support.app_process import AppProcess

DOOR = "/page/streams/shop/lobby/door.jpg"


async def get(lobby, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://{lobby.address}{path}", headers=headers) as answer,
    ):
        return answer.status, dict(answer.headers), await answer.read()


async def look(lobby, path: str = DOOR) -> tuple[dict[str, str], bytes]:
    """The newest picture, as soon as there is one."""
    while True:
        status, headers, body = await get(lobby, path)
        if status == 200:
            return headers, body
        assert status == 204
        await asyncio.sleep(0.02)


async def test_the_page_names_only_files_of_its_own_and_the_browser_is_held_to_that(lobby):
    status, headers, body = await get(lobby, "/")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    text = body.decode()
    linked = [link for link in re.findall(r'(?:src|href)="([^"]+)"', text) if not link.startswith("#")]
    assert linked
    for link in linked:
        assert (await get(lobby, f"/{link}"))[0] == 200
    assert not re.search(r"<script(?![^>]*src=)|<style|\son\w+=|\sstyle=", text)
    for name in {link for link in linked if link.endswith((".js", ".css", ".svg"))}:
        asset = (await get(lobby, f"/{name}"))[2].decode().replace("http://www.w3.org/2000/svg", "")
        assert "://" not in asset
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write", asset)


async def test_a_picture_is_of_the_newest_frame_and_changes_with_it(lobby):
    headers, first = await look(lobby)
    assert headers["Content-Type"] == "image/jpeg"
    assert headers["Framepilot-Frame"].startswith("shop/lobby/door/")
    assert int(headers["Framepilot-Age-Ms"]) >= 0
    assert cv2.imdecode(np.frombuffer(first, np.uint8), cv2.IMREAD_COLOR).shape == (360, 640, 3)
    later = headers
    while later["Framepilot-Frame"] == headers["Framepilot-Frame"]:
        later, second = await look(lobby)
    assert first != second


async def test_two_streams_have_two_pictures(lobby):
    headers, _ = await look(lobby, "/page/streams/shop/lobby/till.jpg")
    assert headers["Framepilot-Frame"].startswith("shop/lobby/till/")


@pytest.mark.parametrize("path", ["/page/streams/shop/lobby/none.jpg", "/page/streams/shop/none/door.jpg"])
async def test_a_stream_that_is_not_there_has_no_picture(lobby, path):
    status, _, body = await get(lobby, path)
    assert status == 404
    assert b"/status lists them" in body


async def test_the_history_goes_on_after_what_a_reader_has(lobby):
    read: list[int] = []
    while len(read) < 3:
        answer = json.loads((await get(lobby, f"/page/history?after={read[-1] if read else 0}"))[2])
        read += [sample["number"] for sample in answer["samples"]]
        await asyncio.sleep(0.02)
    assert read == list(range(1, len(read) + 1))


@pytest.mark.parametrize("after", ["-1", "x", "1.5", "", "9" * 30, "%D9%A1"])
async def test_a_number_that_is_none_is_refused(lobby, after):
    status, _, body = await get(lobby, f"/page/history?after={after}")
    assert (status, body[:7]) == (400, b"`after`")


@pytest.mark.parametrize("path", ["/", DOOR, "/page/history", "/page/page.js"])
async def test_a_host_name_that_was_made_to_point_here_sees_nothing(lobby, path):
    status, _, body = await get(lobby, path, Host="evil.example")
    assert status == 403
    assert b"kubectl port-forward" in body
    assert (await get(lobby, "/status", Host="evil.example"))[0] == 200


async def test_nothing_can_be_changed(lobby):
    async with aiohttp.ClientSession() as session:
        for path in ("/", DOOR, "/page/history"):
            async with session.post(f"http://{lobby.address}{path}") as answer:
                assert answer.status == 405


def test_without_the_page_all_else_is_answered(tmp_path):
    app = AppProcess(tmp_path, "--page", "off")
    assert [app.get(path)[0] for path in ("/", "/page/history", "/page/page.js", "/status")] == [404, 404, 404, 200]
    assert app.stop() == 0
