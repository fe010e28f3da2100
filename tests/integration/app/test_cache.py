"""The cache folder across restarts: what the desired state names stays, the rest goes."""

from __future__ import annotations

from framepilot.contract.desired import Batch, DesiredModule, DesiredStream, ModelRef, Pipeline
from support.app_process import AppProcess
from support.eventually import eventually
from support.tiny_model import write_tiny_model


def pipeline(store, version: str, sha256: str | None = None) -> Pipeline:
    model = ModelRef(name="tiny", version=version, uri=f"file://{store}/tiny/{version}", sha256=sha256)
    return Pipeline(
        service="tests/cache",
        uid="s",
        objective_ms=1000,
        streams=(DesiredStream(name="s", source="test://96x48?fps=5"),),
        modules=(DesiredModule(name="m", budget_ms=100, batch=Batch(size=1, limit=1), model=model),),
    )


def test_a_restart_prunes_models_that_nothing_names_and_serves_a_pinned_one_without_its_store(tmp_path):
    store = tmp_path / "store"
    for version, gain in (("1", 1.0), ("2", 2.0)):
        write_tiny_model(store, version, gain=gain)
    app = AppProcess(tmp_path / "app")
    try:
        for version in ("1", "2"):
            app.want(pipeline(store, version))
            eventually(
                lambda expected=version: any(
                    m.serving is not None and m.serving.version == expected for m in app.status().modules
                ),
                f"version {version}",
            )
        served = app.status().modules[0].serving.sha256
        assert len(list((app.cache / "models").iterdir())) == 2
        app.want(pipeline(store, "2", served))
        store.rename(tmp_path / "gone")
        app.restart()
        eventually(lambda: any(m.serving is not None for m in app.status().modules), "the pinned version")
        assert [folder.name for folder in (app.cache / "models").iterdir()] == [served]
    finally:
        assert app.stop() == 0
