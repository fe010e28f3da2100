"""Where streams and models come from: `file:` URIs, the synthetic test source, and `http(s):` stores.

Paths are percent-encoded where they must be (`?` as `%3F`, `#` as `%23`, `%` as `%25`). `file:relative/path` is
relative to the folder of the YAML file that it stands in. A store's URL holds no user name or password: resources are
read by many, and a secret in one would be shown wherever it is.
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
_HOST: Final = "[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?(:[0-9]{1,5})?"
_HTTP: Final = f"https?://{_HOST}(/[A-Za-z0-9._~!$&()*+,;=:@%-]*)*"

StoreUri = Annotated[
    str,
    Form(
        f"{_FILE}|{_HTTP}",
        "a supported store; write file:///absolute/folder, file:relative/folder or https://host/folder, "
        "without user name, password, '?' and '#'",
        1024,
    ),
]


def is_file(uri: str) -> bool:
    """Whether it is a `file:` URI."""
    return uri.startswith("file:")


def absolute(uri: str, folder: PurePosixPath) -> str:
    """The same source or store, with a relative `file:` path put below `folder`, which is absolute."""
    if not is_file(uri) or uri.startswith("file:///"):
        return uri
    return f"file://{PurePosixPath(quote(str(folder))) / uri.removeprefix('file:')}"
