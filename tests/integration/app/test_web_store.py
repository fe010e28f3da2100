"""The app and a model store on the web: it serves what is there, and a store that hangs or refuses stops nobody."""

from __future__ import annotations

from pathlib import Path

import pytest

from framepilot.contract.desired import Batch, DesiredModule, DesiredStream, ModelRef, Pipeline
from support.app_process import AppProcess, delayed
from support.eventually import eventually
from support.tiny_model import write_tiny_model
from support.web_store import WebStore


def pipeline(web: WebStore, version: str, sha256: str | None = None) -> Pipeline:
    model = ModelRef(name="tiny", version=version, uri=web.uri(version=version), sha256=sha256)
    return Pipeline(
        service="tests/web",
        uid="s",
        objective_ms=1000,
        streams=(DesiredStream(name="s", source="test://96x48?fps=5"),),
        modules=(DesiredModule(name="m", budget_ms=100, batch=Batch(size=1, limit=1), model=model),),
    )


def serving(app: AppProcess) -> str | None:
    return next((m.serving.version for m in app.status().modules if m.serving is not None), None)


def test_a_store_that_hangs_delays_neither_another_version_nor_the_end(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("FRAMEPILOT_MODELS_CACHE", str(tmp_path / "node"))
    for number in ("1", "2", "3"):
        write_tiny_model(tmp_path / "store", number, gain=float(number))
    with WebStore(tmp_path / "store").running() as web:
        app = AppProcess(tmp_path / "app")
        try:
            app.want(pipeline(web, "1"))
            eventually(lambda: serving(app) == "1", "version 1")
            assert [path.name for path in (tmp_path / "node").iterdir()] == [app.status().modules[0].serving.sha256]
            web.answers["weights.safetensors"] = [web.stall]
            app.want(pipeline(web, "2"))
            eventually(lambda: not web.answers["weights.safetensors"], "the request that hangs")
            app.want(pipeline(web, "3"))
            eventually(lambda: serving(app) == "3", "version 3")
            assert not web.released.is_set()
        finally:
            assert app.stop() == 0
        assert not (app.cache / "models").exists()


def test_credentials_are_read_anew_for_each_fetch_and_nothing_shows_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("NETRC", str(netrc))
    for number in ("1", "2"):
        write_tiny_model(tmp_path / "store", number, gain=float(number))
    with WebStore(tmp_path / "store").running() as web:
        web.reader = "ann:s3cret"
        netrc.write_text("machine 127.0.0.1 login ann password s3cret\n")
        app = AppProcess(tmp_path / "app")
        try:
            app.want(pipeline(web, "1"))
            eventually(lambda: serving(app) == "1", "version 1")
            web.reader = "ann:r0tated"
            app.want(pipeline(web, "2"))
            assert f"asked with the user and password for 127.0.0.1 in {netrc}" in delayed(app, "tests/web")
            netrc.write_text("machine 127.0.0.1 login ann passwort r0tated\n")
            eventually(lambda: f"{netrc} cannot be used" in delayed(app, "tests/web"), "the file to be read anew")
            assert serving(app) == "1"
            shown = app.get("/status")[1] + app.get("/metrics")[1]
            netrc.write_text("machine 127.0.0.1 login ann password r0tated\n")
            # Nobody declares anything: what was refused for its credentials is asked for with those of now.
            eventually(lambda: serving(app) == "2", "version 2")
            shown += app.get("/status")[1]
        finally:
            assert app.stop() == 0
    shown += app.log.read_text()
    assert not [secret for secret in ("ann:", "s3cret", "r0tated", "Basic") if secret in shown]
