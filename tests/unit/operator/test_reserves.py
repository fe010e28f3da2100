"""Who may reserve how much of a device: what somebody holds nobody takes, and it is never more than there is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framepilot.contract.desired import DesiredState
from framepilot.scheduling.reserves import MOST_RESERVED
from framepilot_operator.reserves import too_much
from support.snapshots import desired, named, within

NAMES = ("a", "b", "c", "d")


def told(**reserves: float) -> DesiredState:
    """What an instance was told to run."""
    (pipeline,) = desired().pipelines
    pipelines = tuple(
        pipeline.model_copy(update={"service": f"cameras/{name}", "reserve": reserve})
        for name, reserve in reserves.items()
    )
    return desired().model_copy(update={"pipelines": pipelines})


def refused(before: DesiredState | None, *gone: str, **wanted: str | None) -> dict[str, str]:
    """Of services that want so much; others of the instance are declared, too, but for those that are gone."""
    services = [within("shared", named(name), reserve) for name, reserve in wanted.items()]
    declared = {f"cameras/{name}" for name in NAMES if name not in gone}
    found = too_much(services, before, declared)
    return {key.removeprefix("cameras/"): message for key, message in found.items()}


def test_of_those_that_come_together_the_first_goes_first_and_what_fits_beside_it_fits():
    assert list(refused(None, a="60%", b="40%", c="35%", d=None)) == ["b"]
    assert refused(None, a="10%", b="20%", c="65%") == {}


def test_who_has_a_reserve_goes_before_who_comes():
    assert refused(told(c=0.6), a="40%", b="35%", c="60%") == {
        "a": "it reserves 40% of a device of which cameras/c 60% hold already, and the services of a device reserve at "
        "most 95% together; lower its placement.reserve to 35%, lower another one's, or place it elsewhere"
    }


def test_where_nothing_is_left_it_is_said_so():
    (message,) = refused(told(a=0.95), a="95%", b="1%").values()
    assert "remove its placement.reserve, lower another one's, or place it elsewhere" in message


def test_what_one_gives_up_another_one_may_have_at_once():
    assert refused(told(a=0.2, b=0.7), a="70%", b="20%") == {}
    assert refused(told(a=0.2, b=0.7), a="70%", b=None) == {}


def test_what_stays_though_it_cannot_be_used_holds_what_it_has_and_what_is_gone_holds_nothing():
    assert list(refused(told(a=0.6), b="40%")) == ["b"]
    assert refused(told(a=0.6), "a", b="40%") == {}


def test_one_that_reserves_nothing_is_never_refused():
    assert refused(told(a=0.95), a="95%", b=None) == {}


shares = st.dictionaries(st.sampled_from(NAMES), st.integers(0, 95), max_size=4)


@given(st.lists(shares, min_size=1, max_size=5))
def test_whatever_is_asked_for_the_device_is_never_promised_twice(passes):
    """Each time the instance is told what was not refused; what was goes on as before."""
    before: dict[str, float] = {}
    for wanted in passes:
        gone = [name for name in before if name not in wanted]
        found = refused(
            told(**before), *gone, **{name: f"{share}%" if share else None for name, share in wanted.items()}
        )
        now = {name: share / 100 for name, share in wanted.items() if name not in found}
        before = now | {name: before[name] for name in found if name in before}
        assert sum(before.values()) <= MOST_RESERVED + 1e-9
        for name, share in wanted.items():
            assert name not in found or share / 100 > before.get(name, 0), "only more is refused"


@pytest.mark.parametrize("name", ["a", "b"])
def test_a_service_alone_may_have_all_that_can_be_reserved(name):
    assert refused(None, **{name: "95%"}) == {}
