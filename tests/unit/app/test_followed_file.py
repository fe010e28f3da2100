"""The file of desired state is followed, however it is written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from framepilot_app.control import desired_file
from framepilot_app.control.desired_file import follow
from framepilot_app.stamp import Stamp

PATIENCE_S = 30.0


async def next_of(found: AsyncIterator[bytes | OSError]) -> bytes | OSError:
    return await asyncio.wait_for(anext(found), PATIENCE_S)


def in_place(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def renamed(path: Path, content: bytes) -> None:
    new = path.with_suffix(".new")
    new.write_bytes(content)
    new.replace(path)


def linked(path: Path, content: bytes) -> None:
    """As kubelet does it: what is behind the link is another file."""
    target = path.with_name(f"{len([*path.parent.iterdir()])}.json")
    target.write_bytes(content)
    link = path.with_suffix(".link")
    link.symlink_to(target)
    link.replace(path)


@pytest.mark.parametrize("write", [in_place, renamed, linked])
def test_new_content_is_found_whatever_way_it_is_written(tmp_path: Path, write):
    path = tmp_path / "desired.json"

    async def run() -> None:
        found = follow(path, read_s=1e9)
        assert isinstance(await next_of(found), FileNotFoundError)
        for content in (b"one", b"two", b"six"):
            write(path, content)
            assert await next_of(found) == content
        path.unlink()
        assert isinstance(await next_of(found), FileNotFoundError)

    asyncio.run(run())


def test_the_same_content_is_given_once(tmp_path: Path):
    path = tmp_path / "desired.json"
    path.write_bytes(b"one")

    async def run() -> None:
        found = follow(path)
        assert await next_of(found) == b"one"
        renamed(path, b"one")
        waiting = asyncio.ensure_future(anext(found))
        await asyncio.sleep(0)
        renamed(path, b"two")
        assert await asyncio.wait_for(waiting, PATIENCE_S) == b"two"

    asyncio.run(run())


def test_content_that_does_not_look_new_is_found_a_little_later(tmp_path: Path, monkeypatch):
    path = tmp_path / "desired.json"
    path.write_bytes(b"one")
    monkeypatch.setattr(desired_file, "_looks", lambda _: Stamp(1, 1, 1, 1, 1))

    async def run() -> None:
        found = follow(path, read_s=0.05)
        assert await next_of(found) == b"one"
        path.write_bytes(b"two")
        assert await next_of(found) == b"two"

    asyncio.run(run())
