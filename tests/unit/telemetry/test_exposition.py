"""The text of `/metrics` says what the client's own writer says, as the client's own reader has it."""

from __future__ import annotations

import math

from prometheus_client import CollectorRegistry, Counter, Enum, Gauge, Histogram, Info
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from framepilot_app.telemetry.exposition import exposition

AWKWARD = ["", "plain", 'say "now"', "C:\\videos", "two\nlines", "Zürich", "{}=,", "\\n"]


def everything() -> CollectorRegistry:
    registry = CollectorRegistry()
    counter = Counter("frames", 'Of "all"\nC:\\ cameras.', ["stream", "reason"], registry=registry)
    gauge = Gauge("queue_seconds", "Zürich.", ["stream"], registry=registry)
    for number, text in enumerate(AWKWARD):
        counter.labels(text, "late").inc(number)
        gauge.labels(text).set(number / 3)
    for value in (math.inf, -math.inf, math.nan, 1e300, 12345678901, -0.1):
        gauge.labels(str(value)).set(value)
    histogram = Histogram("latency_seconds", "Latency.", ["stream"], buckets=(0.1, 1), registry=registry)
    for value in (0.05, 0.5, 5):
        histogram.labels("door").observe(value)
    Info("build", "Build.", registry=registry).info({"version": "1"})
    Enum("state", "State.", states=["up", "down"], registry=registry).state("down")
    Gauge("nobody", "Without samples.", ["stream"], registry=registry)
    return registry


def read(text: bytes) -> dict[str, tuple[str, str, dict[tuple[str, frozenset[tuple[str, str]]], str]]]:
    """Type, help and the values (as text, so that NaN equals itself) of each family."""
    return {
        family.name: (
            family.type,
            family.documentation,
            {(s.name, frozenset(s.labels.items())): str(s.value) for s in family.samples},
        )
        for family in text_string_to_metric_families(text.decode())
    }


def test_it_is_read_as_what_the_clients_writer_writes() -> None:
    registry = everything()
    ours, theirs = read(exposition(registry)), read(generate_latest(registry))
    # When a series was created is only of use to readers of OpenMetrics.
    assert ours == {name: family for name, family in theirs.items() if not name.endswith("_created")}
    assert {dict(labels)["stream"] for _, labels in ours["queue_seconds"][2]}.issuperset(AWKWARD)


def test_a_truth_is_a_number_and_a_line_ends_the_text() -> None:
    registry = CollectorRegistry()
    Gauge("up", "Whether.", registry=registry).set(True)
    assert exposition(registry) == b"# HELP up Whether.\n# TYPE up gauge\nup 1.0\n"
