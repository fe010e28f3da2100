"""A process whose memory has a limit loads no model that would pass it, and what serves goes on."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from framepilot.contract.desired import Batch, Delivery, DesiredModule, DesiredStream, ModelRef, Pipeline
from framepilot.contract.observed import ObservedMemory
from framepilot.rollouts.state import RolloutState
from support.app_process import AppProcess, delayed, metric
from support.eventually import eventually
from support.memory_tree import MIB, MemoryTree
from support.tiny_model import write_slow_model, write_tiny_model

LIMIT = 1000 * MIB
LAYERS, WIDTH = 4, 2048
LARGE_BYTES = LAYERS * WIDTH * WIDTH * 4
"""About the parameters of the large model, which takes 64 MiB."""


@pytest.fixture
def tree(tmp_path: Path) -> MemoryTree:
    made = MemoryTree(tmp_path / "kernel", group="/pod")
    made.group("/pod", limit=LIMIT, used=500 * MIB)
    return made


@pytest.fixture
def start(tmp_path: Path, tree: MemoryTree) -> Iterator[Callable[..., AppProcess]]:
    started: list[AppProcess] = []

    def run(*options: str) -> AppProcess:
        command = (sys.executable, "-m", "support.limited_app", tree.proc.parent)
        started.append(AppProcess(tmp_path / "app", *options, command=command))
        return started[-1]

    yield run
    assert [process.stop() for process in started] == [0] * len(started)


def pipeline(name: str, model: ModelRef) -> Pipeline:
    return Pipeline(
        service=f"tests/{name}",
        uid=name,
        objective_ms=5000,
        streams=(DesiredStream(name="s", source="test://96x48?fps=30", delivery=Delivery.LOSSLESS, realtime=True),),
        modules=(DesiredModule(name="m", budget_ms=100, batch=Batch(size=1, limit=1), model=model),),
    )


def models(tmp_path: Path) -> tuple[ModelRef, ModelRef]:
    """One that takes next to nothing, and a large one."""
    store = tmp_path / "models"
    write_tiny_model(store)
    write_slow_model(store, layers=LAYERS, width=WIDTH)
    small, large = (ModelRef(name=name, version="1", uri=f"file://{store}/{name}/1") for name in ("tiny", "slow"))
    return small, large


def memory(app: AppProcess) -> ObservedMemory:
    (only,) = app.status().device.memory
    return only


def serves(app: AppProcess, service: str) -> bool:
    return any(each.service == service and each.serving is not None for each in app.status().modules)


def test_a_model_that_would_pass_the_limit_waits_until_there_is_memory_and_nobody_loses_a_frame(
    start, tree: MemoryTree, tmp_path: Path
):
    small, large = models(tmp_path)
    app = start()
    app.want(pipeline("door", small))
    eventually(lambda: serves(app, "tests/door"), "the small model to serve")
    tree.group("/pod", limit=LIMIT, used=LIMIT * 9 // 10 - LARGE_BYTES)
    app.want(pipeline("door", small), pipeline("hall", large))
    reason = delayed(app, "tests/hall")
    assert "model slow 1: it needs about" in reason
    assert "of 1,000 MiB (memory.max of its control group) are free, of which 100 MiB are to stay so" in reason
    assert not serves(app, "tests/hall")
    before = app.stream("tests/door", "s")
    eventually(
        lambda: app.stream("tests/door", "s").frames.delivered > before.frames.delivered + 30, "what serves to go on"
    )
    tree.group("/pod", limit=LIMIT, used=500 * MIB)
    eventually(lambda: serves(app, "tests/hall"), "the large model to serve, now that it fits", timeout_s=60)
    assert app.module("tests/hall", "m").rollout.state is RolloutState.SERVING
    assert app.status().frames.dropped == {}
    assert app.stream("tests/door", "s").epoch == before.epoch, "its stream was not opened again"


def test_a_version_that_does_not_fit_beside_the_one_that_serves_leaves_it_serving(start, tree, tmp_path: Path):
    small, large = models(tmp_path)
    app = start()
    app.want(pipeline("door", small))
    eventually(lambda: serves(app, "tests/door"), "the small model to serve")
    tree.group("/pod", limit=LIMIT, used=LIMIT * 9 // 10)
    app.want(pipeline("door", large))
    delayed(app, "tests/door")
    assert app.module("tests/door", "m").model == "tiny"
    tree.group("/pod", limit=2 * LIMIT, used=LIMIT * 9 // 10)
    eventually(lambda: app.module("tests/door", "m").model == "slow", "the other one to serve", timeout_s=60)
    assert app.status().frames.dropped == {}


def test_without_a_headroom_a_model_is_loaded_whatever_is_free(start, tree: MemoryTree, tmp_path: Path):
    _, large = models(tmp_path)
    tree.group("/pod", limit=LIMIT, used=LIMIT)
    app = start("--memory-headroom", "0")
    app.want(pipeline("door", large))
    eventually(lambda: serves(app, "tests/door"), "it to serve", timeout_s=60)
    assert memory(app).headroom_bytes == 0


def test_the_limit_and_what_is_used_of_it_are_in_the_status_and_in_the_metrics(start, tree: MemoryTree):
    tree.group("/pod", limit=LIMIT, used=400 * MIB, inactive_file=100 * MIB)
    app = start("--memory-headroom", "0.2")
    assert memory(app) == ObservedMemory(
        kind="host", limit_bytes=LIMIT, used_bytes=300 * MIB, headroom_bytes=200 * MIB, loading_bytes=0
    )
    text = app.get("/metrics")[1]
    for name, value in (("limit", LIMIT), ("used", 300 * MIB), ("headroom", 200 * MIB), ("loading", 0)):
        assert metric(text, f"framepilot_memory_{name}_bytes", memory="host") == value
