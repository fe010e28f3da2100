"""Where a service runs: in an instance of its own, or in one that services share."""

from __future__ import annotations

from typing import Final, Self

from pydantic import ConfigDict, model_validator

from framepilot.resources.meta import ResourcePart
from framepilot.resources.quantities import Duration, Limit, Memory, Reserve, amount, duration_ms, fraction
from framepilot.resources.text import Name, rules

_SAY_ONE_WISH: Final = "isolated refuses what runtimeRef asks for; remove one of them"
_RESERVE_WITHIN_LIMIT: Final = (
    "!has(self.reserve) || !has(self.limit) || "
    "double(self.reserve.replace('%', '')) <= double(self.limit.replace('%', ''))"
)
_SAY_LIMITED: Final = "what is reserved is more than limit allows; lower reserve, or raise limit"


class RuntimeRef(ResourcePart):
    """An InferenceRuntime in the service's namespace."""

    name: Name


class Placement(ResourcePart):
    """Which instance runs the service.

    Without anything said here: one of its own; but services of a namespace whose `template` is the same and asks for a
    device (such as `nvidia.com/gpu`) share one, as a device goes to one pod only.
    """

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("!self.isolated || !has(self.runtimeRef)", _SAY_ONE_WISH),
            (_RESERVE_WITHIN_LIMIT, _SAY_LIMITED),
        )
    )

    runtime_ref: RuntimeRef | None = None
    """Run in the instance of this runtime, with the other services that name it."""
    isolated: bool = False
    """Share no instance, whatever it asks for."""
    reserve: Reserve | None = None
    """The share of the instance's device time that this service gets whenever it has work for it, such as `25%`. What
    nobody reserved, or has no work for, is shared evenly. The services of an instance reserve at most 95% together.
    Absent: nothing."""
    limit: Limit | None = None
    """The most of the instance's device time that this service gets, such as `30%`, though nobody else wants it. It
    holds over any tenth of a second but for the batch that runs. Absent: all of it."""
    memory_limit: Memory | None = None
    """The most memory that the parameters of this service's models may take, as if they were shared with nobody, such
    as `512Mi`. A version with which they would take more is not loaded; what serves goes on. Absent: no limit."""

    time_limit: Duration | None = None
    """The longest that one batch of this service may hold the device, such as `100ms`. Batches that would take longer
    have fewer items, and a model of which one item alone takes longer is not loaded, or stopped if that shows while it
    runs; other services go on. Absent: no limit."""

    @property
    def limit_fraction(self) -> float:
        """The limit, 0..1; 1 if there is none."""
        return 1.0 if self.limit is None else fraction(self.limit)

    @property
    def memory_limit_bytes(self) -> int | None:
        """The memory limit in bytes."""
        return None if self.memory_limit is None else int(amount(self.memory_limit))

    @property
    def time_limit_ms(self) -> float | None:
        """The time limit in milliseconds."""
        return None if self.time_limit is None else duration_ms(self.time_limit)

    @property
    def reserve_fraction(self) -> float:
        """The reserve, 0..1; 0 if there is none."""
        return 0.0 if self.reserve is None else fraction(self.reserve)

    @model_validator(mode="after")
    def _one_wish(self) -> Self:
        if self.isolated and self.runtime_ref is not None:
            raise ValueError(_SAY_ONE_WISH)
        return self

    @model_validator(mode="after")
    def _reserve_within_limit(self) -> Self:
        if self.reserve_fraction > self.limit_fraction:
            raise ValueError(_SAY_LIMITED)
        return self
