"""One app for all tests of the page: two streams, two modules that take frames, and a sink."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from framepilot.contract.desired import Batch, DesiredModule, DesiredSink, DesiredStream, ModelRef, Pipeline
from support.app_process import AppProcess
from support.eventually import eventually
from support.tiny_model import write_tiny_model


class Lobby:
    """The service `shop/lobby` in an app of its own."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.app = AppProcess(folder / "app", *options)
        self._folder = folder
        write_tiny_model(folder / "models", "1")
        write_tiny_model(folder / "models", "2", gain=2.0)

    @property
    def address(self) -> str:
        return (self.app.cache / "listen").read_text()

    def want(self, batch: int = 4, version: str = "1") -> None:
        """Declare it with this batch size and model version for the module `colour`; `mood` stays as it is."""
        pipeline = Pipeline(
            service="shop/lobby",
            uid="lobby",
            objective_ms=1000,
            streams=tuple(
                DesiredStream(name=name, source=f"test://320x180?fps=10&seed={seed}")
                for seed, name in enumerate(("door", "till"))
            ),
            modules=(self._module("colour", batch, version), self._module("mood", 1, "1")),
            sinks=(DesiredSink(name="events", type="file", path=self._folder / "events.jsonl"),),
        )
        self.app.want(pipeline)

    def serves(self) -> None:
        """Wait until every stream has delivered a frame."""

        def delivered() -> bool:
            streams = self.app.status().streams
            return len(streams) == 2 and all(stream.frames.delivered for stream in streams)

        eventually(delivered, "a frame of every stream")

    def _module(self, name: str, batch: int, version: str) -> DesiredModule:
        model = ModelRef(name="tiny", version=version, uri=f"file://{self._folder}/models/tiny/{version}")
        return DesiredModule(name=name, budget_ms=100, batch=Batch(size=batch, limit=8, max_wait_ms=5), model=model)


@pytest.fixture(scope="package")
def lobby(tmp_path_factory) -> Iterator[Lobby]:
    lobby = Lobby(tmp_path_factory.mktemp("lobby"))
    lobby.want()
    lobby.serves()
    yield lobby
    if lobby.app.process.poll() is None:
        assert lobby.app.stop() == 0
