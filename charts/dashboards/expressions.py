"""The expressions that panels are made of. `$namespace`, `$service` and so on are what is chosen on the dashboard."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from framepilot.contract import metrics as app

INTERVAL: Final = "$__rate_interval"
NAMESPACE: Final = 'namespace=~"$namespace"'
SERVICE: Final = f'{NAMESPACE},service=~"$service"'
INSTANCE: Final = f'{NAMESPACE},instance=~"$instance"'
MODULE: Final = f'{SERVICE},module=~"$module"'


def selected(metric: str, where: str) -> str:
    """The series of a metric."""
    return f"{metric}{{{where}}}"


def total(metric: str, where: str, by: str = "") -> str:
    """The sum of a gauge."""
    return f"sum{_by(by)}({selected(metric, where)})"


def largest(metric: str, where: str, by: str = "") -> str:
    """The largest of a gauge."""
    return f"max{_by(by)}({selected(metric, where)})"


def rate(metric: str, where: str, by: str = "") -> str:
    """By how much a counter grows in a second."""
    return f"sum{_by(by)}(rate({selected(metric, where)}[{INTERVAL}]))"


def mean(histogram: str, where: str, by: str = "") -> str:
    """The mean of what a histogram has recorded."""
    return f"{rate(f'{histogram}_sum', where, by)} / {rate(f'{histogram}_count', where, by)}"


def quantile(share: float, histogram: str, where: str, by: str = "") -> str:
    """A quantile of what a histogram has recorded."""
    grouped = f"{by}, le" if by else "le"
    return f"histogram_quantile({share}, {rate(f'{histogram}_bucket', where, grouped)})"


def attainment(where: str, by: str = "") -> str:
    """The share of frames within the objective, of those that were neither still nor passed over for a newer one."""
    dropped = rate(app.FRAMES_DROPPED.name, f'{where},reason!~"still|superseded"', by)
    return f"{rate(app.FRAMES_WITHIN.name, where, by)} / ({rate(app.FRAMES_DELIVERED.name, where, by)} + {dropped})"


def numbered(metric: str, where: str, states: Iterable[str], by: str) -> str:
    """The number of the state, of those listed, that is 1."""
    each = [largest(metric, f'{where},{app.STATE}="{state}"', by) for state in states]
    return " + ".join(f"{number} * {one}" for number, one in enumerate(each))


def none_is_zero(expression: str) -> str:
    """0 where there is no such series, for a sum over what occurs seldom."""
    return f"{expression} or vector(0)"


def _by(labels: str) -> str:
    return f" by ({labels}) " if labels else " "
