"""What a Prometheus server answers to a query for ranges: the series, each with its latest sample. Pure.

https://prometheus.io/docs/prometheus/latest/querying/api/#expression-query-result-formats
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ValidationError

SHOWN = 80


class AnswerError(Exception):
    """It is no such answer: what it is instead."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The latest sample of a series: when it was taken, Unix seconds, and its value, NaN and infinities included."""

    labels: Mapping[str, str]
    at: float
    value: float


class _Series(BaseModel):
    metric: dict[str, str]
    values: list[tuple[float, str]]


class _Data(BaseModel):
    result: list[_Series]


class _Answer(BaseModel):
    status: str
    error: str = ""
    data: _Data | None = None


def samples(body: bytes) -> tuple[Sample, ...]:
    """The latest sample of each series.

    Raises:
        AnswerError: it is an error, or nothing that Prometheus answers.
    """
    try:
        answer = _Answer.model_validate_json(body)
        if answer.data is None:
            raise AnswerError(f"it answers {answer.status}: {answer.error}")
        return tuple(
            Sample(series.metric, at, float(value))
            for series in answer.data.result
            for at, value in [max(series.values, default=(0.0, "NaN"))]
        )
    except ValidationError as error:
        begins = body[:SHOWN].decode("utf-8", "replace").split("\n", 1)[0]
        raise AnswerError(f"what it answers is not of Prometheus' API; it begins: {begins!r}") from error
    except ValueError as error:
        raise AnswerError(f"a sample is no number: {error}") from error
