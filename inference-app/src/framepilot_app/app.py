"""The inference app: builds the threads, follows the desired state, answers over HTTP, and ends gracefully."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import torch
from prometheus_client import CollectorRegistry

from framepilot.contract.events import StreamKey
from framepilot.contract.observed import Device, DeviceUse, ObservedState, ParameterBytes
from framepilot.scheduling.headroom import HEADROOM
from framepilot_app.control.controller import SETTLE_S, Controller
from framepilot_app.control.desired_file import follow
from framepilot_app.control.journal import Journal
from framepilot_app.credentials import Credentials
from framepilot_app.models.parameters import ParameterStore, UnsharedStore
from framepilot_app.models.store import ModelStore
from framepilot_app.modules.device import BatchDone, DeviceThread, ItemsDropped
from framepilot_app.modules.gate import Gate
from framepilot_app.modules.headroom import Headroom
from framepilot_app.modules.memory_limits import rooms
from framepilot_app.modules.merger import Merger, NoSharing
from framepilot_app.modules.parameter_accounts import NOTHING, ParameterAccounts
from framepilot_app.modules.pipeline import Pipeline
from framepilot_app.modules.stage_engines import StageEngines
from framepilot_app.modules.work import Workers
from framepilot_app.service import Machinery
from framepilot_app.sinks.newest import NewestFrames
from framepilot_app.sinks.rounds import Rounds
from framepilot_app.streams.hub import Hub, make_reader
from framepilot_app.supervision.deaths import Deaths
from framepilot_app.supervision.watchdog import Watchdog
from framepilot_app.telemetry.device_use import BusyReading, BusyWindow, device_use
from framepilot_app.telemetry.gpu_names import AUTO, NONE, gpu_names
from framepilot_app.telemetry.gpu_watcher import GpuWatcher
from framepilot_app.telemetry.history import EVERY_S, History
from framepilot_app.telemetry.metrics import Failures, Metrics, StateCollector
from framepilot_app.telemetry.nvml import Nvml
from framepilot_app.telemetry.sampling import Sampler
from framepilot_app.telemetry.status import add, observed_modules, observed_pipeline, observed_streams, past, totals
from framepilot_app.web.access import Access
from framepilot_app.web.page import Page
from framepilot_app.web.pictures import Pictures
from framepilot_app.web.server import serve

BEAT_S = 0.2
"""How often the event loop gives a sign of life."""

DRAIN_S = 25.0
"""How long a stop waits for frames in flight; whoever stops it waits a little longer."""

LISTEN_FILE = "listen"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Options:
    """The command line. `parent` is a process whose end is this one's end, too; None: none.

    `models_cache` is a folder of models that several processes share; None: models are in `cache`. `credentials` is a
    folder of folders with user names and passwords; None: there are none. A thread without a sign of life for
    `stuck_after_s` seconds is stuck; one batch or one step of loading does not take that long. `nvml_device` is the GPU
    to watch: its index, UUID or PCI bus id, `auto` for the one that computes, or `none`. `page` says who may see the
    web page, `share` whether models hold equal parameters once and run what they have in common once.
    `memory_headroom` is the share of the memory limit that loading a model leaves free; 0: it takes what it needs.
    """

    desired: Path
    cache: Path
    models_cache: Path | None
    host: str
    port: int
    device: str
    parent: int | None
    stuck_after_s: float
    credentials: Path | None = None
    nvml_device: str = AUTO
    page: Access = Access.LOCAL
    share: bool = True
    memory_headroom: float = HEADROOM


class App:
    """Everything that one process runs."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._started_at = time.time()
        self._heartbeat = time.monotonic()
        self._deaths = Deaths()
        options.cache.mkdir(parents=True, exist_ok=True)
        metrics = Metrics(CollectorRegistry())
        workers = Workers(max(2, cores() - 1))
        device = DeviceThread(
            torch.device(options.device),
            on_done=lambda done: workers.submit_all([functools.partial(self._batch_done, each) for each in done]),
            on_dropped=lambda dropped: workers.submit(functools.partial(self._items_dropped, dropped)),
            parameters=ParameterStore() if options.share else UnsharedStore(),
        )
        self._machinery = Machinery(
            workers=workers,
            pipeline=Pipeline(workers, device.wake),
            device=device,
            headroom=Headroom(
                options.memory_headroom, functools.partial(rooms, device.device), device.parameters.lacking
            ),
            gate=Gate(device.longest_batch_s, workers.submit, limits=device.limits),
            hub=Hub(functools.partial(make_reader, hardware=options.device.startswith("cuda"))),
            store=ModelStore(options.cache, options.models_cache),
            journal=Journal(options.cache),
            metrics=metrics,
            spools=options.cache / "spools",
            rounds=Rounds(),
            newest=NewestFrames(),
            credentials=Credentials(options.credentials),
        )
        self._controller = Controller(self._machinery, self._sharing() if options.share else NoSharing())
        gpu = watched_gpu(options.nvml_device, device.device)
        self._gpu_watcher = GpuWatcher(functools.partial(Nvml, gpu)) if gpu else None
        self._busy = BusyWindow()
        self._parameters = ParameterAccounts()
        self._history = History()
        self._sampler = Sampler()
        self._pictures = Pictures(self._machinery.newest)
        self._watchdog = Watchdog(
            {"device thread": lambda: device.heartbeat, "event loop": lambda: self._heartbeat}, options.stuck_after_s
        )
        metrics.registry.register(
            StateCollector(
                self.observe,
                lambda: device.busy_s,
                lambda: Failures(threads=self._deaths.counts(), tasks=workers.failed_tasks),
            )
        )

    async def run(self) -> None:
        """Run until SIGTERM, SIGINT, or the end of the parent process; then deliver what is in flight."""
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        self._deaths.watch()
        asides = [asyncio.create_task(self._beat()), asyncio.create_task(self._each_second())]
        self._machinery.workers.start()
        self._machinery.device.start()
        self._watchdog.start()
        if self._gpu_watcher is not None:
            self._gpu_watcher.start()
        runner, address = await serve(
            self, self._machinery.metrics.registry, self._page(), self._options.host, self._options.port
        )
        _write_address(self._options.cache / LISTEN_FILE, address)
        log.info("listening", extra={"address": address})
        tasks = [asyncio.create_task(self._follow()), asyncio.create_task(self._settle(stop))]
        tasks.append(asyncio.create_task(_until(stop)))
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await self._drain()
        await runner.cleanup()
        self._pictures.close()
        for task in asides:
            task.cancel()
        for task in done:
            task.result()

    def unhealthy(self) -> str | None:
        """Why the process should be restarted."""
        if not self._machinery.device.alive:
            return "the device thread has ended"
        return self._watchdog.stuck() or self._deaths.reason

    def not_ready(self) -> str | None:
        """Why it does not serve yet."""
        if self._controller.desired is None:
            return self._controller.error or "no desired state yet"
        waiting = [name for name, service in self._controller.services.items() if not service.serving]
        return f"modules do not serve yet in: {', '.join(waiting)}" if waiting else None

    def observe(self) -> ObservedState:
        """What the process is doing now."""
        controller = self._controller
        services = [*controller.services.values()]
        device = self._machinery.device
        plan = device.together.plan
        accounts = self._parameters.of(
            (service.name, program)
            for service in services
            for module in service.bound_modules()
            for lane in module.lanes
            for program in (lane.version.compiled, *(plan.compiled_of(lane) if plan is not None else ()))
        )
        streams = tuple(stream for service in services for stream in observed_streams(service))
        return ObservedState(
            instance_uid=controller.desired.instance_uid if controller.desired else None,
            generation=controller.desired.generation if controller.desired else 0,
            error=self._error(),
            started_at=self._started_at,
            device=describe(device.device).model_copy(
                update={"use": self._device_use(), "memory": self._machinery.headroom.observed()}
            ),
            pipelines=tuple(
                observed_pipeline(service, device.used_s.get(service.name, 0.0), accounts.get(service.name, NOTHING))
                for service in services
            ),
            streams=streams,
            modules=tuple(
                module for service in services for module in observed_modules(service, controller.sharing.alone)
            ),
            sinks=tuple(sink for service in services for sink in service.sinks.observed()),
            frames=add(
                [
                    *(stream.frames for stream in streams),
                    *(past(service) for service in services),
                    *(totals(service) for service in controller.draining),
                    *controller.past,
                ]
            ),
            stages=plan.observed() if plan is not None else (),
            parameters=ParameterBytes(
                unique=device.parameters.unique_bytes, referenced=device.parameters.referenced_bytes
            ),
        )

    def _device_use(self) -> DeviceUse:
        watch = self._gpu_watcher.watch() if self._gpu_watcher is not None else None
        return device_use(watch, self._busy.share(), time.monotonic(), time.time())

    def inputs(self, stream: StreamKey) -> dict[str, tuple[str, ...]] | None:
        """Which modules take whose detections in the service of this stream; None if there is no such stream."""
        name, stream_name = stream
        service = self._controller.services.get(name)
        return service.inputs if service is not None and stream_name in service.streams else None

    def _sharing(self) -> Merger:
        parts = self._machinery
        return Merger(parts.device, StageEngines(parts.device, parts.store.stage_file, parts.headroom))

    def _page(self) -> Page | None:
        if self._options.page is Access.OFF:
            return None
        return Page(self._options.page, self._history, self._pictures, self.inputs, self._started_at)

    def _error(self) -> str | None:
        errors = [self._controller.error, self._machinery.journal.error]
        return "; ".join(error for error in errors if error) or None

    async def _beat(self) -> None:
        while True:
            self._heartbeat = now = time.monotonic()
            self._busy.add(BusyReading(now, self._machinery.device.busy_s))
            await asyncio.sleep(BEAT_S)

    async def _each_second(self) -> None:
        while True:
            now = time.monotonic()
            self._machinery.metrics.fold()
            self._account(now)
            if self._options.page is not Access.OFF:
                self._remember(now)
            await asyncio.sleep(EVERY_S)

    def _account(self, now: float) -> None:
        """How each service kept to its objective of late."""
        for service in self._controller.services.values():
            service.attainment.add(now, service.declared.objective_ms, service.ended())

    def _remember(self, now: float) -> None:
        """What the page shows of the past; and what nobody looks at any more is let go."""
        samples = self._sampler.sample(self._controller.services.values())
        self._history.add(now, self._machinery.device.busy_s, samples)
        self._pictures.forget(now)

    async def _follow(self) -> None:
        async for content in follow(self._options.desired):
            self._controller.found(content)

    async def _settle(self, stop: asyncio.Event) -> None:
        while True:
            self._controller.settle()
            if self._options.parent is not None and os.getppid() != self._options.parent:
                log.warning("the parent process has ended; stopping")
                stop.set()
            await asyncio.sleep(SETTLE_S)

    async def _drain(self) -> None:
        log.info("stopping; delivering what is in flight")
        self._machinery.store.close()
        try:
            await asyncio.wait_for(self._controller.close(), DRAIN_S)
        except TimeoutError:
            log.error("frames in flight were not delivered", extra={"frames": self.observe().frames.in_flight})  # noqa: TRY400
        await asyncio.to_thread(self._machinery.device.stop)
        await asyncio.to_thread(self._watchdog.stop)
        if self._gpu_watcher is not None:
            await asyncio.to_thread(self._gpu_watcher.stop)
        await asyncio.to_thread(self._machinery.workers.stop)

    def _batch_done(self, done: BatchDone) -> None:
        self._machinery.metrics.batch(done)
        post_s = self._machinery.pipeline.batch_done(done)
        self._machinery.metrics.decoded(done.module, post_s)

    def _items_dropped(self, dropped: ItemsDropped) -> None:
        self._machinery.pipeline.items_dropped(dropped)


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe(device: torch.device) -> Device:
    """The device as `/status` shows it."""
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        return Device(
            device_class=properties.name.lower().replace(" ", "-"),
            name=properties.name,
            memory_bytes=properties.total_memory,
        )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Device(device_class="cpu", name=f"{cores()} cores", memory_bytes=memory)


def watched_gpu(choice: str, device: torch.device) -> tuple[str, ...]:
    """What NVML may call the GPU to watch, the best name first; none where there is none to watch."""
    if choice == AUTO and device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index
        uuid = torch.cuda.get_device_properties(index).uuid
        return gpu_names(os.environ.get("CUDA_VISIBLE_DEVICES"), index, str(uuid))
    return () if choice in {AUTO, NONE} else (choice,)


def prepare_process() -> None:
    """What has to be set once, before any thread runs."""
    # One thread computes, the others decode and prepare: torch gets all cores but one.
    torch.set_num_threads(max(1, cores() - 1))
    cv2.setNumThreads(1)
    # FFmpeg writes of every damaged block to standard error, past the log and its limit: fatal errors only.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "8")


async def _until(event: asyncio.Event) -> None:
    await event.wait()


def _write_address(path: Path, address: str) -> None:
    temporary = path.with_suffix(".new")
    temporary.write_text(address, encoding="utf-8")
    temporary.replace(path)


def run(options: Options) -> None:
    """Run the app in this process."""
    prepare_process()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(App(options).run())
