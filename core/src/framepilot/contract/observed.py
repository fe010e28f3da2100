"""Observed state: what an instance says of itself on `/status`. Times are Unix seconds, durations milliseconds.

It is the journal of what is true now, never of what was wished for: the operator compares it with what it wrote.
Whoever reads it passes over fields that are unknown, as a newer app may say more than an older operator asks for.
"""

from __future__ import annotations

import hashlib
import re
from enum import StrEnum

from pydantic import ConfigDict, Field, ValidationError

from framepilot.contract.desired import Batch, Digest, Engine, Name
from framepilot.contract.document import Document, DocumentError, explain
from framepilot.rollouts.state import SETTLED, RolloutState


class StreamState(StrEnum):
    """Where a stream is in its life."""

    CONNECTING = "connecting"
    RUNNING = "running"
    STALLED = "stalled"  # a live source gives nothing now, and is opened again
    ENDED = "ended"
    FAILED = "failed"


class SinkState(StrEnum):
    """Whether a sink can be written."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    RETRYING = "retrying"  # it failed a moment ago
    FAILED = "failed"  # it failed several times in a row, and is still tried again


class Observation(Document):
    """A part of `/status`; unknown fields are passed over."""

    model_config = ConfigDict(extra="ignore")


class FrameCounts(Observation):
    """The accounting identity: ingested = delivered + sum(dropped) + in_flight, at every moment.

    `within` counts those of the delivered that were within the objective, `still` those of the ingested that showed
    nothing new: each of them ends as dropped for that, but those before it have to end first.
    """

    ingested: int = 0
    delivered: int = 0
    within: int = 0
    still: int = 0
    dropped: dict[str, int] = Field(default_factory=dict)
    in_flight: int = 0


class ObservedStream(Observation):
    """One stream of one service; `source` has no credentials in it. `epoch` is that of its latest opening.

    `reason` is why it gives nothing now. `trouble` is why it was interrupted, and stays until it has run steadily for a
    while, so it changes a few times a minute at most. `reconnects` counts the openings after the first, `hung` those
    that were given up because the system did not come back from them. `decode_s` is the processor's time that decoding
    took since somebody wanted the stream, in seconds; services that share it all have it whole.
    """

    service: str
    name: Name
    source: str
    state: StreamState
    fps: float = 0
    epoch: int | None = None
    reason: str | None = None
    trouble: str | None = None
    reconnects: int = 0
    hung: int = 0
    decode_s: float = 0
    frames: FrameCounts = FrameCounts()


class ObservedPipeline(Observation):
    """One service that runs here.

    `error` says which of its sinks failed, and why, if any did. `objective_ms` is the latency that is in force for its
    frames, `attainment` the share of its latest frames that kept to it; None: too few have ended under it. `device_s`
    are the seconds of the device's time that it was charged with since it began; what runs once for several services is
    split between them by use. `parameter_bytes` are those of the parameters of all models that it has loaded, and
    `charged_bytes` the same with what several services have in common split evenly between them. `limit`,
    `memory_limit_bytes` and `time_limit_ms` are the limits in force; None: there is none, or an older app does not say.
    """

    service: str
    uid: str
    error: str | None = None
    objective_ms: float | None = None
    attainment: float | None = None
    device_s: float = 0
    parameter_bytes: int = 0
    charged_bytes: int = 0
    limit: float | None = None
    memory_limit_bytes: int | None = None
    time_limit_ms: float | None = None


class ObservedSink(Observation):
    """One sink of one service: offered = written + sum(dropped) + waiting, at every moment.

    `offered` counts the events handed over to it, and those that were found in its spool. `waiting` includes `spooled`,
    those on disk. `reason` says why it cannot be written, or spooled.
    """

    service: str
    name: Name
    type: str
    state: SinkState
    reason: str | None = None
    offered: int = 0
    written: int = 0
    dropped: dict[str, int] = Field(default_factory=dict)
    waiting: int = 0
    spooled: int = 0


class ServingModel(Observation):
    """The version that a module runs now."""

    version: str
    sha256: Digest


class ObservedBatch(Batch):
    """The batch in force, and since when."""

    model_config = ConfigDict(extra="ignore")

    since: float


class ObservedTimeLimit(Observation):
    """How a module keeps to the longest that a batch of its service may hold the device, `limit_ms`.

    `size` is the most items that may run at once now, less than that of the batch in force where larger ones take
    longer; 0: nothing runs but a trial now and then. `reason` says why. `over` counts the batches that took longer, or,
    of batches of several modules, those of which so much was charged to it; it only rises.
    """

    limit_ms: float
    size: int
    over: int = 0
    reason: str | None = None


class ObservedRollout(Observation):
    """The last rollout of a module.

    `pause_ms` is the time between two batches that the switch took; `longest_step_ms` the longest time that one step of
    loading or warming held the device; `load_ms` the sum of the steps until the program was ready to warm up.
    """

    state: RolloutState
    candidate: str
    sha256: Digest | None = None
    attempt: int = 1
    reason: str | None = None
    since: float
    pause_ms: float | None = None
    longest_step_ms: float | None = None
    load_ms: float | None = None


class Latencies(Observation):
    """Means of a module's stages and quantiles of their sum, over its latest items."""

    pre: float = 0
    queue: float = 0
    infer: float = 0
    post: float = 0
    p50: float = 0
    p99: float = 0


