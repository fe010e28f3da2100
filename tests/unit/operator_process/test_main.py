"""The options of `framepilot-operator` that cannot work are refused before anything starts."""

from __future__ import annotations

import logging

import pytest
import typer
from typer.testing import CliRunner

from framepilot_operator.kubernetes.main import _worth_reading, run

APP = typer.Typer()
APP.command()(run)


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        ([], "--app-image"),
        (["--app-image=app:1", "--listen=8080"], "HOST:PORT"),
        (["--app-image=app:1"], "--no-leader-elect"),
        (["--app-image=app:1", "--lease-namespace=ours", "--lease-seconds=1"], "lease-seconds"),
        (["--app-image=app:1", "--lease-namespace=ours", "--image-pull-policy=Sometimes"], "IfNotPresent"),
        (["--app-image=app:1", "--no-leader-elect", "--price=cpu=-1"], "the price of cpu: '-1' is not a price"),
    ],
)
def test_an_option_that_cannot_work_is_refused_with_what_would(
    options: list[str], advice: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("POD_NAMESPACE", raising=False)
    result = CliRunner().invoke(APP, options, env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert advice in result.output


def record(name: str, level: int, message: str) -> logging.LogRecord:
    return logging.LogRecord(name, level, "", 1, message, (), None)


def test_of_kopf_only_what_is_not_said_elsewhere_is_logged():
    retry = "Request attempt #1/9 failed; will retry: GET /api"
    assert not _worth_reading(record("kopf.objects", logging.INFO, "Handler 'pods' succeeded."))
    assert not _worth_reading(record("kopf._cogs.clients.watching", logging.ERROR, retry))
    assert _worth_reading(record("kopf._core.reactor", logging.ERROR, "Event processing has failed"))
    assert _worth_reading(record("framepilot_operator.loop", logging.INFO, "will retry"))
