"""From a declared sink to the opened one."""

from __future__ import annotations

from framepilot.contract.desired import DesiredSink
from framepilot_app.sinks.file import FileSink
from framepilot_app.sinks.sink import Sink, SinkError
from framepilot_app.sinks.stdout import StdoutSink


def open_sink(sink: DesiredSink) -> Sink:
    """Open a sink.

    Raises:
        SinkError: it cannot be opened.
    """
    match sink.type:
        case "stdout":
            return StdoutSink()
        case "file":
            if sink.path is None:
                raise SinkError(f"sink '{sink.name}' of type file needs a path; set `path`")
            return FileSink(sink.path)
