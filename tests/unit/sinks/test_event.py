from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from cloudevents.core.formats.json import JSONFormat
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from framepilot.contract.events import DELIVERED_TYPE, DROPPED_TYPE, FrameId
from framepilot_app.frames import (
    Box,
    Classification,
    Delivered,
    Detections,
    Dropped,
    DropReason,
    Embedding,
    Frame,
    ItemResult,
    Label,
    ModuleResult,
)
from framepilot_app.sinks.event import encode

SCHEMA = Path(__file__).parents[3] / "docs" / "schemas" / "event.v1.json"
VALIDATOR = Draft202012Validator(json.loads(SCHEMA.read_text()), format_checker=Draft202012Validator.FORMAT_CHECKER)

FRAME = Frame(
    id=FrameId("cameras/lobby", "door", 1_763_877_600_000, 7),
    image=np.zeros((480, 640, 3), np.uint8),
    captured_at=12.5,
    captured_unix=1_763_877_600.1239,
    deadline=12.7,
    enforced=True,
    priority=50,
)
BOX = Box(10.04, 20.06, 30.123, 40.987, 0.912345, "face")
RESULTS = (
    ModuleResult("face", "centerface", "2", (ItemResult(None, Detections((BOX,))),)),
    ModuleResult("age", "age", "1", (ItemResult(0, Classification((Label("25-32", 0.87654321), Label("8", 0.1)))),)),
    ModuleResult("who", "embedder", "1", (ItemResult(0, Embedding(np.array((0.123456789, -1234.5678, 0.0, 1e-7)))),)),
)
DELIVERED = Delivered(FRAME, RESULTS, latency_ms=41.23456)

unit = st.floats(0, 1)
pixel = st.floats(0, 10_000)
boxes = st.builds(Box, pixel, pixel, pixel, pixel, unit, st.text(max_size=5))
labels = st.builds(Label, st.text(max_size=5), unit)
predictions = st.one_of(
    st.builds(Detections, st.lists(boxes, max_size=3).map(tuple)),
    st.builds(Classification, st.lists(labels, max_size=3).map(tuple)),
    st.builds(Embedding, st.lists(st.floats(-1e6, 1e6), max_size=5).map(tuple)),
)
items = st.builds(ItemResult, st.none() | st.integers(0, 99), predictions)
modules = st.builds(ModuleResult, st.text(), st.text(), st.text(), st.lists(items, max_size=3).map(tuple))
outcomes = st.one_of(
    st.builds(Delivered, st.just(FRAME), st.lists(modules, max_size=3).map(tuple), st.floats(0, 1e6)),
    st.builds(Dropped, st.just(FRAME), st.sampled_from(DropReason), st.none() | st.text()),
)


@given(outcomes)
def test_every_event_is_one_line_that_fits_the_schema(outcome):
    line = encode(outcome)
    assert b"\n" not in line
    VALIDATOR.validate(json.loads(line))


@given(outcomes)
def test_every_event_is_a_cloudevent(outcome):
    event = JSONFormat().read(None, encode(outcome))
    assert event.get_specversion() == "1.0"
    assert event.get_id() == str(FRAME.id)
    assert FrameId.parse(event.get_id()) == FRAME.id
    assert event.get_source() == "/cameras/lobby/door"
    assert event.get_type() == (DELIVERED_TYPE if isinstance(outcome, Delivered) else DROPPED_TYPE)
    assert event.get_time() == datetime(2025, 11, 23, 6, 0, 0, 123_000, UTC)
    assert isinstance(event.get_data(), dict)


def test_a_delivered_frame_carries_what_each_module_said_with_sensible_digits():
    assert json.loads(encode(DELIVERED))["data"] == {
        "service": "cameras/lobby",
        "stream": "door",
        "epoch": 1_763_877_600_000,
        "sequence": 7,
        "width": 640,
        "height": 480,
        "latencyMs": 41.235,
        "modules": [
            {
                "name": "face",
                "model": "centerface",
                "version": "2",
                "items": [
                    {
                        "parent": None,
                        "boxes": [{"label": "face", "score": 0.9123, "x1": 10.0, "y1": 20.1, "x2": 30.1, "y2": 41.0}],
                    }
                ],
            },
            {
                "name": "age",
                "model": "age",
                "version": "1",
                "items": [{"parent": 0, "labels": [{"label": "25-32", "score": 0.8765}, {"label": "8", "score": 0.1}]}],
            },
            {
                "name": "who",
                "model": "embedder",
                "version": "1",
                "items": [{"parent": 0, "vector": [0.12346, -1234.6, 0.0, 1e-7]}],
            },
        ],
    }


def test_a_dropped_frame_carries_the_reason():
    data = json.loads(encode(Dropped(FRAME, DropReason.LATE, "12 ms after its deadline")))["data"]
    assert (data["sequence"], data["reason"], data["detail"]) == (7, "late", "12 ms after its deadline")


def test_the_same_outcome_gives_the_same_bytes():
    assert encode(DELIVERED) == encode(DELIVERED)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=1, max_size=20))
def test_vectors_keep_five_significant_digits(values):
    outcome = Delivered(FRAME, (ModuleResult("m", "m", "1", (ItemResult(None, Embedding(np.array(values))),)),), 1)
    vector = json.loads(encode(outcome))["data"]["modules"][0]["items"][0]["vector"]
    assert vector == pytest.approx(values, rel=5.1e-5, abs=0)


@pytest.mark.parametrize(
    "change",
    [
        {"specversion": "0.3"},
        {"id": "door/1"},
        {"type": "something.else"},
        {"extra": 1},
        {"data": {}},
        {"data": {**json.loads(encode(DELIVERED))["data"], "extra": 1}},
    ],
)
def test_the_schema_refuses_what_is_no_event(change):
    assert not VALIDATOR.is_valid({**json.loads(encode(DELIVERED)), **change})
