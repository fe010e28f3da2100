"""GStreamer's RTSP server, which tests need and which comes from Debian: installed once, where that is possible.

`python -m support.gstreamer` installs what is missing (`make servers`). Elsewhere, or without root, it says what to
install; tests that need it are skipped then, and say so.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import lru_cache

from support.debian import install

PYTHON = "/usr/bin/python3"
"""The distribution's own: GObject's bindings are for no other."""

_IS_THERE = """
import gi
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gst, GstRtspServer
Gst.init(None)
assert all(map(Gst.ElementFactory.find, ("videotestsrc", "h264parse", "rtph264pay", "x264enc")))
"""

PACKAGES = (
    "gir1.2-gst-rtsp-server-1.0",
    "python3-gi",
    "gstreamer1.0-plugins-base",
    "gstreamer1.0-plugins-good",
    "gstreamer1.0-plugins-ugly",
)


@lru_cache(maxsize=1)
def missing() -> bool:
    """Whether it is not there, or something that the cameras of tests are made of."""
    return not os.access(PYTHON, os.X_OK) or bool(
        subprocess.run([PYTHON, "-c", _IS_THERE], capture_output=True, check=False).returncode
    )


def main() -> int:
    """Install it if it is missing; 0 also where that cannot be done here, as tests then say what they skip."""
    return install("tests with real servers", PACKAGES, _still_missing) if missing() else 0


def _still_missing() -> bool:
    missing.cache_clear()
    return missing()


if __name__ == "__main__":
    sys.exit(main())
