"""Asks NVIDIA's driver about one GPU, through NVML. Any call may hang, so only the watcher's thread comes here.

https://docs.nvidia.com/deploy/nvml-api
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeVar

import pynvml

from framepilot_app.telemetry.device_use import Readings
from framepilot_app.telemetry.gpu_names import INDEX, PCI_BUS_ID

NOT_SUPPORTED: Final = frozenset(
    {
        pynvml.NVML_ERROR_NOT_SUPPORTED,
        pynvml.NVML_ERROR_FUNCTION_NOT_FOUND,
        pynvml.NVML_ERROR_INVALID_ARGUMENT,
        pynvml.NVML_ERROR_NOT_FOUND,
        pynvml.NVML_ERROR_NO_DATA,
        pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH,
        pynvml.NVML_ERROR_DEPRECATED,
    }
)
"""What a GPU or a driver that has no such thing answers to one question."""

ADVICE: Final = {
    pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: "libnvidia-ml.so.1 cannot be loaded; install NVIDIA's driver, and in a "
    "container ask for it with NVIDIA_DRIVER_CAPABILITIES=compute,utility",
    pynvml.NVML_ERROR_FUNCTION_NOT_FOUND: "libnvidia-ml.so.1 lacks what is needed; install a newer NVIDIA driver",
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: "NVIDIA's driver is not loaded; load it, or see the kernel's log",
    pynvml.NVML_ERROR_NO_PERMISSION: "this user may not ask NVIDIA's driver; see the permissions of /dev/nvidia*",
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: "libnvidia-ml.so.1 and the loaded driver have different versions; "
    "restart the container, or the machine",
    pynvml.NVML_ERROR_GPU_IS_LOST: "the GPU is lost; see the kernel's log for its Xid error, and reset it",
    pynvml.NVML_ERROR_RESET_REQUIRED: "the GPU has to be reset before it can be used again",
}

MOST_EVENTS: Final = 64
"""Xid errors that are taken at once; the others wait."""

T = TypeVar("T")


class NvmlError(Exception):
    """NVML cannot be asked: what it said, and what to do."""


class Nvml:
    """One GPU, or a MIG instance of one. Used by one thread, and closed by it."""

    def __init__(self, names: tuple[str, ...]) -> None:
        """`names`: what it may be called, the best first: UUIDs, PCI bus ids, indices.

        Raises:
            NvmlError: NVML is not there, or knows none of them.
        """
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            raise _explained(error) from None
        self._denied: list[str] = []
        self._events: object = None
        try:
            self._device = _find(names)
            self._is_mig = bool(self._ask("MIG", lambda: bool(pynvml.nvmlDeviceIsMigDeviceHandle(self._device))))
            self._gpu = self._device
            if self._is_mig:
                self._gpu = pynvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(self._device)
            self._events = self._ask("Xid errors", self._register_events)
        except pynvml.NVMLError as error:
            self.close()
            raise _explained(error) from None
        except Exception:
            self.close()
            raise

    def read(self) -> Readings:
        """All that NVML says of it now.

        Raises:
            NvmlError: the GPU or its driver is gone.
        """
        self._denied = []
        try:
            readings = self._read()
        except pynvml.NVMLError as error:
            raise _explained(error) from None
        if readings == Readings():
            # What a handle from before a driver's restart may answer; no GPU is without a UUID and memory.
            raise NvmlError("NVML supports no question about the GPU; its driver may have been restarted")
        return readings

    def close(self) -> None:
        """Give NVML back; what is gone needs no closing."""
        with suppress(pynvml.NVMLError):
            if self._events is not None:
                pynvml.nvmlEventSetFree(self._events)
        with suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()

    def _read(self) -> Readings:
        device, gpu = self._device, self._gpu
        memory = self._ask("memory", lambda: _memory(device))
        return Readings(
            uuid=self._ask("UUID", lambda: str(pynvml.nvmlDeviceGetUUID(device))),
            mig=self._is_mig or self._ask("MIG", lambda: bool(pynvml.nvmlDeviceGetMigMode(gpu)[0])),
            utilization_percent=self._ask("utilization", lambda: int(pynvml.nvmlDeviceGetUtilizationRates(device).gpu)),
            memory_used_bytes=memory and memory[0],
            memory_total_bytes=memory and memory[1],
            own_memory_bytes=self._ask("processes", lambda: _own_memory(device)),
            temperature_celsius=self._ask(
                "temperature", lambda: int(pynvml.nvmlDeviceGetTemperature(gpu, pynvml.NVML_TEMPERATURE_GPU))
            ),
            power_mw=self._ask("power", lambda: int(pynvml.nvmlDeviceGetPowerUsage(gpu))),
            power_limit_mw=self._ask("power limit", lambda: int(pynvml.nvmlDeviceGetEnforcedPowerLimit(gpu))),
            sm_clock_mhz=self._ask("clocks", lambda: int(pynvml.nvmlDeviceGetClockInfo(gpu, pynvml.NVML_CLOCK_SM))),
            memory_clock_mhz=self._ask(
                "clocks", lambda: int(pynvml.nvmlDeviceGetClockInfo(gpu, pynvml.NVML_CLOCK_MEM))
            ),
            throttle_bits=self._ask("throttle reasons", lambda: _throttle_bits(gpu)),
            ecc_corrected=self._ask("ECC errors", lambda: _ecc_errors(gpu, pynvml.NVML_MEMORY_ERROR_TYPE_CORRECTED)),
            ecc_uncorrected=self._ask(
                "ECC errors", lambda: _ecc_errors(gpu, pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED)
            ),
            last_xid=self._last_xid(),
            denied=tuple(dict.fromkeys(self._denied)),
        )

    def _ask(self, what: str, call: Callable[[], T]) -> T | None:
        """The answer to one question; None where there is none, which costs no other."""
        try:
            return call()
        except pynvml.NVMLError as error:
            if error.value == pynvml.NVML_ERROR_NO_PERMISSION:
                self._denied.append(what)
            elif error.value not in NOT_SUPPORTED:
                raise
            return None

    def _register_events(self) -> object:
        events = pynvml.nvmlEventSetCreate()
        pynvml.nvmlDeviceRegisterEvents(self._gpu, pynvml.nvmlEventTypeXidCriticalError, events)
        return events

    def _last_xid(self) -> int | None:
        """The latest of the Xid errors that came since the last look."""
        latest = None
        for _ in range(MOST_EVENTS if self._events is not None else 0):
            try:
                latest = int(pynvml.nvmlEventSetWait_v2(self._events, 0).eventData)
            except pynvml.NVMLError as error:
                if error.value != pynvml.NVML_ERROR_TIMEOUT:
                    raise
                break
        return latest


def _find(names: tuple[str, ...]) -> object:
    for name in names:
        try:
            if INDEX.fullmatch(name):
                return pynvml.nvmlDeviceGetHandleByIndex(int(name))
            if PCI_BUS_ID.fullmatch(name):
                return pynvml.nvmlDeviceGetHandleByPciBusId(name)
            return pynvml.nvmlDeviceGetHandleByUUID(name)
        except pynvml.NVMLError as error:
            if error.value not in NOT_SUPPORTED:
                raise
    raise NvmlError(f"NVML knows no device {' or '.join(names)}; nvidia-smi -L lists those that it knows")


def _memory(device: object) -> tuple[int, int]:
    memory = pynvml.nvmlDeviceGetMemoryInfo(device)
    return int(memory.used), int(memory.total)


def _own_memory(device: object) -> int | None:
    """What this process has; None if the driver does not list it, as in a container that has other process ids."""
    own = [each for each in pynvml.nvmlDeviceGetComputeRunningProcesses(device) if each.pid == os.getpid()]
    known = [int(each.usedGpuMemory) for each in own if each.usedGpuMemory is not None]
    return sum(known) if known else None


def _throttle_bits(gpu: object) -> int:
    try:
        return int(pynvml.nvmlDeviceGetCurrentClocksEventReasons(gpu))
    except pynvml.NVMLError as error:
        if error.value != pynvml.NVML_ERROR_FUNCTION_NOT_FOUND:
            raise
    # What drivers before 535 call it.
    return int(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(gpu))


def _ecc_errors(gpu: object, kind: int) -> int:
    return int(pynvml.nvmlDeviceGetTotalEccErrors(gpu, kind, pynvml.NVML_VOLATILE_ECC))


def _explained(error: pynvml.NVMLError) -> NvmlError:
    return NvmlError(ADVICE.get(error.value) or f"NVML says: {error}")
