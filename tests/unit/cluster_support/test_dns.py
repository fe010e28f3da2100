"""An answer of the cluster's DNS counts only if it is one to our question and holds the address."""

from __future__ import annotations

import socket
import struct

from hypothesis import given
from hypothesis import strategies as st

from support.cluster import dns

ADDRESS = "10.96.0.1"


def answer(address: str = ADDRESS, identity: int = dns.QUESTION_ID, code: int = 0, kind: int = 1) -> bytes:
    """What a server sends: the question again, and one record that refers to its name (RFC 1035, 4.1)."""
    asked = dns.question("kubernetes.default.svc.cluster.local")[dns.HEADER.size :]
    header = dns.HEADER.pack(identity, 0x8400 | code, 1, 1, 0, 0)
    return header + asked + struct.pack("!HHHIH", 0xC00C, kind, 1, 5, 4) + socket.inet_aton(address)


def test_a_question_is_a_header_and_the_labels_of_the_name():
    asked = dns.question("a.example")
    assert asked[2:12] == bytes([1, 0, 0, 1, 0, 0, 0, 0, 0, 0])
    assert asked[12:] == b"\x01a\x07example\x00" + bytes([0, 1, 0, 1])


def test_the_right_address_is_an_answer():
    assert dns.holds(answer(), ADDRESS)


def test_another_address_an_error_or_another_question_is_none():
    assert not dns.holds(answer("10.96.0.2"), ADDRESS)
    assert not dns.holds(answer(code=3), ADDRESS)
    assert not dns.holds(answer(identity=7), ADDRESS)
    assert not dns.holds(answer(kind=28), ADDRESS)


@given(st.binary(max_size=600))
def test_whatever_arrives_is_read_without_an_error(received: bytes):
    assert not dns.holds(received, ADDRESS) or received.endswith(socket.inet_aton(ADDRESS))


def test_the_manifest_has_no_gap_left():
    assert "$" not in dns.manifest()
