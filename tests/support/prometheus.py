"""A real Prometheus, Debian's: as a process of its own, or by its address; its promtool; and the chart's rules."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from support.broker import free_port
from support.eventually import eventually
from support.operator_release import CHART
from support.unpacked import unpacked

RULES = CHART / "rules" / "framepilot.yaml"


def program(name: str) -> Path:
    """`prometheus` or `promtool`: the machine's own, or Debian's from the cache."""
    own = shutil.which(name)
    return Path(own) if own else unpacked("prometheus", ("prometheus",)) / "usr" / "bin" / name


def rules() -> str:
    """The chart's rules with the thresholds that it has if nobody sets them, put in as its template does it."""
    text = RULES.read_text(encoding="utf-8")
    values = YAML(typ="safe").load((CHART / "values.yaml").read_text(encoding="utf-8"))
    for name, threshold in values["prometheusRule"]["thresholds"].items():
        text = text.replace(f"${{{name}}}", str(threshold))
    return text


def configuration(targets: Mapping[str, str]) -> str:
    """Scrape these addresses, by the value of their label `instance`, and evaluate `rules.yaml`, every second."""
    scraped = [
        {"targets": [address], "labels": {"instance": instance, "namespace": instance.partition("/")[0]}}
        for instance, address in targets.items()
    ]
    settings = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": ["rules.yaml"],
        "scrape_configs": [{"job_name": "framepilot", "static_configs": scraped}],
    }
    return json.dumps(settings)


@dataclass(frozen=True)
class PrometheusApi:
    """A server that answers at `url`."""

    url: str

    def ready(self) -> bool:
        """Whether it is there, and has all that it needs to answer."""
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=5) as answer:
                return answer.status == 200
        except (urllib.error.URLError, ConnectionError):
            return False

    def get(self, path: str, **parameters: str) -> Any:
        """The data of an answer.

        Raises:
            AssertionError: it answers with an error.
        """
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path} {parameters}: {error.read().decode()}") from error

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that an expression gives now."""
        return self.get("query", query=expression)["result"]

    def numbers(self, expression: str) -> list[dict[str, Any]]:
        """Those of them that have a number."""
        return [each for each in self.query(expression) if not math.isnan(float(each["value"][1]))]

    def rules(self) -> list[dict[str, Any]]:
        """All rules, as they were evaluated last."""
        return [rule for group in self.get("rules")["groups"] for rule in group["rules"]]

    def firing(self, alert: str) -> list[dict[str, Any]]:
        """Those that fire of the alerts of this name."""
        alerts = self.get("alerts")["alerts"]
        return [each for each in alerts if (each["labels"]["alertname"], each["state"]) == (alert, "firing")]


class Prometheus:
    """Scrapes `targets` and evaluates `rules`."""

    def __init__(self, folder: Path, targets: Mapping[str, str], rules: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._address = f"127.0.0.1:{free_port()}"
        self.url = f"http://{self._address}"
        self.api = PrometheusApi(self.url)
        (folder / "rules.yaml").write_text(rules, encoding="utf-8")
        (folder / "prometheus.yaml").write_text(configuration(targets), encoding="utf-8")
        options = ["--config.file=prometheus.yaml", "--storage.tsdb.path=data", f"--web.listen-address={self._address}"]
        self._log = folder / "log"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [program("prometheus"), *options], cwd=folder, stdout=log, stderr=subprocess.STDOUT
            )
        eventually(self._ready, f"Prometheus to be ready; its log is {self._log}")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=60)

    def _ready(self) -> bool:
        assert self._process.poll() is None, self._log.read_text()
        return self.api.ready()