class ProfilePoint(Observation):
    """Measured duration of one batch of this size on this device."""

    batch: int
    p50_ms: float
    p99_ms: float


class BatchCount(Observation):
    """The batches of one size that ran: how many, and how long they took together."""

    size: int
    count: int
    seconds: float


class ObservedEngine(Observation):
    """An engine that could run the serving version: what was measured of it, and why it does not, if it does not.

    One that was given up early has no points of larger sizes. `batches` are the sizes that it runs where several have a
    part in it; then all together are the first one, `mixed`, with what was measured of each size's.
    """

    name: str
    batches: tuple[int, ...] = ()
    points: tuple[ProfilePoint, ...] = ()
    reason: str | None = None


class ObservedModule(Observation):
    """One module of one service. `profile` is that of the serving version; `items` counts since the start.

    `inputs` are the modules whose detections it takes in the graph that frames enter now. `arrived` counts the items
    that were made for it, since the start. `batches` count since the serving version began to serve, by the number of
    items that ran. All of these only rise: who looks twice knows what happened in between. `engine` is the one that
    runs the serving version, which `profile` was measured on, and `engines` are all that could be asked for. `alone`
    says why it shares no stage with others; None: it shares one, or there is nobody to share with. `time_limit` is
    there if its service has one, and some version serves.
    """

    service: str
    name: Name
    inputs: tuple[Name, ...] = ()
    model: Name
    serving: ServingModel | None = None
    batch: ObservedBatch
    rollout: ObservedRollout | None = None
    queue: int = 0
    items: int = 0
    arrived: int = 0
    batches: tuple[BatchCount, ...] = ()
    latency_ms: Latencies = Latencies()
    profile: tuple[ProfilePoint, ...] = ()
    engine: str | None = None
    engines: tuple[ObservedEngine, ...] = ()
    alone: str | None = None
    time_limit: ObservedTimeLimit | None = None

    def runs_on(self, asked: Engine) -> bool:
        """Whether what serves runs on the engine that was asked for; an app that names none has torch only."""
        return asked in {Engine.AUTO, self.engine or Engine.TORCH}

    @property
    def settled(self) -> bool:
        """Whether it serves, and no other version is on its way."""
        return self.serving is not None and (self.rollout is None or self.rollout.state in SETTLED)


class StagePoint(Observation):
    """Measured duration of a stage on so many pictures at once."""

    pictures: int
    ms: float


class ObservedStage(Observation):
    """A beginning that several modules have in common, which runs once for all of them.

    `modules` are these, sorted, each `<namespace>/<service>/<module>`. `nodes` are the graph's nodes in it, `share`,
    0..1, is its part of the arithmetic of the largest program that uses it; `shares` are those of the program of each
    module. `engine` is the one that runs it, None: it is not said; `points` were measured on it, as the profiles of
    modules are. `engines` are those that were tried and what became of them; none are where a module asked for torch,
    and until it is known. What follows only rises: `batches` that ran, `pictures` that they had, `items` that these
    served, as one picture may serve several modules, and `seconds` that the device took for them.
    """

    modules: tuple[str, ...] = ()
    nodes: int = 0
    share: float = 0
    shares: tuple[float, ...] = ()
    points: tuple[StagePoint, ...] = ()
    engine: str | None = None
    engines: tuple[ObservedEngine, ...] = ()
    batches: int = 0
    pictures: int = 0
    items: int = 0
    seconds: float = 0

    @property
    def short_id(self) -> str:
        """Eight hexadecimal digits that follow from its modules: what it is called where they are too many to name."""
        return hashlib.sha256("\n".join(self.modules).encode()).hexdigest()[:8]


class ParameterBytes(Observation):
    """Bytes of the parameters that the torch engine's programs use, by their size in the model's file.

    `unique` counts each once, `referenced` counts it for every program that uses it. Other engines keep copies of their
    own, which are not in it.
    """

    unique: int = 0
    referenced: int = 0


class UtilizationSource(StrEnum):
    """Who says how busy a device is."""

    NVML = "nvml"  # its driver: all that runs on it
    DEVICE_THREAD = "device thread"  # the app's own thread: what this instance runs on it


