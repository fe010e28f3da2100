"""The app beside a real `libnvidia-ml.so.1`, whose GPU is changed, lost and held while frames flow."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from framepilot.contract.desired import Batch, Delivery, DesiredModule, DesiredSink, DesiredStream, ModelRef, Pipeline
from framepilot.contract.observed import DeviceUse, UtilizationSource
from support.app_process import COMMAND, AppProcess, delivered, metric
from support.eventually import eventually
from support.nvml import library
from support.nvml.library import NvmlState
from support.tiny_model import write_tiny_model

pytestmark = pytest.mark.skipif(library.compiler_is_missing(), reason="there is no gcc with libc6-dev: make servers")


@pytest.fixture(scope="module")
def nvml_library(tmp_path_factory) -> Path:
    return library.build(tmp_path_factory.mktemp("nvml"))


@pytest.fixture(scope="module")
def gpu(tmp_path_factory) -> NvmlState:
    return NvmlState(tmp_path_factory.mktemp("state") / "gpu")


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("out") / "events.jsonl"


@pytest.fixture(scope="module")
def app(tmp_path_factory, nvml_library, gpu, out):
    """It computes on the CPU, serves a stream, and watches GPU 0."""
    folder = tmp_path_factory.mktemp("app")
    process = AppProcess(folder, "--nvml-device", "0", environment=gpu.environment(nvml_library))
    process.want(pipeline(write_tiny_model(folder / "models"), out))
    eventually(lambda: delivered(out), "frames")
    yield process
    assert process.stop() == 0


@pytest.fixture(autouse=True)
def healthy(gpu):
    gpu.become(library.A_GPU)


def pipeline(model: Path, out: Path) -> Pipeline:
    return Pipeline(
        service="tests/watched",
        uid="s",
        objective_ms=1000,
        streams=(DesiredStream(name="s", source="test://160x120?fps=50", delivery=Delivery.LOSSLESS, realtime=True),),
        modules=(
            DesiredModule(
                name="m",
                budget_ms=100,
                batch=Batch(size=4, limit=8, max_wait_ms=5),
                model=ModelRef(name="tiny", version="1", uri=model.as_uri()),
            ),
        ),
        sinks=(DesiredSink(name="events", type="file", path=out),),
    )


def use(app: AppProcess) -> DeviceUse:
    found = app.status().device.use
    assert found is not None
    return found


def frames_flow(out: Path) -> None:
    seen = len(delivered(out))
    eventually(lambda: len(delivered(out)) > seen + 10, "frames")


def test_what_the_gpu_does_is_seen_while_it_changes(app, gpu):
    eventually(lambda: use(app).utilization == 0.4, "NVML's utilization")
    gpu.set(utilization=85, memory_used=20 * 2**30, temperature=83, throttle=0x44, xid=79)
    eventually(lambda: use(app).utilization == 0.85, "the new one")
    found = use(app)
    assert (found.source, found.nvml, found.error) == (UtilizationSource.NVML, True, None)
    assert found.memory_used_bytes == 20 * 2**30
    assert (found.temperature_celsius, found.power_watts, found.power_limit_watts) == (83, 150.5, 300)
    assert found.throttled == ("sw_power_cap", "hw_thermal_slowdown")
    assert (found.ecc_corrected, found.ecc_uncorrected, found.last_xid) == (3, 0, 79)
    assert found.uuid == library.A_GPU["uuid"]
    text = app.get("/metrics")[1]
    assert metric(text, "framepilot_device_utilization_ratio", source="nvml") == 0.85
    assert metric(text, "framepilot_device_memory_used_bytes") == 20 * 2**30
    assert metric(text, "framepilot_device_throttled") == 2
    assert metric(text, "framepilot_device_telemetry_up") == 1


def test_every_stage_of_a_frame_has_its_time(app):
    whole = {"service": "tests/watched"}

    def timed(name: str, **labels: str) -> bool:
        return metric(app.get("/metrics")[1], name, **whole, **labels) > 0

    eventually(lambda: timed("framepilot_stream_decode_seconds_total", stream="s"), "decode")
    for stage in ("pre", "queue", "infer", "post"):
        eventually(lambda stage=stage: timed("framepilot_module_stage_seconds_sum", stage=stage), stage)
    eventually(lambda: timed("framepilot_sink_write_seconds_sum", sink="events"), "the sink")


def test_what_this_process_has_of_its_memory(app, gpu):
    gpu.set(processes=f"1:1000,{app.process.pid}:2000,999999:4000")
    eventually(lambda: use(app).own_memory_bytes == 2000, "the memory of the process")


def test_a_lost_gpu_is_said_and_its_return_is_seen(app, gpu, out):
    eventually(lambda: use(app).nvml, "NVML")
    gpu.set(error=library.GPU_IS_LOST)
    eventually(lambda: "the GPU is lost" in (use(app).error or ""), "the loss")
    found = use(app)
    assert (found.nvml, found.source, found.memory_used_bytes) == (False, UtilizationSource.DEVICE_THREAD, None)
    assert found.utilization == found.own
    frames_flow(out)
    gpu.set(error=library.DRIVER_NOT_LOADED)
    eventually(lambda: "driver is not loaded" in (use(app).error or ""), "the driver's restart")
    gpu.remove("error")
    eventually(lambda: use(app).utilization == 0.4, "its return")
    assert use(app).error is None


def test_what_is_not_supported_is_absent(app, gpu):
    gpu.become({"uuid": "GPU-1", "memory_used": 5, "memory_total": 10})
    eventually(lambda: use(app).uuid == "GPU-1", "the other GPU")
    found = use(app)
    assert (found.nvml, found.error, found.memory_used_bytes) == (True, None, 5)
    assert found.source is UtilizationSource.DEVICE_THREAD
    assert (found.power_watts, found.ecc_corrected, found.throttled, found.mig) == (None, None, None, None)
    text = app.get("/metrics")[1]
    for name in ("power_watts", "temperature_celsius", "clock_hertz", "throttled", "ecc_errors_total", "mig"):
        assert f"\n# TYPE framepilot_device_{name}" in text
        assert f"\nframepilot_device_{name}" not in text


def test_what_may_not_be_read_costs_nothing_else(app, gpu):
    gpu.set(**{"error.nvmlDeviceGetPowerUsage": library.NO_PERMISSION})
    eventually(lambda: use(app).error == "NVML does not permit this user to read: power", "the refusal")
    assert (use(app).power_watts, use(app).utilization, use(app).nvml) == (None, 0.4, True)
    gpu.set(error=library.NO_PERMISSION)
    eventually(lambda: not use(app).nvml, "the refusal of everything")
    assert "this user may not ask NVIDIA's driver" in (use(app).error or "")


def test_a_driver_that_hangs_holds_up_nothing(app, gpu, out):
    eventually(lambda: use(app).nvml, "NVML")
    gpu.set(hang="nvmlDeviceGetTemperature")
    eventually(lambda: "has not come back from a call" in (use(app).error or ""), "the hanging")
    found = use(app)
    assert (found.nvml, found.source) == (False, UtilizationSource.DEVICE_THREAD)
    assert found.sample_age_s is not None
    frames_flow(out)
    assert app.get("/healthz") == (200, "ok")
    gpu.remove("hang")
    eventually(lambda: use(app).nvml, "its end")


def test_it_stops_while_the_driver_hangs(tmp_path, nvml_library):
    gpu = NvmlState(tmp_path / "gpu")
    gpu.set(hang="nvmlInitWithFlags")
    app = AppProcess(tmp_path / "app", "--nvml-device", "0", environment=gpu.environment(nvml_library))
    eventually(lambda: "has not come back from a call" in (use(app).error or ""), "the hanging")
    assert app.stop() == 0


def test_a_library_that_cannot_be_loaded_leaves_the_device_thread(tmp_path):
    (tmp_path / library.NAME).write_bytes(b"no library")
    app = AppProcess(tmp_path / "app", "--nvml-device", "0", environment={"LD_LIBRARY_PATH": str(tmp_path)})
    eventually(lambda: "libnvidia-ml.so.1 cannot be loaded" in (use(app).error or ""), "the reason")
    eventually(lambda: use(app).utilization == 0, "the device thread's share")
    assert use(app).source is UtilizationSource.DEVICE_THREAD
    text = app.get("/metrics")[1]
    assert 'framepilot_device_utilization_ratio{source="device thread"} 0.0' in text
    assert "framepilot_device_telemetry_up 0.0" in text
    assert app.stop() == 0


def test_a_cpu_has_no_gpu_to_watch(tmp_path):
    app = AppProcess(tmp_path / "app")
    eventually(lambda: use(app).utilization == 0, "the device thread's share")
    assert (use(app).nvml, use(app).error, use(app).source) == (None, None, UtilizationSource.DEVICE_THREAD)
    assert app.stop() == 0


def test_a_name_of_no_gpu_is_refused(tmp_path):
    command = [COMMAND, "--desired", tmp_path / "desired.json", "--cache", tmp_path, "--nvml-device", "cuda:0"]
    answer = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert answer.returncode == 2
    assert "'cuda:0' names no GPU" in answer.stderr
