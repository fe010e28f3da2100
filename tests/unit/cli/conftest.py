from __future__ import annotations

from pathlib import Path

import pytest

LOBBY = """\
# The cameras of the lobby.
apiVersion: framepilot.dev/v1alpha1
kind: InferenceService
metadata:
  name: lobby
  namespace: cameras
spec:
  streams:
    - {name: door, source: "file:door.mp4"}   # the main door
  modules:
    - {name: face, model: {name: centerface, version: "1"}}
    - name: age
      inputs: [face]
      # Version 2 reads profiles better.
      model: {name: age, version: "1"}
      batching: {mode: Fixed, size: 8}

    # Last, because it is the slowest.
    - name: embedding
      inputs: [face]
      model:
        name: embedder
        version: '1'
  models: {store: "file:models"}
  objective: {latency: 200ms}
"""

PROFILE = """\
---
apiVersion: framepilot.dev/v1alpha1
kind: ModelProfile
metadata: {name: age-1-cpu}
spec:
  model: age
  version: "1"
  deviceClass: cpu
  points:
    - {batch: 1, p50: 4ms, p99: 5ms}
"""


@pytest.fixture(autouse=True)
def state_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture(autouse=True)
def kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """That of whoever runs the tests is not theirs; this one does not exist until a test writes it."""
    path = tmp_path / "kubeconfig"
    monkeypatch.setenv("KUBECONFIG", str(path))
    return path


@pytest.fixture
def lobby(tmp_path: Path) -> Path:
    path = tmp_path / "lobby.yaml"
    path.write_text(LOBBY)
    return path


@pytest.fixture
def profile_text() -> str:
    return PROFILE
