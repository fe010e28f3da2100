"""Why a pod does not run, as a person is told."""

from __future__ import annotations

from typing import Any

import pytest

from framepilot_operator.manifests.owner import Owner
from framepilot_operator.manifests.pod_reason import no_pod_yet
from framepilot_operator.manifests.pod_reason import pod_reason as reason_of
from framepilot_operator.manifests.seen import SeenPod

LOBBY = Owner.service("cameras/lobby")


def pod_reason(seen: SeenPod) -> str | None:
    return reason_of(seen, LOBBY)


def pod(status: dict[str, Any], **metadata: Any) -> SeenPod:
    return SeenPod.model_validate(
        {
            "metadata": {
                "name": "framepilot-lobby-1-a",
                "namespace": "cameras",
                "uid": "p",
                "resourceVersion": "1",
                "creationTimestamp": "2026-01-01T00:00:00Z",
                **metadata,
            },
            "status": status,
        }
    )


def container(state: dict[str, Any], last: dict[str, Any] | None = None, restarts: int = 0) -> dict[str, Any]:
    return {
        "phase": "Running",
        "containerStatuses": [
            {
                "name": "app",
                "image": "registry.example/app:1",
                "restartCount": restarts,
                "state": state,
                "lastState": {} if last is None else {"terminated": last},
            }
        ],
    }


def waiting(reason: str, message: str = "", last: dict[str, Any] | None = None) -> dict[str, Any]:
    return container({"waiting": {"reason": reason, "message": message}}, last)


NOT_SCHEDULED = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "Unschedulable",
    "message": "0/1 nodes are available: 1 Insufficient nvidia.com/gpu. no new claims to deallocate.",
}
JSON_LOG = 'loading\n{"level": "ERROR", "message": "the device is gone"}\n'


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (
            {"conditions": [NOT_SCHEDULED]},
            ["no node takes its pod", "Insufficient nvidia.com/gpu", "spec.template"],
        ),
        ({"conditions": [{"type": "PodScheduled", "status": "True"}]}, ["being created"]),
        (
            waiting("ErrImagePull", 'failed to pull image "x": not found'),
            ["registry.example/app:1", "cannot be pulled", "not found", "imagePullSecrets"],
        ),
        (waiting("InvalidImageName"), ["cannot be pulled"]),
        (
            waiting("CrashLoopBackOff", "back-off 40s", {"exitCode": 3, "reason": "Error", "message": JSON_LOG}),
            ["status 3", "the device is gone", "started again"],
        ),
        (
            waiting("CrashLoopBackOff", "back-off", {"exitCode": 137, "reason": "OOMKilled"}),
            ["more memory", "limits.memory"],
        ),
        (container({"terminated": {"exitCode": 137, "reason": "OOMKilled"}}), ["more memory"]),
        (container({"terminated": {"exitCode": 0, "reason": "Completed"}}), ["ended with status 0"]),
        (container({"terminated": {"exitCode": 0, "signal": 11}}), ["signal 11"]),
        (
            waiting("ContainerCreating"),
            ["being created", "kubectl describe pods -n cameras -l app.kubernetes.io/instance=framepilot-lobby"],
        ),
        (
            waiting("CreateContainerConfigError", 'secret "s" not found'),
            ["CreateContainerConfigError", 'secret "s" not found'],
        ),
        (
            {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."},
            ["ended by the node", "Evicted", "low on resource"],
        ),
    ],
)
def test_a_pod_that_does_not_run_says_why_and_what_to_do(status: dict[str, Any], said: list[str]) -> None:
    reason = pod_reason(pod(status))
    assert reason is not None
    assert [part for part in said if part not in reason] == []


def test_the_steps_in_which_a_pod_comes_to_be_are_not_told_one_by_one() -> None:
    steps = [{}, {"conditions": [{"type": "PodScheduled", "status": "True"}]}, waiting("ContainerCreating")]
    assert {pod_reason(pod(step)) for step in steps} == {no_pod_yet(LOBBY)}


def test_a_pod_that_runs_has_no_reason() -> None:
    running = pod(container({"running": {"startedAt": "2026-01-01T00:00:00Z"}}))
    assert running.running
    assert pod_reason(running) is None


def test_a_pod_that_is_ending_does_not_count_as_running_although_its_process_does() -> None:
    ending = pod(container({"running": {}}), deletionTimestamp="2026-01-01T00:01:00Z")
    assert not ending.running
    assert "ending" in str(pod_reason(ending))


def test_the_waiting_times_of_kubelet_do_not_show() -> None:
    last = {"exitCode": 1, "reason": "Error", "message": "boom"}
    reasons = {pod_reason(pod(waiting("CrashLoopBackOff", f"back-off {s}s restarting", last))) for s in (10, 20, 40)}
    reasons |= {pod_reason(pod(container({"terminated": last})))}
    assert len({str(reason).partition(";")[0] for reason in reasons}) == 1
    cause = 'rpc error: code = NotFound desc = failed to pull and unpack image "x": not found'
    pulls = {
        pod_reason(pod(waiting("ErrImagePull", cause))),
        pod_reason(pod(waiting("ImagePullBackOff", f'Back-off pulling image "x": ErrImagePull: {cause}'))),
    }
    assert len(pulls) == 1
