"""Stages that are alike, as the heads on one backbone are: one form, each with parameters of its own.

Of a batch with a hundred heads every one would be a call into torch, which lets go of Python's lock and waits for it
afterwards, far longer than the head takes. In one call they wait once; each runs by itself, to the bit as it is alone.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence

import torch

from framepilot_app.graphs.engine import Outputs, first_line
from framepilot_app.graphs.script import Several
from framepilot_app.modules.stages import ReadyStage

log = logging.getLogger(__name__)


class Alike:
    """What runs stages of a plan that are alike. Used by the device thread."""

    def __init__(self, stages: Iterable[ReadyStage], before: Alike | None = None) -> None:
        """`before` is that of the plan before, of which what is needed still is taken over."""
        known = {} if before is None else before.several
        self.several: dict[str, Several] = {}
        """By form, what runs stages of it."""
        scripts = [(script, each.stage) for each in stages if (script := each.script) is not None]
        stages_of = Counter(script.form for script, _ in scripts)
        for script, stage in scripts:
            form = script.form
            if stages_of[form] > 1 and form not in self.several:
                self.several[form] = known.get(form) or Several(script, len(stage.inputs), len(stage.outputs))

    def run(self, stages: Sequence[ReadyStage], inputs: Sequence[Sequence[torch.Tensor]]) -> Sequence[Outputs]:
        """What stages of one form give, each for its inputs; one stage may be of any.

        Raises:
            EngineError: one fails on its inputs.
        """
        scripts = [script for each in stages if (script := each.script) is not None]
        if len(scripts) > 1 and (several := self.several.get(scripts[0].form)):
            try:
                return several(scripts, inputs)
            except RuntimeError as error:
                # One by one they do the same, and say which of them cannot.
                log.warning("stages failed in one call: %s", first_line(error))
        return [each.compiled(*values) for each, values in zip(stages, inputs, strict=True)]
