"""How long merging takes, and what a model with known parameters adds to memory: `python -m benchmarks.merging`.

The programs leave a common backbone at a quarter, a half, three quarters, or the end of it.
"""

from __future__ import annotations

import gc
import random
import time
from pathlib import Path
from statistics import median

import torch

from benchmarks.result import Gate, Result, told
from framepilot_app.graphs import torch_engine
from framepilot_app.graphs.identity import Member
from framepilot_app.graphs.merging import merge
from framepilot_app.models.model import Model
from framepilot_app.models.parameters import ParameterStore
from framepilot_app.models.verify import open_model
from framepilot_app.modules.memory import tidy
from support.networks import finish
from support.random_programs import Letter, identified, parameters_of, write
from support.samples.build import build

PROGRAMS = 100
NODES = 200
ROUNDS = 5
BODY = (("conv", 0, 1), ("relu", 0, 0), ("conv", 0, 2), ("hardtanh", 0, 1), ("depthwise", 0, 0), ("add", 1, 0))


def main() -> int:
    """Print a table, and the figures as JSON."""
    torch.set_num_threads(1)
    return told([merging(), _memory()])


def _word(number: int) -> list[Letter]:
    own = random.Random(number)
    kept = NODES * (1 + number % 4) // 4 - 1
    word = [BODY[index % len(BODY)] for index in range(kept)]
    return word + [("conv", 0, own.randrange(3, 1 << 30)) for _ in range(NODES - kept)]


def merging() -> Result:
    """Seconds of the CPU to merge many programs, and to add one more."""
    written = [
        (program, parameters_of(weights))
        for program, weights in (write(_word(number), f"n{number}_") for number in range(PROGRAMS + 1))
    ]
    # As the app does before it serves (graphs/warm_up.py): what imports left behind is not looked through again.
    gc.collect()
    gc.freeze()
    identities: list[float] = []
    members: list[Member] = []
    for number, program in enumerate(written):
        before = time.process_time()
        members.append(identified(f"program {number}", *program))
        identities.append(time.process_time() - before)
    whole, adding = [], []
    for _ in range(ROUNDS):
        before = time.process_time()
        merged = merge(members[:-1])
        whole.append(time.process_time() - before)
        before = time.process_time()
        merged.adding(members[-1])
        adding.append(time.process_time() - before)
    merge_s, add_ms = sum(identities[:-1]) + median(whole), 1000 * (identities[-1] + median(adding))
    kernels = sum(len(each.stage.kernels) for each in merged.stages)
    return Result(
        f"Merging {PROGRAMS} programs of {NODES} nodes",
        f"Normal form and identities of each program, once, and the plan, median of {ROUNDS}, in seconds of the CPU. "
        "Digests of parameters are had when their files are read.",
        [
            ("programs", "kernels of all", "kernels of the plan", "stages", "merge, s", "add one more, ms"),
            (
                f"{PROGRAMS}",
                f"{sum(len(each.steps) for each in members[:-1])}",
                f"{kernels}",
                f"{len(merged.stages)}",
                f"{merge_s:.2f}",
                f"{add_ms:.0f}",
            ),
        ],
        {"merge_s": merge_s, "add_ms": add_ms},
        [Gate("merge, s", merge_s, 2, at_least=False), Gate("add one more, ms", add_ms, 100, at_least=False)],
    )


def _memory() -> Result:
    """Both versions of the sample embedder have the same parameters."""
    store = ParameterStore()
    models = [open_model(build() / "models" / "embedder" / version) for version in ("1", "2")]
    held: list[object] = [_loaded(store, models[0])]
    del held[:]
    tidy()
    pss = [_pss_mb()]
    for model in models:
        held.append(_loaded(store, model))
        tidy()
        pss.append(_pss_mb())
    figures = {"first_mb": pss[1] - pss[0], "second_mb": pss[2] - pss[1]}
    unique, referenced = store.unique_bytes / 1e6, store.referenced_bytes / 1e6
    held.clear()
    tidy()
    figures["after_mb"] = _pss_mb() - pss[0]
    return Result(
        "Memory of two models with equal parameters in one process",
        "The sample embedder, versions 1 and 2, compiled on the CPU; PSS of the process, MB more than before.",
        [
            ("the first, MB", "the second, MB", "after both are gone, MB", "unique, MB", "referenced, MB"),
            (*(f"{value:.1f}" for value in figures.values()), f"{unique:.1f}", f"{referenced:.1f}"),
        ],
        figures,
        [],
    )


def _loaded(store: ParameterStore, model: Model) -> object:
    return finish(torch_engine.compile_with(model.program(), store.attach(model), torch.device("cpu")))


def _pss_mb() -> float:
    lines = Path("/proc/self/smaps_rollup").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024 / 1e6


if __name__ == "__main__":
    raise SystemExit(main())
