"""From a source's URI to the opened source, for those that come to an end."""

from __future__ import annotations

from collections.abc import Callable

from framepilot_app.streams.file import open_file
from framepilot_app.streams.source import Source, SourceError
from framepilot_app.streams.synthetic import open_synthetic
from framepilot_app.streams.uri import LIVE, redact, scheme_of

_OPENERS: dict[str, Callable[[str], Source]] = {"file": open_file, "test": open_synthetic}


def open_source(uri: str) -> Source:
    """Open a source by its scheme.

    Raises:
        SourceError: no source has this scheme, or the source cannot be opened.
    """
    opener = _OPENERS.get(scheme_of(uri))
    if opener is None:
        known = ", ".join(f"{known}://" for known in [*_OPENERS, *sorted(LIVE)])
        raise SourceError(f"source '{redact(uri)}' has no scheme that can be opened; there are: {known}")
    return opener(uri)
