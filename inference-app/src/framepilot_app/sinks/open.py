"""From a declared sink to what opens it, and its spool."""

from __future__ import annotations

from pathlib import Path

from framepilot.contract.desired import DesiredSink, SpoolSpace
from framepilot_app.credentials import Credentials
from framepilot_app.sinks.file import FileSink
from framepilot_app.sinks.mqtt import MqttSink
from framepilot_app.sinks.sink import Sink, SinkError
from framepilot_app.sinks.spool import Spool
from framepilot_app.sinks.stdout import StdoutSink
from framepilot_app.sinks.webhook import WebhookSink


def open_sink(service: str, sink: DesiredSink, credentials: Credentials) -> Sink:
    """Open a sink of a service, `<namespace>/<name>`.

    Raises:
        SinkError: it cannot be opened.
    """
    match sink.type:
        case "stdout":
            return StdoutSink()
        case "file":
            if sink.path is None:
                raise SinkError(f"sink '{sink.name}' of type file needs a path; set `path`")
            return FileSink(sink.path, sink.rotate)
        case "mqtt":
            return MqttSink(service, sink.name, _url(sink), sink.tls, credentials)
        case "webhook":
            return WebhookSink(sink.name, _url(sink), sink.tls, credentials)


def _url(sink: DesiredSink) -> str:
    if sink.url is None:
        raise SinkError(f"sink '{sink.name}' of type {sink.type} needs an address; set `url`")
    return sink.url


def open_spool(service: str, sink: str, space: SpoolSpace, spools: Path) -> Spool:
    """Open the spool of a sink of a service; without a folder of its own it is in `spools`.

    Raises:
        SpoolError: it cannot be opened.
    """
    return Spool(space.path or spools / service / sink, space.size_bytes)
