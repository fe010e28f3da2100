"""A build reaches the package index as the machine does, and says what it lacks."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.images.build import build_options, ca_bundle
from support.images.buildah import ImagesError, installed
from support.images.registry import Registry


class OneImage(http.server.BaseHTTPRequestHandler):
    """A registry with the tag `there` of the repository `app`."""

    def do_HEAD(self) -> None:
        self.send_response(200 if self.path == "/v2/app/manifests/there" else 404)
        self.send_header("Docker-Content-Digest", "sha256:1")
        self.end_headers()

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/v2/app/tags/list" else 404)
        self.end_headers()
        self.wfile.write(b'{"tags": ["there", "gone"]}')

    def do_DELETE(self) -> None:
        self.send_response(405)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def registry() -> Iterator[Registry]:
    with http.server.HTTPServer(("127.0.0.1", 0), OneImage) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Registry(f"127.0.0.1:{server.server_port}")
        server.shutdown()
        thread.join()


def test_the_certificates_are_the_first_file_that_the_environment_names(tmp_path: Path) -> None:
    file = tmp_path / "ca.crt"
    file.touch()
    environment = {"SSL_CERT_FILE": str(tmp_path / "absent"), "PIP_CERT": str(file)}
    assert ca_bundle(environment) == file
    assert ca_bundle({"SSL_CERT_FILE": ""}) is None


def test_certificates_reach_a_build_as_a_secret(tmp_path: Path) -> None:
    file = tmp_path / "ca.crt"
    file.touch()
    options = build_options({"SSL_CERT_FILE": str(file), "XDG_CACHE_HOME": str(tmp_path)})
    assert f"--secret=id=ca-bundle,src={file}" in options
    assert f"--volume={tmp_path}/uv:/run/uv-cache" in options


def test_a_machine_without_certificates_of_its_own_passes_none(tmp_path: Path) -> None:
    assert not any("ca-bundle" in option for option in build_options({"XDG_CACHE_HOME": str(tmp_path)}))


def test_a_registry_says_which_tags_it_has(registry: Registry) -> None:
    assert registry.digest("app", "there") == "sha256:1"
    assert registry.digest("app", "absent") is None
    assert registry.digests("app") == {"there": "sha256:1"}
    assert registry.digests("other") == {}


def test_a_registry_that_does_not_delete_is_not_an_error(registry: Registry) -> None:
    assert not registry.delete("app", "sha256:1")


def test_a_registry_that_is_not_there_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(ImagesError, match=r"127\.0\.0\.1:1 .*make cluster"):
        Registry("127.0.0.1:1").digest("app", "1")


def test_a_program_that_is_missing_is_named_with_its_package() -> None:
    with pytest.raises(ImagesError, match="apt-get install not-a-program"):
        installed("not-a-program")
