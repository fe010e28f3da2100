"""Where streams and models come from: `file:` URIs, cameras, the synthetic test source, and `http(s):` stores.

Paths are percent-encoded where they must be (`?` as `%3F`, `#` as `%23`, `%` as `%25`). `file:relative/path` is
relative to the folder of the YAML file that it stands in. No URL here holds a user name or a password: resources are
read by many, and a secret in one would be shown wherever it is.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Annotated, Final
from urllib.parse import quote

from framepilot.resources.text import Form

_FILE: Final = "file:(///[^/?#]|[^/?#])[^?#]*"
_SIZE: Final = "[1-9][0-9]{0,3}"
_FPS: Final = "fps=[1-9][0-9]{0,2}"
_FRAMES: Final = "frames=[1-9][0-9]{0,8}"
_TEST: Final = f"test://{_SIZE}x{_SIZE}([?]({_FPS}|{_FRAMES}|{_FPS}&{_FRAMES}|{_FRAMES}&{_FPS}))?"

_USER: Final = "[^/?#@]*"
_HOST: Final = "[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?(:[0-9]{1,5})?"
_HTTP: Final = f"https?://{_HOST}(/[A-Za-z0-9._~!$&()*+,;=:@%-]*)*"

_CAMERA_PATH: Final = "(/[A-Za-z0-9._~!$&()*+,;=:@%{}/-]*)?([?][A-Za-z0-9._~!$&()*+,;=:@%{}/?-]*)?"
_NETWORK: Final = f"(rtsps?|https?)://({_USER}@)?{_HOST}{_CAMERA_PATH}"
_DEVICE: Final = "device:///dev/[A-Za-z0-9._:/-]+"
_REVEALING: Final = "[?&;][^=&;]*([Pp]ass|PASS|[Pp]wd|PWD|[Tt]oken|TOKEN|[Ss]ecret|SECRET)[^=&;]*=[^{&;]"

SECRET: Final = f"^[a-z]+://[^/?]*@|^(rtsp|http).*{_REVEALING}"
"""Where a source has a secret in it: before the host, or as the value of such a parameter, if it is no placeholder."""

SourceUri = Annotated[
    str,
    Form(
        f"{_FILE}|{_TEST}|{_NETWORK}|{_DEVICE}",
        "a supported source; write rtsp://host/path, http://host/path, device:///dev/video0, file:///absolute/path, "
        "file:relative/path or test://640x360?fps=25&frames=500",
        1024,
    ),
]

StoreUri = Annotated[
    str,
    Form(
        f"{_FILE}|{_HTTP}",
        "a supported store; write file:///absolute/folder, file:relative/folder or https://host/folder, "
        "without user name, password, '?' and '#'",
        1024,
    ),
]


def is_rtsp(uri: str) -> bool:
    """Whether it is an RTSP camera."""
    return uri.startswith("rtsp")


def is_camera(uri: str) -> bool:
    """Whether frames come when they come, and are gone when nobody takes them."""
    return uri.startswith(("rtsp", "device:"))


def is_live(uri: str) -> bool:
    """Whether it does not end, and is opened again when it goes away."""
    return is_camera(uri) or uri.startswith("http")


def holds_secret(uri: str) -> bool:
    """Whether there is a password or a token in a source."""
    return re.search(SECRET, uri) is not None


def is_file(uri: str) -> bool:
    """Whether it is a `file:` URI."""
    return uri.startswith("file:")


def absolute(uri: str, folder: PurePosixPath) -> str:
    """The same source or store, with a relative `file:` path put below `folder`, which is absolute."""
    if not is_file(uri) or uri.startswith("file:///"):
        return uri
    return f"file://{PurePosixPath(quote(str(folder))) / uri.removeprefix('file:')}"
