"""kubectl, as a person uses it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.eventually import eventually


class KubectlError(Exception):
    """kubectl failed: what it was asked, what it said."""


@dataclass(frozen=True)
class Kubectl:
    """Runs kubectl with a kubeconfig (None: its own choice); `namespace` is that of calls that do not name another."""

    binary: Path
    kubeconfig: Path | None
    namespace: str | None = None

    def within(self, namespace: str) -> Kubectl:
        return Kubectl(self.binary, self.kubeconfig, namespace)

    def __call__(self, *args: str, given: str | None = None, timeout_s: float = 120) -> str:
        """What it prints; `given` is its standard input.

        Raises:
            KubectlError: its exit status is not 0.
        """
        done = self.attempt(*args, given=given, timeout_s=timeout_s)
        if done.returncode != 0:
            raise KubectlError(f"kubectl {' '.join(args)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def attempt(self, *args: str, given: str | None = None, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
        """The same, whatever comes of it."""
        where = [] if self.namespace is None else [f"--namespace={self.namespace}"]
        which = [] if self.kubeconfig is None else [f"--kubeconfig={self.kubeconfig}"]
        command = [str(self.binary), *which, *where, *args]
        return subprocess.run(command, input=given, text=True, capture_output=True, timeout=timeout_s, check=False)

    def get(self, kind: str, name: str = "", **selectors: str) -> dict[str, Any]:
        """One object, or a list of them, as JSON."""
        options = [f"--{key}={value}" for key, value in selectors.items()]
        return json.loads(self("get", kind, *([name] if name else []), *options, "-o", "json"))

    def find(self, kind: str, name: str) -> dict[str, Any] | None:
        """One object, None if there is none."""
        found = self("get", kind, name, "--ignore-not-found", "-o", "json")
        return json.loads(found) if found else None

    def apply(self, *objects: Mapping[str, Any]) -> str:
        return self("apply", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))

    def condition(self, kind: str, name: str, type_: str) -> dict[str, Any]:
        """A condition of an object's status; empty if it has none of this type."""
        conditions = self.get(kind, name).get("status", {}).get("conditions", [])
        return next((each for each in conditions if each["type"] == type_), {})

    def events(self, kind: str, name: str) -> list[dict[str, Any]]:
        """The Events about an object."""
        found = self.get("events.events.k8s.io")["items"]
        return [each for each in found if (each["regarding"]["kind"], each["regarding"]["name"]) == (kind, name)]


def until(what: str, look: Callable[[], Any], timeout_s: float = 180) -> Any:
    """What `look` says, once it says something; that there is no such object yet counts as nothing."""
    found: list[Any] = []

    def looked() -> bool:
        try:
            found[:] = [look()]
        except (KubectlError, LookupError, StopIteration):
            return False
        return bool(found[0])

    eventually(looked, what, timeout_s, poll_s=0.2)
    return found[0]
