"""The whole way through a service, on real threads: whatever models do, every frame ends once, in order, counted."""

from __future__ import annotations

import random
import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from framepilot.contract.desired import Delivery
from framepilot_app.frames import Delivered, Dropped, DropReason
from framepilot_app.modules.line import Line
from framepilot_app.modules.pipeline import Pipeline
from framepilot_app.modules.work import Workers
from support.eventually import eventually
from support.fake_engine import FakeCompiled, declared, frame, graph, journey, lane, module
from support.running_modules import RunningModules

RAISES, NOT_A_NUMBER = 13, 14
"""Pixel values that the fake model cannot take."""


def moody(batch: torch.Tensor) -> tuple[torch.Tensor]:
    """Raises on one pixel value, gives NaN on another, and a score that tells the value for all others."""
    values = batch[:, 0, 0, 0]
    if (values == RAISES).any():
        raise RuntimeError("thirteen")
    scores = torch.stack([values / 255, 1 - values / 255], dim=1)
    scores[values == NOT_A_NUMBER] = float("nan")
    return (scores,)


class Running(RunningModules):
    """A service of two modules side by side."""

    def __init__(self, delivery: Delivery, objective_s: float = 1000.0) -> None:
        super().__init__("s/s", [declared("a", size=4, wait_ms=1), declared("b", size=2, wait_ms=1)], workers=3)
        for each in self.modules.values():
            each.switch(lane(FakeCompiled(moody), module=each.name))
        self.outcomes = []
        self.line = Line(self.outcomes.append)
        self.frames = self.inlet(self.line, delivery, objective_s, window=6)

    def offer(self, sequence: int, value: int, captured_at: float = 1e9) -> None:
        self.frames.offer(np.full((8, 8, 3), value, np.uint8), 1, sequence, captured_at, 0.0)

    def balanced(self) -> bool:
        counts = self.line.counts()
        return counts.ingested == counts.delivered + sum(counts.dropped.values()) + counts.in_flight


values = st.lists(st.sampled_from([0, 50, 100, 200, RAISES, NOT_A_NUMBER]), max_size=40)


@settings(max_examples=25)
@given(values, st.sampled_from(list(Delivery)), st.integers(0, 2**32))
def test_every_frame_ends_once_in_order_and_the_account_balances(pixels, delivery, seed):
    rng = random.Random(seed)
    with Running(delivery) as running:
        watching, unbalanced = threading.Event(), []

        def watch() -> None:
            while not watching.is_set():
                if not running.balanced():
                    unbalanced.append(running.line.counts())

        watcher = threading.Thread(target=watch)
        watcher.start()
        for sequence, value in enumerate(pixels):
            running.offer(sequence, value)
            if rng.random() < 0.1:
                # A swap in the middle must not change any of this.
                running.modules["a"].switch(lane(FakeCompiled(moody), str(sequence % 10)))
        running.frames.close()
        eventually(lambda: running.line.empty, "all frames to end")
        watching.set()
        watcher.join()
    assert not unbalanced
    assert [outcome.frame.id.sequence for outcome in running.outcomes] == list(range(len(pixels)))
    for value, outcome in zip(pixels, running.outcomes, strict=True):
        if isinstance(outcome, Dropped) and outcome.reason is DropReason.SUPERSEDED:
            assert delivery is Delivery.NEWEST
        elif value in {RAISES, NOT_A_NUMBER}:
            assert isinstance(outcome, Dropped)
            assert outcome.reason is DropReason.ERROR
        else:
            assert isinstance(outcome, Delivered)
            for result in outcome.results:
                assert len(result.items) == 1
                label = max(result.items[0].prediction.labels, key=lambda label: label.score)
                assert label.score == pytest.approx(max(value / 255, 1 - value / 255), abs=1e-6)


