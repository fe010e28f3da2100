"""Why an instance gets no device: who holds those there are. Pure.

The scheduler says that there are too few; only the operator knows which services they went to, and what would help.
"""

from __future__ import annotations

from framepilot_operator.cluster.port import Instance, Snapshot


def shortage(instance: Instance, snapshot: Snapshot) -> str | None:
    """What an instance waits for and who has it, in a sentence; None if it has its devices, or needs none."""
    if instance.has_node:
        return None
    short = (resource for resource in instance.devices if f"Insufficient {resource}" in (instance.reason or ""))
    return next((_sentence(resource, snapshot) for resource in short), None)


def _sentence(resource: str, snapshot: Snapshot) -> str:
    there = None if snapshot.devices is None else snapshot.devices.get(resource, 0)
    if there == 0:
        return f"no node offers {resource}; add one that does, or correct the name in the template"
    holders = [other for other in snapshot.instances if other.has_node and resource in other.devices]
    if not holders:
        return f"{resource} is held by pods that are not Framepilot's; free one, or add a node that has it"
    held = sum(other.devices[resource] for other in holders)
    counted = "" if there is None else f" ({held} of {there})"
    return (
        f"{resource} is held by {'; '.join(_runs(holder) for holder in holders)}{counted}; share its instance (same "
        "namespace, same template, not isolated, or the same placement.runtimeRef), free one, or add a node that has it"
    )


def _runs(holder: Instance) -> str:
    """The services that an instance runs."""
    pipelines = () if holder.desired is None else holder.desired.pipelines
    return ", ".join(pipeline.service for pipeline in pipelines) or str(holder.owner)
