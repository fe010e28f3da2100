"""`framepilot-operator` as a process on this machine, with the rights of one account and an API server to itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from support.api_proxy import ApiProxy, api_proxy
from support.eventually import eventually

MODULE = "framepilot_operator.kubernetes.main"


class OperatorProcess:
    """One process; it logs to a file, and talks to the API server through `proxy` only."""

    def __init__(self, folder: Path, proxy: ApiProxy, token: str, *options: str) -> None:
        self.proxy = proxy
        self.log = folder / "log"
        kubeconfig = folder / "kubeconfig"
        kubeconfig.write_text(json.dumps(_kubeconfig(proxy.url, token)))
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", MODULE, "--listen=127.0.0.1:0", *options],
                env={**os.environ, "KUBECONFIG": str(kubeconfig)},
                stderr=log,
            )
        eventually(lambda: self.said("listening on") or self.process.poll() is not None, "the process to start")

    @property
    def lines(self) -> list[dict[str, Any]]:
        complete = self.log.read_text().rpartition("\n")[0]
        return [json.loads(line) for line in complete.splitlines()]

    def said(self, what: str) -> list[str]:
        """The messages with this in them."""
        return [line["message"] for line in self.lines if what in line["message"]]

    @property
    def address(self) -> str:
        return self.said("listening on")[0].split()[2].rstrip(",")

    def get(self, path: str) -> tuple[int, str]:
        """The HTTP status, and the text; status 0: no answer."""
        try:
            with urlopen(f"http://{self.address}{path}", timeout=5) as response:
                return response.status, response.read().decode()
        except HTTPError as error:
            return error.code, error.read().decode()
        except (URLError, OSError):
            return 0, ""

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels."""
        lines = [line for line in self.get("/metrics")[1].splitlines() if line.split("{")[0].split(" ")[0] == name]
        return sum(float(line.rpartition(" ")[2]) for line in lines)

    @property
    def leads(self) -> bool:
        return self.process.poll() is None and self.metric("framepilot_operator_is_leader") == 1

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ended(self, within_s: float = 60) -> int:
        """The exit status."""
        return self.process.wait(within_s)


@contextmanager
def operator_process(folder: Path, kubeconfig: Path, token: str, *options: str) -> Iterator[OperatorProcess]:
    """One that runs, and is killed in the end."""
    folder.mkdir(parents=True)
    with api_proxy(kubeconfig) as proxy:
        operator = OperatorProcess(folder, proxy, token, *options)
        try:
            yield operator
        finally:
            operator.process.kill()
            operator.process.wait()


def _kubeconfig(url: str, token: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "it", "cluster": {"server": url}}],
        "users": [{"name": "operator", "user": {"token": token}}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "operator"}}],
        "current-context": "it",
    }
