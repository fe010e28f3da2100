"""Events as messages to an MQTT 5 broker, at least once: an event is written when the broker has acknowledged it.

`mqtt://host:port/some/prefix` gives the topics, where `service` is `<namespace>/<name>`:
`some/prefix/<service>/streams/<stream>` has the events, and `some/prefix/<service>/availability` says `online` or
`offline`, retained; it is the broker that says `offline` when the connection is lost (the last will).
The connection is one of paho's (https://eclipse.dev/paho/files/paho.mqtt.python/html/), with its thread; it is never
repaired, but closed and opened anew by the sink's writer.
"""

from __future__ import annotations

import re
import secrets
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessageInfo
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from framepilot.contract.desired import SinkTls
from framepilot.contract.events import FrameId
from framepilot_app.credentials import Credentials, CredentialsError
from framepilot_app.sinks.sink import Batching, RefusedError, SinkError
from framepilot_app.sinks.tls import tls_context

CONTENT_TYPE: Final = "application/cloudevents+json"
IN_FLIGHT: Final = 64
"""Events that wait for their acknowledgement at once, if the broker allows so many."""

CONNECT_S: Final = 5.0
ANSWER_S: Final = 10.0
KEEPALIVE_S: Final = 15
DISCONNECT_S: Final = 2.0

_AT_LEAST_ONCE: Final = 1
_WITH_WILL: Final = 4
_NOT_WANTED: Final = {0x90: "mqtt-144", 0x99: "mqtt-153"}
"""Answers that another try would not change: the topic's name, or the payload's format."""
_PACKET_OVERHEAD: Final = 256
_PROCESS: Final = secrets.token_hex(4)
_ID: Final = re.compile(rb'"id":"([^"]+)"')


