"""What loading a model takes of memory, and what was estimated: `python -m benchmarks.footprint`, for docs/overload.md.

Each case is a process of its own, in which another model has run before.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from benchmarks.result import Gate, Result, told
from framepilot.contract.desired import Engine
from framepilot_app.app import prepare_process
from framepilot_app.graphs.program_form import ProgramForm
from framepilot_app.graphs.warm_up import warm_up
from framepilot_app.models.form_files import FormFiles
from framepilot_app.models.model import Model
from framepilot_app.models.parameters import ParameterStore
from framepilot_app.models.verify import open_model
from framepilot_app.modules.footprint import needs
from framepilot_app.modules.headroom import together
from framepilot_app.modules.lane import Version
from framepilot_app.modules.loading import Candidate, load
from framepilot_app.modules.memory import tidy
from framepilot_app.modules.rivals import asked, open_rivals, stopwatch
from support.networks import finish
from support.samples.build import build as samples

CPU = torch.device("cpu")
BEFORE = "gender"
"""The model that has run before."""
MODELS = ("age", "centerface", "embedder")
LARGEST = 16
EVERY_S = 0.001


def main() -> int:
    """Print a table, and the figures as JSON."""
    if len(sys.argv) > 1:
        engine, model, threads, largest = sys.argv[1:]
        _case(Engine(engine), model, int(threads), int(largest))
        return 0
    cases = [(Engine.TORCH, model, threads, LARGEST) for model in MODELS for threads in (1, 2)]
    others = (Engine.OPENVINO, Engine.ONNX_RUNTIME, Engine.AUTO)
    cases += [(engine, model, 1, LARGEST) for engine in others for model in MODELS[1:]]
    rows, ratios = [["engine", "model", "threads", "largest batch", "peak", "estimate", "once more", "estimate"]], []
    for engine, model, threads, largest in cases:
        named = (engine.value, model, str(threads), str(largest))
        command = [sys.executable, "-m", "benchmarks.footprint", *named]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found: list[float] = json.loads(said.splitlines()[-1])
        ratios += [found[1] / found[0], found[3] / found[2]]
        rows.append([*named, *(f"{each:.0f}" for each in found)])
    result = Result(
        "Memory of loading a model",
        "MB of 10**6 bytes by which a process grew in which another model had run: its anonymous memory at its peak, "
        "when a model was loaded, and when it was loaded once more, with its parameters there.",
        rows,
        figures={"estimate_to_measured_least": min(ratios), "estimate_to_measured_most": max(ratios)},
        gates=[Gate("estimate to measured, least", min(ratios), 1.0, at_least=True)],
    )
    return told([result])


def _case(engine: Engine, name: str, threads: int, largest: int) -> None:
    prepare_process()
    torch.set_num_threads(threads)
    warm_up(CPU)
    folder, store = samples() / "models", ParameterStore()
    found: list[float] = []
    with tempfile.TemporaryDirectory() as scratch:
        _load(Candidate.read(open_model(folder / BEFORE / "1"), store, engine), Path(scratch), largest)
        model = open_model(folder / name / "1")
        kept = []
        for _ in range(2):
            candidate = Candidate.read(model, store, engine)
            estimated = needs(candidate, store, CPU, largest)
            estimate = together([estimated], store.lacking(estimated.parameters))
            tidy()
            with Peak() as peak:
                kept.append(_load(candidate, Path(scratch), largest))
            found += [peak.grown / 1e6, estimate / 1e6]
    print(json.dumps(found))


def _load(candidate: Candidate, scratch: Path, largest: int) -> Version:
    given_up = threading.Event()
    rivals = open_rivals(
        asked(candidate.engine, CPU),
        _forms(candidate.model, scratch, given_up),
        candidate.trial(largest, largest),
        CPU,
        given_up,
    )
    versions: list[Version] = []
    finish(load(candidate, CPU, largest, largest, stopwatch(), versions.append, lambda _event: None, rivals))
    return versions[0]


def _forms(model: Model, scratch: Path, given_up: threading.Event) -> Callable[[ProgramForm], Path]:
    return lambda form: FormFiles(scratch, form).get(model, given_up)


@dataclass
class Peak:
    """The most anonymous memory of this process meanwhile, beyond what it had, in bytes."""

    grown: int = 0
    _before: int = 0
    _ended: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Peak:
        self._before = _anonymous()
        self._thread = threading.Thread(target=self._follow)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _follow(self) -> None:
        while not self._ended.wait(EVERY_S):
            self.grown = max(self.grown, _anonymous() - self._before)


def _anonymous() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


if __name__ == "__main__":
    sys.exit(main())
