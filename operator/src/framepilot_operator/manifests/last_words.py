"""What an instance said last, be it in a pod or in a process of this machine."""

from __future__ import annotations

import json
from typing import Final

LONGEST: Final = 400
"""Characters."""


def last_words(log: str) -> str | None:
    """The last line of the end of a log; of a JSON line, its message."""
    line = next((line.strip() for line in reversed(log.splitlines()) if line.strip()), None)
    if line is None:
        return None
    try:
        entry = json.loads(line)
    except ValueError:
        return line[:LONGEST]
    return str(entry.get("message", line))[:LONGEST] if isinstance(entry, dict) else line[:LONGEST]
