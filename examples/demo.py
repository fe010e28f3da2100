"""The main job in a minute: real video through real models, changed while frames flow, and proof that none was lost.

It starts `framepilot up` on a copy of `lobby.yaml` and does what a person would do in a second terminal: another batch
size, another model version, and a model version that is broken.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from framepilot.contract.observed import ObservedModule, ObservedState
from framepilot.contract.report import Report
from framepilot.rollouts.state import RolloutState

HERE = Path(__file__).parent
SAMPLES = HERE / "samples"
FRAMEPILOT = Path(sys.executable).with_name("framepilot")
PATIENCE_S = 90.0
LOOK_S = 3.0
"""How long each state is shown before the next change."""

console = Console(stderr=True, highlight=False)


class DemoError(Exception):
    """The demo cannot go on: what happened."""


class Lobby:
    """`framepilot up` as a child process, its copy of the declaration, and what its instance says."""

    def __init__(self, folder: Path, report: Path) -> None:
        self._file = folder / "lobby.yaml"
        self._state = folder / "state"
        shutil.copyfile(HERE / "lobby.yaml", self._file)
        (folder / "samples").symlink_to(SAMPLES.resolve())
        command = [FRAMEPILOT, "up", self._file, "--report", report, "--state", self._state]
        self._process = subprocess.Popen(
            [*map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        self._pass_on = threading.Thread(target=self._say, daemon=True)
        self._pass_on.start()

    def status(self) -> ObservedState | None:
        """What the instance says now; None while it does not listen yet."""
        listen = self._state / "instances" / "default.lobby" / "cache" / "listen"
        try:
            with urllib.request.urlopen(f"http://{listen.read_text()}/status", timeout=5) as answer:
                return ObservedState.parse(answer.read())
        except OSError:
            return None

    def set(self, *arguments: str) -> None:
        """`framepilot set`, as typed in a second terminal."""
        console.print(f"\n[bold cyan]$ framepilot set lobby {' '.join(arguments)}")
        subprocess.run([str(FRAMEPILOT), "set", "lobby", *arguments, "--file", str(self._file)], check=True)

    def wait(self, what: str, condition: Callable[[ObservedState], bool]) -> None:
        """Until the status fulfils it."""
        give_up_at = time.monotonic() + PATIENCE_S
        with console.status(f"waiting: {what}"):
            while (status := self.status()) is None or not condition(status):
                if self._process.poll() is not None:
                    raise DemoError(f"framepilot up has ended with status {self._process.returncode}")
                if time.monotonic() > give_up_at:
                    raise DemoError(f"gave up after {PATIENCE_S:.0f} s waiting: {what}")
                time.sleep(0.1)
        console.print(f"[green]✓[/] {what}")

    def stop(self) -> int:
        """Ctrl-C, and what is in flight is delivered; the exit status."""
        self._process.send_signal(signal.SIGINT)
        status = self._process.wait(PATIENCE_S)
        self._pass_on.join()
        return status

    def kill(self) -> None:
        """At once, if it still runs."""
        if self._process.poll() is None:
            self._process.kill()

    def _say(self) -> None:
        for line in self._process.stderr or ():
            console.print(f"  [dim]{line.rstrip()}", markup=True, soft_wrap=True)


def module(status: ObservedState, name: str) -> ObservedModule | None:
    """One module of the status."""
    return next((module for module in status.modules if module.name == name), None)


def serves(name: str, version: str) -> Callable[[ObservedState], bool]:
    """Whether a module serves a version."""

    def check(status: ObservedState) -> bool:
        found = module(status, name)
        return found is not None and found.serving is not None and found.serving.version == version

    return check


def refuses(name: str, version: str) -> Callable[[ObservedState], bool]:
    """Whether a module has refused a version."""

    def check(status: ObservedState) -> bool:
        found = module(status, name)
        rollout = found.rollout if found else None
        return rollout is not None and rollout.candidate == version and rollout.state is RolloutState.REFUSED

    return check


def has_batch(name: str, size: int) -> Callable[[ObservedState], bool]:
    """Whether a batch size is in force."""

    def check(status: ObservedState) -> bool:
        found = module(status, name)
        return found is not None and found.batch.size == size

    return check


def play(lobby: Lobby) -> None:
    """The story."""
    lobby.wait("every model is loaded, warmed and checked", _all_serve)
    lobby.wait("results of all three streams", lambda status: all(s.frames.delivered > 20 for s in status.streams))
    time.sleep(LOOK_S)
    lobby.set("face", "--batch", "8")
    lobby.wait("batch size 8 is in force for face", has_batch("face", 8))
    time.sleep(LOOK_S)
    lobby.set("age", "--model-version", "2")
    lobby.wait("age serves version 2 (decades where version 1 said years)", serves("age", "2"))
    time.sleep(LOOK_S)
    lobby.set("age", "--model-version", "nan")
    lobby.wait("the broken version is refused, version 2 goes on serving", refuses("age", "nan"))
    time.sleep(LOOK_S)


def _all_serve(status: ObservedState) -> bool:
    return len(status.modules) == 4 and all(module.serving is not None for module in status.modules)


def show(report: Report) -> None:
    """What was measured."""
    table = Table("change", "module", "from → to", "outcome", "delay", "pause", "p99 before / during / after", "lost")
    for change in report.changes:
        p99 = " / ".join(
            "-" if value is None else f"{value:.0f}"
            for value in (change.p99_before_ms, change.p99_during_ms, change.p99_after_ms)
        )
        table.add_row(
            change.kind,
            change.module,
            f"{change.from_} → {change.to}",
            change.outcome,
            "-" if change.delay_ms is None else f"{change.delay_ms:.0f} ms",
            "-" if change.pause_ms is None else f"{change.pause_ms:.2f} ms",
            f"{p99} ms",
            str(change.lost),
        )
    console.print(table)
    for change in report.changes:
        if change.reason and change.outcome != "applied":
            console.print(f"[yellow]{change.module} {change.to}[/] {change.outcome}: {change.reason}")
    frames = report.frames
    dropped = sum(frames.dropped.values())
    style = "bold green" if frames.lost == 0 else "bold red"
    console.print(
        f"[{style}]{frames.ingested} frames in, {frames.delivered} delivered, {dropped} dropped, lost = {frames.lost}"
    )


def main() -> int:
    """Run the demo; 0 if no frame was lost and everything went as told."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--report", type=Path, help="keep the report here (JSON)")
    kept: Path | None = parser.parse_args().report
    if not SAMPLES.is_dir():
        console.print(f"{SAMPLES} is missing; run `make samples`")
        return 1
    with TemporaryDirectory(prefix="framepilot-demo-") as folder:
        path = Path(folder) / "report.json"
        lobby = Lobby(Path(folder), path)
        try:
            play(lobby)
            status = lobby.stop()
        except (DemoError, subprocess.SubprocessError) as error:
            console.print(f"[bold red]{error}")
            return 1
        finally:
            lobby.kill()
        if status != 0:
            console.print(f"[bold red]framepilot up ended with status {status}")
            return 1
        report = Report.model_validate(json.loads(path.read_text(encoding="utf-8")))
        if kept is not None:
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, kept)
        show(report)
        _show_results(Path(folder) / "lobby-results.jsonl")
    told = {(change.kind.value, change.to): change.outcome.value for change in report.changes}
    expected = {("batch", "8"): "applied", ("model", "2"): "applied", ("model", "nan"): "refused"}
    return 0 if report.frames.lost == 0 and expected.items() <= told.items() else 1


def _show_results(results: Path) -> None:
    """The last frame in which somebody was seen, as it went to the sink."""
    for line in reversed(results.read_text(encoding="utf-8").splitlines() if results.exists() else []):
        data = json.loads(line)["data"]
        if data["modules"][0]["items"][0]["boxes"]:
            for entry in data["modules"]:
                for item in entry["items"]:
                    item.pop("vector", None)
            console.print(f"\nA result (vectors left out):{os.linesep}{json.dumps(data)}", soft_wrap=True)
            return


if __name__ == "__main__":
    sys.exit(main())
