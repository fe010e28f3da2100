"""What makes a candidate ready to serve, as one generator of small steps for the device thread.

Compile, run every batch size on every engine that is tried (which measures the profile), take the fastest, reproduce
the example, switch. Each `next` is bounded by one node of the graph, or by a batch of the size in force, so loading
beside a running version delays a batch by no more than that.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Final

import torch

from framepilot.contract.desired import Engine
from framepilot.contract.observed import ProfilePoint
from framepilot.rollouts.machine import Agreed, Event, Loaded, Switched, Warmed
from framepilot_app.graphs import torch_engine
from framepilot_app.graphs.by_size import by_size
from framepilot_app.graphs.engine import Compiled, EngineError, Outputs
from framepilot_app.graphs.identity import Member
from framepilot_app.graphs.normal import normalise
from framepilot_app.graphs.preparation import packs
from framepilot_app.graphs.program import Program
from framepilot_app.models.member import member_of
from framepilot_app.models.model import Example, Model, ModelError
from framepilot_app.models.parameters import ModelParameters, ParameterStore
from framepilot_app.models.spec import ModelSpec
from framepilot_app.modules.contest import LEAST_RUNS, TURNS, Contender, Contest, timed_enough, timed_point
from framepilot_app.modules.lane import Opened, Version
from framepilot_app.modules.rivals import Trial
from framepilot_app.modules.tasks.decode import check_outputs
from framepilot_app.modules.tasks.mismatch import OutputMismatch

TORCH: Final = Engine.TORCH.value
TORCHES: Final = (Engine.AUTO, Engine.TORCH)
"""What may be asked for so that torch runs it."""
CPU: Final = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model whose digests are right, read into memory but for its weights, which are mapped, and the engine that is
    asked for."""

    model: Model
    program: Program
    example: Example
    parameters: ModelParameters
    engine: Engine = Engine.AUTO
    member: Member | None = None
    """What others may have in common with it; None if it must not run on torch."""

    @classmethod
    def read(
        cls, model: Model, store: ParameterStore, engine: Engine = Engine.AUTO, device: torch.device = CPU
    ) -> Candidate:
        """Parse program and example, attach parameters; called on a background thread.

        Raises:
            ModelError: a file went away, or is not the one that was verified.
        """
        parameters = store.attach(model)
        program = normalise(model.program(), parameters.contents.types)
        member = None
        if engine in TORCHES:
            which = f"{model.spec.name} {model.spec.version}"
            member = member_of(which, program, model.spec.input, parameters.contents, packs=packs(device))
        return cls(model, program, model.example(), parameters, engine, member)

    def trial(self, size: int, limit: int) -> Trial:
        """What engines are tried with."""
        return Trial(self.program.input, self.example.input, size, limit)


def load(
    candidate: Candidate,
    device: torch.device,
    size: int,
    limit: int,
    clock: Callable[[], float],
    switch: Callable[[Version], None],
    report: Callable[[Event], None],
    rivals: Contest | None = None,
) -> Generator[None, None, None]:
    """Load, warm sizes up to `limit` (`size` is the cap in force), check, switch; `report` hears of each phase.

    `rivals` are engines that have been opened for it; afterwards nothing but what serves is held of them.

    Raises:
        EngineError: no engine that was asked for can run the program, or none gives the example's expected output.
    """
    contest = rivals or Contest()
    # Engines that are compared run as they will when they serve; one alone can be measured in smaller steps.
    compared = bool(contest.contenders)
    if candidate.engine in TORCHES:
        try:
            compiled = yield from torch_engine.compile_with(candidate.program, candidate.parameters, device)
        except EngineError as error:
            contest.refuse(TORCH, str(error))
        else:
            contest.contenders.insert(0, Contender(TORCH, compiled))
            del compiled
    report(Loaded())
    if compared:
        yield from _drop_wrong(candidate, contest, device)
    yield from _warm(contest, candidate.trial(size, limit), device, clock, compared=compared)
    report(Warmed())
    division = yield from _fastest_that_agree(candidate, contest, device, size)
    report(Agreed())
    yield
    outcome = contest.divided(division)
    contest.contenders.clear()
    compiled = by_size({batch: each.compiled for batch, each in division.items()})
    # Nothing of the engines that lost is held here, nor by what serves.
    division.clear()
    model, profile = candidate.model, outcome[0].points
    # Others may run parts of it whichever engine runs it alone, if torch can: a plan is first made for torch.
    opened = None if candidate.member is None or contest.failed(TORCH) else Opened(candidate.member, model)
    switch(Version(model.spec, model.sha256, compiled, profile, candidate.engine, outcome, opened))
    report(Switched())


