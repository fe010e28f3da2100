"""Stems: what modules of one instance compute alike from the same pictures is counted once. Pure.

A profile is of a model alone. Where an instance runs a part of several models once for all of them, the sum of their
profiles has that part once for each: cycles are taken to be longer than they are, and a device to be busier. As soon as
batches run, what they are charged with says what a module takes beside the others, and all charges add up to what the
device took (`tuning/fit.py`). Nothing is taken off what was learnt so. This is for the time before, and for modules
that get nothing to run. S(b) is what the stage that they share takes with b pictures.

*Same pictures.* A picture that several modules have goes through a stage once: in one batch, or in several, as what it
gave is kept with the picture for those that come later. Of other pictures nothing is saved, since a batch of several
modules is no larger than the largest of theirs. So a stem is of modules that have the same pictures for sure: those
that take frames, of services that share the readers of all their streams, and those of one service that take the same
detections.

*Device time.* Each of n modules pays S(b) / n, as it will be charged. Where some have run, their charges have S in them
already: those that are new pay together for what is not.

*The cycle* is what objectives are promised by, so it must not be too short. What waits at a module came since it ran
last. In a cycle, in which each runs what waits, the stage runs on what came since anybody ran before; and the module
that runs last has all of that in its batch. It does so at once, as whoever has items waiting joins. So S counts for the
largest of their batches. Sizes are still to be chosen, one module at a time; as S never falls with the size,

    S(largest)  <=  sum of S(b)  -  (n - 1) S(least),

where `least` is the smallest size that any of them may have: each has as large a part of S(least) taken off its tail as
of S(b) off its device time. With the smallest sizes that is all that is shared, so no objective is called impossible
for it; larger ones count for more than they take, until it is learnt what they do.

Both hold while nothing is dropped: an overloaded service may run other frames of a camera than its neighbour does. One
that prepares a picture when its neighbour is done with it already pays in full, but then the device had no queue. As
everywhere in a plan, a batch that had begun when an item came is not in its cycle; here it is one of several modules.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from framepilot.contract.desired import Delivery
from framepilot.contract.observed import ObservedStage, ObservedState
from framepilot.resources.service import InferenceService, Module
from framepilot.resources.uris import is_live
from framepilot.scheduling.latency import LatencyModel
from framepilot_operator.planning.load import Key
from framepilot_operator.planning.profile import ModuleProfile


@dataclass(frozen=True, slots=True)
class Stem:
    """A stage that runs once for modules with the same pictures.

    `shares`: by module, its part of the arithmetic of the module's model, 0..1. `latency`: of the stage alone, by
    pictures. `least`: the smallest batch size that any of the modules may have.
    """

    shares: Mapping[Key, float]
    latency: LatencyModel
    least: int

    def part_s(self, key: Key, profile: ModuleProfile, size: int) -> float:
        """Seconds of a module's batch that are the stage's: by its measured time, but no more than its arithmetic."""
        return min(self.latency.seconds(size), self.shares[key] * profile.typical.seconds(size))


@dataclass(frozen=True, slots=True)
class _Taker:
    """A module that can share: `pictures` is equal for modules that have the same ones."""

    key: Key
    pictures: object
    least: int


def stems(services: Sequence[tuple[InferenceService, str]], observed: ObservedState) -> tuple[Stem, ...]:
    """What services of an instance, each with its uid, have in common, by what it says of its stages."""
    if not observed.stages:
        return ()
    takers = {f"{each.key[0]}/{each.key[1]}": each for each in _takers(services, observed)}
    return tuple(stem for stage in observed.stages for stem in _of_stage(stage, takers))


def counted_once(
    profiles: Mapping[Key, ModuleProfile], learnt: Mapping[Key, ModuleProfile], every: Sequence[Stem]
) -> dict[Key, ModuleProfile]:
    """The profiles to plan with.

    Args:
        profiles: of each module alone.
        learnt: of those that have run: as they hold now, by what they were charged with.
        every: what they have in common.
    """
    parts: defaultdict[Key, list[tuple[Stem, float]]] = defaultdict(list)
    for stem in every:
        new = [key for key in stem.shares if key in profiles and key not in learnt]
        saved = 1 - (1 - _paid(stem, every, profiles, learnt)) / max(len(new), 1)
        for key in new if saved else ():
            parts[key].append((stem, saved))
    return {**profiles, **learnt, **{key: _without(key, profiles[key], saved) for key, saved in parts.items()}}


def _paid(
    stem: Stem, every: Sequence[Stem], profiles: Mapping[Key, ModuleProfile], learnt: Mapping[Key, ModuleProfile]
) -> float:
    """How much of a stage is in what modules that have run were charged with, 0..1."""
    payers = [key for key in stem.shares if key in learnt and key in profiles]
    owed_s = charged_s = 0.0
    for other in every:
        owed_s += max(
            (other.part_s(key, profiles[key], stem.least) for key in payers if key in other.shares), default=0
        )
    for key in payers:
        shared_s = sum(each.part_s(key, profiles[key], stem.least) for each in every if key in each.shares)
        own_s = profiles[key].typical.seconds(stem.least) - shared_s
        charged_s += max(0.0, learnt[key].typical.seconds(stem.least) - own_s)
    return min(1.0, charged_s / owed_s) if owed_s > 0 else 0.0


def _without(key: Key, profile: ModuleProfile, parts: Sequence[tuple[Stem, float]]) -> ModuleProfile:
    """A profile less what others pay for: some of each stage, 0..1."""
    models = (profile.typical, profile.tail, *(stem.latency for stem, _ in parts))
    measured = {size for model in models for size, _ in model.points if size <= profile.largest}
    sizes = measured | {profile.largest, *(stem.least for stem, _ in parts)}

    def typical_s(size: int) -> float:
        return profile.typical.seconds(size) - sum(saved * stem.part_s(key, profile, size) for stem, saved in parts)

    def tail_s(size: int) -> float:
        off_s = sum(saved * stem.part_s(key, profile, min(stem.least, size)) for stem, saved in parts)
        return max(profile.typical.seconds(size), profile.tail.seconds(size)) - off_s

    return ModuleProfile(
        typical=LatencyModel.measured((size, max(0.0, typical_s(size))) for size in sizes),
        tail=LatencyModel.measured((size, max(0.0, tail_s(size))) for size in sizes),
        largest=profile.largest,
    )


def _of_stage(stage: ObservedStage, takers: Mapping[str, _Taker]) -> Iterator[Stem]:
    """One for each group of its modules that have the same pictures."""
    if not stage.points or len(stage.shares) != len(stage.modules):
        return
    alike: defaultdict[object, dict[Key, float]] = defaultdict(dict)
    least: dict[object, int] = {}
    for name, share in zip(stage.modules, stage.shares, strict=True):
        taker = takers.get(name)
        if taker is not None:
            alike[taker.pictures][taker.key] = min(max(share, 0.0), 1.0)
            least[taker.pictures] = min(taker.least, least.get(taker.pictures, taker.least))
    latency = LatencyModel.measured((point.pictures, point.ms / 1000) for point in stage.points)
    yield from (Stem(shares, latency, least[of]) for of, shares in alike.items() if len(shares) > 1)


def _takers(services: Sequence[tuple[InferenceService, str]], observed: ObservedState) -> Iterator[_Taker]:
    """Modules that serve; one that runs alone, for whichever reason, shares nothing."""
    for service, uid in services:
        running = observed.modules_of(service.key, uid)
        for module in service.spec.modules:
            found = running.get(module.name)
            if found is not None and found.serving is not None and found.alone is None:
                smallest, _ = service.spec.batching_of(module).bounds
                yield _Taker((service.key, module.name), _pictures(service, module), smallest)


def _pictures(service: InferenceService, module: Module) -> object:
    """Of what a module takes: the same for modules that have the same pictures.

    Services have the same frames of streams that are read with equal settings and come at a pace of their own. Lossless
    ones are read for each service, and of those that come as fast as they are served each runs what it has time for.
    """
    if module.inputs:
        return service.key, module.inputs, module.where
    streams = service.spec.streams
    paced = all(
        each.effective_delivery is Delivery.NEWEST and (each.effective_realtime or each.fps) for each in streams
    )
    if not paced:
        return service.key
    # A live one is opened with the credentials of its name.
    settings = sorted(
        each.model_dump_json(exclude=set() if is_live(each.source) else {"name"}) for each in service.spec.streams
    )
    return service.spec.credentials_secret_name, tuple(settings)
