"""Apps that are compared take turns: while one is measured the others are stopped, and get nothing of the machine."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from framepilot_app.cli import GLIBC_TUNABLES
from support.app_process import AppProcess

ENVIRONMENT = {"FRAMEPILOT_STUCK_AFTER": "3600", "GLIBC_TUNABLES": GLIBC_TUNABLES}
"""For an app that will be stopped: it must not take itself to be stuck; nor need it start again to set this."""


@contextmanager
def running(*apps: AppProcess) -> Iterator[None]:
    """These go on for a while."""
    _signal(apps, signal.SIGCONT)
    try:
        yield
    finally:
        _signal(apps, signal.SIGSTOP)


@contextmanager
def paused(*apps: AppProcess) -> Iterator[None]:
    """These stand still for a while."""
    _signal(apps, signal.SIGSTOP)
    try:
        yield
    finally:
        _signal(apps, signal.SIGCONT)


def stop(apps: Sequence[AppProcess]) -> None:
    """End them all."""
    _signal(apps, signal.SIGCONT)
    for app in apps:
        app.stop()


def _signal(apps: Sequence[AppProcess], number: signal.Signals) -> None:
    for app in apps:
        app.process.send_signal(number)
