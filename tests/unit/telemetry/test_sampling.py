from __future__ import annotations

from types import SimpleNamespace

from framepilot.contract.desired import Batch, DesiredModule, ModelRef
from framepilot_app.modules.module import Module
from framepilot_app.modules.stage_window import StageTimes
from framepilot_app.telemetry.history import ModuleSample
from framepilot_app.telemetry.sampling import Sampler


def face() -> Module:
    model = ModelRef(name="centerface", version="1", uri="file:///models/centerface/1")
    return Module(
        "shop/lobby", DesiredModule(name="face", budget_ms=9, batch=Batch(size=4), model=model), lambda _: None
    )


def service(*modules: Module) -> SimpleNamespace:
    return SimpleNamespace(modules={module.name: SimpleNamespace(module=module) for module in modules})


def times(seconds: float, items: int = 1) -> list[StageTimes]:
    return [StageTimes(0.0, 0.0, seconds, 0.0)] * items


def test_a_quantile_is_that_of_the_items_since_the_last_sample():
    module, sampler = face(), Sampler()
    assert sampler.sample([service(module)]) == (ModuleSample("shop/lobby", "face", 4, None, None),)
    module.count(times(1.0, items=500))
    assert sampler.sample([service(module)])[0].p99_ms == 1000
    module.count(times(0.25, items=2))
    assert sampler.sample([service(module)])[0].p99_ms == 250
    assert sampler.sample([service(module)])[0].p99_ms is None


def test_a_module_that_is_gone_is_forgotten():
    module, sampler = face(), Sampler()
    module.count(times(1.0))
    assert len(sampler.sample([service(module)])) == 1
    assert sampler.sample([]) == ()
    module.count(times(0.5))
    assert sampler.sample([service(module)])[0].p99_ms == 995
