"""Writes docs/images/page-light.png and page-dark.png: the page of the example, with a batch and a model changed.

It needs Chromium and the sample models and videos; `make screenshots` gets both.
"""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from support.chromium import Watched, browser, found
from support.eventually import eventually

ROOT = Path(__file__).parents[2]
FRAMEPILOT = str(Path(sys.executable).with_name("framepilot"))
COLOURS = 64
"""Of a picture that is to be small: photographs make a PNG large, and text needs few colours."""


def main() -> int:
    """Write both."""
    if found() is None:
        print("there is no chromium here; on Debian, as root: apt install chromium", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as (environment, host), browser() as chromium:
        tab = Watched(chromium.new_page(viewport={"width": 1200, "height": 1000}), host)
        tab.shows("#module-rows tr", "● serving: 1")
        tab.shows("#pictures .age", "frame")
        subprocess.run([FRAMEPILOT, "set", "lobby", "face", "--batch", "8"], env=environment, check=True)
        tab.shows("#changes li", "→ 8")
        subprocess.run([FRAMEPILOT, "set", "lobby", "age", "--model-version", "2"], env=environment, check=True)
        tab.shows("#changes li", "model version 1 → 2")
        tab.page.wait_for_timeout(20_000)  # for lines that have a length
        for scheme in ("light", "dark"):
            tab.page.emulate_media(color_scheme=scheme)
            write(ROOT / "docs" / "images" / f"page-{scheme}.png", tab.page.screenshot(full_page=scheme == "light"))
    return 0


@contextmanager
def running(folder: Path) -> Iterator[tuple[dict[str, str], str]]:
    """The example in this folder: the environment for other commands, and the address of its page."""
    # A machine that draws the page beside the example, in software, would be too slow for all of its frames.
    declared = (ROOT / "examples" / "lobby.yaml").read_text().replace("fps: 8", "fps: 3")
    (folder / "lobby.yaml").write_text(declared)
    (folder / "samples").symlink_to((ROOT / "examples" / "samples").resolve())
    environment = os.environ | {"XDG_STATE_HOME": str(folder / "state")}
    said = folder / "said"
    with said.open("wb") as err:
        up = subprocess.Popen([FRAMEPILOT, "up", folder / "lobby.yaml"], stderr=err, env=environment)
    try:
        eventually(lambda: address(said), "the page's address")
        yield environment, address(said) or ""
    finally:
        up.send_signal(signal.SIGINT)
        up.wait()


def address(said: Path) -> str | None:
    """HOST:PORT of the page, once it was said."""
    match = re.search(r"at http://(\S+)/", said.read_text())
    return match[1] if match else None


def write(path: Path, png: bytes) -> None:
    """As small as it can be read."""
    Image.open(io.BytesIO(png)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    sys.exit(main())
