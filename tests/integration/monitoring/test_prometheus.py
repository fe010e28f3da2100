"""A real Prometheus scrapes a real app, and an operator's metrics: every panel, rule and variable finds data there.

The app runs a stream through a tiny model and watches a GPU, a new batch size and a new version came into force, and a
sink refuses its events, so each series that panels are about exists.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import start_http_server
from ruamel.yaml import YAML

from framepilot.contract.desired import Batch, DesiredModule, DesiredSink, DesiredStream, ModelRef, Pipeline
from framepilot_operator.kubernetes.metrics import Metrics
from support.app_process import AppProcess
from support.broker import free_port
from support.dashboards import Asked, asked, chosen, variables
from support.eventually import eventually
from support.nvml import library
from support.nvml.library import NvmlState
from support.prometheus import Prometheus, rules
from support.tiny_model import write_tiny_model
from support.webhook_receiver import Receiver, status

pytestmark = pytest.mark.skipif(library.compiler_is_missing(), reason="there is no gcc with libc6-dev: make servers")

SERVICE = "shop/door"
INSTANCE = "shop/door-1"
OPERATOR = "operators/operator-1"
CHOSEN = {
    "namespace": ".*",
    "service": SERVICE,
    "instance": INSTANCE,
    "module": ".*",
    # Grafana takes a few scrapes, however far one has zoomed in.
    "__rate_interval": "10s",
}
RULES = [rule for group in YAML(typ="safe").load(rules())["groups"] for rule in group["rules"]]


@dataclass(frozen=True)
class Site:
    """What is watched, and who watches."""

    prometheus: Prometheus
    operator: Metrics

    def found(self, expression: str) -> list[dict[str, Any]]:
        """The series of an expression that have a number now; meanwhile the operator goes on."""
        work(self.operator)
        return self.prometheus.api.numbers(expression)


def work(operator: Metrics) -> None:
    """What a pass with one change counts."""
    operator.passes.inc()
    operator.latest.set_to_current_time()
    operator.duration.observe(0.02)
    operator.changes.labels("desired-state").inc()
    operator.api_requests.labels("get", "pods").inc()
    operator.services.labels("True").set(1)
    operator.instances.labels("true").set(1)
    operator.instances.labels("false").set(0)
    operator.is_leader.set(1)
    operator.device_source_up.labels("instances").set(1)


def pipeline(store: Path, folder: Path, url: str, version: str, size: int) -> Pipeline:
    model = ModelRef(name="tiny", version=version, uri=f"file://{store}/tiny/{version}")
    batch = Batch(size=size, limit=8, max_wait_ms=5)
    return Pipeline(
        service=SERVICE,
        uid="u",
        objective_ms=1000,
        streams=(DesiredStream(name="camera", source="test://160x120?fps=25"),),
        modules=(DesiredModule(name="m", budget_ms=100, batch=batch, model=model),),
        sinks=(
            DesiredSink(name="events", type="file", path=folder / "events.jsonl"),
            DesiredSink(name="hook", type="webhook", url=url),
        ),
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    write_tiny_model(folder, "1", gain=1.0)
    write_tiny_model(folder, "2", gain=2.0)
    operator = Metrics()
    work(operator)
    operator_port = free_port()
    server, thread = start_http_server(operator_port, "127.0.0.1", operator.registry)
    receiver = Receiver()
    receiver.always = status(400)
    gpu = NvmlState(folder / "gpu")
    app = AppProcess(folder / "app", "--nvml-device", "0", environment=gpu.environment(library.build(folder)))
    targets = {INSTANCE: (app.cache / "listen").read_text(), OPERATOR: f"127.0.0.1:{operator_port}"}
    prometheus = Prometheus(folder / "prometheus", targets, rules())
    try:
        found = Site(prometheus, operator)
        app.want(pipeline(folder, folder, receiver.url, "1", 4))
        eventually(
            lambda: found.found('framepilot_module_version_info{version="1"}'), "the first version to be scraped"
        )
        app.want(pipeline(folder, folder, receiver.url, "1", 2))
        eventually(lambda: found.found("framepilot_module_batch_cap_items == 2"), "the batch size to be scraped")
        app.want(pipeline(folder, folder, receiver.url, "2", 2))
        eventually(lambda: found.found('framepilot_module_version_info{version="2"}'), "the new version to be scraped")
        gpu.set(xid=79, processes=f"{app.process.pid}:{2**30}")
        yield found
    finally:
        prometheus.stop()
        app.stop()
        receiver.close()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("query", asked(), ids=lambda query: f"{query.dashboard}: {query.panel}")
def test_a_query_of_a_panel_has_data_and_the_labels_of_its_legend(site: Site, query: Asked) -> None:
    expression = chosen(query.expression, CHOSEN)
    eventually(lambda: site.found(expression), f"data for {expression}", poll_s=0.2)
    for series in site.found(expression):
        assert query.legend_labels <= series["metric"].keys()


def test_a_query_of_what_there_is_not_has_no_data_and_a_wrong_one_is_an_error(site: Site) -> None:
    assert site.found("framepilot_frames_ingested") == []
    assert site.found("rate(framepilot_frames_ingested_total[1ms]) / 0") == []
    with pytest.raises(AssertionError, match="parse error"):
        site.found("sum(framepilot_frames_ingested_total")


@pytest.mark.parametrize(("dashboard", "selector", "label"), variables())
def test_a_variable_offers_what_there_is(site: Site, dashboard: str, selector: str, label: str) -> None:
    offered = site.prometheus.api.get(f"label/{label}/values", **{"match[]": chosen(selector, CHOSEN)})
    expected = {"namespace": "shop", "service": SERVICE, "instance": INSTANCE, "module": "m"}
    assert offered == [expected[label]]


@pytest.mark.parametrize("record", [rule["record"] for rule in RULES if "record" in rule])
def test_a_recording_rule_has_data(site: Site, record: str) -> None:
    eventually(lambda: site.found(record), f"data of {record}", poll_s=0.2)


def test_every_rule_is_evaluated_without_an_error(site: Site) -> None:
    def states() -> list[tuple[str, str]]:
        return [(rule["health"], rule.get("lastError", "")) for rule in site.prometheus.api.rules()]

    eventually(lambda: all(health != "unknown" for health, _ in states()), "each rule to be evaluated")
    assert states() == [("ok", "")] * len(RULES)


def test_a_change_of_version_and_of_batch_size_shows(site: Site) -> None:
    versions = site.found("last_over_time(framepilot_module_version_info[10m])")
    assert {each["metric"]["version"] for each in versions} == {"1", "2"}
    (sizes,) = site.found("changes(framepilot_module_batch_cap_items[10m])")
    assert float(sizes["value"][1]) >= 1


def test_an_alert_fires_for_the_sink_that_loses_events_and_says_so(site: Site) -> None:
    name = "FramepilotSinkEventsDropped"
    eventually(lambda: site.prometheus.api.firing(name), "an alert", poll_s=0.2)
    (alert,) = site.prometheus.api.firing(name)
    assert (alert["labels"]["sink"], alert["labels"]["reason"]) == ("hook", "http-400")
    assert alert["annotations"]["summary"] == "Events for the sink hook of shop/door are lost."
