"""What the operator plans for a service, as its status says it: decisions, what they should bring, and why."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from framepilot.resources.meta import ResourcePart
from framepilot.resources.quantities import Duration, Percent, Price
from framepilot.resources.text import Name, list_map


class PlannedModule(ResourcePart):
    """What is planned for one module."""

    name: Name
    batch: Annotated[int, Field(ge=1, le=256)]
    """Items in a full batch."""
    max_wait: Duration | None = None
    """How long the first item may wait for its batch to fill; absent: not at all."""
    budget: Duration
    """The module's part of the latency objective."""
    latency: Duration | None = None
    """The longest that an item should take, its wait included; absent: not measured yet."""
    utilization: Percent | None = None
    """How much of the device's time it should take; absent: how many items it gets is not known."""
    reason: Annotated[str, Field(max_length=512)]
    """Why it is this batch size."""
    tuning: Annotated[str, Field(max_length=512)] | None = None
    """What was found of it while it runs; absent: batches take as long as was measured at loading."""


class PlanStatus(ResourcePart):
    """The plan of a service. Its numbers are rounded, and stay with its decisions until they have clearly been others
    for ten minutes."""

    latency: Duration | None = None
    """The longest that a frame should take through all modules; absent: not measured yet."""
    utilization: Percent | None = None
    """How much of the device's time all its services together should take; absent: not known."""
    cost_per_hour: Price | None = None
    """Its share, by planned use, of what its device costs an hour; absent: the price or the use is not known."""
    reason: Annotated[str, Field(max_length=1024)]
    """Why it is this plan."""
    modules: Annotated[tuple[PlannedModule, ...], Field(json_schema_extra={"maxItems": 64, **list_map("name")})] = ()
