"""What `framepilot model diff` says: what two models have in common, what that saves, and why it is not more."""

from __future__ import annotations

from framepilot_app.graphs.difference import Common, Difference, difference
from framepilot_app.graphs.identity import Member
from framepilot_app.models.contents import read_contents
from framepilot_app.models.member import member_of
from framepilot_app.models.model import Model

Row = tuple[str, str, str]


def compare(first: Model, second: Model) -> Difference:
    """As both would run in one instance on a CPU.

    Raises:
        ModelError: a file went away, or was changed since it was verified.
    """
    return difference(_member("A", first), _member("B", second))


def _member(name: str, model: Model) -> Member:
    return member_of(f"{name} ({title(model)})", model.program(), model.spec.input, read_contents(model.weights))


def title(model: Model) -> str:
    """Name and version."""
    return f"{model.spec.name} {model.spec.version}"


def rows(found: Difference) -> list[Row]:
    """What it is, of A, of B."""
    a, b = found.first, found.second
    return [
        ("nodes in common", f"{a.nodes} of {a.all_nodes}", f"{b.nodes} of {b.all_nodes}"),
        ("their share of the arithmetic", f"{a.flops_share:.1%}", f"{b.flops_share:.1%}"),
        ("bytes of equal parameters", _bytes(a), _bytes(b)),
    ]


def savings(found: Difference) -> list[str]:
    """What sharing saves, in sentences."""
    return [
        f"{found.shared_nodes} nodes run once for both: {found.saved_flops / 1e6:,.1f} million operations less an item",
        f"{found.saved_bytes:,} bytes of parameters are in memory once",
    ]


def document(first: Model, second: Model, found: Difference) -> dict[str, object]:
    """The same for programs."""
    return {
        "a": {"model": first.spec.name, "version": first.spec.version, **_common(found.first)},
        "b": {"model": second.spec.name, "version": second.spec.version, **_common(found.second)},
        "shared": {"nodes": found.shared_nodes, "flopsPerItem": found.saved_flops, "parameterBytes": found.saved_bytes},
        "ends": [{"a": end.first, "b": end.second, "reason": end.reason} for end in found.ends],
    }


def _bytes(common: Common) -> str:
    return f"{common.parameter_bytes:,} of {common.all_parameter_bytes:,}"


def _common(common: Common) -> dict[str, object]:
    return {
        "commonNodes": common.nodes,
        "nodes": common.all_nodes,
        "commonFlopsShare": round(common.flops_share, 6),
        "commonParameterBytes": common.parameter_bytes,
        "parameterBytes": common.all_parameter_bytes,
    }
