"""Where streams and models come from: `file:` URIs, and the synthetic test source.

Paths are percent-encoded where they must be (`?` as `%3F`, `#` as `%23`, `%` as `%25`). `file:relative/path` is
relative to the folder of the YAML file that it stands in.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Final
from urllib.parse import quote

from framepilot.resources.text import Form

_FILE: Final = "file:(///[^/?#]|[^/?#])[^?#]*"
_SIZE: Final = "[1-9][0-9]{0,3}"
_FPS: Final = "fps=[1-9][0-9]{0,2}"
_FRAMES: Final = "frames=[1-9][0-9]{0,8}"
_TEST: Final = f"test://{_SIZE}x{_SIZE}([?]({_FPS}|{_FRAMES}|{_FPS}&{_FRAMES}|{_FRAMES}&{_FPS}))?"

SourceUri = Annotated[
    str,
    Form(
        f"{_FILE}|{_TEST}",
        "a supported source; write file:///absolute/path, file:relative/path or test://640x360?fps=25&frames=500",
        1024,
    ),
]
StoreUri = Annotated[str, Form(_FILE, "a supported store; write file:///absolute/folder or file:relative/folder", 1024)]


def is_file(uri: str) -> bool:
    """Whether it is a `file:` URI."""
    return uri.startswith("file:")


def absolute(uri: str, folder: PurePosixPath) -> str:
    """The same source or store, with a relative `file:` path put below `folder`, which is absolute."""
    if not is_file(uri) or uri.startswith("file:///"):
        return uri
    return f"file://{PurePosixPath(quote(str(folder))) / uri.removeprefix('file:')}"
