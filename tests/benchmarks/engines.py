"""`python -m benchmarks.engines` (with tests/ in PYTHONPATH): each sample model on every engine, and on the chosen one.

All ways take turns in one process, so what else the machine does falls on all of them alike. Rewrites what follows the
marker in docs/engines.md, and ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import functools
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import geometric_mean, median

import torch
from safetensors.torch import load_file

from benchmarks.machine import processor, ran_on
from benchmarks.page import up_to, write
from benchmarks.result import Gate, Result, told
from framepilot.contract.desired import Engine
from framepilot_app.app import cores, prepare_process
from framepilot_app.graphs import aten, torch_engine
from framepilot_app.graphs.engine import Outputs
from framepilot_app.graphs.export import Exported
from framepilot_app.graphs.file_engines import FILE_ENGINES, FORMS
from framepilot_app.graphs.program_form import ProgramForm
from framepilot_app.graphs.warm_up import warm_up
from framepilot_app.models.form_files import FormFiles
from framepilot_app.models.model import Model
from framepilot_app.models.parameters import ParameterStore
from framepilot_app.models.verify import open_model
from framepilot_app.modules.lane import Version
from framepilot_app.modules.loading import Candidate, load
from framepilot_app.modules.rivals import asked, open_rivals, stopwatch
from support.networks import finish
from support.samples.build import build as samples
from support.samples.build import root
from support.samples.models import SAMPLES
from support.samples.packages import Files

PAGE = Path(__file__).parents[2] / "docs" / "engines.md"
MARKER = "<!-- What follows is written by make bench-engines. -->"
MODELS = ("age/1", "centerface/1", "embedder/1", "gender/1")
BATCHES = (1, 4, 16)
THREADS = (1, 2)
LEAD_IN_S = 0.03
EAGER = "eager torch, as it came"
FOLDED = "eager torch, folded"
CPU = torch.device("cpu")

Way = Callable[[torch.Tensor], Outputs]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="turns of every way at every batch size")
    parser.add_argument("--note", default="", help="what else is to be said of the run, such as what else was running")
    given = parser.parse_args()
    prepare_process()
    warm_up(CPU)
    folder = samples() / "models"
    with tempfile.TemporaryDirectory() as scratch:
        files = {form: FormFiles(Path(scratch), form) for form in FORMS}
        models = [open_model(folder / name) for name in MODELS]
        cases = [_case(model, files, given.rounds, threads) for threads in THREADS for model in models]
    result = _result(cases)
    command = f"python -m benchmarks.engines --rounds {given.rounds}"
    packages = [f"{name} {version(name)}" for name in ("torch", "onnxruntime", "openvino")]
    machine = ran_on(f"{processor()}, {cores()} cores", *packages, command=command, note=given.note)
    write(PAGE, up_to(MARKER, PAGE), machine, [result])
    return told([result])


@dataclass(frozen=True)
class _Case:
    """One model on so many threads: which engine was chosen by batch size, milliseconds by way and batch size."""

    name: str
    threads: int
    chosen: Mapping[int, str]
    ms: Mapping[str, Mapping[int, float]]

    def best_other(self, batch: int) -> float:
        """The best of the engines that are not ours."""
        return min(self.ms[engine.value][batch] for engine in FILE_ENGINES)


def _case(model: Model, files: Mapping[ProgramForm, FormFiles], rounds: int, threads: int) -> _Case:
    torch.set_num_threads(threads)
    program, example, exported = model.program(), model.example(), _exported(model)
    ways: dict[str, Way] = {
        EAGER: functools.partial(aten.run, exported.program, exported.weights),
        FOLDED: functools.partial(aten.run, program, load_file(model.weights)),
        Engine.TORCH.value: finish(torch_engine.compile(program, model.weights, CPU)),
    }
    for engine, opener in FILE_ENGINES.items():
        file = files[opener.form].get(model, threading.Event())
        ways[engine.value] = opener.open_model(file, program.input, threads)
    ms: dict[str, dict[int, float]] = {name: {} for name in ways}
    for batch in BATCHES:
        items = example.input[torch.arange(batch) % len(example.input)].contiguous(memory_format=torch.channels_last)
        # Nobody who runs a model as it came changes its pictures' layout.
        inputs = {name: items.contiguous() if name == EAGER else items for name in ways}
        for name, times in _turns(ways, inputs, rounds).items():
            ms[name][batch] = median(times)
    return _Case(model.spec.name, threads, _chosen(model, files), ms)


def _exported(model: Model) -> Exported:
    """The sample's program as it was exported: nothing folded."""
    spec = model.spec
    (sample,) = (each for each in SAMPLES if (each.spec.name, each.spec.version) == (spec.name, spec.version))
    return sample.network(Files(root() / "files"), spec.input)


