"""Models from a real web server that wants a user and a password, and what it, and nobody else, is told of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from framepilot.contract.desired import ModelRef
from framepilot_app.models.model import (
    ALL_FILES,
    LISTED_FILES,
    MODEL_FILE,
    PROGRAM_FILE,
    WEIGHTS_FILE,
    UnavailableError,
)
from framepilot_app.models.store import ModelStore
from support.web_store import WebStore, redirect, status

pytestmark = pytest.mark.usefixtures("nothing_of_this_machine")

SECRET = "s3cret"


@pytest.fixture
def private(web: WebStore) -> WebStore:
    web.reader = f"ann:{SECRET}"
    return web


@pytest.fixture
def elsewhere(folder: Path) -> Iterator[WebStore]:
    """Another server that has the same models."""
    with WebStore(folder.parents[1]).running() as running:
        yield running


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "cache")


@pytest.fixture
def netrc(nothing_of_this_machine: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "netrc"
    monkeypatch.setenv("NETRC", str(file))
    file.write_text(f"machine 127.0.0.1 login ann password {SECRET}\n")
    return file


def ref(web: WebStore) -> ModelRef:
    return ModelRef(name="tiny", version="1", uri=web.uri())


def refusal(store: ModelStore, wanted: ModelRef) -> str:
    with pytest.raises(UnavailableError) as refused:
        store.fetch(wanted)
    return str(refused.value)


@pytest.mark.usefixtures("netrc")
def test_every_file_is_asked_for_with_the_credentials_of_the_host(store: ModelStore, private: WebStore) -> None:
    assert store.fetch(ref(private)).spec.name == "tiny"
    assert private.given == [f"ann:{SECRET}"] * len(ALL_FILES)


@pytest.mark.usefixtures("netrc")
def test_they_are_sent_over_tls(
    store: ModelStore, tls_web: WebStore, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    tls_web.reader = f"ann:{SECRET}"
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    assert store.fetch(ref(tls_web)).spec.name == "tiny"


def test_the_file_in_the_home_folder_is_used(store: ModelStore, private: WebStore, tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text(f"machine 127.0.0.1 login ann password {SECRET}\n")
    (tmp_path / ".netrc").chmod(0o600)
    assert store.fetch(ref(private)).spec.name == "tiny"


def test_wrong_credentials_are_refused_with_the_name_of_their_file(
    store: ModelStore, private: WebStore, netrc: Path, caplog: pytest.LogCaptureFixture
) -> None:
    private.reader = "ann:another"
    message = refusal(store, ref(private))
    assert message == (
        f"model 'tiny' version '1': {private.uri()}/{MODEL_FILE} is refused (401 Unauthorized), asked with the user "
        f"and password for 127.0.0.1 in {netrc}; correct them there, or let this user read the store"
    )
    assert dict(private.requests) == {MODEL_FILE: 1}
    assert "ann" not in "".join(str(vars(record)) for record in caplog.records)


@pytest.mark.usefixtures("netrc")
def test_a_user_who_may_not_read_is_told_so(store: ModelStore, private: WebStore) -> None:
    private.answers[WEIGHTS_FILE] = [status(403)]
    assert f"{WEIGHTS_FILE} is refused (403 Forbidden), asked with the user and" in refusal(store, ref(private))


def test_the_lack_of_an_entry_is_said(store: ModelStore, private: WebStore, netrc: Path) -> None:
    netrc.write_text(f"machine models.site login ann password {SECRET}\n")
    message = refusal(store, ref(private))
    assert message.endswith(f"asked without credentials; add a user and a password for 127.0.0.1 to {netrc}")
    assert private.given == [None]


def test_what_is_written_into_the_file_is_in_force_with_the_next_fetch(
    store: ModelStore, private: WebStore, netrc: Path
) -> None:
    store.fetch(ref(private))
    private.reader = "ann:rotated"
    assert "401" in refusal(store, ref(private))
    netrc.write_text("machine 127.0.0.1 login ann password rotated\n")
    assert store.fetch(ref(private)).spec.name == "tiny"


@pytest.mark.usefixtures("netrc")
def test_another_server_is_not_told_them(store: ModelStore, private: WebStore, elsewhere: WebStore) -> None:
    for name in ALL_FILES:
        private.answers[name] = [redirect(f"{elsewhere.uri()}/{name}")]
    assert store.fetch(ref(private)).spec.name == "tiny"
    assert private.given == [f"ann:{SECRET}"] * len(ALL_FILES)
    assert elsewhere.given == [None] * len(ALL_FILES)


@pytest.mark.usefixtures("netrc")
def test_another_server_that_wants_some_is_said(store: ModelStore, private: WebStore, elsewhere: WebStore) -> None:
    elsewhere.reader = private.reader
    private.answers[MODEL_FILE] = [redirect(f"{elsewhere.uri()}/{MODEL_FILE}")]
    message = refusal(store, ref(private))
    assert "is refused (401 Unauthorized) by another server, to which the store redirects" in message
    assert str(elsewhere.port) not in message


@pytest.mark.usefixtures("netrc")
def test_the_same_server_is_told_them_again(store: ModelStore, private: WebStore, elsewhere: WebStore) -> None:
    private.answers[PROGRAM_FILE] = [redirect(f"{private.uri()}/{PROGRAM_FILE}?moved")]
    there_and_back = redirect(f"{private.uri()}/{WEIGHTS_FILE}?back")
    private.answers[WEIGHTS_FILE] = [redirect(f"{elsewhere.uri()}/{WEIGHTS_FILE}")]
    elsewhere.answers[WEIGHTS_FILE] = [there_and_back]
    assert store.fetch(ref(private)).spec.name == "tiny"
    assert private.given == [f"ann:{SECRET}"] * (len(ALL_FILES) + 2)
    assert elsewhere.given == [None]


@pytest.mark.parametrize(
    "text",
    ["machine 127.0.0.1 login ann passwort s3cret", "s3cret", "machine 127.0.0.1 login ann password s3cret s3cret"],
)
def test_a_malformed_file_is_refused_before_anything_is_asked(
    store: ModelStore, private: WebStore, netrc: Path, text: str
) -> None:
    netrc.write_text(text)
    message = refusal(store, ref(private))
    assert f"{netrc} cannot be used: it is no netrc file, about line 1; write machine HOST login" in message
    assert SECRET not in message
    assert not private.requests


def test_a_pinned_model_in_the_cache_needs_no_credentials(store: ModelStore, private: WebStore, netrc: Path) -> None:
    model = store.fetch(ref(private))
    netrc.unlink()
    assert f"the netrc file {netrc} is not there" in refusal(store, ref(private))
    assert store.fetch(ref(private).model_copy(update={"sha256": model.sha256})) == model
    assert {private.requests[name] for name in LISTED_FILES} == {1}
