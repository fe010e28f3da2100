"""The journal of verdicts in the cache folder, so that a restart neither forgets a refusal nor tries it again.

One small JSON file, replaced atomically. If it cannot be written the app goes on with what it has in memory and says
so: a full disk must not stop a stream.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from framepilot.contract.desired import Digest
from framepilot.contract.document import Document
from framepilot.rollouts.state import RolloutState

FILE: Final = "verdicts.json"

log = logging.getLogger(__name__)


class VerdictEntry(Document):
    """How one attempt to serve one digest ended; `uid` is the service's. `at` is Unix seconds."""

    service: str
    uid: str
    module: str
    version: str
    sha256: Digest
    attempt: int
    verdict: RolloutState
    reason: str | None = None
    at: float


class Verdicts(Document):
    """The file: the latest verdict for each service, module and digest."""

    entries: tuple[VerdictEntry, ...] = ()


class Journal:
    """Verdicts by service (its uid), module and digest."""

    def __init__(self, cache: Path) -> None:
        """Read what an earlier process wrote; a file that cannot be read is said and begun anew."""
        self._path = cache / FILE
        self.error: str | None = None
        self._verdicts = self._read()

    def refusal(self, uid: str, module: str, sha256: str, attempt: int) -> str | None:
        """The reason for which this digest was refused in this attempt or a later one; None if it was not."""
        for entry in self._verdicts.entries:
            same = (entry.uid, entry.module, entry.sha256) == (uid, module, sha256)
            if same and entry.verdict is RolloutState.REFUSED and entry.attempt >= attempt:
                return entry.reason
        return None

    def write(self, entry: VerdictEntry) -> None:
        """Keep a verdict."""
        key = (entry.uid, entry.module, entry.sha256)
        others = (e for e in self._verdicts.entries if (e.uid, e.module, e.sha256) != key)
        self._verdicts = Verdicts(entries=(*others, entry))
        temporary = self._path.with_suffix(".new")
        try:
            with temporary.open("w", encoding="utf-8") as file:
                file.write(self._verdicts.model_dump_json(indent=1, exclude_none=True))
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path)
            self.error = None
        except OSError as error:
            self.error = f"{self._path}: the verdict cannot be kept: {error.strerror}; free space in the cache folder"
            log.error(self.error)  # noqa: TRY400 the sentence says it all

    def _read(self) -> Verdicts:
        try:
            return Verdicts.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return Verdicts()
        except (OSError, ValidationError) as error:
            log.warning("%s cannot be read and is begun anew: %s", self._path, error)
            return Verdicts()
