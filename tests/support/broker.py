"""A real MQTT broker, mosquitto, as a process of its own, and a subscriber that misses nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
from pathlib import Path

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from support.eventually import eventually
from support.unpacked import libraries, unpacked

PACKAGES = ("mosquitto", "libwrap0", "libdlt2", "libcjson1")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Broker:
    """Keeps what it has acknowledged on disk, as a broker that may be killed has to.

    `settings` are lines of its configuration: those given are added to the listener's.
    """

    def __init__(self, folder: Path, *settings: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self._folder = folder
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def configure(self, *settings: str) -> None:
        """In force with the next start."""
        self._settings = settings

    def start(self) -> None:
        lines = ["persistence true", f"persistence_location {self._folder}/", "autosave_on_changes true"]
        lines += ["autosave_interval 1", f"user {os.environ.get('USER', 'root')}", f"listener {self.port} 127.0.0.1"]
        if not any(line.startswith(("allow_anonymous", "password_file")) for line in self._settings):
            lines.append("allow_anonymous true")
        file = self._folder / "mosquitto.conf"
        file.write_text("\n".join([*lines, *self._settings, ""]))
        with (self._folder / "log").open("ab") as log:
            command, environment = program("mosquitto")
            self._process = subprocess.Popen([command, "-c", file], stdout=log, stderr=log, env=environment)
        eventually(self._listens, f"the broker to listen; its log is {self._folder / 'log'}")

    def kill(self) -> None:
        """As a crash does it."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._end(signal.SIGTERM)

    def freeze(self) -> None:
        """It keeps its connections and answers nothing."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def _end(self, number: int) -> None:
        self._process.send_signal(number)
        self._process.wait()
        self._process = None

    def _listens(self) -> bool:
        assert self._process.poll() is None, (self._folder / "log").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def program(name: str) -> tuple[str, dict[str, str] | None]:
    """A program of mosquitto: the machine's own, or Debian's from the cache."""
    own = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if own is not None:
        return own, None
    folder = unpacked("mosquitto", PACKAGES)
    (found,) = (path for path in folder.glob(f"usr/*bin/{name}"))
    return str(found), libraries(folder)


def password_file(folder: Path, username: str, password: str) -> Path:
    file = folder / "passwords"
    command, environment = program("mosquitto_passwd")
    subprocess.run([command, "-b", "-c", file, username, password], check=True, capture_output=True, env=environment)
    return file


class Subscriber:
    """Its session outlives connections, so it gets every message that the broker acknowledged, if late or twice."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self.messages: list[tuple[str, bytes]] = []
        self.kinds: list[str | None] = []
        self._ready = threading.Event()
        client = self._client = Client(
            CallbackAPIVersion.VERSION2, f"subscriber-{os.getpid()}", protocol=MQTTProtocolVersion.MQTTv5
        )
        client.on_connect = self._on_connect
        client.on_subscribe = lambda *_: self._ready.set()
        client.on_message = self._on_message
        client.reconnect_delay_set(1, 1)
        lasting = Properties(PacketTypes.CONNECT)
        lasting.SessionExpiryInterval = 3600
        client.connect(host, port, clean_start=False, properties=lasting)
        client.loop_start()
        assert self._ready.wait(30)

    def events(self) -> list[dict]:
        """Every event that came, in order."""
        return [json.loads(payload) for topic, payload in [*self.messages] if "/streams/" in topic]

    def sequences(self) -> list[int]:
        return [event["data"]["sequence"] for event in self.events()]

    def availability(self) -> list[str]:
        return [payload.decode() for topic, payload in [*self.messages] if topic.endswith("/availability")]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, client, _userdata, _flags, _code, _properties) -> None:
        client.subscribe("#", 1)

    def _on_message(self, _client, _userdata, message) -> None:
        self.kinds.append(getattr(message.properties, "ContentType", None))
        self.messages.append((message.topic, message.payload))
