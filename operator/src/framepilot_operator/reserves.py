"""Which services of one instance reserve more of its device than is left. Pure.

What the instance was told that a service holds stays with it: who comes, or wants more, is refused when that does not
fit beside it. Of several that come together the first by name goes first. So nobody loses what it has to another one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from framepilot.contract.desired import DesiredState
from framepilot.resources.quantities import format_percent
from framepilot.scheduling.reserves import MOST_RESERVED
from framepilot_operator.cluster.port import DeclaredService


def too_much(
    services: Iterable[DeclaredService], told: DesiredState | None, declared: Collection[str]
) -> dict[str, str]:
    """For each service whose reserve does not fit: who holds what, and what to do.

    Args:
        services: that are to share the instance, in the order in which they come.
        told: what it was told last.
        declared: all services that there are; what others hold in the instance is free.
    """
    pipelines = () if told is None else told.pipelines
    before = {each.service: each.reserve for each in pipelines if each.service in declared}
    wanted = {service.key: service.resource.spec.placement.reserve_fraction for service in services}
    # Who lowers its reserve does so at once; who raises it holds what it had until the new one is found to fit.
    held = before | {key: min(reserve, before.get(key, 0.0)) for key, reserve in wanted.items()}
    refused: dict[str, str] = {}
    for key, reserve in wanted.items():
        others = {other: each for other, each in held.items() if other != key and each}
        # Percents have no exact sum in binary.
        if reserve > held[key] and round(sum(others.values()) + reserve, 6) > MOST_RESERVED:
            refused[key] = _refusal(reserve, others)
        else:
            held[key] = reserve
    return refused


def _refusal(reserve: float, others: Mapping[str, float]) -> str:
    holders = " and ".join(f"{key} {format_percent(each)}" for key, each in sorted(others.items()))
    left = max(round(MOST_RESERVED - sum(others.values()), 6), 0.0)
    lower = f"lower its placement.reserve to {format_percent(left)}" if left else "remove its placement.reserve"
    return (
        f"it reserves {format_percent(reserve)} of a device of which {holders} hold already, and the services of a "
        f"device reserve at most {format_percent(MOST_RESERVED)} together; {lower}, lower another one's, or place it "
        f"elsewhere"
    )
