"""From what runs to the samples of the history. A quantile is that of the items since the last sample.

So a change shows in the line at once, and a sample costs as little as has run since. `/status` takes the quantile of
more items, which may have run over minutes.
"""

from __future__ import annotations

from collections.abc import Iterable

from framepilot_app.modules.module import Module
from framepilot_app.service import Service
from framepilot_app.telemetry.history import ModuleSample
from framepilot_app.telemetry.status import quantiles_ms


class Sampler:
    """Remembers how many items of each module had run. Used in one thread."""

    def __init__(self) -> None:
        self._items: dict[Module, int] = {}

    def sample(self, services: Iterable[Service]) -> tuple[ModuleSample, ...]:
        """Every module of these services now."""
        modules = [served.module for service in services for served in [*service.modules.values()]]
        before, self._items = self._items, {module: module.items for module in modules}
        return tuple(_sample(module, self._items[module] - before.get(module, 0)) for module in modules)


def _sample(module: Module, new_items: int) -> ModuleSample:
    return ModuleSample(
        service=module.service,
        module=module.name,
        batch=module.batch.size,
        version=module.lane.version.spec.version if module.lane else None,
        p99_ms=quantiles_ms(module.recent(new_items), 0.99)[0] if new_items else None,
    )
