"""What `/metrics` says: only what the contract names, and no sample for what is not supported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from prometheus_client import CollectorRegistry

from framepilot.contract import metrics as names
from framepilot.contract.observed import Device, DeviceUse, ObservedState, UtilizationSource
from framepilot_app.telemetry.device_metrics import device_metrics
from framepilot_app.telemetry.device_use import THROTTLE_REASONS
from framepilot_app.telemetry.metrics import Failures, Metrics, StateCollector

PAGE = Path(__file__).parents[3] / "docs" / "metrics.md"
WHOLE = DeviceUse(
    source=UtilizationSource.NVML,
    at=5000,
    utilization=0.4,
    own=0.25,
    nvml=True,
    sample_age_s=0.5,
    uuid="GPU-1",
    mig=False,
    memory_used_bytes=6,
    memory_total_bytes=24,
    own_memory_bytes=2,
    temperature_celsius=61,
    power_watts=150.5,
    power_limit_watts=300,
    sm_clock_hertz=1.41e9,
    memory_clock_hertz=5.0e9,
    throttled=("sw_power_cap",),
    ecc_corrected=3,
    ecc_uncorrected=0,
    last_xid=79,
)


def device(use: DeviceUse | None) -> Device:
    return Device(device_class="nvidia-l4", name="NVIDIA L4", use=use)


def run_generator(page: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, PAGE.with_name("generate.py"), page, *options]
    return subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)


def samples(use: DeviceUse | None) -> dict[tuple[str, tuple[str, ...]], float]:
    """Values by name and the values of labels."""
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in device_metrics(device(use))
        for sample in family.samples
    }


def test_everything_that_a_gpu_says_is_a_metric_in_base_units():
    found = samples(WHOLE)
    reasons = {key[1][0]: value for key, value in found.items() if key[0] == "framepilot_device_throttled"}
    assert reasons == {**dict.fromkeys([*THROTTLE_REASONS.values(), "other"], 0), "sw_power_cap": 1}
    assert {key: value for key, value in found.items() if key[0] != "framepilot_device_throttled"} == {
        ("framepilot_device_info", ("nvidia-l4", "NVIDIA L4", "GPU-1")): 1,
        ("framepilot_device_utilization_ratio", ("nvml",)): 0.4,
        ("framepilot_device_own_utilization_ratio", ()): 0.25,
        ("framepilot_device_memory_used_bytes", ()): 6,
        ("framepilot_device_memory_total_bytes", ()): 24,
        ("framepilot_device_own_memory_bytes", ()): 2,
        ("framepilot_device_temperature_celsius", ()): 61,
        ("framepilot_device_power_watts", ()): 150.5,
        ("framepilot_device_power_limit_watts", ()): 300,
        ("framepilot_device_clock_hertz", ("sm",)): 1.41e9,
        ("framepilot_device_clock_hertz", ("memory",)): 5.0e9,
        ("framepilot_device_ecc_errors_total", ("corrected",)): 3,
        ("framepilot_device_ecc_errors_total", ("uncorrected",)): 0,
        ("framepilot_device_last_xid", ()): 79,
        ("framepilot_device_mig", ()): 0,
        ("framepilot_device_telemetry_up", ()): 1,
        ("framepilot_device_telemetry_age_seconds", ()): 0.5,
    }


def test_what_is_not_supported_has_no_sample():
    use = DeviceUse(source=UtilizationSource.DEVICE_THREAD, at=5000, utilization=0.25, own=0.25)
    assert samples(use) == {
        ("framepilot_device_info", ("nvidia-l4", "NVIDIA L4", "")): 1,
        ("framepilot_device_utilization_ratio", ("device thread",)): 0.25,
        ("framepilot_device_own_utilization_ratio", ()): 0.25,
    }


def test_what_is_exported_is_what_the_contract_names_and_nothing_is_left_out():
    registry = CollectorRegistry()
    state = ObservedState(started_at=0, device=device(WHOLE))
    Metrics(registry).registry.register(StateCollector(lambda: state, lambda: 0.0, lambda: Failures({}, 0)))
    suffixes = {"counter": "_total", "info": "_info"}
    exported = {
        (family.name + suffixes.get(family.type, ""), family.type, family.documentation)
        for family in registry.collect()
    }
    assert exported == {(each.name, each.kind.value, each.meaning) for each in names.METRICS}


def test_a_page_that_does_not_agree_with_the_code_is_found_and_written_anew(tmp_path):
    page = tmp_path / "metrics.md"
    page.write_text(PAGE.read_text().replace("Frames decoded.", "Frames."))
    checked = run_generator(page, "--check")
    assert (checked.returncode, checked.stderr.endswith("run `make docs`\n")) == (1, True)
    run_generator(page)
    assert page.read_text() == PAGE.read_text()
    assert run_generator(page, "--check").returncode == 0
