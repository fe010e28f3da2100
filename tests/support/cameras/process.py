"""A camera's server as a process that can be killed, frozen and started again on its port."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from support import gstreamer
from support.eventually import eventually

TESTS = Path(__file__).parents[2]


class CameraProcess:
    """One server; `pid` is that of the running process."""

    def __init__(self, command: Sequence[str]) -> None:
        self.port = _free_port()
        self._command = [*command, "--port", str(self.port)]
        self.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def start(self) -> None:
        environment = {**os.environ, "PYTHONPATH": str(TESTS)}
        self._process = subprocess.Popen(self._command, env=environment)
        eventually(self._answers, f"a server on port {self.port}")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def restart(self) -> None:
        self.kill()
        self.start()

    def freeze(self) -> None:
        """It keeps its connections and says nothing."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def _answers(self) -> bool:
        assert self._process.poll() is None, "the server has ended"
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True


def rtsp_camera(*options: str) -> CameraProcess:
    """GStreamer's RTSP server; the camera is at `/main`."""
    return CameraProcess([gstreamer.PYTHON, str(Path(__file__).with_name("rtsp.py")), *options])


def web_camera(*options: str) -> CameraProcess:
    return CameraProcess([sys.executable, "-m", "support.cameras.web", *options])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
