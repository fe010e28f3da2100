"""The journal of verdicts: it survives a restart, and a disk that is full harms nothing that runs."""

from __future__ import annotations

import errno
from pathlib import Path

from framepilot.rollouts.state import RolloutState
from framepilot_app.control.journal import FILE, Journal, VerdictEntry


def entry(attempt: int = 1, verdict: RolloutState = RolloutState.REFUSED, sha256: str = "a" * 64) -> VerdictEntry:
    return VerdictEntry(
        service="s/s",
        uid="u",
        module="age",
        version="2",
        sha256=sha256,
        attempt=attempt,
        verdict=verdict,
        reason="its output is NaN",
        at=1.0,
    )


def test_a_refusal_survives_a_restart_for_its_attempt_only(tmp_path):
    Journal(tmp_path).write(entry(attempt=2))
    journal = Journal(tmp_path)
    assert journal.refusal("u", "age", "a" * 64, 2) == "its output is NaN"
    assert journal.refusal("u", "age", "a" * 64, 1) == "its output is NaN"
    assert journal.refusal("u", "age", "a" * 64, 3) is None
    assert journal.refusal("another", "age", "a" * 64, 2) is None
    assert journal.refusal("u", "gender", "a" * 64, 2) is None
    assert journal.refusal("u", "age", "b" * 64, 2) is None


def test_a_later_verdict_replaces_an_earlier_one_on_the_same_digest(tmp_path):
    journal = Journal(tmp_path)
    journal.write(entry())
    journal.write(entry(attempt=2, verdict=RolloutState.SERVING))
    assert journal.refusal("u", "age", "a" * 64, 1) is None


def test_a_damaged_journal_is_begun_anew(tmp_path):
    (tmp_path / FILE).write_text('{"entries": [')
    journal = Journal(tmp_path)
    assert journal.refusal("u", "age", "a" * 64, 1) is None
    journal.write(entry())
    assert Journal(tmp_path).refusal("u", "age", "a" * 64, 1) is not None


def test_on_a_full_disk_the_verdict_is_kept_in_memory_and_the_reason_is_said(tmp_path, monkeypatch):
    journal = Journal(tmp_path)

    def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", full)
        journal.write(entry())
    assert journal.refusal("u", "age", "a" * 64, 1) == "its output is NaN"
    assert "No space left on device; free space in the cache folder" in journal.error
    journal.write(entry())
    assert journal.error is None
