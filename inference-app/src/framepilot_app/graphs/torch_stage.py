"""A stage on a device by torch: a flat list of ready calls, on the CPU with oneDNN's packed convolutions.

A batch runs as one script (`segments.py`), or call by call, forgetting each tensor after its last use. Nothing refers
back to what holds it, so the memory of a stage that is dropped is given back at once, without the garbage collector.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterable, Sequence

import torch

from framepilot_app.graphs.calls import Instruction, Values
from framepilot_app.graphs.engine import EngineError, Outputs, first_line
from framepilot_app.graphs.forms import Parameters
from framepilot_app.graphs.preparation import Preparation
from framepilot_app.graphs.program import ProgramError
from framepilot_app.graphs.script import Function, NotScriptable
from framepilot_app.graphs.segments import whole
from framepilot_app.graphs.stage import Stage

log = logging.getLogger(__name__)


def compile_stage(stage: Stage, parameters: Parameters, device: torch.device) -> Generator[None, None, TorchStage]:
    """Prepare a stage for a device, in small steps; it runs from Python until `write_script`.

    Raises:
        EngineError: a parameter cannot be had, or torch cannot prepare a node.
    """
    stored: dict[str, torch.Tensor] = {}
    for name in stage.parameters():
        stored[name] = parameters.stored(name)
        yield
    preparation = Preparation(stage, stored, parameters, device)
    yield
    instructions: list[Instruction] = []
    for kernel in stage.kernels:
        try:
            instruction = yield from preparation.instruction(kernel)
        except (ProgramError, RuntimeError, TypeError, ValueError) as error:
            raise EngineError(f"{kernel.name}: {kernel.node.op} cannot be prepared: {first_line(error)}") from error
        if instruction is not None:
            instructions.append(instruction)
        yield
    return TorchStage(tuple(instructions), preparation)


class TorchStage:
    """A stage on a device, ready to run. Values are given and come in the order of its inputs and outputs."""

    def __init__(self, instructions: tuple[Instruction, ...], preparation: Preparation) -> None:
        self._instructions = instructions
        self._outputs = preparation.outputs()
        self._slots = preparation.slots
        self._script: Function | None = None
        self._forms = preparation.forms

    @property
    def nbytes(self) -> int:
        """Bytes of parameters on the device, as large as they are unpacked."""
        return sum(form.nbytes for form in self._forms)

    def held(self) -> Iterable[tuple[object, int]]:
        """These bytes, by the tensor that several programs may have."""
        return ((form.tensor if form.shared is None else form.shared, form.nbytes) for form in self._forms)

    @property
    def script(self) -> Function | None:
        """What runs it; None: it runs from Python."""
        return self._script

    def write_script(self, *inputs: torch.Tensor) -> Generator[None, None, None]:
        """From now on run as a script, if all can be written in one; `inputs` are examples, with which it is run."""
        try:
            # Each operator's first run prepares it: one by one these are small steps.
            yield from self.steps(*inputs)
            yield
            self._script = yield from whole(self._instructions, self._outputs, inputs)
        except (NotScriptable, EngineError, RuntimeError) as reason:
            log.info("runs from Python, operator by operator: %s", first_line(reason))

    def __call__(self, *inputs: torch.Tensor) -> Outputs:
        """Run it once.

        Raises:
            EngineError: a node fails on the inputs.
        """
        with torch.inference_mode():
            if self._script is not None:
                try:
                    return self._script(*inputs)
                except RuntimeError as error:
                    # The operators one by one do the same, and say which of them cannot.
                    log.warning("a batch failed as a script: %s", first_line(error))
            values = self._start(inputs)
            for instruction in self._instructions:
                _run(instruction, values)
            return self._end(values)

    def steps(self, *inputs: torch.Tensor) -> Generator[None, None, Outputs]:
        """The same, node by node: yields between nodes."""
        values = self._start(inputs)
        for instruction in self._instructions:
            yield
            # Inference mode belongs to the thread, not to this generator: it must not stay on while others run.
            with torch.inference_mode():
                _run(instruction, values)
        return self._end(values)

    def _start(self, inputs: Sequence[torch.Tensor]) -> Values:
        return [*inputs, *([None] * (self._slots - len(inputs)))]

    def _end(self, values: Values) -> Outputs:
        outputs = [values[slot] for slot in self._outputs]
        return tuple(output for output in outputs if isinstance(output, torch.Tensor))


def _run(instruction: Instruction, values: Values) -> None:
    try:
        values[instruction.slot] = instruction.run(values)
    except Exception as error:
        raise EngineError(f"{instruction.name}: cannot be run: {first_line(error)}") from error
    for unneeded in instruction.dead:
        values[unneeded] = None
