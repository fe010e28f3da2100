from __future__ import annotations

from framepilot.contract.desired import Batch, DesiredModule, ModelRef
from framepilot_app.modules.graph import build
from framepilot_app.modules.module import Module


def declared(name: str, *inputs: str) -> DesiredModule:
    model = ModelRef(name=name, version="1", uri=f"file:///models/{name}/1")
    return DesiredModule(name=name, inputs=inputs, budget_ms=9, batch=Batch(size=1), model=model)


def test_a_graph_says_whose_detections_a_module_takes():
    entries = [declared("face"), declared("light"), declared("age", "face"), declared("who", "face")]
    modules = {entry.name: Module("shop/lobby", entry, lambda _: None) for entry in entries}
    assert build(entries, modules).inputs() == {"age": ("face",), "who": ("face",)}
