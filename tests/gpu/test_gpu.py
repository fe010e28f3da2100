"""The app on a GPU that is there: what it computes, what the driver says of it, and a model swapped under load.

`make test-gpu` runs these, and the tests of the NVML client against a real library that stands in for the driver's.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from framepilot.contract.desired import Batch, Delivery, DesiredModule, DesiredSink, DesiredStream, ModelRef, Pipeline
from framepilot.contract.observed import DeviceUse, UtilizationSource
from framepilot_app.telemetry.nvml import Nvml, NvmlError
from support.app_process import AppProcess, delivered, metric, versions
from support.eventually import eventually
from support.tiny_model import write_tiny_model

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device")

SERVICE = "tests/gpu"


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    store = tmp_path_factory.mktemp("models")
    write_tiny_model(store, "1", gain=1.0)
    write_tiny_model(store, "2", gain=2.0)
    return store


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("out") / "events.jsonl"


@pytest.fixture(scope="module")
def app(tmp_path_factory, store, out):
    process = AppProcess(tmp_path_factory.mktemp("app"), "--device", "cuda")
    process.want(pipeline(store, out))
    eventually(lambda: delivered(out), "frames", timeout_s=120)
    yield process
    assert process.stop() == 0


def pipeline(store: Path, out: Path, version: str = "1", size: int = 4) -> Pipeline:
    stream = DesiredStream(name="s", source="test://160x120?fps=200", delivery=Delivery.LOSSLESS, realtime=True)
    module = DesiredModule(
        name="m",
        budget_ms=100,
        batch=Batch(size=size, limit=16, max_wait_ms=20),
        model=ModelRef(name="tiny", version=version, uri=(store / "tiny" / version).as_uri()),
    )
    sink = DesiredSink(name="events", type="file", path=out)
    return Pipeline(service=SERVICE, uid="s", objective_ms=1000, streams=(stream,), modules=(module,), sinks=(sink,))


def use(app: AppProcess) -> DeviceUse:
    found = app.status().device.use
    assert found is not None
    return found


def test_the_driver_knows_the_gpu():
    try:
        gpu = Nvml(("0",))
    except NvmlError as error:
        pytest.fail(str(error))
    found = gpu.read()
    gpu.close()
    assert found.uuid is not None
    assert found.uuid.startswith(("GPU-", "MIG-"))


def test_the_app_computes_on_it_and_says_how_it_is_used(app):
    state = app.status()
    assert state.device.plain_class != "cpu"
    eventually(lambda: use(app).nvml, "the driver's answer")
    found = use(app)
    assert found.memory_used_bytes is not None
    assert found.memory_total_bytes is not None
    assert 0 < found.memory_used_bytes <= found.memory_total_bytes
    assert found.error is None or "not supported" in found.error.lower()
    if not found.mig:
        assert found.source is UtilizationSource.NVML
        assert found.utilization is not None
        assert 0 <= found.utilization <= 1
    _, text = app.get("/metrics")
    assert metric(text, "framepilot_device_memory_used_bytes") > 0


def test_a_batch_and_a_version_change_under_load_and_no_frame_is_lost(app, store, out):
    app.want(pipeline(store, out, size=16))
    eventually(lambda: app.module(SERVICE, "m").batch.size == 16, "the batch size")
    app.want(pipeline(store, out, version="2", size=16))
    eventually(lambda: versions(out, "m")["2"] > 100, "answers of version 2", timeout_s=120)
    numbers = [data["sequence"] for data in delivered(out)]
    assert numbers == list(range(len(numbers)))
    assert not app.status().frames.dropped
