"""The MQTT sink in front of a real broker that is killed, frozen, restarted, strict and wrong."""

from __future__ import annotations

import socket
import threading

import pytest

from framepilot.contract.desired import SinkTls, SpoolSpace
from framepilot.contract.observed import SinkState
from support.broker import Broker, Subscriber, free_port, password_file
from support.certificates import Authority
from support.eventually import eventually


@pytest.fixture
def broker(tmp_path):
    broker = Broker(tmp_path / "broker")
    yield broker
    broker.stop()


@pytest.fixture
def subscriber(broker):
    subscriber = Subscriber(broker.port)
    yield subscriber
    subscriber.close()


def url(broker: Broker, scheme: str = "mqtt") -> str:
    return f"{scheme}://127.0.0.1:{broker.port}/cameras/north"


def arrive(subscriber: Subscriber, count: int) -> None:
    eventually(lambda: set(subscriber.sequences()) == {*range(count)}, f"{count} events")


def first_times(sequences: list[int]) -> list[int]:
    return [*dict.fromkeys(sequences)]


def test_events_arrive_once_and_in_order_below_the_prefix_and_the_service_says_that_it_is_online(
    feed, broker, subscriber
):
    feed.declare(type="mqtt", url=url(broker))
    feed.send(500)
    feed.written(500)
    eventually(lambda: len(subscriber.events()) == 500)
    assert subscriber.sequences() == [*range(500)]
    topics = {topic for topic, _ in subscriber.messages}
    assert topics == {"cameras/north/site/lobby/streams/door", "cameras/north/site/lobby/availability"}
    assert subscriber.kinds[-1] == "application/cloudevents+json"
    assert subscriber.availability() == ["online"]
    feed.close()
    eventually(lambda: subscriber.availability() == ["online", "offline"])


def test_a_broker_that_is_killed_and_comes_back_gets_everything(feed, broker, subscriber):
    feed.declare(type="mqtt", url=url(broker))
    feed.send(200)
    feed.written(100)
    broker.kill()
    feed.send(300)
    assert "cannot be reached" in feed.reaches(SinkState.FAILED)
    feed.send(100)
    broker.start()
    feed.written(600)
    arrive(subscriber, 600)
    assert first_times(subscriber.sequences()) == [*range(600)]
    assert (feed.reaches(SinkState.CONNECTED), feed.sink().dropped) == (None, {})
    eventually(lambda: subscriber.availability()[-1] == "online")


def test_a_broker_that_hangs_is_noticed_and_gets_everything_when_it_goes_on(feed, broker, subscriber):
    feed.declare(type="mqtt", url=url(broker))
    feed.send(10)
    feed.written(10)
    broker.freeze()
    feed.send(300)
    reason = feed.reaches(SinkState.RETRYING)
    assert "no acknowledgement within" in reason or "does not answer within" in reason
    broker.thaw()
    feed.written(310)
    arrive(subscriber, 310)


def test_a_lost_connection_is_noticed_while_there_is_nothing_to_send_and_others_are_told(feed, broker, subscriber):
    feed.declare(type="mqtt", url=url(broker))
    feed.reaches(SinkState.CONNECTED)
    eventually(lambda: subscriber.availability() == ["online"])
    broker.stop()
    assert "127.0.0.1" in feed.reaches(SinkState.FAILED)
    broker.start()
    feed.reaches(SinkState.CONNECTED)


def test_a_process_that_dies_is_said_to_be_offline_by_the_broker(feed, broker, subscriber):
    feed.declare(type="mqtt", url=url(broker))
    feed.reaches(SinkState.CONNECTED)
    # Its end of the connection is gone without a word, as after a kill.
    (branch,) = feed._fanout._branches
    branch.writer._sink._client.socket().shutdown(socket.SHUT_RDWR)
    eventually(lambda: "offline" in subscriber.availability())
    eventually(lambda: subscriber.availability()[-1] == "online", "it to come back")


def test_what_the_broker_missed_is_spooled_beyond_memory_and_across_a_restart(feed, broker, subscriber):
    broker.stop()
    spool = SpoolSpace(size_bytes=1 << 26)
    feed.declare(type="mqtt", url=url(broker), spool=spool)
    feed.spool(10_000)
    assert feed.sink().spooled > 0
    feed.send(2_000)
    feed.close()
    assert feed.sink().dropped == {}
    broker.start()
    feed.restart(type="mqtt", url=url(broker), spool=spool)
    feed.written(12_000)
    arrive(subscriber, 12_000)
    assert first_times(subscriber.sequences()) == [*range(12_000)]


