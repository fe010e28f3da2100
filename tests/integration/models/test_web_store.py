"""Models from a real web server that serves, lies, breaks off, hangs and sends elsewhere."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from framepilot.contract.desired import ModelRef
from framepilot_app.models.credentials import Credentials
from framepilot_app.models.model import ALL_FILES, LISTED_FILES, MODEL_FILE, WEIGHTS_FILE, ModelError, UnavailableError
from framepilot_app.models.patience import Patience
from framepilot_app.models.store import ModelStore
from framepilot_app.models.verify import open_model
from framepilot_app.models.web_source import Tries, WebSource
from support.eventually import eventually
from support.web_store import (
    Answer,
    WebStore,
    endless,
    hang_up,
    instead,
    redirect,
    status,
    truncate,
    truncate_silently,
)

pytestmark = pytest.mark.usefixtures("nothing_of_this_machine")


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def store(cache: Path, time: Time) -> ModelStore:
    return ModelStore(cache, clock=time.clock, sleep=time.sleep)


def ref(web: WebStore, sha256: str | None = None, version: str = "1", uri: str | None = None) -> ModelRef:
    return ModelRef(name="tiny", version=version, uri=uri or web.uri(version=version), sha256=sha256)


def refusal(store: ModelStore, wanted: ModelRef) -> str:
    with pytest.raises(ModelError) as refused:
        store.fetch(wanted)
    return str(refused.value)


def cached(cache: Path) -> set[str]:
    return {entry.name for entry in (cache / "models").iterdir()} if (cache / "models").exists() else set()


def test_a_model_is_fetched_verified_and_kept(store: ModelStore, web: WebStore, folder: Path, cache: Path) -> None:
    model = store.fetch(ref(web))
    assert model.sha256 == open_model(folder).sha256
    assert {name: (model.folder / name).read_bytes() for name in ALL_FILES} == {
        name: (folder / name).read_bytes() for name in ALL_FILES
    }
    assert cached(cache) == {model.sha256}
    assert dict(web.requests) == dict.fromkeys(ALL_FILES, 1)


def test_a_pinned_model_in_the_cache_needs_no_network(store: ModelStore, folder: Path) -> None:
    with WebStore(folder.parents[1]).running() as web:
        model = store.fetch(ref(web))
    assert store.fetch(ref(web, model.sha256)) == model


def test_an_unpinned_model_in_the_cache_costs_one_small_request(store: ModelStore, web: WebStore) -> None:
    store.fetch(ref(web))
    web.requests.clear()
    store.fetch(ref(web))
    assert dict(web.requests) == {MODEL_FILE: 1}


def test_another_digest_is_refused_before_the_rest_is_fetched(store: ModelStore, web: WebStore, cache: Path) -> None:
    assert "another digest under the same version" in refusal(store, ref(web, "0" * 64))
    assert dict(web.requests) == {MODEL_FILE: 1}
    assert cached(cache) == set()


def test_another_model_is_refused_before_the_rest_is_fetched(store: ModelStore, web: WebStore) -> None:
    assert "holds model 'tiny' version '1'" in refusal(store, ref(web, version="2", uri=web.uri()))
    assert dict(web.requests) == {MODEL_FILE: 1}


@pytest.mark.parametrize("name", [MODEL_FILE, WEIGHTS_FILE])
@pytest.mark.parametrize("answer", [status(500), status(503), status(429), hang_up, truncate])
def test_what_passes_by_itself_is_tried_again(
    store: ModelStore, web: WebStore, time: Time, name: str, answer: Answer
) -> None:
    web.answers[name] = [answer, answer]
    store.fetch(ref(web))
    assert web.requests[name] == 3
    assert time.now == pytest.approx(0.5 + 1.0)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (status(500), "the server answers 500 Internal Server Error, 6 times; check that the store is up"),
        (truncate, "bytes, 6 times; check that the store is up"),
        (hang_up, "6 times; check that the store is up"),
    ],
)
def test_what_does_not_pass_is_given_up(
    store: ModelStore, web: WebStore, cache: Path, answer: Answer, says: str
) -> None:
    web.answers[WEIGHTS_FILE] = [answer] * 99
    message = refusal(store, ref(web))
    assert says in message
    assert f"{web.uri()}/{WEIGHTS_FILE}" in message
    assert web.requests[WEIGHTS_FILE] == 6
    assert cached(cache) == set()


def test_a_store_that_is_not_there_is_said(store: ModelStore) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{taken.getsockname()[1]}/tiny/1"
        message = refusal(store, ModelRef(name="tiny", version="1", uri=uri))
    assert f"{uri}/{MODEL_FILE}: Connection refused, 6 times" in message


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (status(404), "is not there (404 Not Found); check the store's URL, and that the whole folder is in the store"),
        (status(401), "is refused (401 Unauthorized), asked without credentials; let NETRC name"),
        (status(403), "is refused (403 Forbidden), asked without credentials; let NETRC name"),
        (status(418), "the server answers 418"),
        (status(204), "the server answers 204 No Content"),
        (
            instead(b"<html>", kind="text/html; charset=utf-8"),
            "is a web page and no file of a model: a login or an error page; check the store's URL",
        ),
        (redirect("file:///etc/passwd"), "is redirected to where nothing is fetched from"),
        (redirect("ftp://127.0.0.1/x"), "is redirected to where nothing is fetched from"),
        (redirect("https:nowhere"), "cannot be fetched: no host given; check the store's URL"),
        (status(407), "is refused by the proxy (407 Proxy Authentication Required)"),
        (instead(b"", length=1 << 60), "is too large: 1152921504606846976 bytes"),
    ],
)
@pytest.mark.parametrize("name", [MODEL_FILE, WEIGHTS_FILE])
def test_what_will_not_pass_is_said_at_once(
    store: ModelStore, web: WebStore, cache: Path, time: Time, name: str, answer: Answer, says: str
) -> None:
    web.answers[name] = [answer]
    message = refusal(store, ref(web))
    assert says in message
    assert message.startswith(f"model 'tiny' version '1': {web.uri()}/{name} ")
    assert web.requests[name] == 1
    assert time.slept == []
    assert cached(cache) == set()


def test_more_than_a_file_may_have_is_not_taken(store: ModelStore, web: WebStore, cache: Path) -> None:
    web.answers[MODEL_FILE] = [endless]
    assert "model.yaml is too large: more than the 131072 bytes" in refusal(store, ref(web))


@pytest.mark.parametrize(
    ("name", "answer", "says"),
    [
        (WEIGHTS_FILE, truncate_silently, "weights.safetensors is truncated or was changed"),
        (WEIGHTS_FILE, instead(b"tampered"), "weights.safetensors is truncated or was"),
        (MODEL_FILE, instead(b"hello: world"), "model.yaml: "),
    ],
)
def test_other_content_is_refused_and_leaves_nothing(
    store: ModelStore, web: WebStore, cache: Path, name: str, answer: Answer, says: str
) -> None:
    web.answers[name] = [answer]
    message = refusal(store, ref(web))
    assert says in message
    assert web.uri() in message
    assert cached(cache) == set()


def test_a_redirection_within_the_web_is_followed_and_its_body_ignored(store: ModelStore, web: WebStore) -> None:
    web.answers[WEIGHTS_FILE] = [redirect(f"{web.uri()}/{WEIGHTS_FILE}?signature=s3cret", body=b"moved" * 1000)]
    assert store.fetch(ref(web)).spec.name == "tiny"


def test_redirections_in_a_circle_end(store: ModelStore, web: WebStore) -> None:
    web.answers[MODEL_FILE] = [redirect(f"{web.uri()}/{MODEL_FILE}")] * 99
    assert "and not in a circle" in refusal(store, ref(web))


def test_where_it_was_redirected_to_is_not_shown(store: ModelStore, web: WebStore, caplog) -> None:
    place = f"http://ann:s3cret@127.0.0.1:{web.port}/{MODEL_FILE}?token=s3cret"
    web.answers[MODEL_FILE] = [redirect(place), status(500)] * 99
    assert "s3cret" not in refusal(store, ref(web))
    assert "s3cret" not in "".join(str(vars(record)) for record in caplog.records)


@pytest.mark.parametrize("rest", ["ann:s3cret@host/a", "ann:s3cret@host/a?x=y", "host/a?token=s3cret", "a:s3cret@[/x"])
def test_a_url_with_credentials_is_refused_without_showing_them(store: ModelStore, rest: str) -> None:
    message = refusal(store, ModelRef(name="tiny", version="1", uri=f"https://{rest}"))
    assert "s3cret" not in message
    assert "'tiny' version '1'" in message


def _source(web: WebStore, patience: Patience, silence_s: float = 30.0) -> WebSource:
    nobody = Credentials("127.0.0.1", None, None)
    return WebSource("'tiny' version '1'", web.uri(), patience, nobody, Tries(silence_s=silence_s, pauses_s=(0.01,)))


def test_silence_is_not_waited_out_for_ever(web: WebStore) -> None:
    web.answers[MODEL_FILE] = [web.stall] * 2
    with (
        _source(web, Patience("tiny", 60.0, lambda: False), silence_s=0.1) as source,
        pytest.raises(UnavailableError, match="nothing more came in time, 2 times"),
    ):
        source.model_file()


@pytest.mark.parametrize("manner", ["stall", "trickle"])
def test_a_fetch_ends_when_its_time_is_over(web: WebStore, manner: str) -> None:
    web.answers[MODEL_FILE] = [getattr(web, manner)] * 9
    with (
        _source(web, Patience("tiny", 0.3, lambda: False)) as source,
        pytest.raises(UnavailableError, match=r"not here after 0 s, while fetching http://.*/model\.yaml"),
    ):
        source.model_file()


@pytest.mark.parametrize("manner", ["stall", "trickle"])
@pytest.mark.parametrize("name", [MODEL_FILE, WEIGHTS_FILE])
@pytest.mark.parametrize("by", ["cancelled", "closed"])
def test_a_fetch_that_hangs_can_be_given_up(web: WebStore, cache: Path, manner: str, name: str, by: str) -> None:
    web.answers[name] = [getattr(web, manner)] * 9
    store, cancelled = ModelStore(cache), threading.Event()
    with ThreadPoolExecutor(1) as threads:
        fetching = threads.submit(store.fetch, ref(web), cancelled)
        eventually(lambda: web.requests[name], "the request")
        if by == "cancelled":
            cancelled.set()
        else:
            store.close()
        with pytest.raises(ModelError, match="no longer wanted"):
            fetching.result()
    assert cached(cache) == set()


def test_tls_with_an_authority_that_the_environment_names(
    store: ModelStore, tls_web: WebStore, certificate: tuple[Path, Path], monkeypatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    assert store.fetch(ref(tls_web)).spec.name == "tiny"


def test_a_certificate_that_nobody_trusts_is_said(store: ModelStore, tls_web: WebStore, time: Time) -> None:
    message = refusal(store, ref(tls_web))
    assert "the server's certificate is not trusted (self-signed certificate); set SSL_CERT_FILE" in message
    assert time.slept == []


def test_from_https_nothing_leads_to_http(
    store: ModelStore, web: WebStore, tls_web: WebStore, certificate: tuple[Path, Path], monkeypatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    tls_web.answers[WEIGHTS_FILE] = [redirect(f"{web.uri()}/{WEIGHTS_FILE}")]
    assert "from https only https" in refusal(store, ref(tls_web))
    assert not web.requests


def test_a_server_without_tls_is_said(store: ModelStore, web: WebStore) -> None:
    message = refusal(store, ref(web, uri=web.uri().replace("http:", "https:")))
    assert "no TLS with this server" in message
    assert "check scheme and port" in message


def test_processes_that_share_a_cache_fetch_a_model_once(web: WebStore, tmp_path: Path) -> None:
    stores = [ModelStore(tmp_path / f"cache-{number}", tmp_path / "node") for number in range(4)]
    with ThreadPoolExecutor(4) as threads:
        models = list(threads.map(lambda store: store.fetch(ref(web)), stores))
    assert {model.folder for model in models} == {tmp_path / "node" / models[0].sha256}
    assert {web.requests[name] for name in LISTED_FILES} == {1}
