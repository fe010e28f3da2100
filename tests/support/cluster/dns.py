"""The cluster's DNS: what to apply, and a question that proves that it answers.

The question goes from the machine to the service's address, so an answer means that scheduler, kubelet, containerd,
the pods' network and kube-proxy do their work. Format of messages: RFC 1035, section 4.
"""

from __future__ import annotations

import socket
import string
import struct
from pathlib import Path

from support.cluster import settings

MANIFEST = Path(__file__).with_name("manifests") / "coredns.yaml"
TIMEOUT_S = 5.0
QUESTION_ID = 0x4650
TYPE_A, CLASS_IN, RECURSION_DESIRED = 1, 1, 0x0100
HEADER = struct.Struct("!6H")


def manifest() -> str:
    """What kubectl applies."""
    text = string.Template(MANIFEST.read_text())
    return text.substitute(image=settings.DNS_IMAGE, address=settings.DNS_ADDRESS, domain=settings.DNS_DOMAIN)


def answers() -> bool:
    """Whether it knows the address of the API server's service."""
    name = f"kubernetes.default.svc.{settings.DNS_DOMAIN}"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(TIMEOUT_S)
        try:
            client.connect((settings.DNS_ADDRESS, 53))
            client.send(question(name))
            answer = client.recv(4096)
        except OSError:
            return False
    return holds(answer, settings.API_SERVICE_ADDRESS)


def question(name: str) -> bytes:
    """A message that asks for the IPv4 addresses of a name."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return HEADER.pack(QUESTION_ID, RECURSION_DESIRED, 1, 0, 0, 0) + labels + struct.pack("!xHH", TYPE_A, CLASS_IN)


def holds(answer: bytes, address: str) -> bool:
    """Whether a message answers our question with an address: it says no error, and its last record's data is that."""
    if len(answer) < HEADER.size:
        return False
    identity, flags, _, answers, _, _ = HEADER.unpack_from(answer)
    given = struct.pack("!HHIH", TYPE_A, CLASS_IN, 0, 4)
    record = answer[-14:]
    kind = record[:4] == given[:4] and record[8:10] == given[8:10]
    right = identity == QUESTION_ID and flags & 0x000F == 0 and answers > 0
    return right and kind and record[10:] == socket.inet_aton(address)