def test_user_and_password_are_read_at_each_connection(feed, broker, tmp_path):
    broker.stop()
    broker.configure(f"password_file {password_file(tmp_path, 'ann', 'right')}")
    broker.start()
    feed.declare(type="mqtt", url=url(broker))
    feed.send(3)
    assert "does not let it in: Not authorized; check user name and password" in feed.reaches(SinkState.FAILED)
    (feed.credentials / "out.username").write_text("ann\n")
    (feed.credentials / "out.password").write_text("wrong\n")
    reason = feed.reaches(SinkState.FAILED)
    assert "wrong" not in reason
    (feed.credentials / "out.password").write_text("right\n")
    feed.written(3)
    feed.reaches(SinkState.CONNECTED)


def test_a_topic_that_the_broker_does_not_allow_is_said_and_nothing_is_lost(feed, broker, tmp_path):
    passwords = password_file(tmp_path, "ann", "right")
    rights = tmp_path / "rights"
    rights.write_text("user ann\ntopic write cameras/north/site/lobby/availability\n")
    broker.stop()
    broker.configure(f"password_file {passwords}", f"acl_file {rights}")
    broker.start()
    (feed.credentials / "out.username").write_text("ann")
    (feed.credentials / "out.password").write_text("right")
    feed.declare(type="mqtt", url=url(broker))
    feed.send(5)
    assert "Not authorized; let this user publish below 'cameras/north" in feed.reaches(SinkState.FAILED)
    assert feed.sink().waiting == 5
    rights.write_text("user ann\ntopic write cameras/#\n")
    broker.stop()
    broker.start()
    feed.written(5)


def test_an_event_that_is_too_large_for_the_broker_is_dropped_alone(feed, broker, subscriber):
    broker.stop()
    broker.configure("max_packet_size 600")
    broker.start()
    feed.declare(type="mqtt", url=url(broker))
    feed.reaches(SinkState.CONNECTED)
    (branch,) = feed._fanout._branches
    feed.send(2)
    branch.outbox.offer(b'{"id":"site/lobby/door/1/2","data":"%s"}' % (b"x" * 900))
    feed.offered += 1
    feed.send(2)
    feed.written(4)
    assert feed.sink().dropped == {"too-large": 1}
    eventually(lambda: subscriber.sequences() == [0, 1, 3, 4])


@pytest.fixture
def tls(tmp_path):
    authority = Authority(tmp_path / "tls")
    certificate, key = authority.issue("server")
    broker = Broker(
        tmp_path / "tls-broker",
        f"cafile {authority.ca}",
        f"certfile {certificate}",
        f"keyfile {key}",
        "require_certificate true",
    )
    yield broker, authority
    broker.stop()


def test_over_tls_both_ends_show_their_certificates(feed, tls):
    broker, authority = tls
    certificate, key = authority.issue("client")
    feed.declare(type="mqtt", url=url(broker, "mqtts"), tls=SinkTls(ca=authority.ca, certificate=certificate, key=key))
    feed.send(100)
    feed.written(100)


def test_a_broker_of_another_authority_gets_nothing_until_the_right_one_is_there(feed, tls, tmp_path):
    broker, authority = tls
    certificate, key = authority.issue("client")
    ca = tmp_path / "ca.pem"
    ca.write_bytes(Authority(tmp_path / "other").ca.read_bytes())
    feed.declare(type="mqtt", url=url(broker, "mqtts"), tls=SinkTls(ca=ca, certificate=certificate, key=key))
    feed.send(10)
    assert "certificate verify failed" in feed.reaches(SinkState.FAILED)
    assert feed.sink().written == 0
    ca.write_bytes(authority.ca.read_bytes())
    feed.written(10)


def test_a_missing_file_of_certificates_is_named(feed, broker, tmp_path):
    feed.declare(type="mqtt", url=url(broker, "mqtts"), tls=SinkTls(ca=tmp_path / "nowhere.pem"))
    assert "nowhere.pem' cannot be used as CA: No such file" in feed.reaches(SinkState.FAILED)


def test_a_server_that_speaks_something_else_is_no_broker(feed):
    port = free_port()
    with socket.create_server(("127.0.0.1", port)) as server:

        def babble():
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(b"\xff\x00garbage" * 100)

        talking = threading.Thread(target=babble)
        talking.start()
        feed.declare(type="mqtt", url=f"mqtt://127.0.0.1:{port}/x")
        feed.send(5)
        feed.reaches(SinkState.FAILED)
        assert feed.sink().waiting == 5
        server.shutdown(socket.SHUT_RDWR)
    talking.join()