class MqttSink:
    """One connection."""

    def __init__(self, service: str, name: str, url: str, tls: SinkTls | None, credentials: Credentials) -> None:
        """Connect, and say that the service is online.

        Raises:
            SinkError: the broker cannot be reached, does not answer, or does not let it in.
        """
        parts = urlsplit(url)
        self._name = name
        self._broker = parts.netloc
        prefix = parts.path.strip("/")
        self._prefix = f"{prefix}/{service}" if prefix else service
        self._largest: int | None = None
        self._changed = threading.Condition()
        self._connected = False
        self._lost: str | None = None
        self._answers: dict[int, ReasonCode] = {}
        self.batching = Batching(events=IN_FLIGHT, bytes=4 << 20)
        self._properties = _event_properties()
        self._client = self._made(f"framepilot-{service}-{name}-{_PROCESS}")
        if parts.scheme == "mqtts":
            self._client.tls_set_context(tls_context(name, tls))
        self._log_in(credentials)
        try:
            self._connect(parts.hostname or "", parts.port or (8883 if parts.scheme == "mqtts" else 1883))
            self._wait_for([self._publish(self._availability, b"online", retain=True)])
        except SinkError:
            self.close()
            raise

    def write(self, lines: Sequence[bytes]) -> None:
        """Publish, and wait for all acknowledgements.

        Raises:
            RefusedError: the broker does not take an event, whenever it is sent.
            SinkError: the connection was lost, or an answer did not come or said no.
        """
        self.check()
        fitting = next((index for index, line in enumerate(lines) if not self._fits(line)), len(lines))
        self._wait_for([self._publish(self._topic(line), line) for line in lines[:fitting]])
        if fitting < len(lines):
            message = f"{self._broker}: an event is larger than the broker takes; raise its limit"
            raise RefusedError(message, "too-large", taken=fitting, refused=1)

    def check(self) -> None:
        """Whether the connection holds.

        Raises:
            SinkError: it was lost.
        """
        with self._changed:
            if self._lost is not None:
                raise SinkError(f"{self._broker}: {self._lost}")

    def close(self) -> None:
        """Leave; the broker says that the service is offline. Idempotent."""
        with self._changed:
            if self._connected and self._lost is None:
                self._client.disconnect(ReasonCode(PacketTypes.DISCONNECT, identifier=_WITH_WILL))
                self._changed.wait_for(lambda: self._lost is not None, DISCONNECT_S)
        # What hangs in the connection ends now, and with it paho's thread.
        connection = self._client.socket()
        if isinstance(connection, socket.socket):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._client.loop_stop()

    @property
    def _availability(self) -> str:
        return f"{self._prefix}/availability"

    def _made(self, client_id: str) -> Client:
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
        )
        client.connect_timeout = CONNECT_S
        client.max_inflight_messages_set(IN_FLIGHT)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.will_set(self._availability, b"offline", _AT_LEAST_ONCE, retain=True)
        return client

    def _log_in(self, credentials: Credentials) -> None:
        try:
            login = credentials.of(self._name)
        except CredentialsError as error:
            raise SinkError(f"sink '{self._name}': {error}") from error
        if login is not None:
            self._client.username_pw_set(login.username, login.password)

    def _connect(self, host: str, port: int) -> None:
        try:
            self._client.connect(host, port, KEEPALIVE_S)
        except (OSError, ValueError) as error:
            message = f"{self._broker} cannot be reached: {error}; check the address, the broker and its certificate"
            raise SinkError(message) from error
        self._client.loop_start()
        with self._changed:
            if not self._changed.wait_for(lambda: self._connected or self._lost is not None, ANSWER_S):
                raise SinkError(f"{self._broker} does not answer within {ANSWER_S:.0f} s; check the broker")
            if not self._connected:
                raise SinkError(f"{self._broker}: {self._lost}")

    def _publish(self, topic: str, payload: bytes, *, retain: bool = False) -> MQTTMessageInfo:
        return self._client.publish(topic, payload, _AT_LEAST_ONCE, retain, self._properties)

    def _wait_for(self, messages: Sequence[MQTTMessageInfo]) -> None:
        """Until each of them is acknowledged.

        Raises:
            RefusedError: one is not wanted.
            SinkError: one was not acknowledged.
        """
        until = time.monotonic() + ANSWER_S
        with self._changed:
            for taken, message in enumerate(messages):
                answer = self._answer(message, until)
                if answer is None:
                    reason = self._lost or f"no acknowledgement within {ANSWER_S:.0f} s"
                    raise SinkError(f"{self._broker}: {reason}", taken=taken)
                if answer.is_failure:
                    self._say_no(answer, taken)

    def _answer(self, message: MQTTMessageInfo, until: float) -> ReasonCode | None:
        """The acknowledgement of one message; None: there was none until then, or there will be none."""

        def known() -> bool:
            return message.mid in self._answers or self._lost is not None

        if message.rc is MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._changed.wait_for(known, max(until - time.monotonic(), 0))
        return self._answers.pop(message.mid, None)

    def _say_no(self, answer: ReasonCode, taken: int) -> None:
        said = f"{self._broker} answered: {answer}"
        if answer.value in _NOT_WANTED:
            raise RefusedError(said, _NOT_WANTED[answer.value], taken=taken, refused=1)
        raise SinkError(f"{said}; let this user publish below '{self._prefix}'", taken=taken)

    def _fits(self, line: bytes) -> bool:
        return self._largest is None or len(line) + len(self._prefix) + _PACKET_OVERHEAD <= self._largest

    def _topic(self, line: bytes) -> str:
        """The topic of an event's stream, which its id names."""
        found = _ID.search(line, 0, 1024)
        if found is None:
            raise SinkError("an event has no id")
        return f"{self._prefix}/streams/{FrameId.parse(found[1].decode()).stream}"

    def _on_connect(
        self, _: Client, __: object, ___: ConnectFlags, code: ReasonCode, properties: Properties | None
    ) -> None:
        with self._changed:
            if code.is_failure:
                self._lost = f"the broker does not let it in: {code}; check user name and password"
            else:
                self._connected = True
                self._largest = getattr(properties, "MaximumPacketSize", None)
                allowed = getattr(properties, "ReceiveMaximum", IN_FLIGHT)
                self.batching = Batching(events=min(IN_FLIGHT, allowed), bytes=self.batching.bytes)
            self._changed.notify_all()

    def _on_disconnect(
        self, _: Client, __: object, ___: DisconnectFlags, code: ReasonCode, ____: Properties | None
    ) -> None:
        with self._changed:
            self._lost = self._lost or f"the connection was lost: {code}"
            self._changed.notify_all()

    def _on_publish(self, _: Client, __: object, mid: int, code: ReasonCode, ___: Properties | None) -> None:
        with self._changed:
            self._answers[mid] = code
            self._changed.notify_all()


def _event_properties() -> Properties:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.ContentType = CONTENT_TYPE
    properties.PayloadFormatIndicator = 1
    return properties
