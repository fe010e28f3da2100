"""A cluster that always looks the same, and one instance on a GPU to look at."""

from __future__ import annotations

from collections.abc import AsyncIterator

from framepilot.contract.observed import Device, DeviceUse, UtilizationSource
from framepilot_operator.cluster.port import Change, Instance, Snapshot, Status, Trigger
from support.snapshots import OWNER, UID, observed


class SeenCluster:
    """It shows this snapshot, and takes no change; it ends at once."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    async def observe(self) -> Snapshot:
        return self._snapshot

    async def apply(self, change: Change) -> None:
        raise AssertionError(change)

    async def report(self, status: Status) -> None:
        raise AssertionError(status)

    async def triggers(self) -> AsyncIterator[Trigger]:
        for trigger in ():
            yield trigger


def on_gpu(uuid: str, at: float, *, nvml: bool = True) -> Snapshot:
    """One instance, heard at this time, whose GPU works 90 % of the time, 40 % for it; or whose NVML is silent."""
    use = DeviceUse(
        source=UtilizationSource.NVML if nvml else UtilizationSource.DEVICE_THREAD,
        at=at,
        utilization=0.9 if nvml else 0.4,
        own=0.4,
        nvml=nvml,
        uuid=uuid,
    )
    state = observed().model_copy(update={"device": Device(device_class="gpu", name="a GPU", use=use)})
    instance = Instance(OWNER, UID, observed=state, observed_at=at, running=True)
    return Snapshot(instances=(instance,))
