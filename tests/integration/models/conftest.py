from __future__ import annotations

import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.tiny_model import write_tiny_model
from support.web_store import WebStore


@pytest.fixture
def nothing_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither its proxy nor its netrc file."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("NETRC", raising=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "store")


@pytest.fixture
def web(folder: Path) -> Iterator[WebStore]:
    with WebStore(folder.parents[1]).running() as running:
        yield running


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that is its own authority, and its key."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=store "
        f"-addext subjectAltName=IP:127.0.0.1 -keyout {key} -out {certificate}"
    )
    try:
        subprocess.run(command.split(), capture_output=True, check=True)
    except FileNotFoundError:
        pytest.skip("needs openssl")
    return certificate, key


@pytest.fixture
def tls_web(folder: Path, certificate: tuple[Path, Path]) -> Iterator[WebStore]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with WebStore(folder.parents[1], context).running() as running:
        yield running
