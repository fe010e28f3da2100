"""A sink in memory that fails, blocks and refuses as a test says: what the writer must cope with, without a disk."""

from __future__ import annotations

import threading

from framepilot_app.sinks.sink import Batching, SinkError


class MemorySink:
    """Keeps lines. Each of `errors` is raised by one write, after as many lines as it says were taken."""

    def __init__(self, errors=(), batch=4):
        self.batching = Batching(events=batch, bytes=1 << 20)
        self.lines = []
        self.errors = [*errors]
        self.broken = None
        self.opened = 0
        self.closed = 0
        self.tries = 0
        self.checks = 0
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def open(self):
        self.opened += 1
        return self

    def write(self, lines):
        self.tries += 1
        self.entered.set()
        self.gate.wait()
        if self.errors or self.broken:
            error = self.errors.pop(0) if self.errors else SinkError(self.broken)
            self.lines += lines[: getattr(error, "taken", 0)]
            raise error
        self.lines += lines

    def check(self):
        self.checks += 1
        if self.broken:
            raise SinkError(self.broken)

    def close(self):
        self.closed += 1


def numbered(count, start=0):
    return [b"%d" % index for index in range(start, start + count)]
