"""Cameras that give more than the device can take, and an objective that it cannot hold: what is done and said of it.

A real `framepilot up` with a real instance, and a model that is slower than the cameras.
"""

from __future__ import annotations

import json
import os
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from framepilot.contract.observed import FrameCounts, ObservedState
from support.eventually import eventually
from support.framepilot_command import FRAMEPILOT
from support.slow_model import write_slow_model

PATIENCE_S = 240
SHARED = 90
"""Frames of all cameras together, of which each is to have about a third."""


class Yard:
    """A running `framepilot up` with one service of three cameras of equal priority."""

    def __init__(self, folder: Path) -> None:
        write_slow_model(folder / "models")
        self.file = folder / "yard.yaml"
        self._state = folder / "state"
        self._environment = os.environ | {"XDG_STATE_HOME": str(folder / "home")}
        self.promise("10s")
        command = [FRAMEPILOT, "up", self.file, "--state", self._state, "--no-page"]
        with (folder / "err").open("wb") as err:
            self.process = subprocess.Popen(
                [*map(str, command)], stdout=subprocess.DEVNULL, stderr=err, env=self._environment
            )

    def promise(self, latency: str) -> None:
        """Declare this objective."""
        self.file.write_text(f"""\
apiVersion: framepilot.dev/v1alpha1
kind: InferenceService
metadata: {{name: yard, namespace: cameras}}
spec:
  streams:
    - {{name: a, source: "test://160x120?fps=50"}}
    - {{name: b, source: "test://160x120?fps=50"}}
    - {{name: c, source: "test://160x120?fps=50"}}
  modules:
    - {{name: slow, batching: {{max: 4}}, model: {{name: slow, version: "1"}}}}
  models: {{store: "file://{self.file.parent}/models"}}
  objective: {{latency: {latency}, attainment: 90%}}
""")

    def condition(self, kind: str) -> tuple[str, str]:
        """Status and message of a condition, as `framepilot status` has them."""
        command = [FRAMEPILOT, "status", "cameras/yard", "--local", "--output", "json"]
        found = subprocess.run(command, capture_output=True, text=True, env=self._environment, check=False)
        conditions = json.loads(found.stdout)["status"].get("conditions", ()) if found.returncode == 0 else ()
        return next(((each["status"], each["message"]) for each in conditions if each["type"] == kind), ("", ""))

    def becomes(self, kind: str, status: str) -> str:
        """Wait until a condition has this status; its message."""
        said = ("", "")

        def turned() -> bool:
            nonlocal said
            assert self.process.poll() is None
            said = self.condition(kind)
            return said[0] == status

        eventually(turned, f"{kind} to become {status}", PATIENCE_S, poll_s=0.5)
        return said[1]

    def frames(self) -> list[FrameCounts]:
        """What became of the frames of each stream."""
        address = (self._state / "instances" / "cameras.yard" / "cache" / "listen").read_text()
        with urllib.request.urlopen(f"http://{address}/status", timeout=30) as answer:
            return [stream.frames for stream in ObservedState.parse(answer.read()).streams]


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    found = Yard(tmp_path)
    yield found
    found.process.terminate()
    found.process.wait(60)


def test_frames_are_skipped_evenly_and_an_objective_that_nothing_holds_is_said_with_one_that_could_be(
    yard: Yard,
) -> None:
    message = yard.becomes("ObjectiveMet", "True")
    assert message == "At least 90% of the frames are delivered within 10000 ms."
    # From here on all of them run: which one was the first to connect does not matter.
    before = yard.frames()
    eventually(
        lambda: sum(each.delivered for each in yard.frames()) >= sum(each.delivered for each in before) + SHARED,
        f"{SHARED} more frames",
        PATIENCE_S,
    )
    counts = yard.frames()
    taken = [after.delivered - each.delivered for each, after in zip(before, counts, strict=True)]
    assert all(each.dropped["superseded"] > each.delivered for each in counts)
    assert max(taken) - min(taken) <= 0.2 * max(taken)

    yard.promise("5ms")
    message = yard.becomes("ObjectiveMet", "False")
    assert message.endswith(" ms could be held.")
    assert "of the frames are delivered within 5 ms, and 90% are to be; an objective of about " in message
    assert yard.condition("Feasible")[0] == "False"