def _turns(ways: Mapping[str, Way], inputs: Mapping[str, torch.Tensor], rounds: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in ways}
    clock = stopwatch()
    for _ in range(rounds):
        for name, way in ways.items():
            _lead_in(functools.partial(way, inputs[name]))
            before = clock()
            way(inputs[name])
            times[name].append((clock() - before) * 1000)
    return times


def _lead_in(run: Callable[[], object]) -> None:
    """Another one ran before: its threads wait for more for a while, and what this one needs is not in the cache."""
    began = time.perf_counter()
    run()
    while time.perf_counter() - began < LEAD_IN_S:
        run()


def _chosen(model: Model, files: Mapping[ProgramForm, FormFiles]) -> dict[int, str]:
    """What the app takes by itself for each size when batches of up to 16 are in force."""
    candidate, size = Candidate.read(model, ParameterStore()), max(BATCHES)
    trial, given_up = candidate.trial(size, size), threading.Event()

    def form_file(form: ProgramForm) -> Path:
        return files[form].get(model, given_up)

    rivals = open_rivals(asked(Engine.AUTO, CPU), form_file, trial, CPU, given_up)
    versions: list[Version] = []
    finish(load(candidate, CPU, size, size, stopwatch(), versions.append, lambda _event: None, rivals))
    serving, *others = versions[0].engines
    return {batch: next((each.name for each in others if batch in each.batches), serving.name) for batch in BATCHES}


def _result(cases: list[_Case]) -> Result:
    ways = [*cases[0].ms]
    rows = [["model", "threads", "batch", *(f"{way}, ms" for way in ways), "chosen", "eager / chosen", "chosen / best"]]
    gained: list[float] = []
    over: list[float] = []
    torch_gained: list[float] = []
    for case in cases:
        for batch in BATCHES:
            times = [case.ms[way][batch] for way in ways]
            ours = case.ms[case.chosen[batch]][batch]
            gained.append(case.ms[EAGER][batch] / ours)
            over.append(ours / case.best_other(batch))
            if batch >= 4:
                torch_gained.append(case.ms[EAGER][batch] / case.ms[Engine.TORCH.value][batch])
            row = [case.name, str(case.threads), str(batch), *(f"{each:.2f}" for each in times), case.chosen[batch]]
            rows.append([*row, f"{gained[-1]:.2f}", f"{over[-1]:.2f}"])
    figures = {
        "eager_to_chosen_mean": geometric_mean(gained),
        "eager_to_chosen_least": min(gained),
        "eager_to_torch_least_at_4_and_more": min(torch_gained),
        "chosen_to_best_other_mean": geometric_mean(over),
        "chosen_to_best_other_most": max(over),
    }
    return Result(
        title="Engines",
        method="Medians of turns, on 1 thread in its own processor time; each turn is a run that follows others of the "
        "same engine, as it does where it serves. *eager torch, as it came* runs the "
        "operators of the exported program one by one, on contiguous pictures: what a model is before Framepilot packs "
        "it; *eager torch, folded* those of the packed program; *torch* is the torch engine; *chosen* is what "
        "`engine: auto` takes for batches of up to 16; *best* is the best there of the engines that are not ours.",
        rows=rows,
        figures=figures,
        gates=[
            Gate("eager to chosen, least of all", figures["eager_to_chosen_least"], 1.0, at_least=True),
            Gate("goal: chosen to best, mean", figures["chosen_to_best_other_mean"], 1.1, at_least=False),
            Gate("goal: chosen to best, most of all", figures["chosen_to_best_other_most"], 1.1, at_least=False),
            Gate(
                "goal: eager to torch engine, least at batch 4 and 16",
                figures["eager_to_torch_least_at_4_and_more"],
                1.5,
                at_least=True,
            ),
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