def _drop_wrong(candidate: Candidate, contest: Contest, device: torch.device) -> Generator[None, None, None]:
    """No engine is given up for being slower than one that is wrong."""
    for contender in [*contest.contenders]:
        try:
            yield from _check(candidate, contender.compiled, device)
        except (EngineError, ModelError) as error:
            contest.drop(contender, str(error))


def _warm(
    contest: Contest, trial: Trial, device: torch.device, clock: Callable[[], float], *, compared: bool
) -> Generator[None, None, None]:
    """Run and measure every size, but for what was measured of sizes above the one in force before."""
    for position, size in enumerate(trial.sizes):
        batch = trial.batch(size).to(device)
        in_force = size <= trial.size
        as_it_serves = compared and in_force
        turns = TURNS if as_it_serves and len(contest.contenders) > 1 else 1
        for turn, contender in contest.in_turn(turns):
            yield
            if size in contender.points and not in_force:
                continue
            try:
                if as_it_serves:
                    point = yield from _compared(contender.compiled, batch, clock)
                else:
                    point = yield from _measured(contender.compiled, batch, clock, LEAST_RUNS if in_force else 1)
                contender.measured(point, anew=turn == 0)
            except EngineError as error:
                contest.drop(contender, str(error))
        contest.drop_slow(trial.sizes[: position + 1])


def _measured(
    compiled: Compiled, batch: torch.Tensor, clock: Callable[[], float], runs: int
) -> Generator[None, None, ProfilePoint]:
    """Timed runs of one size in small steps, after one that is not timed."""
    yield from compiled.steps(batch)
    seconds = []
    for _ in range(runs):
        took = yield from timed(compiled.steps(batch), clock)
        seconds.append(took)
    return timed_point(len(batch), seconds)


def _compared(
    compiled: Compiled, batch: torch.Tensor, clock: Callable[[], float]
) -> Generator[None, None, ProfilePoint]:
    """The same as it will run when it serves, as often as is needed to compare it."""
    yield from compiled.steps(batch)
    seconds: list[float] = []
    while not timed_enough(seconds):
        yield
        before = clock()
        compiled(batch)
        seconds.append(clock() - before)
    return timed_point(len(batch), seconds)


def device_clock(device: torch.device) -> Callable[[], float]:
    """Seconds, to time what runs on a device: calls to a GPU return before their work is done, so there it waits."""
    if device.type != "cuda":
        return time.perf_counter

    def clock() -> float:
        torch.cuda.synchronize(device)
        return time.perf_counter()

    return clock


def timed(steps: Iterator[object], clock: Callable[[], float]) -> Generator[None, None, float]:
    """Seconds inside the steps alone, not what ran between them."""
    spent = 0.0
    while True:
        before = clock()
        ended = next(steps, StopIteration) is StopIteration
        spent += clock() - before
        if ended:
            return spent
        yield


def _fastest_that_agree(
    candidate: Candidate, contest: Contest, device: torch.device, size: int
) -> Generator[None, None, dict[int, Contender]]:
    """The fastest engine of each size on which the example comes out as it was packed.

    Raises:
        EngineError: there is none; the reason is that of the engine that was asked for, or of torch's.
    """
    agreed: set[Contender] = set()
    while contest.contenders:
        division = contest.division(size)
        asked = next((each for each in division.values() if each not in agreed), None)
        if asked is None:
            return division
        try:
            yield from _check(candidate, asked.compiled, device)
        except (EngineError, ModelError) as error:
            contest.drop(asked, str(error))
        else:
            agreed.add(asked)
    raise EngineError(contest.failure())


def _check(candidate: Candidate, compiled: Compiled, device: torch.device) -> Generator[None, None, None]:
    run = compiled.steps(candidate.example.input.to(device))
    yield from check(candidate.model.spec, candidate.example, run)


def check(spec: ModelSpec, example: Example, run: Generator[None, None, Outputs]) -> Generator[None, None, None]:
    """The example's output, which `run` gives as an engine computes it on this device, against the one in the model.

    Raises:
        EngineError: it cannot be run.
        ModelError: it has another shape, or differs by more than the model tolerates.
    """
    which = f"{spec.name} version {spec.version}"
    outputs: Outputs = yield from run
    try:
        check_outputs(spec.output, [tuple(output.shape) for output in outputs], spec.input)
    except OutputMismatch as error:
        raise ModelError(which, str(error)) from error
    for position, (output, expected) in enumerate(zip(outputs, example.expected, strict=True)):
        yield
        difference = (output.cpu() - expected).abs().max().item()
        if not difference <= spec.tolerance:
            raise ModelError(
                which,
                f"output {position} of its example differs from the expected one by {difference:.3g} (tolerance "
                f"{spec.tolerance:.3g}): it does not compute here what it did when it was packed; pack it anew",
            )
