"""A model as merging sees it: its program in normal form, with the identities of all that it computes."""

from __future__ import annotations

from framepilot_app.graphs.convolution import packed
from framepilot_app.graphs.identity import Member, identify
from framepilot_app.graphs.normal import normalise
from framepilot_app.graphs.program import Program
from framepilot_app.models.contents import Contents
from framepilot_app.models.spec import InputSpec


def member_of(name: str, program: Program, spec: InputSpec, contents: Contents, *, packs: bool = True) -> Member:
    """Find the identities of a model's program.

    Args:
        name: whose it is.
        program: as it was packed.
        spec: how a picture becomes its input; programs share only if that is the same.
        contents: of its parameter file.
        packs: whether convolutions run packed on the device, as they do on a CPU.
    """
    types = contents.types
    normal = normalise(program, types)
    fusable = packed(normal.nodes, types) if packs else frozenset()
    return identify(name, normal, contents.parameters, spec.model_dump_json(), fusable)
