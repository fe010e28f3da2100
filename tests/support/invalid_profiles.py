"""Profiles that must be refused, each with what a person has to read."""

from __future__ import annotations

from typing import Any

from support.changed_document import MISSING
from support.invalid_resource import InvalidResource
from support.resources import profile_document


class InvalidProfile(InvalidResource):
    """A profile of two batch sizes, with one change."""

    def valid(self) -> dict[str, Any]:
        return profile_document()


INVALID_PROFILES = (
    InvalidProfile(
        "a name with a dot",
        "metadata/name",
        "a.b",
        "metadata.name must have at most 63 characters and no dot",
        "metadata.name: 'a.b' is not a name",
    ),
    InvalidProfile(
        "an unknown field", "spec/device", "cpu", 'unknown field "spec.device"', "spec.device: unknown field"
    ),
    InvalidProfile("no model", "spec/model", MISSING, "spec.model: Required value", "spec.model: required"),
    InvalidProfile(
        "a model in upper case",
        "spec/model",
        "Age",
        "must be a name: lower-case letters",
        "spec.model: 'Age' is not a name",
    ),
    InvalidProfile(
        "a version with a slash",
        "spec/version",
        "1/2",
        "must be a version: letters",
        "spec.version: '1/2' is not a version",
    ),
    InvalidProfile("a digest that is none", "spec/sha256", "ABC", "a sha256 digest: 64 lower-case hexadecimal digits"),
    InvalidProfile(
        "a device with a blank",
        "spec/deviceClass",
        "NVIDIA T4",
        "must be a device class such as cpu or nvidia-t4",
        "is not a device class such as cpu or nvidia-t4",
    ),
    InvalidProfile(
        "no sizes",
        "spec/points",
        [],
        "spec.points in body should have at least 1 items",
        "spec.points: the profile is empty; list at least one batch size",
    ),
    InvalidProfile(
        "a size twice",
        "spec/points/1/batch",
        1,
        'spec.points[1]: Duplicate value: {"batch":1}',
        "spec.points: the name 'batch 1' is used 2 times",
    ),
    InvalidProfile(
        "a size of nothing",
        "spec/points/0/batch",
        0,
        "spec.points[0].batch in body should be greater than or equal to 1",
        "spec.points[0].batch: Input should be greater than or equal to 1, got 0",
    ),
    InvalidProfile(
        "a median without a unit",
        "spec/points/0/p50",
        "12",
        "a duration above 0; write a number and one of the units ms, s, m, such as 200ms or 1.5s",
    ),
    InvalidProfile(
        "a median above the 99th percentile",
        "spec/points/0/p50",
        "20ms",
        "p50 must not be longer than p99",
        "p50 20ms is longer than p99 15ms; a median never is",
    ),
)
