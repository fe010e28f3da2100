"""The webhook sink in front of a real web server that is killed, frozen, slow, strict and wrong."""

from __future__ import annotations

import base64
import hashlib
import hmac
import ssl

import pytest

from framepilot.contract.desired import SinkTls
from framepilot.contract.observed import SinkState
from support.broker import free_port
from support.certificates import Authority
from support.eventually import eventually
from support.webhook_receiver import Receiver, ReceiverProcess, garbage, hang_up, status

KEY = b"0123456789abcdefghijklmnopqrstuv"
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def process(tmp_path):
    process = ReceiverProcess(free_port(), tmp_path / "received")
    process.start()
    yield process
    process.kill()


def signature(key: bytes, headers: dict[str, str], body: bytes) -> str:
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    return f"v1,{base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()}"


def test_events_arrive_once_and_in_order_as_batches_of_cloud_events(feed, receiver):
    feed.declare(type="webhook", url=receiver.url)
    feed.send(450)
    feed.written(450)
    assert receiver.sequences() == [*range(450)]
    assert all(len(batch) <= 100 for batch in receiver.batches)
    assert len(receiver.batches) < 20
    path, headers, _ = receiver.requests[0]
    assert path == "/hooks/events?site=north"
    assert headers["content-type"] == "application/cloudevents-batch+json"
    assert "webhook-signature" not in headers


def test_a_few_events_do_not_wait_for_a_full_batch(feed, receiver):
    feed.declare(type="webhook", url=receiver.url)
    feed.send(3)
    feed.written(3)
    assert [len(batch) for batch in receiver.batches] == [3]


def test_a_batch_is_signed_with_every_secret_there_is(feed, receiver):
    (feed.credentials / "out.secret").write_text(SECRET)
    feed.declare(type="webhook", url=receiver.url)
    feed.send()
    feed.written(1)
    _, headers, body = receiver.requests[-1]
    assert headers["webhook-signature"] == signature(KEY, headers, body)
    # One secret replaces another: for a while the receiver may know either.
    newer = b"another key of thirty-two bytes."
    (feed.credentials / "out.secret").write_text(f"{SECRET} whsec_{base64.b64encode(newer).decode()}")
    feed.send()
    feed.written(2)
    _, headers, body = receiver.requests[-1]
    assert headers["webhook-signature"].split() == [signature(key, headers, body) for key in (KEY, newer)]


def test_a_secret_that_is_none_is_said_and_not_shown(feed, receiver):
    (feed.credentials / "out.secret").write_text("whsec_not-base64!")
    feed.declare(type="webhook", url=receiver.url)
    feed.send()
    reason = feed.reaches(SinkState.FAILED)
    assert "'out.secret' is no secret; write whsec_ and base64" in reason
    assert "not-base64" not in reason
    assert receiver.requests == []


@pytest.mark.parametrize(
    "answer", [status(500), status(503), status(408), status(429), hang_up, garbage, status(302, Location="/other")]
)
def test_a_batch_that_was_not_taken_is_sent_again_with_the_same_id(feed, receiver, answer):
    receiver.answers = [answer] * 2
    feed.declare(type="webhook", url=receiver.url)
    feed.send(100)
    feed.written(100)
    assert receiver.sequences() == [*range(100)]
    assert len(receiver.requests) == 3
    assert len({headers["webhook-id"] for _, headers, _ in receiver.requests}) == 1
    assert feed.sink().dropped == {}


@pytest.mark.parametrize("code", [400, 401, 410, 413])
def test_a_batch_that_is_refused_is_dropped_for_its_reason_and_the_next_goes_on(feed, receiver, code):
    receiver.answers = [status(code)]
    feed.declare(type="webhook", url=receiver.url)
    feed.send(150)
    feed.written(50)
    assert feed.sink().dropped == {f"http-{code}": 100}
    assert receiver.sequences() == [*range(100, 150)]


def test_a_receiver_that_refuses_everything_is_a_failed_sink_and_says_the_answer(feed, receiver):
    receiver.always = status(403)
    feed.declare(type="webhook", url=receiver.url)
    feed.send(1000)
    reason = feed.reaches(SinkState.FAILED)
    assert f"http://127.0.0.1:{receiver.port} answered 403" in reason
    assert "hooks" not in reason
    receiver.always = None
    feed.send(100)
    feed.reaches(SinkState.CONNECTED)


def test_a_receiver_that_asks_for_time_is_given_it(feed, receiver, monkeypatch):
    receiver.answers = [status(429, Retry_After="1")]
    feed.declare(type="webhook", url=receiver.url)
    feed.send(100)
    feed.written(100)
    first, second = [int(headers["webhook-timestamp"]) for _, headers, _ in receiver.requests]
    assert second >= first + 1


def test_a_redirect_is_not_followed_and_what_to_do_is_said(feed, receiver):
    receiver.always = status(307, Location="/elsewhere")
    feed.declare(type="webhook", url=receiver.url)
    feed.send(10)
    assert "redirects are not followed; write the address it leads to" in feed.reaches(SinkState.FAILED)
    assert {path for path, _, _ in receiver.requests} == {"/hooks/events?site=north"}
    assert feed.sink().waiting == 10


def test_a_slow_receiver_holds_up_nothing_but_its_own_events(feed, receiver):
    receiver.answers = [lambda request: (receiver.released.wait(2), status(200)(request))]
    feed.declare(type="webhook", url=receiver.url)
    feed.send(100)
    eventually(lambda: receiver.requests)
    feed.send(10_000)
    assert (feed.sink().written, feed.sink().offered) == (0, 10_100)
    eventually(lambda: feed.sink().waiting == 0)
    sink = feed.sink()
    assert sink.written + sink.dropped.get("full", 0) == 10_100


def test_a_receiver_that_is_killed_and_comes_back_gets_everything(feed, process):
    feed.declare(type="webhook", url=process.url)
    feed.send(100)
    feed.written(100)
    process.kill()
    feed.send(300)
    feed.reaches(SinkState.FAILED)
    process.start()
    feed.written(400)
    assert [*dict.fromkeys(process.sequences())] == [*range(400)]


def test_a_receiver_that_hangs_is_noticed_and_gets_everything_when_it_goes_on(feed, process):
    feed.declare(type="webhook", url=process.url)
    feed.send(100)
    feed.written(100)
    process.freeze()
    feed.send(300)
    assert "no answer within" in feed.reaches(SinkState.RETRYING)
    process.thaw()
    feed.written(400)
    assert [*dict.fromkeys(process.sequences())] == [*range(400)]


def test_over_tls_only_the_right_authority_is_believed(feed, tmp_path):
    authority = Authority(tmp_path / "tls")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("server"))
    receiver = Receiver(tls=context)
    try:
        ca = tmp_path / "ca.pem"
        ca.write_bytes(Authority(tmp_path / "other").ca.read_bytes())
        feed.declare(type="webhook", url=receiver.url, tls=SinkTls(ca=ca))
        feed.send(10)
        assert "certificate verify failed" in feed.reaches(SinkState.FAILED)
        ca.write_bytes(authority.ca.read_bytes())
        feed.written(10)
    finally:
        receiver.close()
