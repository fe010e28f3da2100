"""Keeps one child process running until it is told to stop.

A child that ends by itself is started again after a back-off. It has a session of its own, so that Ctrl-C in the
terminal reaches the operator alone, which then drains its children in good order. It inherits a locked file: the lock
lasts exactly as long as the child, so that a new operator never runs an instance beside the one of a killed operator,
which is still on its way out.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import signal
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from framepilot_operator.cluster.backoff import restart_delay
from framepilot_operator.cluster.child_log import ChildLog
from framepilot_operator.manifests.last_words import last_words

LOCK_RETRY_S: Final = 0.2
LOG_LOOK_S: Final = 1.0
TAIL_BYTES: Final = 8192

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """How to start a child. `listen` is the file in which it names its address; `stdout` a file descriptor."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    log: ChildLog
    lock: Path
    listen: Path
    stdout: int | None = None
    drain_s: float = 30
    healthy_after_s: float = 30


class ChildProcess:
    """One supervised child. Used in one event loop."""

    def __init__(self, spec: ChildSpec, changed: Callable[[], None], jitter: Callable[[], float]) -> None:
        """`changed` is called at every start and end; `jitter` gives random numbers in 0..1."""
        self._spec = spec
        self._changed = changed
        self._jitter = jitter
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._process: Process | None = None
        self._starts = 0
        self._reason: str | None = "not started yet"

    @property
    def running(self) -> bool:
        """Whether there is a process now."""
        return self._process is not None

    @property
    def pid(self) -> int | None:
        """The process's id, while there is one."""
        return None if self._process is None else self._process.pid

    @property
    def restarts(self) -> int:
        """How often it was started again."""
        return max(0, self._starts - 1)

    @property
    def reason(self) -> str | None:
        """Why it does not run; None while it does."""
        return self._reason

    @property
    def address(self) -> str | None:
        """`HOST:PORT` on which the running process listens; None until it does."""
        if not self.running:
            return None
        try:
            return self._spec.listen.read_text(encoding="utf-8").strip() or None
        except FileNotFoundError:
            return None

    def start(self) -> None:
        """Keep a child running from now on."""
        self._task = asyncio.create_task(self._supervise())

    async def stop(self) -> None:
        """End the child gracefully: SIGTERM, time to drain, then SIGKILL. Idempotent."""
        self._stopping.set()
        if self._task is not None:
            await self._task

    async def _supervise(self) -> None:
        deaths_in_a_row = 0
        while not self._stopping.is_set():
            lock = _take_lock(self._spec.lock)
            if lock is None:
                self._reason = "an earlier process of this instance is still ending"
                await self._pause(LOCK_RETRY_S)
                continue
            started_at = asyncio.get_running_loop().time()
            self._reason = await self._run(lock)
            lived_s = asyncio.get_running_loop().time() - started_at
            deaths_in_a_row = 1 if lived_s >= self._spec.healthy_after_s else deaths_in_a_row + 1
            self._changed()
            await self._pause(restart_delay(deaths_in_a_row, self._jitter()))

    async def _run(self, lock: int) -> str:
        """One life of the child, from start to end; why it ended."""
        self._starts += 1
        try:
            process = await self._spawn(lock)
        except OSError as error:
            return f"cannot start {self._spec.command[0]}: {error}"
        finally:
            os.close(lock)
        self._process, self._reason = process, None
        self._changed()
        ended = asyncio.create_task(process.wait())
        told = asyncio.create_task(self._stopping.wait())
        while not (ended.done() or told.done()):
            await asyncio.wait((ended, told), timeout=LOG_LOOK_S, return_when=asyncio.FIRST_COMPLETED)
            self._rotate_log()
        told.cancel()
        if not ended.done():
            await self._drain(process, ended)
        self._process = None
        return _cause(ended.result(), self._spec.log.path)

    async def _spawn(self, lock: int) -> Process:
        self._spec.listen.unlink(missing_ok=True)
        with self._spec.log.begin() as log:
            return await asyncio.create_subprocess_exec(
                *self._spec.command,
                stdin=DEVNULL,
                stdout=self._spec.stdout,
                stderr=log,
                env=dict(self._spec.environment),
                start_new_session=True,
                pass_fds=(lock,),
            )

    def _rotate_log(self) -> None:
        try:
            self._spec.log.rotate()
        except OSError as error:
            logger.warning("the log %s cannot be kept small: %s", self._spec.log.path, error)

    async def _drain(self, process: Process, ended: asyncio.Task[int]) -> None:
        with suppress(ProcessLookupError):
            process.terminate()
        await asyncio.wait((ended,), timeout=self._spec.drain_s)
        if not ended.done():
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await ended

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)


def _take_lock(path: Path) -> int | None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _cause(return_code: int, log: Path) -> str:
    how = f"ended with status {return_code}" if return_code >= 0 else f"was ended by {_signal_name(-return_code)}"
    said = _read_last_words(log)
    return f"{how}; its last words: {said}" if said else how


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _read_last_words(log: Path) -> str | None:
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL_BYTES))
            return last_words(file.read().decode("utf-8", errors="replace"))
    except OSError:
        return None
