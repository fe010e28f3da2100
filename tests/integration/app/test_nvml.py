"""The client of NVML in a process that loads the library: which GPU it finds, and what it says of each refusal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from support.nvml import library
from support.nvml.library import NvmlState

pytestmark = pytest.mark.skipif(library.compiler_is_missing(), reason="there is no gcc with libc6-dev: make servers")

READ = """
import dataclasses, json, sys
from framepilot_app.telemetry.nvml import Nvml, NvmlError
try:
    gpu = Nvml(tuple(sys.argv[1:]))
    print(json.dumps(dataclasses.asdict(gpu.read())))
    gpu.close()
except NvmlError as error:
    print(json.dumps({"refused": str(error)}))
"""


@pytest.fixture(scope="module")
def nvml_library(tmp_path_factory) -> Path:
    return library.build(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def gpu(tmp_path) -> NvmlState:
    return NvmlState(tmp_path / "gpu")


def read(environment: Mapping[str, str], *names: str) -> dict:
    command = [sys.executable, "-c", READ, *names]
    answer = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=True)
    return json.loads(answer.stdout)


def test_a_gpu_is_found_by_the_first_name_that_nvml_knows(gpu, nvml_library):
    uuid = str(library.A_GPU["uuid"])
    environment = gpu.environment(nvml_library)
    for names in (("0",), (uuid,), ("00000000:3B:00.0",), ("MIG-0", "GPU-0", uuid)):
        assert read(environment, *names)["uuid"] == uuid
    refusal = "NVML knows no device GPU-0 or 7; nvidia-smi -L lists those that it knows"
    assert read(environment, "GPU-0", "7") == {"refused": refusal}


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (library.NO_PERMISSION, "this user may not ask NVIDIA's driver"),
        (library.DRIVER_NOT_LOADED, "NVIDIA's driver is not loaded"),
        (library.GPU_IS_LOST, "the GPU is lost"),
        (library.VERSION_MISMATCH, "libnvidia-ml.so.1 and the loaded driver have different versions"),
        (library.UNKNOWN, "NVML says: Unknown Error"),
    ],
)
@pytest.mark.parametrize("function", ["nvmlInitWithFlags", "nvmlDeviceGetHandleByIndex_v2"])
def test_a_refusal_says_what_to_do(gpu, nvml_library, code, reason, function):
    gpu.set(**{f"error.{function}": code})
    assert read(gpu.environment(nvml_library), "0")["refused"].startswith(reason)


def test_a_library_that_lacks_everything_is_too_old(tmp_path):
    (tmp_path / "old.c").write_text("int nvmlInit(void);\nint nvmlInit(void) { return 0; }\n")
    old = library.build(tmp_path, tmp_path / "old.c")
    assert "install a newer NVIDIA driver" in read({"LD_LIBRARY_PATH": str(old.parent)}, "0")["refused"]


def test_a_mig_instance_has_the_sensors_of_its_gpu_and_no_utilization_of_its_own(gpu, nvml_library):
    gpu.set(is_mig_device=1, uuid="MIG-1")
    gpu.remove("utilization", "mig")
    found = read(gpu.environment(nvml_library), "MIG-1")
    assert (found["uuid"], found["mig"], found["utilization_percent"], found["temperature_celsius"]) == (
        "MIG-1", True, None, 61,
    )  # fmt: skip


def test_a_gpu_of_which_nothing_is_known_is_no_gpu(gpu, nvml_library):
    gpu.become({})
    refusal = "NVML supports no question about the GPU; its driver may have been restarted"
    assert read(gpu.environment(nvml_library), "0") == {"refused": refusal}


def test_processes_without_this_one_say_nothing_of_its_memory(gpu, nvml_library):
    gpu.set(processes="1:1000,999999:2000")
    assert read(gpu.environment(nvml_library), "0")["own_memory_bytes"] is None
