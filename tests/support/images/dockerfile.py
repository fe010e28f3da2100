"""What the Dockerfile says, as data: stages, what each is made of, and which files of the checkout go into a target.

It is read for two reasons: an image's tag is a digest of just those files (`tags.py`), and tests hold the Dockerfile
to its rules. It knows what this Dockerfile uses of https://docs.docker.com/reference/dockerfile/, no more: no heredocs,
no ONBUILD, no escape directive.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

ARGUMENT = re.compile(r"\$\{?(\w+)\}?")


@dataclass(frozen=True)
class Instruction:
    """One instruction, its continued lines joined: `keyword` in capitals, and the rest."""

    keyword: str
    text: str

    @property
    def flags(self) -> tuple[tuple[str, str], ...]:
        """Its options before the arguments, as ("from", "builder")."""
        words = [word for word in self.text.split() if word.startswith("--")]
        found = [word.removeprefix("--").partition("=") for word in words[: self._leading_flags()]]
        return tuple((name, value) for name, _, value in found)

    @property
    def arguments(self) -> tuple[str, ...]:
        """What follows the options."""
        return tuple(self.text.split()[self._leading_flags() :])

    @property
    def mounts(self) -> tuple[dict[str, str], ...]:
        """The mounts of a RUN, each as its settings."""
        values = [value for name, value in self.flags if name == "mount"]
        return tuple(dict(item.split("=", 1) for item in value.split(",") if "=" in item) for value in values)

    def _leading_flags(self) -> int:
        words = self.text.split()
        return next((at for at, word in enumerate(words) if not word.startswith("--")), len(words))


@dataclass(frozen=True)
class Stage:
    """One `FROM base AS name` and what follows."""

    name: str
    base: str
    instructions: tuple[Instruction, ...]

    @property
    def stages(self) -> frozenset[str]:
        """What it stands on or takes from: other stages, or an image where it begins."""
        taken = [value for i in self.instructions for name, value in i.flags if i.keyword == "COPY" and name == "from"]
        mounted = [mount["from"] for i in self.instructions for mount in i.mounts if "from" in mount]
        return frozenset({self.base, *taken, *mounted})

    @property
    def context(self) -> frozenset[str]:
        """The files and folders of the checkout that it copies or mounts."""
        copied = [
            path
            for i in self.instructions
            if i.keyword in {"COPY", "ADD"} and "from" not in dict(i.flags)
            for path in i.arguments[:-1]
        ]
        mounted = [
            mount.get("source", ".")
            for i in self.instructions
            for mount in i.mounts
            if mount.get("type", "bind") == "bind" and "from" not in mount
        ]
        return frozenset([*copied, *mounted])


@dataclass(frozen=True)
class Dockerfile:
    """`arguments`: the defaults of the ARGs above the first stage."""

    arguments: dict[str, str]
    stages: tuple[Stage, ...]

    def stage(self, name: str) -> Stage:
        """A stage by its name."""
        return next(stage for stage in self.stages if stage.name == name)

    def needed(self, target: str) -> tuple[Stage, ...]:
        """The stages that a build of `target` runs, in the order of the file."""
        names = {stage.name for stage in self.stages}
        found: set[str] = set()
        waiting = [target]
        while waiting:
            name = waiting.pop()
            if name in names and name not in found:
                found.add(name)
                waiting.extend(self.stage(name).stages)
        return tuple(stage for stage in self.stages if stage.name in found)

    def context(self, target: str) -> frozenset[str]:
        """The files and folders of the checkout that go into `target`."""
        return frozenset().union(*(stage.context for stage in self.needed(target)))


def parse(text: str) -> Dockerfile:
    """The Dockerfile; a base that is an ARG is replaced by its default."""
    arguments: dict[str, str] = {}
    stages: list[Stage] = []
    for instruction in _instructions(text):
        if instruction.keyword == "FROM":
            words = instruction.arguments
            base = ARGUMENT.sub(lambda match: arguments[match[1]], words[0])
            stages.append(Stage(words[-1] if len(words) > 1 else str(len(stages)), base, ()))
        elif stages:
            last = stages[-1]
            stages[-1] = Stage(last.name, last.base, (*last.instructions, instruction))
        elif instruction.keyword == "ARG":
            name, _, default = instruction.text.partition("=")
            arguments[name] = default
    return Dockerfile(arguments, tuple(stages))


def _instructions(text: str) -> list[Instruction]:
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(line.rstrip() for line in lines))
    return [
        Instruction(keyword.upper(), rest.strip())
        for keyword, _, rest in (line.strip().partition(" ") for line in joined.splitlines())
    ]
