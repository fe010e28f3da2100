"""A real `framepilot-app` process for tests: write its desired state, read its status, stop it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from framepilot.contract.desired import DesiredState, Pipeline
from framepilot.contract.events import DELIVERED_TYPE
from framepilot.contract.observed import ObservedModule, ObservedState, ObservedStream
from framepilot.rollouts.state import RolloutState
from support.eventually import eventually

COMMAND = Path(sys.executable).with_name("framepilot-app")


class AppProcess:
    """One instance. Its desired state has the uid `uid`; generations count up with each write."""

    def __init__(
        self,
        folder: Path,
        *options: str,
        environment: Mapping[str, str] | None = None,
        command: Sequence[str | Path] = (COMMAND,),
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.desired_file = folder / "desired.json"
        self.cache = folder / "cache"
        self.log = folder / "log"
        self.generation = 0
        self._command = command
        self._options = options
        self._environment = os.environ | (environment or {})
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        (self.cache / "listen").unlink(missing_ok=True)
        command = [*self._command, "--desired", self.desired_file, "--cache", self.cache, "--listen", "127.0.0.1:0"]
        command += ["--parent-pid", str(os.getpid()), *self._options]
        with self.log.open("ab") as log:
            process = subprocess.Popen([*map(str, command)], stdout=log, stderr=log, env=self._environment)
        eventually((self.cache / "listen").exists, f"the app to listen; its log is {self.log}")
        return process

    def restart(self) -> None:
        """Kill it as a crash would, and start it again with the same files."""
        self.process.kill()
        self.process.wait()
        self.process = self._start()

    def want(self, *pipelines: Pipeline) -> int:
        """Write the next generation; returns it."""
        self.generation += 1
        state = DesiredState(instance_uid="uid", generation=self.generation, pipelines=pipelines)
        self.write(state.to_json())
        return self.generation

    def write(self, text: str) -> None:
        """Replace the file, whatever the text is."""
        temporary = self.desired_file.with_suffix(".new")
        temporary.write_text(text)
        temporary.replace(self.desired_file)

    def get(self, path: str) -> tuple[int, str]:
        """Status code and text of an answer."""
        address = (self.cache / "listen").read_text()
        try:
            with urllib.request.urlopen(f"http://{address}{path}", timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def status(self) -> ObservedState:
        """What the app says of itself."""
        return ObservedState.parse(self.get("/status")[1])

    def module(self, service: str, name: str) -> ObservedModule:
        """One module of the status."""
        return next(m for m in self.status().modules if (m.service, m.name) == (service, name))

    def stream(self, service: str, name: str) -> ObservedStream:
        """One stream of the status."""
        return next(s for s in self.status().streams if (s.service, s.name) == (service, name))

    def stop(self) -> int:
        """Stop it gracefully; its exit status."""
        self.process.terminate()
        return self.process.wait(timeout=90)


def delayed(app: AppProcess, service: str) -> str:
    """Wait until the first module of a service is told why its model cannot be had now; the reason."""

    def reason() -> str | None:
        rollout = next((m.rollout for m in app.status().modules if m.service == service), None)
        return rollout.reason if rollout and rollout.state is RolloutState.FETCHING else None

    eventually(reason, "the store not to give a model")
    return reason() or ""


def events(path: Path) -> list[dict]:
    """What a file sink holds; a line that is still being written is left out."""
    whole, _, _ = path.read_text().rpartition("\n") if path.exists() else ("", "", "")
    return [json.loads(line) for line in whole.splitlines()]


def delivered(path: Path) -> list[dict]:
    """The data of all delivered frames, in the order of delivery."""
    return [event["data"] for event in events(path) if event["type"] == DELIVERED_TYPE]


def versions(path: Path, module: str) -> Counter[str]:
    """How many delivered frames each version of a module answered."""
    return Counter(m["version"] for data in delivered(path) for m in data["modules"] if m["name"] == module)


def metric(text: str, name: str, **labels: str) -> float:
    """The value of one sample in Prometheus' text format, summed over labels that are not given."""
    total = 0.0
    for line in text.splitlines():
        if line.startswith((f"{name}{{", f"{name} ")) and all(
            f'{key}="{value}"' in line for key, value in labels.items()
        ):
            total += float(line.rsplit(" ", 1)[1])
    return total
