"""Desired state: the one JSON document that tells an instance what to run.

The operator writes it, the app follows it. A change of batch size, wait or model version is a change
of this document and of nothing else, so it never restarts anything. `uid` and `generation` order the
documents (`judge`), so that a late, repeated or damaged write can do no harm.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from framepilot.contract.document import Document, DocumentError, explain
from framepilot.contract.graph import duplicates, module_graph_problems

Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Delivery(StrEnum):
    """What happens when frames arrive faster than they can be served."""

    NEWEST = "newest"  # the waiting frame is superseded; deadlines are enforced
    LOSSLESS = "lossless"  # the source waits; deadlines are reported, never enforced


class Engine(StrEnum):
    """What runs a model's program. A member's value is how `/status` and resources call it."""

    AUTO = "auto"  # the one that is measured to be the fastest on the device
    TORCH = "torch"
    ONNX_RUNTIME = "onnxruntime"
    OPENVINO = "openvino"
    AOT_INDUCTOR = "aotinductor"  # never what auto takes


class ModelRef(Document):
    """One version of one model in a store, and the engine that shall run it.

    `sha256` is the digest of its `model.yaml`, which lists all others.
    """

    name: Name
    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
    uri: str
    sha256: Digest | None = None
    engine: Engine = Engine.TORCH


class Batch(Document):
    """The most items of one batch, and the longest that its first item waits for the others.

    `limit` is the largest size that may be asked for later: sizes up to it are warmed and measured with a new version,
    so that a change of `size` is in force at once and the planner knows what it would cost.
    """

    size: Annotated[int, Field(ge=1, le=256)]
    limit: Annotated[int, Field(ge=1, le=256)] = 32
    max_wait_ms: Annotated[float, Field(ge=0)] = 0


class Where(Document):
    """Which items of the input module become items of this one."""

    min_score: Annotated[float, Field(ge=0, le=1)] = 0


class DesiredMotion(Document):
    """A frame is run if this share of the picture has changed since the last one that was, or that was so long ago."""

    change: Annotated[float, Field(gt=0, lt=1)]
    at_least_every_ms: Annotated[float, Field(gt=0)]


class DesiredStream(Document):
    """`fps` caps the rate (absent: the source's own); `realtime` paces the source by it; `loop` starts it again.

    `priority` says who goes first when there is more than can be served: the higher.
    `transport` is for RTSP. A live source that is not open, or gives no frame, after `timeout_ms` is stalled.
    `motion` says which frames are run (absent: all).
    """

    name: Name
    source: str
    fps: Annotated[float, Field(gt=0)] | None = None
    delivery: Delivery = Delivery.NEWEST
    loop: bool = False
    realtime: bool = True
    priority: Annotated[int, Field(ge=0, le=100)] = 50
    transport: Literal["tcp", "udp"] = "tcp"
    timeout_ms: Annotated[float, Field(gt=0)] = 5000
    motion: DesiredMotion | None = None


class DesiredModule(Document):
    """One model's step. Without `inputs` its item is the frame; with one, an item for each detection of that module."""

    name: Name
    inputs: tuple[Name, ...] = ()
    where: Where = Where()
    budget_ms: Annotated[float, Field(gt=0)]
    batch: Batch
    model: ModelRef
    attempt: Annotated[int, Field(ge=1)] = 1
    fallback: ModelRef | None = None


class Rotation(Document):
    """A file that would grow beyond `size_bytes` is put aside; so many of those are kept."""

    size_bytes: Annotated[int, Field(ge=1)]
    keep: Annotated[int, Field(ge=0)] = 5


class SpoolSpace(Document):
    """Disk for events that a sink cannot take now; without `path` it is in the instance's cache."""

    size_bytes: Annotated[int, Field(ge=1)]
    path: Path | None = None


class SinkTls(Document):
    """Files: the authority that signed the receiver's certificate (absent: the system's), and one's own certificate."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


class DesiredSink(Document):
    """Where results go. `drops` adds an event for each dropped frame.

    `path` and `rotate` are a file's, `url` and `tls` those of a broker (mqtt) or a web server (webhook).
    """

    name: Name
    type: Literal["stdout", "file", "mqtt", "webhook"]
    path: Path | None = None
    url: str | None = None
    rotate: Rotation | None = None
    tls: SinkTls | None = None
    spool: SpoolSpace | None = None
    drops: bool = False


class Pipeline(Document):
    """What one service runs in this instance. Modules are listed so that inputs come before what they feed.

    `uid` is the service's: one that is declared again under the same name is another service, which inherits nothing.
    `reserve` is the share of the device's time that is its own whenever it has work; what nobody reserved is for all.
    `limit` is the most of it that it gets, 1 if there is none, `memory_limit_bytes` the most that the parameters of its
    models may take, `time_limit_ms` the longest that one of its batches may hold the device.
    `credentials` names the folder, below that of all credentials, with user names and passwords of streams and sinks.
    """

    service: Annotated[str, Field(pattern=r"^[a-z0-9.-]+/[a-z0-9.-]+$")]
    uid: Annotated[str, Field(min_length=1)]
    objective_ms: Annotated[float, Field(gt=0)]
    reserve: Annotated[float, Field(ge=0, lt=1)] = 0
    limit: Annotated[float, Field(gt=0, le=1)] = 1
    memory_limit_bytes: Annotated[int, Field(ge=1)] | None = None
    time_limit_ms: Annotated[float, Field(gt=0)] | None = None
    credentials: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)] | None = None
    streams: Annotated[tuple[DesiredStream, ...], Field(min_length=1)]
    modules: Annotated[tuple[DesiredModule, ...], Field(min_length=1)]
    sinks: tuple[DesiredSink, ...] = ()

    @model_validator(mode="after")
    def _names_and_graph(self) -> Self:
        problems = [
            *duplicates("streams", [stream.name for stream in self.streams]),
            *duplicates("sinks", [sink.name for sink in self.sinks]),
            *module_graph_problems([(module.name, module.inputs) for module in self.modules]),
        ]
        if problems:
            raise ValueError("; ".join(problems))
        return self


class DesiredState(Document):
    """Everything that one instance shall run; `instance_uid` is that of the service or the runtime that owns it."""

    instance_uid: Annotated[str, Field(min_length=1)]
    generation: Annotated[int, Field(ge=1)]
    pipelines: tuple[Pipeline, ...] = ()

    @model_validator(mode="after")
    def _services(self) -> Self:
        if problems := duplicates("pipelines", [pipeline.service for pipeline in self.pipelines]):
            raise ValueError("; ".join(problems))
        return self

    @classmethod
    def parse(cls, text: str | bytes) -> DesiredState:
        """Read a document.

        Raises:
            DocumentError: it is not JSON, or a field is missing, unknown or out of range.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise DocumentError("desired state", explain(error)) from error

    def to_json(self) -> str:
        """The document as it is written to disk or into a ConfigMap: indented JSON with camelCase names."""
        return self.model_dump_json(indent=1, exclude_none=True)


class Verdict(StrEnum):
    """What an instance does with a document that it finds."""

    ACCEPT = "accept"
    SAME = "same"
    STALE = "stale"
    CONFLICT = "conflict"


def judge(current: DesiredState | None, found: DesiredState) -> Verdict:
    """Order two documents.

    Another uid or a higher generation is accepted, a lower one is stale, and the same generation with other content
    is a conflict that only a new generation resolves.
    """
    if current is None or found.instance_uid != current.instance_uid or found.generation > current.generation:
        return Verdict.ACCEPT
    if found.generation < current.generation:
        return Verdict.STALE
    return Verdict.SAME if found == current else Verdict.CONFLICT
