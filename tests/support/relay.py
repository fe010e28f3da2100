"""A TCP port before a server's, through which everything goes as it is, or slowly, or changed to garbage."""

from __future__ import annotations

import asyncio
import random
import threading
from contextlib import suppress
from enum import StrEnum

CHUNK_BYTES = 4096
SLOW_BYTES_PER_S = 2000


class Passage(StrEnum):
    """What becomes of what goes through."""

    WHOLE = "whole"
    SLOW = "slow"
    GARBAGE = "garbage"  # of what the server says; it is told what its clients say


class Relay:
    """Between the clients of `port` and the server that listens at `target`, both on the loopback interface."""

    def __init__(self, target: int) -> None:
        self.port = 0
        self.passage = Passage.WHOLE
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._listening = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))
        self._thread.start()
        assert self._listening.wait(10)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join()
        self._loop.close()

    async def _serve(self) -> None:
        self._closing = asyncio.Event()
        self._open: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._listening.set()
        await self._closing.wait()
        server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        task.add_done_callback(self._open.discard)
        # Either side may be gone at any moment; then so is the other.
        with suppress(OSError):
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
            there = asyncio.create_task(self._pump(reader, far_writer, says_server=False))
            back = asyncio.create_task(self._pump(far_reader, writer, says_server=True))
            try:
                await asyncio.wait((there, back), return_when=asyncio.FIRST_COMPLETED)
            finally:
                there.cancel()
                back.cancel()
                await asyncio.gather(there, back, return_exceptions=True)
                far_writer.close()
        writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, says_server: bool) -> None:
        while data := await reader.read(CHUNK_BYTES):
            if self.passage is Passage.GARBAGE and says_server:
                data = random.Random(len(data)).randbytes(len(data))
            elif self.passage is Passage.SLOW:
                await asyncio.sleep(len(data) / SLOW_BYTES_PER_S)
            writer.write(data)
            await writer.drain()