class DeviceUse(Observation):
    """How a device is used; what its driver does not support, or did not say, is None and never 0.

    `utilization` is the share of the time in which the device worked, over the latest second or so before `at`, as
    `source` has it; `own` is the share in which this instance ran batches. All that follow are from NVML: `nvml` is
    whether it answers, None where there is no GPU to watch, `sample_age_s` how old its latest sample is, and `error`
    says why it, or a part of it, does not answer. `throttled` names why clocks are lower than they could be, `last_xid`
    is the latest critical error since the app began to watch, and ECC errors are counted since the driver was loaded.
    """

    source: UtilizationSource
    at: float
    utilization: float | None = None
    own: float | None = None
    nvml: bool | None = None
    sample_age_s: float | None = None
    error: str | None = None
    uuid: str | None = None
    mig: bool | None = None
    memory_used_bytes: int | None = None
    memory_total_bytes: int | None = None
    own_memory_bytes: int | None = None
    temperature_celsius: float | None = None
    power_watts: float | None = None
    power_limit_watts: float | None = None
    sm_clock_hertz: float | None = None
    memory_clock_hertz: float | None = None
    throttled: tuple[str, ...] | None = None
    ecc_corrected: int | None = None
    ecc_uncorrected: int | None = None
    last_xid: int | None = None


class MemoryKind(StrEnum):
    """Whose memory it is."""

    HOST = "host"  # the process's, as its control group or its machine limits it
    GPU = "gpu"


class ObservedMemory(Observation):
    """Memory that models take, bytes: its tightest limit, and what is used of it, by whomever.

    `headroom_bytes` is what has to stay free when a version is loaded, `loading_bytes` what those that are being loaded
    now will take at most.
    """

    kind: MemoryKind
    limit_bytes: int
    used_bytes: int
    headroom_bytes: int = 0
    loading_bytes: int = 0


class Device(Observation):
    """The device of an instance: its class (`cpu`, or the GPU's product name in lower case), name, memory, and use.

    `memory_bytes` is what there is; `memory` says how much of it the instance may use, and what is used.
    """

    device_class: str
    name: str
    memory_bytes: int = 0
    memory: tuple[ObservedMemory, ...] = ()
    use: DeviceUse | None = None

    @property
    def plain_class(self) -> str:
        """The class as resources write it: a product name has spaces and capitals."""
        plain = re.sub(r"[^a-z0-9._-]+", "-", self.device_class.lower())
        return plain[:63].strip("-._") or "unknown"


class ObservedState(Observation):
    """What one instance is doing now. `error` says why the newest desired state found is not in force, if it is not."""

    instance_uid: str | None = None
    generation: int = 0
    error: str | None = None
    started_at: float
    device: Device
    pipelines: tuple[ObservedPipeline, ...] = ()
    streams: tuple[ObservedStream, ...] = ()
    modules: tuple[ObservedModule, ...] = ()
    sinks: tuple[ObservedSink, ...] = ()
    frames: FrameCounts = FrameCounts()
    stages: tuple[ObservedStage, ...] = ()
    parameters: ParameterBytes | None = None

    def shares_a_stage(self, service: str, module: str) -> bool:
        """Whether a part of its batches runs once for others as well, and so takes less time than it would alone."""
        return any(f"{service}/{module}" in stage.modules for stage in self.stages)

    def pipeline(self, service: str, uid: str) -> ObservedPipeline | None:
        """A service as it runs here; None if it does not, or if another of its name does."""
        return next((each for each in self.pipelines if (each.service, each.uid) == (service, uid)), None)

    @property
    def shared(self) -> tuple[tuple[tuple[str, ...], int, float], ...]:
        """What the stages are without what is counted of them: modules, nodes and share, sorted."""
        return tuple(sorted((stage.modules, stage.nodes, stage.share) for stage in self.stages))

    def modules_of(self, service: str, uid: str) -> dict[str, ObservedModule]:
        """The modules of a service by name; none if it does not run here, or if another of its name does."""
        if self.pipeline(service, uid) is None:
            return {}
        return {module.name: module for module in self.modules if module.service == service}

    def streams_of(self, service: str, uid: str) -> tuple[ObservedStream, ...]:
        """The streams of a service; none if it does not run here, or if another of its name does."""
        if self.pipeline(service, uid) is None:
            return ()
        return tuple(stream for stream in self.streams if stream.service == service)

    @classmethod
    def parse(cls, text: str | bytes) -> ObservedState:
        """Read a `/status` answer.

        Raises:
            DocumentError: it is not JSON, or not of this shape.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise DocumentError("/status", explain(error)) from error
