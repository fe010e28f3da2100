"""What Prometheus knows of devices: which series to ask for, and what each of them measures. Pure.

They are our own metrics, which instances export, and those of NVIDIA's DCGM exporter, which knows GPUs that no instance
is on. One query brings all, as ranges: only so the answer has the times at which samples were taken. All of them are
gauges, so a restart resets nothing. https://github.com/NVIDIA/dcgm-exporter
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from framepilot.contract import metrics as app
from framepilot.contract.observed import UtilizationSource
from framepilot_operator.telemetry.measurement import Measurement, Origin, Quantity
from framepilot_operator.telemetry.prometheus_answer import Sample

MIB: Final = 2**20
MEGA: Final = 1_000_000

Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a series measures, by what its value is to be multiplied, and which labels it has to have."""

    quantity: Quantity
    scale: float = 1.0
    labels: Mapping[str, str] | None = None

    def of(self, value: float) -> float | None:
        """The value in units of the quantity; None if it cannot be one."""
        scaled = value * self.scale
        possible = math.isfinite(scaled) and scaled >= 0 and (self.quantity is not Quantity.UTILIZATION or scaled <= 1)
        return scaled if possible else None


OURS: Final[Mapping[str, Meaning]] = {
    app.DEVICE_UTILIZATION.name: Meaning(Quantity.UTILIZATION, labels={app.SOURCE: UtilizationSource.NVML.value}),
    app.DEVICE_MEMORY_USED.name: Meaning(Quantity.MEMORY_USED),
    app.DEVICE_MEMORY_TOTAL.name: Meaning(Quantity.MEMORY_TOTAL),
    app.DEVICE_TEMPERATURE.name: Meaning(Quantity.TEMPERATURE),
    app.DEVICE_POWER.name: Meaning(Quantity.POWER),
    app.DEVICE_CLOCK.name: Meaning(Quantity.SM_CLOCK, labels={app.CLOCK: "sm"}),
    app.DEVICE_LAST_XID.name: Meaning(Quantity.LAST_XID),
}

USED: Final = "DCGM_FI_DEV_FB_USED"
DCGM: Final[Mapping[str, Meaning]] = {
    "DCGM_FI_DEV_GPU_UTIL": Meaning(Quantity.UTILIZATION, 0.01),
    USED: Meaning(Quantity.MEMORY_USED, MIB),
    # With what is used, all that there is.
    "DCGM_FI_DEV_FB_FREE": Meaning(Quantity.MEMORY_TOTAL, MIB),
    "DCGM_FI_DEV_GPU_TEMP": Meaning(Quantity.TEMPERATURE),
    "DCGM_FI_DEV_POWER_USAGE": Meaning(Quantity.POWER),
    "DCGM_FI_DEV_SM_CLOCK": Meaning(Quantity.SM_CLOCK, MEGA),
    "DCGM_FI_DEV_XID_ERRORS": Meaning(Quantity.LAST_XID),
}

EXPRESSION: Final = f'{{__name__=~"{"|".join((*DCGM, app.DEVICE_INFO.name, *OURS))}"}}[1m]'
"""A minute of all of them, so that what has become old is found, and its age said."""


def measurements(samples: Sequence[Sample]) -> tuple[Measurement, ...]:
    """What series say of devices that have a UUID, each with what it was read on.

    A MIG instance is left out: DCGM gives it the UUID of its GPU, and what is true of a part is not so of the whole.
    """
    return (*_ours(samples), *_dcgm(samples))


def _ours(samples: Sequence[Sample]) -> Iterator[Measurement]:
    """An instance's series but one have no UUID; they have the target's labels in common."""
    newest: dict[Key, Sample] = {}
    for sample in samples:
        if _name(sample) == app.DEVICE_INFO.name and sample.labels.get("uuid"):
            key = _target(sample)
            newest[key] = max(newest.get(key, sample), sample, key=lambda each: each.at)
    for sample in samples:
        meaning, described = OURS.get(_name(sample)), newest.get(_target(sample))
        if meaning is None or described is None or not _has(sample, meaning.labels or {}):
            continue
        by = sample.labels.get("instance", "")
        yield Measurement(
            described.labels["uuid"], meaning.quantity, meaning.of(sample.value), sample.at, Origin.SCRAPED, by
        )


def _dcgm(samples: Sequence[Sample]) -> Iterator[Measurement]:
    found = [each for each in samples if _name(each) in DCGM and _whole_gpu(each)]
    namespace, pod = (_as_scraped(label, found) for label in ("namespace", "pod"))
    used = {_gpu(each): each for each in found if _name(each) == USED}
    for sample in found:
        value, meaning = sample.value, DCGM[_name(sample)]
        if meaning.quantity is Quantity.LAST_XID and value == 0:
            continue
        if meaning.quantity is Quantity.MEMORY_TOTAL:
            if _gpu(sample) not in used:
                continue
            value += used[_gpu(sample)].value
        yield Measurement(
            sample.labels["UUID"],
            meaning.quantity,
            meaning.of(value),
            sample.at,
            Origin.DCGM,
            sample.labels.get("Hostname", ""),
            f"{sample.labels.get(namespace, '')}/{sample.labels[pod]}" if sample.labels.get(pod) else None,
        )


def _name(sample: Sample) -> str:
    return sample.labels.get("__name__", "")


def _target(sample: Sample) -> Key:
    return tuple(sample.labels.get(label, "") for label in ("job", "namespace", "pod", "instance"))


def _gpu(sample: Sample) -> Key:
    return (sample.labels["UUID"], sample.labels.get("Hostname", ""), *_target(sample))


def _whole_gpu(sample: Sample) -> bool:
    return bool(sample.labels.get("UUID")) and not sample.labels.get("GPU_I_ID")


def _has(sample: Sample, labels: Mapping[str, str]) -> bool:
    return all(sample.labels.get(label) == value for label, value in labels.items())


def _as_scraped(label: str, samples: Sequence[Sample]) -> str:
    """What a label of the exporter is called: where Prometheus has one of that name for the target, and is not told to
    honor the exporter's, it renames this one.
    """
    renamed = f"exported_{label}"
    return renamed if any(renamed in each.labels for each in samples) else label
