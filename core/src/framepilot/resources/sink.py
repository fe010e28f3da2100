"""A sink of a service: where results go.

A rule stands here twice, side by side: as a validator for files on one machine, and as a CEL rule for the API server.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Annotated, Final, Self

from pydantic import ConfigDict, Field, model_validator

from framepilot.resources.meta import ResourcePart
from framepilot.resources.quantities import Size
from framepilot.resources.text import FilePath, Form, Name, rules

_HOST: Final = "[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?(:[0-9]{1,5})?"
_MQTT: Final = f"mqtts?://{_HOST}(/[A-Za-z0-9._~@,;=:-]+)*/?"
_QUERY: Final = "([?][A-Za-z0-9._~!$&()*+,;=:@%/?-]*)?"
_WEB: Final = f"https?://{_HOST}(/[A-Za-z0-9._~!$&()*+,;=:@%-]*)*{_QUERY}"

SinkUrl = Annotated[
    str,
    Form(
        f"{_MQTT}|{_WEB}",
        "an address of a sink; write mqtt://host/topic, mqtts://host/topic, http://host/path or https://host/path, "
        "without user name and password",
        1024,
    ),
]

_TLS: Final = "!has(self.tls) || (has(self.url) && self.url.matches('^(mqtts|https):'))"

_SAY_PATH: Final = "a sink of type file needs path"
_SAY_NO_PATH: Final = "path is for a sink of type file; remove it"
_SAY_MQTT: Final = "a sink of type mqtt needs url, such as mqtt://broker/lobby or mqtts://broker/lobby"
_SAY_WEBHOOK: Final = "a sink of type webhook needs url, such as https://host/path"
_SAY_NO_URL: Final = "url is for a sink of type mqtt or webhook; remove it"
_SAY_NO_ROTATE: Final = "rotate is for a sink of type file; remove it"
_SAY_NO_TLS: Final = "tls is for a url that begins with mqtts:// or https://; change the url, or remove tls"
_SAY_PAIR: Final = "certificate and key belong together; add the other one, or remove both"


class SinkType(StrEnum):
    """The sinks there are."""

    STDOUT = "stdout"
    FILE = "file"
    MQTT = "mqtt"
    WEBHOOK = "webhook"


class Rotation(ResourcePart):
    """When a file is put aside."""

    size: Size
    """A file that would grow beyond it is put aside, and another is begun."""
    keep: Annotated[int, Field(ge=0, le=1000)] = 5
    """How many of those put aside are kept: `results.jsonl.1` is the newest of them."""


class SpoolSpace(ResourcePart):
    """Disk for results that cannot be handed over now."""

    size: Size
    """When it is full, the oldest are dropped."""
    path: FilePath | None = None
    """A folder of its own, on one machine relative to the YAML file; absent: one in the instance's cache."""


class SinkTls(ResourcePart):
    """PEM files; on one machine relative to the folder of the YAML file. They are read at each connection."""

    model_config = ConfigDict(json_schema_extra=rules(("has(self.certificate) == has(self.key)", _SAY_PAIR)))

    ca: FilePath | None = None
    """The authority that signed the receiver's certificate; absent: those that the system trusts."""
    certificate: FilePath | None = None
    """The certificate to show to the receiver."""
    key: FilePath | None = None
    """Its key, without a password."""

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError(_SAY_PAIR)
        return self


class Sink(ResourcePart):
    """Where results go."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("self.type != 'file' || has(self.path)", _SAY_PATH),
            ("self.type == 'file' || !has(self.path)", _SAY_NO_PATH),
            ("self.type == 'file' || !has(self.rotate)", _SAY_NO_ROTATE),
            ("self.type != 'mqtt' || (has(self.url) && self.url.startsWith('mqtt'))", _SAY_MQTT),
            ("self.type != 'webhook' || (has(self.url) && self.url.startsWith('http'))", _SAY_WEBHOOK),
            ("self.type in ['mqtt', 'webhook'] || !has(self.url)", _SAY_NO_URL),
            (_TLS, _SAY_NO_TLS),
        )
    )

    name: Name
    type: SinkType
    path: FilePath | None = None
    """The file that results are appended to; on one machine relative to the folder of the YAML file."""
    url: SinkUrl | None = None
    """The broker and the beginning of its topics, `mqtt://host:port/topic/prefix`; or where results are posted to."""
    rotate: Rotation | None = None
    """Absent: the file grows."""
    spool: SpoolSpace | None = None
    """Absent: results that cannot be handed over now wait in memory, and the oldest are dropped when it is full."""
    tls: SinkTls | None = None

    @model_validator(mode="after")
    def _fields_of_its_type(self) -> Self:
        for wrong, message in self._mistakes():
            if wrong:
                raise ValueError(message)
        return self

    def paths(self) -> dict[str, str]:
        """The paths on this machine that it names, by field."""
        spool, tls = self.spool or SpoolSpace(size="1Mi"), self.tls or SinkTls()
        named = {
            "path": self.path,
            "spool.path": spool.path,
            "tls.ca": tls.ca,
            "tls.certificate": tls.certificate,
            "tls.key": tls.key,
        }
        return {field: path for field, path in named.items() if path is not None}

    def rooted(self, folder: PurePosixPath) -> Sink:
        """The same, with relative paths put below a folder, which is absolute."""
        at = {field: str(folder / path) for field, path in self.paths().items()}
        tls = {name: at.get(f"tls.{name}") for name in ("ca", "certificate", "key")}
        return self.model_copy(
            update={
                "path": at.get("path"),
                "spool": self.spool and self.spool.model_copy(update={"path": at.get("spool.path")}),
                "tls": self.tls and self.tls.model_copy(update=tls),
            }
        )

    def _mistakes(self) -> Iterator[tuple[bool, str]]:
        scheme = "" if self.url is None else self.url.partition("://")[0]
        yield self.type is SinkType.FILE and self.path is None, f"{_SAY_PATH}, such as path: results.jsonl"
        yield self.type is not SinkType.FILE and self.path is not None, f"{_SAY_NO_PATH}, or write type: file"
        yield self.type is not SinkType.FILE and self.rotate is not None, _SAY_NO_ROTATE
        yield self.type is SinkType.MQTT and scheme not in {"mqtt", "mqtts"}, _SAY_MQTT
        yield self.type is SinkType.WEBHOOK and scheme not in {"http", "https"}, _SAY_WEBHOOK
        yield self.type not in {SinkType.MQTT, SinkType.WEBHOOK} and self.url is not None, _SAY_NO_URL
        yield self.tls is not None and scheme not in {"mqtts", "https"}, _SAY_NO_TLS
