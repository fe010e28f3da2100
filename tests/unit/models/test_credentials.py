from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from framepilot_app.models.credentials import Credentials, credentials_for
from framepilot_app.models.model import ModelError, UnavailableError

HTTPS = "https://models.site/a/tiny/1"
BASIC = "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
"""The example of RFC 7617, section 2."""
ALADDIN = 'login Aladdin password "open sesame"'


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty one, and no proxy."""
    for name in ("NETRC", "http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    named = tmp_path / "netrc"
    monkeypatch.setenv("NETRC", str(named))
    return named


def found(url: str = HTTPS) -> Credentials:
    return credentials_for("'tiny' version '1'", url)


def refusal(url: str = HTTPS) -> str:
    with pytest.raises(UnavailableError) as refused:
        found(url)
    return str(refused.value)


@pytest.mark.parametrize("url", [HTTPS, "https://Models.Site:8443/a", "https://models.site"])
def test_the_entry_of_the_host_is_its_credentials_at_every_port(file: Path, url: str) -> None:
    file.write_text(f"machine other login a password b\nmachine Models.site {ALADDIN} # a comment\n")
    assert found(url) == Credentials("models.site", str(file), BASIC)


@pytest.mark.parametrize("host", ["site", "models.site.evil", "my.models.site", "models.sit", "*"])
def test_the_entry_of_another_host_is_not(file: Path, host: str) -> None:
    file.write_text(f"machine {host} {ALADDIN}")
    assert found() == Credentials("models.site", str(file), None)


def test_the_default_entry_is_for_hosts_without_one(file: Path) -> None:
    file.write_text(f"machine other login a password b\nmachine open\ndefault {ALADDIN}")
    assert found().authorization == BASIC
    assert found("https://other").authorization == "Basic YTpi"
    assert found("https://open").authorization is None


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2:8000", "localhost:8000", "[::1]:8000"])
def test_within_this_machine_they_go_over_http(file: Path, host: str) -> None:
    file.write_text(f"default {ALADDIN}")
    assert found(f"http://{host}/a").authorization == BASIC


@pytest.mark.parametrize("entry", ["machine {} ", "default "])
@pytest.mark.parametrize("host", ["models.site", "10.0.0.7", "localhost.evil", "127.0.0.1.evil", "127.1", "[::2]"])
def test_to_another_machine_they_never_go_over_http(file: Path, host: str, entry: str) -> None:
    file.write_text(f"{entry.format(host.strip('[]'))}{ALADDIN}")
    message = refusal(f"http://{host}/a")
    assert f"http://{host}/a is not asked for: the password of the entry " in message
    assert f" in {file} would be sent in the clear; use https, or remove the entry" in message


def test_over_http_a_store_without_an_entry_is_read_without_credentials(file: Path) -> None:
    file.write_text(f"machine other {ALADDIN}")
    assert found("http://models.site").authorization is None


def test_a_proxy_is_not_told_them(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text(f"default {ALADDIN}")
    monkeypatch.setenv("http_proxy", "http://proxy.site:3128")
    assert "not through a proxy" in refusal("http://127.0.0.1:8000/a")
    assert found().authorization == BASIC
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert found("http://127.0.0.1:8000/a").authorization == BASIC


@pytest.mark.parametrize("named", [None, ""])
def test_without_a_name_it_is_the_file_in_the_home_folder(
    home: Path, monkeypatch: pytest.MonkeyPatch, named: str | None
) -> None:
    if named is not None:
        monkeypatch.setenv("NETRC", named)
    assert found() == Credentials("models.site", None, None)
    (home / ".netrc").write_text(f"default {ALADDIN}")
    (home / ".netrc").chmod(0o600)
    assert found() == Credentials("models.site", "~/.netrc", BASIC)


def test_without_a_home_folder_there_is_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/dev/null")
    assert found().file is None


def test_the_file_in_the_home_folder_must_be_its_owners_alone(home: Path) -> None:
    (home / ".netrc").write_text(f"default {ALADDIN}")
    (home / ".netrc").chmod(0o640)
    assert refusal().endswith(
        "~/.netrc cannot be used: others may read it, or own it; chown and chmod 600 it, or let NETRC name another file"
    )


def test_a_named_file_that_is_not_there_is_said(file: Path) -> None:
    assert refusal().endswith(f"the netrc file {file} is not there; mount it, or unset NETRC")


def test_a_file_that_cannot_be_read_is_said(file: Path) -> None:
    file.mkdir()
    assert refusal().endswith(f"{file} cannot be read: Is a directory; let this user read it")


def test_a_file_that_is_no_text_is_said(file: Path) -> None:
    file.write_bytes(b"machine models.site login ann password \xff\xfe")
    assert f"{file} cannot be used: it is no text; write machine HOST login USER" in refusal()


def test_a_mistake_is_said_with_its_place(file: Path) -> None:
    file.write_text("machine a login b password c\nmachine d login e pasword f g")
    assert f"{file} cannot be used: it is no netrc file, about line 2; write machine HOST login USER" in refusal()


WORDS = st.sampled_from(
    [
        "machine",
        "default",
        "login",
        "password",
        "account",
        "macdef",
        "models.site",
        "s3cret",
        '"s3cret',
        "#",
        "\n",
        "\\",
    ]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(WORDS, max_size=12), st.sampled_from([HTTPS, "http://models.site"]))
def test_nothing_that_is_in_a_file_is_shown(file: Path, words: list[str], url: str) -> None:
    file.write_text(" ".join(words))
    try:
        told = repr(found(url)) + found(url).why_refused
    except ModelError as error:
        told = str(error)
    assert "s3cret" not in told
    assert "Basic" not in told
