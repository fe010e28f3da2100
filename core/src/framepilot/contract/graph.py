"""The rules of a pipeline's graph: the same for a declared resource and for the desired state of an instance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


def duplicates(field: str, names: Sequence[str]) -> list[str]:
    """One sentence for each name that occurs twice in a list."""
    return [
        f"{field}: the name '{name}' is used {count} times; give each its own"
        for name, count in Counter(names).items()
        if count > 1
    ]


def module_graph_problems(modules: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    """What is wrong with a list of (name, inputs), in which every input must be an earlier module.

    That one rule excludes cycles. A module takes the frame or the detections of one other module, so a second
    input is refused.
    """
    names = [name for name, _ in modules]
    problems = duplicates("modules", names)
    seen: set[str] = set()
    for position, (name, inputs) in enumerate(modules):
        where = f"modules[{position}] ('{name}').inputs"
        if len(inputs) > 1:
            problems.append(f"{where}: takes one input, got {len(inputs)}")
        for source in inputs:
            if source == name:
                problems.append(f"{where}: a module cannot be its own input")
            elif source not in names:
                problems.append(f"{where}: there is no module '{source}'; there are: {', '.join(names)}")
            elif source not in seen:
                problems.append(f"{where}: '{source}' must come before '{name}' (a later input would make a cycle)")
        seen.add(name)
    return problems
