"""Where a service runs: in an instance of its own, or in one that services share."""

from __future__ import annotations

from typing import Final, Self

from pydantic import ConfigDict, model_validator

from framepilot.resources.meta import ResourcePart
from framepilot.resources.text import Name, rules

_SAY_ONE_WISH: Final = "isolated refuses what runtimeRef asks for; remove one of them"


class RuntimeRef(ResourcePart):
    """An InferenceRuntime in the service's namespace."""

    name: Name


class Placement(ResourcePart):
    """Which instance runs the service.

    Without anything said here: one of its own; but services of a namespace whose `template` is the same and asks for a
    device (such as `nvidia.com/gpu`) share one, as a device goes to one pod only.
    """

    model_config = ConfigDict(json_schema_extra=rules(("!self.isolated || !has(self.runtimeRef)", _SAY_ONE_WISH)))

    runtime_ref: RuntimeRef | None = None
    """Run in the instance of this runtime, with the other services that name it."""
    isolated: bool = False
    """Share no instance, whatever it asks for."""

    @model_validator(mode="after")
    def _one_wish(self) -> Self:
        if self.isolated and self.runtime_ref is not None:
            raise ValueError(_SAY_ONE_WISH)
        return self
