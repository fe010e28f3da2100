"""What sharing is worth where every module asks for the fastest engine: `python -m benchmarks.whitebox_engines`.

Each model alone on its fastest engine, what they share on torch, and on the fastest engine of each stage.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch

from benchmarks import shared_backbone
from benchmarks.result import Result, told
from framepilot.contract.desired import Engine
from framepilot.scheduling.latency import batch_sizes
from framepilot_app.graphs.engine import CompiledStage
from framepilot_app.graphs.merging import Merged, merge
from framepilot_app.graphs.onnx_form import ONNX
from framepilot_app.graphs.torch_engine import as_image
from framepilot_app.graphs.warm_up import compute_as_served
from framepilot_app.models.form_files import FormFiles
from framepilot_app.models.model import Model
from framepilot_app.models.parameters import ParameterStore, Pooled
from framepilot_app.models.stage_files import StageFiles
from framepilot_app.modules.lane import Version
from framepilot_app.modules.loading import Candidate, load
from framepilot_app.modules.rivals import asked, open_rivals, stopwatch
from framepilot_app.modules.stage_contest import hold
from framepilot_app.modules.stage_engines import SHORTEST_S
from framepilot_app.modules.stages import ReadyStage, make_ready
from support.networks import finish
from support.torch_threads import torch_threads

PERCENTS = (50, 100)
MODELS = 10
BATCHES = (1, 4, 16)
ROUNDS = 9
CPU = torch.device("cpu")
NEVER = threading.Event()


def run(folder: Path, count: int = MODELS, rounds: int = ROUNDS) -> Result:
    rows = [
        ("shared", "pictures", "each alone, ms", "sharing on torch, ms", "sharing, ms", "engine", "alone / sharing")
    ]
    figures: dict[str, float] = {}
    compute_as_served()
    with torch_threads(1):
        for percent in PERCENTS:
            models = shared_backbone.write(folder / f"{percent}", percent, count)
            versions, merged, by_torch, fastest = _ready(folder / "onnx", models)
            engine = fastest[0][0]
            ways = {
                "alone": functools.partial(_alone, versions),
                "torch": functools.partial(_shared, merged, [each.compiled for each in by_torch]),
                "fastest": functools.partial(_shared, merged, [compiled for _, compiled in fastest]),
            }
            for size in BATCHES:
                batch = torch.rand(size, *models[0].example().input.shape[1:])
                ms = _turns(ways, batch.contiguous(memory_format=torch.channels_last), rounds)
                gained = ms["alone"] / ms["fastest"]
                figures[f"shared_{percent}_at_{size}"] = gained
                times = (f"{ms[way]:.1f}" for way in ways)
                rows.append((f"{percent}%", f"{size}", *times, engine, f"{gained:.2f}"))
    return Result(
        title="Sharing on the fastest engine",
        method=f"{count} models with `engine: auto` that share a part of the backbone, all of which want the same "
        "pictures: what one batch of them takes for all models, on one thread in its own processor time, median of "
        f"{rounds} turns. *Each alone* runs every model by itself on its fastest engine; *sharing* runs each stage on "
        "the fastest of its own, which the column behind it names of the shared one.",
        rows=rows,
        figures=figures,
        gates=[],
    )


def _ready(
    folder: Path, models: Sequence[Model]
) -> tuple[list[Version], Merged, list[ReadyStage], list[tuple[str, CompiledStage]]]:
    """Each model alone, their plan, its stages by torch, and on their fastest engines."""
    store, files, size = ParameterStore(), FormFiles(folder, ONNX), max(BATCHES)
    versions: list[Version] = []
    for model in models:
        candidate = Candidate.read(model, store)
        trial = candidate.trial(size, size)
        rivals = open_rivals(asked(Engine.AUTO, CPU), lambda _form, of=model: files.get(of, NEVER), trial, CPU, NEVER)
        finish(load(candidate, CPU, size, size, stopwatch(), versions.append, lambda _event: None, rivals))
    merged = merge(replace(each.opened.member, name=each.spec.name) for each in versions)
    attached = {model.spec.name: store.attach(model) for model in models}
    pooled = Pooled(attached.values())
    ready = [finish(make_ready(each.stage, pooled, CPU, batch_sizes(size), stopwatch())) for each in merged.stages]
    fastest: list[tuple[str, CompiledStage]] = []
    for shared, stage in zip(merged.stages, ready, strict=True):
        if stage.measured.seconds(1) < SHORTEST_S:
            fastest.append((stage.engine, stage.compiled))
            continue
        (model,) = (each for each in models if each.spec.name == shared.users[0])
        contents = attached[model.spec.name].contents
        file = functools.partial(StageFiles(folder).get, shared.stage, model, contents, NEVER)
        found = hold(shared.stage, stage.compiled, batch_sizes(size), file, NEVER)
        name = found.contest.fastest(size).name
        fastest.append((name, found.compiled[name]))
    return versions, merged, ready, fastest


def _alone(versions: Sequence[Version], batch: torch.Tensor) -> None:
    for each in versions:
        each.compiled(batch)


def _shared(merged: Merged, compiled: Sequence[CompiledStage], batch: torch.Tensor) -> None:
    member = next(iter(merged.members.values()))
    values = {member.picture: as_image(batch, member.image, CPU)}
    for each, stage in zip(merged.stages, compiled, strict=True):
        outputs = stage(*[values[name] for name in each.stage.inputs])
        values.update(zip(each.stage.outputs, outputs, strict=True))


def _turns(ways: dict[str, Callable[[torch.Tensor], None]], batch: torch.Tensor, rounds: int) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in ways}
    clock = stopwatch()
    for way in ways.values():
        way(batch)
    for _ in range(rounds):
        for name, way in ways.items():
            before = clock()
            way(batch)
            times[name].append((clock() - before) * 1000)
    return {name: median(each) for name, each in times.items()}


def main() -> int:
    with TemporaryDirectory(prefix="framepilot-bench-") as name:
        return told([run(Path(name))])


if __name__ == "__main__":
    sys.exit(main())
