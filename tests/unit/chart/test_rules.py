"""The chart's recording rules and alerts, by promtool: in a healthy system none fires, and each by what it is for."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from framepilot.contract import metrics as app_metrics
from framepilot_operator.kubernetes import metrics as operator_metrics
from support.prometheus import RULES, program, rules

PAGE = Path(__file__).parents[3] / "docs" / "monitoring.md"
RUNBOOKS = PAGE.parent / "runbooks"
GROUPS = YAML(typ="safe").load(rules())["groups"]
RULED = [rule for group in GROUPS for rule in group["rules"]]
ALERTS = {rule["alert"]: rule for rule in RULED if "alert" in rule}

DOOR = 'namespace="a",service="a/door"'
POD = 'namespace="a",pod="door-1",instance="a/door-1"'
OPERATOR = 'namespace="o",pod="operator-1",instance="o/operator-1"'

# Ten frames a second, of which one in a hundred takes longer than 0.1 s, by series and Prometheus' notation of values.
HEALTHY = {
    f"framepilot_frames_ingested_total{{{DOOR}}}": "0+600x60",
    f"framepilot_frames_delivered_total{{{DOOR}}}": "0+600x60",
    f"framepilot_frames_within_objective_total{{{DOOR}}}": "0+597x60",
    **{f'framepilot_frames_dropped_total{{{DOOR},reason="{reason}"}}': "0x60"
       for reason in ("still", "superseded", "overload", "late", "error")},
    f'framepilot_frame_latency_seconds_bucket{{{DOOR},le="0.1"}}': "0+594x60",
    f'framepilot_frame_latency_seconds_bucket{{{DOOR},le="0.2"}}': "0+600x60",
    f'framepilot_frame_latency_seconds_bucket{{{DOOR},le="+Inf"}}': "0+600x60",
    f'framepilot_stream_state{{{DOOR},stream="s",state="running"}}': "1x60",
    f'framepilot_stream_state{{{DOOR},stream="s",state="stalled"}}': "0x60",
    f'framepilot_stream_state{{{DOOR},stream="s",state="failed"}}': "0x60",
    f'framepilot_stream_state{{{DOOR},stream="s",state="ended"}}': "0x60",
    f'framepilot_sink_connected{{{DOOR},sink="k"}}': "1x60",
    f'framepilot_sink_events_dropped_total{{{DOOR},sink="k",reason="full"}}': "0x60",
    f'framepilot_sink_events_dropped_total{{{DOOR},sink="k",reason="closed"}}': "0x60",
    f'framepilot_module_serving{{{DOOR},module="m"}}': "1x60",
    f'framepilot_rollout_state{{{DOOR},module="m",state="Serving"}}': "1x60",
    f'framepilot_rollout_state{{{DOOR},module="m",state="Refused"}}': "0x60",
    f"framepilot_desired_state_error{{{POD}}}": "0x60",
    f"framepilot_device_busy_seconds_total{{{POD}}}": "0+30x60",
    f"framepilot_operator_is_leader{{{OPERATOR}}}": "1x60",
    f'framepilot_operator_instances{{{OPERATOR},running="false"}}': "0x60",
    f"framepilot_operator_pass_failures_total{{{OPERATOR}}}": "0x60",
}  # fmt: skip


def frames(**per_minute: int) -> dict[str, str]:
    """So many frames a minute of these fates, of 600; what is `late` was delivered, but not in time."""
    late = per_minute.pop("late", 0)
    delivered = 600 - sum(per_minute.values())
    return {
        f"framepilot_frames_delivered_total{{{DOOR}}}": f"0+{delivered}x60",
        f"framepilot_frames_within_objective_total{{{DOOR}}}": f"0+{delivered - late}x60",
        **{
            f'framepilot_frames_dropped_total{{{DOOR},reason="{reason}"}}': f"0+{count}x60"
            for reason, count in per_minute.items()
        },
    }


def one(name: str, labels: str, values: str) -> dict[str, str]:
    return {f"{name}{{{labels}}}": values}


FAILURES = "framepilot_operator_change_failures_total"
LEADER = "framepilot_operator_is_leader"
NOT_RUNNING = f'{OPERATOR},running="false"'
WAITING = 'namespace="o",pod="operator-2",instance="o/operator-2"'

# By alert: what makes it fire, what almost does, and which others fire with it.
CASES: dict[str, tuple[dict[str, str], dict[str, str], set[str]]] = {
    "FramepilotObjectiveMissed": (
        frames(overload=25, late=10),
        frames(overload=1, late=1, still=300),
        {"FramepilotLatencyBeyondObjective", "FramepilotFramesDropped"},
    ),
    "FramepilotLatencyBeyondObjective": (frames(late=7), frames(late=5), set()),
    "FramepilotFramesDropped": (frames(error=13), frames(error=5, still=300), set()),
    "FramepilotFramesSuperseded": (frames(superseded=310), frames(superseded=290), set()),
    "FramepilotStreamStalled": (
        one("framepilot_stream_state", f'{DOOR},stream="s",state="stalled"', "1x60"),
        one("framepilot_stream_state", f'{DOOR},stream="s",state="ended"', "1x60"),
        set(),
    ),
    "FramepilotSinkNotConnected": (
        one("framepilot_sink_connected", f'{DOOR},sink="k"', "0x60"),
        one("framepilot_sink_connected", f'{DOOR},sink="k"', "1 0x3 1x2 0x3 1x60"),
        set(),
    ),
    "FramepilotSinkEventsDropped": (
        one("framepilot_sink_events_dropped_total", f'{DOOR},sink="k",reason="full"', "0x25 1x30"),
        one("framepilot_sink_events_dropped_total", f'{DOOR},sink="k",reason="closed"', "0x25 1x30"),
        set(),
    ),
    "FramepilotModuleNotServing": (
        one("framepilot_module_serving", f'{DOOR},module="m"', "0x60"),
        one("framepilot_module_serving", f'{DOOR},module="m"', "0x8 1x60"),
        set(),
    ),
    "FramepilotRolloutRefused": (
        one("framepilot_rollout_state", f'{DOOR},module="m",state="Refused"', "1x60"),
        one("framepilot_rollout_state", f'{DOOR},module="m",state="Fetching"', "1x60"),
        set(),
    ),
    "FramepilotDesiredStateError": (
        one("framepilot_desired_state_error", POD, "1x60"),
        one("framepilot_desired_state_error", POD, "0x27 1x30"),
        set(),
    ),
    "FramepilotDeviceSaturated": (
        one("framepilot_device_busy_seconds_total", POD, "0+58x60"),
        one("framepilot_device_busy_seconds_total", POD, "0+56x60"),
        set(),
    ),
    # A counter that begins with the death, and ends with the process: that is enough.
    "FramepilotThreadDied": (
        one("framepilot_threads_died_total", f'{POD},thread="sink"', "_x27 1 _x40"),
        one("framepilot_threads_died_total", f'{POD},thread="sink"', "1 _x40"),
        set(),
    ),
    "FramepilotInstancesNotRunning": (
        one("framepilot_operator_instances", NOT_RUNNING, "1x60"),
        one("framepilot_operator_instances", f'{WAITING},running="false"', "1x60") | one(LEADER, WAITING, "0x60"),
        set(),
    ),
    "FramepilotOperatorNoLeader": (
        one(LEADER, OPERATOR, "0x60"),
        one(LEADER, OPERATOR, "0x60") | one(LEADER, WAITING, "1x60"),
        set(),
    ),
    "FramepilotOperatorFailing": (
        one(FAILURES, f'{OPERATOR},kind="nudge"', "0+1x60"),
        one(FAILURES, f'{OPERATOR},kind="nudge"', "0x20 1x60"),
        set(),
    ),
}  # fmt: skip


DROPS = {"still": 2, "superseded": 1.5, "overload": 0.5, "late": 0, "error": 0}


def judge(tmp_path: Path, series: Mapping[str, str], expected: list[tuple[str, int, Mapping[str, float]]]) -> None:
    """Let promtool compare what expressions give after so many minutes with what they should, by labels."""
    (tmp_path / "rules.yaml").write_text(rules())
    checks = [
        {
            "expr": expression,
            "eval_time": f"{minute}m",
            "exp_samples": [{"labels": labels, "value": value} for labels, value in samples.items()],
        }
        for expression, minute, samples in expected
    ]
    given = [{"series": name, "values": values} for name, values in series.items()]
    test = {"interval": "1m", "input_series": given, "promql_expr_test": checks}
    (tmp_path / "test.yaml").write_text(json.dumps({"rule_files": ["rules.yaml"], "tests": [test]}))
    done = promtool("test", "rules", str(tmp_path / "test.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(program("promtool")), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def firing(minute: int, *alerts: str) -> tuple[str, int, Mapping[str, float]]:
    """Just these alerts fire, and no other one."""
    samples = {f'{{alertname="{alert}"}}': 1.0 for alert in alerts}
    return 'group by (alertname) (ALERTS{alertstate="firing"})', minute, samples


def waits_minutes(alert: str) -> int:
    return int(ALERTS[alert].get("for", "0m").removesuffix("m"))


def test_promtool_takes_the_rules(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(rules())
    done = promtool("check", "rules", str(tmp_path / "rules.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(RULED)} rules found" in done.stdout


def test_every_threshold_of_the_values_is_used_and_no_other_one() -> None:
    used = set(re.findall(r"\$\{(\w+)\}", RULES.read_text()))
    values = YAML(typ="safe").load((RULES.parents[1] / "values.yaml").read_text())
    assert used == set(values["prometheusRule"]["thresholds"])


def test_nothing_fires_in_a_healthy_system(tmp_path: Path) -> None:
    judge(tmp_path, HEALTHY, [firing(minute) for minute in (1, 10, 30, 55)])


def test_each_alert_is_tried() -> None:
    assert set(CASES) == set(ALERTS)


@pytest.mark.parametrize("alert", CASES)
def test_an_alert_fires_when_it_has_held_for_long_enough_and_by_nothing_less(tmp_path: Path, alert: str) -> None:
    much, little, others = CASES[alert]
    checks = [firing(30, alert, *others)]
    if waits := waits_minutes(alert):
        checks.append(firing(waits - 1, *(other for other in others if waits_minutes(other) < waits - 1)))
    judge(tmp_path, HEALTHY | much, checks)
    judge(tmp_path, HEALTHY | little, [firing(30)])


def test_an_operator_that_is_not_scraped_at_all_is_missed(tmp_path: Path) -> None:
    series = {name: values for name, values in HEALTHY.items() if "operator" not in name}
    judge(tmp_path, series, [firing(30, "FramepilotOperatorNoLeader")])


@pytest.mark.parametrize(
    ("record", "value"),
    [
        ("service:framepilot_frames_ingested:rate5m", 10),
        ("service:framepilot_frames_delivered:rate5m", 6),
        ("service:framepilot_frames_started:rate5m", 6.5),
        ("service:framepilot_frames_within_objective:rate5m", 4),
        ("service:framepilot_attainment:ratio_rate5m", 8 / 13),
        ("service:framepilot_frames_late:ratio_rate5m", 1 / 3),
        ("service:framepilot_frames_lost:ratio_rate5m", 1 / 13),
        ("service:framepilot_frames_superseded:ratio_rate5m", 0.15),
        ("service:framepilot_frame_latency_seconds:p50_rate5m", 0.1 * 300 / 594),
        ("service:framepilot_frame_latency_seconds:p99_rate5m", 0.1),
        ("service_reason:framepilot_frames_dropped:rate5m", DROPS),
        ("instance:framepilot_device_busy:ratio_rate5m", 0.5),
    ],
)  # fmt: skip
def test_a_recording_rule_says_what_its_name_says(tmp_path: Path, record: str, value: float | dict[str, float]) -> None:
    labels = POD if record.startswith("instance:") else DOOR
    samples = (
        {f'{record}{{{labels},reason="{reason}"}}': each for reason, each in value.items()}
        if isinstance(value, dict)
        else {f"{record}{{{labels}}}": value}
    )
    # Rounded, as promtool compares exactly.
    rounded = {name.removeprefix(record): round(each, 6) for name, each in samples.items()}
    series = HEALTHY | frames(still=120, superseded=90, overload=30, late=120)
    judge(tmp_path, series, [(f"round({record}, 0.000001)", 20, rounded)])


def test_each_recording_rule_is_tried() -> None:
    tried = {case for mark in test_a_recording_rule_says_what_its_name_says.pytestmark for case, _ in mark.args[1]}
    assert tried == {rule["record"] for rule in RULED if "record" in rule}


def test_rules_name_metrics_that_there_are() -> None:
    there = {each.name for each in (*app_metrics.METRICS, *operator_metrics.METRICS)}
    there |= {f"{app_metrics.FRAME_LATENCY.name}_bucket"}
    for rule in RULED:
        expression = re.sub(r"\w+:(\w+):\w+", "", rule["expr"])
        named = set(re.findall(r"\bframepilot_\w+", expression))
        assert named <= there, rule


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_is_annotated_with_labels_that_it_has(alert: str) -> None:
    rule = ALERTS[alert]
    used = set(re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"])))
    grouped = {name for names in re.findall(r"by \(([^)]*)\)", rule["expr"]) for name in names.split(", ")}
    recorded = {"service:": {"service"}, "instance:": {"instance"}}.get(rule["expr"].partition("framepilot")[0], set())
    assert used <= grouped | recorded
    assert rule["annotations"].keys() == {"summary", "description"}
    assert rule["labels"]["severity"] in {"info", "warning", "critical"}


def test_there_is_a_runbook_for_each_alert_and_no_other_one() -> None:
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == set(ALERTS)


def test_the_page_lists_each_alert_with_its_severity() -> None:
    rows = re.findall(r"^\| \[(\w+)\]\(runbooks/(\w+)\.md\) \| (\w+) \|", PAGE.read_text(), re.MULTILINE)
    assert rows == [(alert, alert, rule["labels"]["severity"]) for alert, rule in ALERTS.items()]


@pytest.mark.parametrize("alert", ALERTS)
def test_a_runbook_says_what_a_person_needs(alert: str) -> None:
    title, *rest = (RUNBOOKS / f"{alert}.md").read_text().splitlines()
    assert title == f"# {alert}"
    assert [line for line in rest if line.startswith("## ")] == [
        "## What it means",
        "## What users notice",
        "## Find the cause",
        "## Mend it",
    ]


def test_a_judgement_can_fail(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="FramepilotThreadDied"):
        judge(tmp_path, HEALTHY, [firing(30, "FramepilotThreadDied")])


def test_annotations_show_a_share_and_who_it_is_about(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(rules())
    series: list[dict[str, Any]] = [
        {"series": name, "values": each} for name, each in (HEALTHY | frames(late=60)).items()
    ]
    expected = {
        "exp_labels": {"severity": "warning", "namespace": "a", "service": "a/door"},
        "exp_annotations": {
            "summary": "Results of the service a/door come too late.",
            "description": "10% of the frames that a/door delivered in the last five minutes took longer than the "
            "objective.",
        },
    }
    check = {"eval_time": "30m", "alertname": "FramepilotLatencyBeyondObjective", "exp_alerts": [expected]}
    test = {"interval": "1m", "input_series": series, "alert_rule_test": [check]}
    (tmp_path / "test.yaml").write_text(json.dumps({"rule_files": ["rules.yaml"], "tests": [test]}))
    done = promtool("test", "rules", str(tmp_path / "test.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr
