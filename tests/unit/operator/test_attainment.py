"""Whether the objective is met, in words that noise does not change."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framepilot.resources.meta import ConditionStatus
from framepilot.resources.quantities import PROMISE, fraction
from framepilot.resources.service import Objective
from framepilot_operator.attainment import coarse, objective_met

OBJECTIVE = Objective(latency="200ms", attainment="99%")
shares = st.floats(0, 1)
objectives = st.from_regex(PROMISE.pattern, fullmatch=True).map(lambda text: Objective(latency="1s", attainment=text))


def odds(share: float) -> float:
    return (1 - share) / share


def met(share: float | None, before: str | None = None, objective: Objective = OBJECTIVE) -> tuple[str, str]:
    found = objective_met(coarse(share, objective, before), objective, "")
    return found.status.value, found.reason


@pytest.mark.parametrize(
    ("share", "before", "said"),
    [
        (None, "99%", ("Unknown", "NotMeasured")),
        (0.99, None, ("True", "Met")),
        (0.989, None, ("False", "Missed")),
        # What was met is missed as soon as too many frames are late,
        (0.99, "99%", ("True", "Met")),
        (0.9899, "99%", ("False", "Missed")),
        # and what was missed is met again when clearly fewer are.
        (0.9949, "98.5%", ("False", "Missed")),
        (0.995, "98.5%", ("True", "Met")),
        (0.992, "3.1%", ("False", "Missed")),
        (1.0, "3.1%", ("True", "Met")),
    ],
)
def test_it_turns_at_the_objective_and_back_at_half_of_the_misses(
    share: float | None, before: str | None, said: tuple[str, str]
) -> None:
    assert met(share, before) == said


@pytest.mark.parametrize(
    ("share", "about"),
    [(0.985, "98.5%"), (0.97, "97.1%"), (0.94, "94.3%"), (0.5, "51%"), (0.06, "6.1%"), (0.01, "0.8%"), (0, "0.8%")],
)
def test_how_much_is_missed_is_told_in_steps_of_a_factor_of_two(share: float, about: str) -> None:
    assert coarse(share, OBJECTIVE, None) == about


def test_the_sentence_names_the_objective_what_comes_of_it_and_what_could_be_held() -> None:
    nearest = "; an objective of about 520 ms could be held"
    assert objective_met("99%", OBJECTIVE, "").message == "At least 99% of the frames are delivered within 200 ms."
    assert objective_met("88%", OBJECTIVE, nearest).message == (
        "About 88% of the frames are delivered within 200 ms, and 99% are to be; "
        "an objective of about 520 ms could be held."
    )


@given(shares, objectives)
def test_what_was_said_of_a_share_is_said_again_of_the_same_share(share: float, objective: Objective) -> None:
    once = coarse(share, objective, None)
    assert coarse(share, objective, once) == once


@given(st.floats(0.01, 1), objectives, st.floats(0.51, 1.99))
def test_up_to_twice_or_half_of_the_odds_at_which_it_turned_change_nothing(
    share: float, objective: Objective, factor: float
) -> None:
    said = coarse(share, objective, None)
    allowed = odds(objective.attainment_fraction)
    if said == objective.attainment:
        assert coarse(1 / (1 + factor / 2 * allowed), objective, said) == said
        return
    turned = allowed
    while turned * 2 < odds(share) * (1 - 1e-6):
        turned *= 2
    assert coarse(1 / (1 + factor * turned), objective, said) == said


@given(shares, objectives, st.none() | shares)
def test_it_never_says_met_of_too_many_misses_nor_missed_of_half_of_them(
    share: float, objective: Objective, before: float | None
) -> None:
    told = None if before is None else coarse(before, objective, None)
    status = objective_met(coarse(share, objective, told), objective, "").status
    missed, allowed = 1 - share, 1 - objective.attainment_fraction
    if missed > allowed * 1.0001:
        assert status is ConditionStatus.FALSE
    if missed <= allowed / 2.0001:
        assert status is ConditionStatus.TRUE


@given(st.floats(0.01, 1), objectives)
def test_about_is_within_a_factor_of_two_of_the_odds_of_a_miss(share: float, objective: Objective) -> None:
    about = coarse(share, objective, None)
    if about != objective.attainment:
        assert 0.5 <= odds(share) / odds(fraction(about)) <= 2
