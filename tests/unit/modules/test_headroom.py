"""Whether a version may be loaded: by what is free, less what has to stay so and what others that are loaded take."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

import pytest

from framepilot.contract.observed import MemoryKind
from framepilot_app.models.model import UnavailableError
from framepilot_app.modules.headroom import Headroom, Needs, Room, refusal

MIB = 1 << 20
HOST, GPU = MemoryKind.HOST, MemoryKind.GPU


def room(used: int, limit: int = 1000, kind: MemoryKind = HOST) -> Room:
    return Room(kind, limit * MIB, used * MIB, "memory.max of its control group")


def needs(own: int = 0, passing: int = 0, serving: int = 0, kind: MemoryKind = HOST, **parameters: int) -> Needs:
    brought = {key: value * MIB for key, value in parameters.items()}
    return Needs(kind, brought, own * MIB, passing * MIB, serving * MIB)


class Module:
    """Whose version it is."""


class Site:
    """An instance with limits that change, and parameters that are there."""

    def __init__(self, *rooms: Room, share: float = 0.1) -> None:
        self.rooms: tuple[Room, ...] = rooms
        self.there: set[Hashable] = set()
        self.headroom = Headroom(share, lambda: self.rooms, self.lacking)

    def lacking(self, keys: Iterable[Hashable]) -> set[Hashable]:
        return {*keys} - self.there

    def fits(self, wanted: Needs) -> bool:
        try:
            with self.headroom.held("m 1", wanted, Module()):
                return True
        except UnavailableError:
            return False


def test_what_would_be_left_must_be_no_less_than_the_headroom():
    assert refusal(room(used=500), 0.1, 400 * MIB, 0) is None
    assert refusal(room(used=500), 0.1, 400 * MIB + 1, 0) is not None
    assert refusal(room(used=500), 0.1, 300 * MIB, 100 * MIB + 1) is not None
    assert refusal(room(used=500), 0.5, 1, 0) is not None


def test_a_reason_says_what_it_needs_what_is_free_and_what_to_do():
    assert refusal(room(used=612), 0.1, 301 * MIB, 50 * MIB) == (
        "it needs about 300 MiB of memory to be loaded, and 340 MiB of 1,000 MiB (memory.max of its control group) are "
        "free, of which 100 MiB are to stay so (--memory-headroom 0.1); raise the limit, take a smaller model or "
        "largest batch, or remove what else runs here"
    )


def test_a_reason_does_not_move_with_every_page():
    reasons = {refusal(room(used=800), 0.1, 150 * MIB, at * 4096) for at in range(100)}
    assert len(reasons) == 1
    assert "0 MiB of 1,000 MiB" in (refusal(room(used=1200), 0.1, MIB, 0) or ""), "nothing is free, and no less"


def test_whoever_asks_is_told_which_model_it_is_and_is_to_try_again():
    site = Site(room(used=850))
    with (
        pytest.raises(UnavailableError, match="model m 1: it needs about 60 MiB"),
        site.headroom.held("m 1", needs(60), Module()),
    ):
        pytest.fail("it has no room")
    site.rooms = (room(used=800),)
    assert site.fits(needs(60))


def test_two_that_load_do_not_count_on_the_same_memory():
    site = Site(room(used=500))
    with site.headroom.held("a 1", needs(300), Module()):
        assert not site.fits(needs(200))
        assert site.fits(needs(100))
    assert site.fits(needs(200)), "what was loaded is in what is used, or was given back"


def test_what_a_load_took_is_given_back_when_it_fails():
    site = Site(room(used=500))
    with pytest.raises(ValueError, match="damaged"), site.headroom.held("a 1", needs(300), Module()):
        raise ValueError("damaged")
    assert site.fits(needs(400))


def test_batches_run_one_at_a_time_so_the_largest_counts():
    site = Site(room(used=500))
    with site.headroom.held("a 1", needs(passing=300), Module()):
        assert site.fits(needs(passing=400))
        assert not site.fits(needs(passing=401))
        assert not site.fits(needs(own=101, passing=300))


def test_the_largest_batch_of_what_serves_counts_until_its_module_is_gone_or_serves_another_version():
    site, module = Site(room(used=100)), Module()
    with site.headroom.held("m 1", needs(own=500, passing=90, serving=250), module):
        pass
    site.rooms = (room(used=500),)
    assert site.fits(needs(own=150))
    assert not site.fits(needs(own=151))
    assert site.fits(needs(own=100, passing=300))
    assert not site.fits(needs(own=101, passing=300))
    assert [each.loading_bytes for each in site.headroom.observed()] == [0]
    with site.headroom.held("m 2", needs(serving=200), module):
        pass
    assert site.fits(needs(own=200))
    assert not site.fits(needs(own=201))
    del module
    assert site.fits(needs(own=400))


def test_a_version_that_could_not_be_loaded_needs_nothing_for_its_batches():
    site, module = Site(room(used=500)), Module()
    with pytest.raises(ValueError, match="damaged"), site.headroom.held("m 1", needs(serving=300), module):
        raise ValueError("damaged")
    assert site.fits(needs(own=400))


def test_a_parameter_that_is_there_takes_nothing_and_one_that_two_bring_is_brought_once():
    site = Site(room(used=500))
    with site.headroom.held("a 1", needs(backbone=300, head=10), Module()):
        assert site.fits(needs(backbone=300, other=90))
        assert not site.fits(needs(backbone=300, other=91))
        # Half of it has been made meanwhile, and is in what is used.
        site.there, site.rooms = {"backbone"}, (room(used=800),)
        assert site.fits(needs(backbone=300, other=90))
    site.there = {"backbone", "head"}
    assert site.fits(needs(backbone=300, head=10, other=100))


def test_the_tightest_of_several_limits_counts_and_those_of_another_memory_do_not():
    tight, wide = room(used=800), room(used=800, limit=10_000)
    assert not Site(tight, wide).fits(needs(150))
    assert not Site(wide, tight).fits(needs(150))
    assert Site(wide, room(used=900, kind=GPU)).fits(needs(150))
    assert not Site(wide, room(used=900, kind=GPU)).fits(needs(150, kind=GPU))


def test_without_a_headroom_or_a_limit_nothing_is_refused():
    assert Site(room(used=2000), share=0).fits(needs(500))
    assert Site().fits(needs(500))


def test_what_is_said_of_memory_is_the_tightest_limit_of_each_kind_and_what_is_being_loaded():
    site = Site(room(used=600), room(used=100, kind=GPU), room(used=600, limit=4000))
    with site.headroom.held("a 1", needs(own=20, passing=5, weight=75), Module()):
        host, gpu = sorted(site.headroom.observed(), key=lambda each: each.kind, reverse=True)
    assert (host.kind, gpu.kind) == (HOST, GPU)
    said = [host.limit_bytes, host.used_bytes, host.headroom_bytes, host.loading_bytes, gpu.used_bytes]
    assert said == [1000 * MIB, 600 * MIB, 100 * MIB, 100 * MIB, 100 * MIB]
    assert gpu.loading_bytes == 0
