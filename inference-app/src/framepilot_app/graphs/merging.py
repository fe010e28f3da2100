"""Merging programs: what several of them compute at their beginning becomes a stage that runs once for all.

A stage is all kernels that exactly the same programs share. As a kernel is shared only with all that it needs, its
programs are some of those of every stage that it takes from: so stages of more programs come first, and they are the
trie of common beginnings where programs branch one from the other. The end of a stage is then moved back to where it
costs least (`costs.py`): what follows from there is cheaper to compute anew by each than to keep.

A plan follows from the programs alone, not from the order in which they came or went. What takes time, finding
identities, was done for each program when it came; so adding one costs little more than looking at all kernels once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from framepilot_app.graphs.costs import CostModel
from framepilot_app.graphs.fusion import Kernel
from framepilot_app.graphs.identity import Member
from framepilot_app.graphs.stage import Stage

Users = tuple[str, ...]
"""Names of programs, sorted."""


@dataclass(frozen=True, slots=True)
class SharedStage:
    """A stage and whose it is. Names of values are identities, those of parameters digests."""

    users: Users
    stage: Stage


@dataclass(frozen=True, slots=True)
class Merged:
    """A plan: the programs by name, and their stages in an order in which they can run.

    A program's outputs are there once all stages of which it is a user have run; a picture's name is its identity.
    """

    members: Mapping[str, Member]
    stages: tuple[SharedStage, ...]
    costs: CostModel

    def adding(self, member: Member) -> Merged:
        """The plan with one more program; one of the same name is replaced."""
        return merge([*(each for each in self.members.values() if each.name != member.name), member], self.costs)

    def removing(self, name: str) -> Merged:
        """The plan without that program."""
        return merge([each for each in self.members.values() if each.name != name], self.costs)

    def sharing(self) -> Merged:
        """The plan without the programs that have no stage in common with others."""
        names = {name for each in self.stages if len(each.users) > 1 for name in each.users}
        members = {name: member for name, member in self.members.items() if name in names}
        return Merged(members, tuple(each for each in self.stages if names.issuperset(each.users)), self.costs)

    def of(self, name: str) -> tuple[SharedStage, ...]:
        """The stages that a program needs, in order."""
        return tuple(stage for stage in self.stages if name in stage.users)


DEFAULT_COSTS = CostModel()


def merge(members: Iterable[Member], costs: CostModel = DEFAULT_COSTS) -> Merged:
    """The plan for these programs.

    Raises:
        ValueError: two of them have the same name.
    """
    ordered = sorted(members, key=lambda member: member.name)
    by_name = {member.name: member for member in ordered}
    if len(by_name) < len(ordered):
        raise ValueError("two programs of the same name")
    sharing = _Sharing(by_name, costs)
    for users in sharing.ordered():
        if len(users) > 1:
            sharing.cut(users)
    return Merged(by_name, tuple(sharing.stages()), costs)


class _Sharing:
    """Which kernels are run by which groups of programs, while the ends of stages are moved.

    `_homes` are the groups that run a kernel: one at first; more than one if what it gives is not worth keeping.
    """

    def __init__(self, members: Mapping[str, Member], costs: CostModel) -> None:
        self._members = members
        self._costs = costs
        self._steps = {identity: step for member in members.values() for identity, step in member.steps.items()}
        self._takers: dict[str, list[str]] = {identity: [] for identity in self._steps}
        for identity, step in self._steps.items():
            for need in () if step.free else step.takes:
                if need in self._steps:
                    self._takers[need].append(identity)
        self._givers: dict[str, list[str]] = {}
        users: dict[str, list[str]] = {}
        for member in members.values():
            for identity, step in member.steps.items():
                if not step.free:
                    users.setdefault(identity, []).append(member.name)
            for output in dict.fromkeys(member.outputs):
                self._givers.setdefault(output, []).append(member.name)
        self._homes: dict[str, set[Users]] = {identity: {tuple(names)} for identity, names in users.items()}
        self._groups: dict[Users, set[str]] = {(name,): set() for name in members}
        for identity, (home,) in self._homes.items():
            self._groups.setdefault(home, set()).add(identity)

    def ordered(self) -> list[Users]:
        """All groups, those of more programs first: whatever a group takes from comes before it."""
        return sorted(self._groups, key=lambda users: (-len(users), users))

    def cut(self, users: Users) -> None:
        """Move the end of a group back to where it costs least; who takes what is behind it computes it anew."""
        steps = self._in_order(users)
        takers = {identity: self._taking(identity, users) for identity in steps}
        followers = {identity: takers[identity] | self._giving(identity, users) for identity in steps}
        end = self._best_end(steps, takers, len(_largest(set().union(*followers.values()))))
        for identity in reversed(steps[end:]):
            homes = _largest(followers[identity])
            self._move(identity, users, homes)
            for need in self._steps[identity].takes:
                if need in followers:
                    followers[need] |= homes

    def stages(self) -> Iterator[SharedStage]:
        """What each group runs, takes and gives."""
        kernels = {users: tuple(self._kernels(users)) for users in self.ordered()}
        inputs = {users: self._inputs(users) for users in kernels}
        given: dict[Users, set[str]] = {users: set() for users in kernels}
        for users, names in inputs.items():
            for name in names:
                if name in self._steps:
                    given[self._source(name, users)].add(name)
        for output, givers in self._givers.items():
            for name in givers:
                if output in self._steps:
                    given[self._source(output, (name,))].add(output)
        for users, run in kernels.items():
            if run:
                outputs = tuple(kernel.name for kernel in run if kernel.name in given[users])
                yield SharedStage(users, Stage(inputs[users], run, outputs))

    def _taking(self, identity: str, users: Users) -> set[Users]:
        """The other groups of some of these programs that take a value."""
        homes = {home for taker in self._takers[identity] for home in self._homes[taker]}
        return {home for home in homes if home != users and set(home) <= set(users)}

    def _giving(self, identity: str, users: Users) -> set[Users]:
        """The programs that give a value as their output, each as a group."""
        return {(name,) for name in self._givers.get(identity, ()) if name in users}

    def _best_end(self, steps: Sequence[str], takers: Mapping[str, set[Users]], followers: int) -> int:
        """How many steps are shared, where the time to compute the others anew and to keep what these give is least.

        What only is an output costs nothing to keep: it is given away in any case.
        """
        last = {need: index for index, identity in enumerate(steps) for need in self._steps[identity].takes}
        changes = [0.0] * (len(steps) + 1)
        for index, identity in enumerate(steps):
            price = self._costs.keep_seconds(self._steps[identity].nbytes, followers)
            changes[index] += price
            changes[len(steps) if takers[identity] else last.get(identity, index)] -= price
        seconds = [self._costs.seconds(self._steps[identity]) * (followers - 1) for identity in steps]
        anew, kept = sum(seconds), 0.0
        best, least = 0, anew
        for index in range(len(steps)):
            anew -= seconds[index]
            kept += changes[index]
            if anew + kept + self._costs.call_s <= least:
                best, least = index + 1, anew + kept + self._costs.call_s
        return best

    def _move(self, identity: str, users: Users, homes: set[Users]) -> None:
        self._groups[users].discard(identity)
        self._homes[identity] = (self._homes[identity] - {users}) | homes
        for home in homes:
            self._groups[home].add(identity)

    def _in_order(self, users: Users) -> list[str]:
        """What a group runs, in the order of its first program."""
        return [identity for identity in self._members[users[0]].steps if identity in self._groups[users]]

    def _kernels(self, users: Users) -> Iterator[Kernel]:
        """With the free ones, before who takes them."""
        added: set[str] = set()
        outputs = self._members[users[0]].outputs if len(users) == 1 else ()
        free = [output for output in outputs if output in self._steps and self._steps[output].free]
        for wanted in (*self._in_order(users), *free):
            pending = [wanted]
            while pending:
                step = self._steps[pending[-1]]
                missing = [name for name in step.takes_free if name not in added]
                if missing:
                    pending += missing
                elif pending.pop() not in added:
                    added.add(step.identity)
                    yield step.kernel

    def _inputs(self, users: Users) -> dict[str, tuple[int, ...]]:
        """The values that a group takes, pictures among them, with their shapes."""
        image = self._members[users[0]].image
        own = self._groups[users]
        found: dict[str, tuple[int, ...]] = {}
        for identity in self._in_order(users):
            for need in self._steps[identity].takes:
                if need in self._steps and need not in own:
                    found[need] = self._steps[need].kernel.shape
                elif need not in self._steps:
                    found[need] = image.shape
        return found

    def _source(self, identity: str, users: Users) -> Users:
        """The group that gives a value to these programs; a free one is their own."""
        homes = [home for home in self._homes.get(identity, {users}) if set(users) <= set(home)]
        return min(homes, key=lambda home: (-len(home), home))


def _largest(groups: set[Users]) -> set[Users]:
    """Those that are no part of another one."""
    return {users for users in groups if not any(set(users) < set(other) for other in groups)}
