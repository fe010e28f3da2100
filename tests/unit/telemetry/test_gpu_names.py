"""Which of NVML's devices is torch's."""

from __future__ import annotations

import pytest

from framepilot_app.telemetry.gpu_names import gpu_names, is_gpu_name


@pytest.mark.parametrize(
    "name", ["0", "12", "GPU-5a0c1f2e-0000-4000-8000-0123456789ab", "MIG-5a0c1f2e", "00000000:3B:00.0"]
)
def test_these_name_a_gpu(name):
    assert is_gpu_name(name)


@pytest.mark.parametrize("name", ["", "-1", "cuda:0", "GPU", "3b:00.0", "../0"])
def test_these_do_not(name):
    assert not is_gpu_name(name)


@pytest.mark.parametrize("visible", [None, "", "1,0", "GPU-aaaa", "NoDevFiles"])
def test_torch_knows_the_uuid_whatever_is_visible(visible):
    assert gpu_names(visible, 0, "5a0c")[0] == "GPU-5a0c"


def test_a_mig_instance_goes_by_the_uuid_that_made_it_visible():
    assert gpu_names("MIG-aaaa, MIG-bbbb", 1, "5a0c") == ("MIG-bbbb", "GPU-5a0c", "MIG-5a0c")
    assert gpu_names("MIG-aaaa", 3, "5a0c") == ("GPU-5a0c", "MIG-5a0c")
