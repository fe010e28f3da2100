from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from framepilot_app.telemetry.history import MOST_AT_ONCE, Change, History, ModuleSample


def module(batch=4, version="1", name="face") -> ModuleSample:
    return ModuleSample("shop/lobby", name, batch, version, 12.5)


def filled(samples: int, length: int = 600) -> History:
    history = History(length)
    for second in range(samples):
        history.add(float(second), 0.0, ())
    return history


def read_all(history: History, number: int = 0) -> list[int]:
    read: list[int] = []
    while samples := history.after(read[-1] if read else number):
        read += [sample.number for sample in samples]
    return read


def test_the_busy_share_is_that_of_the_time_between_two_samples():
    history = History()
    for at_s, busy_s in ((10.0, 100.0), (11.0, 100.25), (13.0, 101.25), (14.0, 103.0), (14.0, 103.0)):
        history.add(at_s, busy_s, ())
    assert [sample.busy for sample in history.after(0)] == [0.0, 0.25, 0.5, 1.0, 0.0]


def test_a_change_is_in_the_first_sample_that_has_it():
    history = History()
    for now in (module(), module(batch=8), module(batch=8, version="2"), module(batch=8, version="2")):
        history.add(0.0, 0.0, (now,))
    assert [sample.changes for sample in history.after(0)] == [
        (),
        (Change("shop/lobby", "face", "batch", "4", "8"),),
        (Change("shop/lobby", "face", "model", "1", "2"),),
        (),
    ]


def test_a_module_that_comes_goes_or_begins_to_serve_is_no_change():
    history = History()
    for now in (
        (module(version=None),),
        (module(), module(name="age")),
        (module(),),
        (module(), module(batch=1, name="age")),
    ):
        history.add(0.0, 0.0, now)
    assert [sample.changes for sample in history.after(0)] == [()] * 4


def test_an_empty_history_has_nothing():
    assert History().last == 0
    assert History().after(0) == ()
    assert History().after(7) == ()


@given(samples=st.integers(0, 500), length=st.integers(1, 300), data=st.data())
def test_a_reader_that_goes_on_after_what_it_has_gets_everything_that_is_kept_once_and_in_order(samples, length, data):
    history = filled(samples, length)
    kept = list(range(max(samples - length, 0) + 1, samples + 1))
    number = data.draw(st.integers(0, samples))
    assert len(history.after(number)) <= MOST_AT_ONCE
    assert read_all(history, number) == [each for each in kept if each > number]


def test_a_reader_of_a_process_before_gets_everything():
    assert [sample.number for sample in filled(3).after(900)] == [1, 2, 3]
