"""Writes the pictures of docs/images/ that show what runs: the page, in light and dark, and each dashboard.

The example runs for some minutes, in which a batch size and a model change, and a Prometheus scrapes it each second.
Chromium takes the pictures of the page; those of the dashboards are drawn from what their queries give, as there is no
Grafana here. It needs Chromium, Debian's Prometheus, and the sample models and videos; `make screenshots` gets them.
"""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from framepilot.contract.metrics import FRAMES_DELIVERED, MODULE_VERSION
from support.chromium import Watched, browser, found
from support.dashboard_answers import answered, choices
from support.dashboard_picture import picture
from support.dashboards import FILES, PICTURES, picture_of, read
from support.eventually import eventually
from support.framepilot_command import FRAMEPILOT
from support.prometheus import Prometheus, PrometheusApi, rules

ROOT = Path(__file__).parents[2]
RATE_FPS = 2
"""Of each stream: a machine on which much else is done would be too slow for all frames of the example."""
BETWEEN_S = 50
"""What is seen before the batch size changes, between that and the model, and after the new model serves."""
CHANGE_TIMEOUT_S = 300.0
"""A model is loaded in gaps between batches, which are few on a machine on which much else is done."""
DELIVERS = f"sum({FRAMES_DELIVERED.name}) > 0"
CHANGED = f'{MODULE_VERSION.name}{{module="age",version="2"}}'
PAGE_COLOURS, DRAWN_COLOURS = 64, 256
"""Of pictures that are to be small: photographs make a PNG large, and text needs few colours; thin lines need more."""
FOOT = (
    "Drawn by `make screenshots` from what this dashboard's queries gave, not by Grafana. Shown are some minutes of "
    f"examples/lobby.yaml on a CPU, with {RATE_FPS} frames a second of each stream."
)


def main() -> int:
    """Write all of them."""
    if found() is None:
        print("there is no chromium here; on Debian, as root: apt install chromium", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as name, running(Path(name)) as (environment, host):
        # On a cluster an instance is called by the namespace and name of its pod.
        prometheus = Prometheus(Path(name) / "prometheus", {"default/lobby-0": host}, rules())
        try:
            eventually(lambda: prometheus.api.query(DELIVERS), "frames to be delivered", CHANGE_TIMEOUT_S, poll_s=0.2)
            time.sleep(BETWEEN_S)  # what rates are taken over, and more: the beginning is not what is shown
            start_s = time.time()
            time.sleep(BETWEEN_S)
            subprocess.run([FRAMEPILOT, "set", "lobby", "face", "--batch", "8"], env=environment, check=True)
            time.sleep(BETWEEN_S)
            subprocess.run([FRAMEPILOT, "set", "lobby", "age", "--model-version", "2"], env=environment, check=True)
            eventually(lambda: prometheus.api.query(CHANGED), "the new version to serve", CHANGE_TIMEOUT_S, poll_s=0.2)
            time.sleep(BETWEEN_S)
            picture_dashboards(prometheus.api, start_s, time.time())
        finally:
            prometheus.stop()
        picture_page(host)
    return 0


@contextmanager
def running(folder: Path) -> Iterator[tuple[dict[str, str], str]]:
    """The example in this folder: the environment for other commands, and the address of its page."""
    declared = (ROOT / "examples" / "lobby.yaml").read_text().replace("fps: 8", f"fps: {RATE_FPS}")
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


def picture_dashboards(prometheus: PrometheusApi, start_s: float, end_s: float) -> None:
    """Write one of each, of what was between these Unix times."""
    seconds = np.arange(int(end_s - start_s))
    for path in FILES:
        dashboard = read(path)
        values = choices(prometheus, dashboard)
        answers = answered(prometheus, dashboard, values, start_s, seconds)
        one = [values[name] for name in ("service", "instance") if name in values]
        drawn = picture(dashboard, answers, seconds, ": ".join([dashboard["title"], *one]), FOOT)
        write(picture_of(path), png(drawn), DRAWN_COLOURS)


def png(figure: Figure) -> bytes:
    into = io.BytesIO()
    figure.savefig(into, format="png")
    return into.getvalue()


def picture_page(host: str) -> None:
    """Write the page in light and in dark colours; it remembers what was changed before it was opened."""
    with browser() as chromium:
        tab = Watched(chromium.new_page(viewport={"width": 1200, "height": 1000}), host)
        tab.shows("#module-rows tr", "● serving: 2")
        tab.page.locator("#pictures .age", has_text="frame").nth(2).wait_for(timeout=60_000)  # of all three streams
        tab.shows("#changes li", "→ 8")
        tab.shows("#changes li", "model version 1 → 2")
        tab.page.wait_for_timeout(20_000)  # what the start of the browser held up is made good again
        for scheme in ("light", "dark"):
            tab.page.emulate_media(color_scheme=scheme)
            write(PICTURES / f"page-{scheme}.png", tab.page.screenshot(full_page=scheme == "light"), PAGE_COLOURS)


def write(path: Path, png: bytes, colours: int) -> None:
    """As small as it can be read."""
    Image.open(io.BytesIO(png)).convert("RGB").quantize(colours, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    sys.exit(main())