def test_a_frame_that_is_too_late_is_dropped_with_its_reason_and_detail():
    with Running(Delivery.NEWEST, objective_s=0.001) as running:
        running.offer(0, 50, captured_at=0.0)
        eventually(lambda: running.line.empty, "the frame to end")
    (outcome,) = running.outcomes
    assert (outcome.reason, "before its deadline" in outcome.detail) == (DropReason.LATE, True)


def test_a_late_frame_of_a_lossless_stream_is_delivered():
    with Running(Delivery.LOSSLESS, objective_s=0.001) as running:
        running.offer(0, 50, captured_at=0.0)
        eventually(lambda: running.line.empty, "the frame to end")
    assert isinstance(running.outcomes[0], Delivered)


def test_an_error_says_which_module_and_version_and_why():
    with Running(Delivery.LOSSLESS) as running:
        running.offer(0, RAISES)
        eventually(lambda: running.line.empty, "the frame to end")
    assert running.outcomes[0].detail in {
        "module 'a', version 1: thirteen",
        "module 'b', version 1: thirteen",
    }


def test_frames_of_a_module_that_is_stopped_are_dropped_with_how_long_it_took_and_how_long_it_may():
    with Running(Delivery.LOSSLESS) as running:
        running.modules["a"].time_limit_s = 1e-6
        for sequence in range(40):
            running.offer(sequence, 0)
        eventually(lambda: running.line.empty, "the frames to end")
        assert running.balanced()
    dropped = [outcome for outcome in running.outcomes if isinstance(outcome, Dropped)]
    assert {outcome.reason for outcome in dropped} == {DropReason.ERROR}
    assert dropped[0].detail.startswith("module 'a', version 1: a batch of one held the device for ")
    assert "more than the 0.001 ms of placement.timeLimit" in dropped[0].detail


def test_ids_of_a_service_that_joins_a_running_reader_count_from_zero_in_an_epoch_of_its_own():
    with Running(Delivery.LOSSLESS) as running:
        for sequence in (7, 8):
            running.offer(sequence, 50)
        running.frames.offer(np.full((8, 8, 3), 50, np.uint8), 2**50, 0, 1e9, 0.0)
        eventually(lambda: running.line.empty, "the frames to end")
    ids = [outcome.frame.id for outcome in running.outcomes]
    assert [each.sequence for each in ids] == [0, 1, 0]
    assert 1 < ids[0].epoch == ids[1].epoch < ids[2].epoch == 2**50


def test_an_output_that_the_decoder_stumbles_over_costs_its_frame_and_no_other():
    with Running(Delivery.LOSSLESS) as running:
        running.modules["a"].switch(lane(FakeCompiled(lambda _: ()), "2", module="a"))
        running.offer(0, 50)
        eventually(lambda: running.line.empty, "the frame to end")
        running.modules["a"].switch(lane(FakeCompiled(moody), "3", module="a"))
        running.offer(1, 50)
        eventually(lambda: running.line.empty, "the next one to end")
        assert running.workers.failed_tasks == 0
    dropped, after = running.outcomes
    assert dropped.reason is DropReason.ERROR
    assert dropped.detail.startswith("module 'a', version 2: ")
    assert isinstance(after, Delivered)


def test_what_several_services_want_of_a_frame_is_prepared_in_one_go_and_wakes_the_device_once():
    woken, ran = [], []

    class Noted(Workers):
        def submit(self, task):
            ran.append(task)

    pipeline = Pipeline(Noted(1), lambda: woken.append(True))
    first, second = frame(), frame(1)
    modules = [module(service=f"s/{number}") for number in range(20)]
    for each in modules:
        for of in (first, second):
            pipeline.start(journey(of, graph(each)))
    assert len(ran) == 2, "one for each frame"
    for task in ran:
        task()
    assert [each.queued for each in modules] == [2] * 20
    assert len(woken) == 2
    pipeline.start(journey(first, graph(modules[0])))
    assert len(ran) == 3, "who comes when it has begun is not forgotten"
