"""From what runs to the samples of the history. A quantile is taken anew only where items have run since."""

from __future__ import annotations

from collections.abc import Iterable

from framepilot_app.modules.module import Module
from framepilot_app.service import Service
from framepilot_app.telemetry.history import ModuleSample
from framepilot_app.telemetry.status import latencies


class Sampler:
    """Remembers the quantile of each module until more of its items have run. Used in one thread."""

    def __init__(self) -> None:
        self._quantiles: dict[Module, tuple[int, float]] = {}

    def sample(self, services: Iterable[Service]) -> tuple[ModuleSample, ...]:
        """Every module of these services now."""
        modules = [served.module for service in services for served in [*service.modules.values()]]
        self._quantiles = {module: self._quantile(module) for module in modules}
        return tuple(
            ModuleSample(
                service=module.service,
                module=module.name,
                batch=module.batch.size,
                version=module.lane.version.spec.version if module.lane else None,
                p99_ms=self._quantiles[module][1] if self._quantiles[module][0] else None,
            )
            for module in modules
        )

    def _quantile(self, module: Module) -> tuple[int, float]:
        known = self._quantiles.get(module)
        items = module.items
        return known if known and known[0] == items else (items, latencies(module.recent()).p99)
