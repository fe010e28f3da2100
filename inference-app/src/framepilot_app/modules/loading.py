"""What makes a candidate ready to serve, as one generator of small steps for the device thread.

Compile, run every batch size (which measures the profile), reproduce the example, switch. Each `next` is bounded by one
node of the graph, so loading beside a running version delays a batch by no more than that.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

import torch

from framepilot.contract.observed import ProfilePoint
from framepilot.rollouts.machine import Agreed, Event, Loaded, Switched, Warmed
from framepilot.scheduling.latency import batch_sizes
from framepilot_app.graphs import torch_engine
from framepilot_app.graphs.engine import Compiled, Outputs
from framepilot_app.graphs.program import Program
from framepilot_app.models.model import Example, Model, ModelError
from framepilot_app.modules.lane import Version
from framepilot_app.modules.tasks.decode import check_outputs
from framepilot_app.modules.tasks.mismatch import OutputMismatch

TIMED_RUNS = 2
"""Timed runs of each size up to the cap, after one that is not timed; larger sizes are timed once."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model whose digests are right, read into memory but for its weights."""

    model: Model
    program: Program
    example: Example

    @classmethod
    def read(cls, model: Model) -> Candidate:
        """Parse program and example; called on a background thread."""
        return cls(model, model.program(), model.example())


def load(
    candidate: Candidate,
    device: torch.device,
    size: int,
    limit: int,
    clock: Callable[[], float],
    switch: Callable[[Version], None],
    report: Callable[[Event], None],
) -> Generator[None, None, None]:
    """Load, warm sizes up to `limit` (`size` is the cap in force), check, switch; `report` hears of each phase.

    Raises:
        EngineError: the program cannot be compiled or run.
        ModelError: the example's output is not the expected one, or does not fit the task.
    """
    compiled = yield from torch_engine.compile(candidate.program, candidate.model.weights, device)
    report(Loaded())
    profile = yield from _warm(compiled, candidate.example.input.to(device), size, limit, clock)
    report(Warmed())
    yield from _check(candidate, compiled, device)
    report(Agreed())
    yield
    switch(Version(candidate.model.spec, candidate.model.sha256, compiled, profile))
    report(Switched())


def _warm(
    compiled: Compiled, example: torch.Tensor, size: int, limit: int, clock: Callable[[], float]
) -> Generator[None, None, tuple[ProfilePoint, ...]]:
    points = []
    for batch_size in sorted({*batch_sizes(limit), *batch_sizes(size)}):
        batch = example[torch.arange(batch_size) % len(example)].contiguous(memory_format=torch.channels_last)
        yield
        yield from compiled.steps(batch)
        seconds = []
        for _ in range(TIMED_RUNS if batch_size <= size else 1):
            took = yield from _timed(compiled.steps(batch), clock)
            seconds.append(took)
        points.append(ProfilePoint(batch=batch_size, p50_ms=min(seconds) * 1000, p99_ms=max(seconds) * 1000))
    return tuple(points)


def _timed(steps: Iterator[None], clock: Callable[[], float]) -> Generator[None, None, float]:
    """Seconds inside the steps alone, not what ran between them."""
    spent = 0.0
    while True:
        before = clock()
        ended = next(steps, StopIteration) is StopIteration
        spent += clock() - before
        if ended:
            return spent
        yield


def _check(candidate: Candidate, compiled: Compiled, device: torch.device) -> Generator[None, None, None]:
    """The example's output, at the engine's own precision on this device, against the one stored in the model."""
    spec = candidate.model.spec
    which = f"{spec.name} version {spec.version}"
    outputs: Outputs = yield from compiled.steps(candidate.example.input.to(device))
    try:
        check_outputs(spec.output, [tuple(output.shape) for output in outputs], spec.input)
    except OutputMismatch as error:
        raise ModelError(which, str(error)) from error
    for position, (output, expected) in enumerate(zip(outputs, candidate.example.expected, strict=True)):
        yield
        difference = (output.cpu() - expected).abs().max().item()
        if not difference <= spec.tolerance:
            raise ModelError(
                which,
                f"output {position} of its example differs from the expected one by {difference:.3g} (tolerance "
                f"{spec.tolerance:.3g}): it does not compute here what it did when it was packed; pack it anew",
            )
