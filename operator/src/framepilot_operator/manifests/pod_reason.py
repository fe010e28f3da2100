"""Why a pod does not run, from its status, in words that a person can act on.

What a pod's status says changes with every attempt of kubelet (waiting times, names of layers); what is said here does
not, so that nothing is written while nothing happens. Nor are the steps told one by one in which a pod comes to be.
"""

from __future__ import annotations

import re
from typing import Final

from framepilot_operator.manifests.last_words import last_words
from framepilot_operator.manifests.names import INSTANCE_LABEL, object_name
from framepilot_operator.manifests.owner import Owner
from framepilot_operator.manifests.seen import SeenContainer, SeenPod, SeenTerminated

_IMAGE: Final = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"}
)
_ORDINARY: Final = frozenset({"", "ContainerCreating", "PodInitializing"})
_WRAPPING: Final = re.compile(r'^Back-off pulling image "[^"]*"(: )?|^ErrImagePull: |^rpc error: code = \w+ desc = ')


def no_pod_yet(owner: Owner) -> str:
    """Why there is nothing to be seen of an instance that was declared just now."""
    selected = f"-n {owner.namespace} -l {INSTANCE_LABEL}={object_name(owner)}"
    return (
        "its container is being created; if that lasts, a volume or the image is missing, and "
        f"`kubectl describe pods {selected}` says which"
    )


def pod_reason(pod: SeenPod, owner: Owner) -> str | None:
    """Why the pod of an owner's instance does not run; None if its container does."""
    status = pod.status
    if pod.metadata.ending:
        return "its pod is ending; another takes its place after that"
    if status.phase == "Failed" and status.reason:
        return f"its pod was ended by the node ({status.reason}): {status.message or 'no reason given'}"
    container = pod.container
    if container is None:
        return _not_scheduled(pod) or no_pod_yet(owner)
    if container.state.waiting is not None:
        return _waiting(owner, container, container.state.waiting.reason, container.state.waiting.message)
    if container.state.terminated is not None:
        return f"its process {_ended(container.state.terminated)}"
    return None


def _not_scheduled(pod: SeenPod) -> str | None:
    for condition in pod.status.conditions:
        if condition.type == "PodScheduled" and condition.status == "False":
            advice = "free what it asks for, or change spec.template"
            return f"no node takes its pod ({condition.reason}): {condition.message.rstrip('.')}; {advice}"
    return None


def _waiting(owner: Owner, container: SeenContainer, reason: str, message: str) -> str:
    if reason in _IMAGE:
        said = _unwrapped(message)
        return (
            f"the image {container.image} cannot be pulled{f': {said}' if said else ''}; check that it exists, and the "
            "imagePullSecrets of the operator or of spec.template"
        )
    last = container.last_state.terminated
    if reason == "CrashLoopBackOff" and last is not None:
        return f"its process {_ended(last)}; it is started again after a growing wait"
    if reason in _ORDINARY:
        return no_pod_yet(owner)
    return f"its container cannot be started ({reason}): {message or 'no reason given'}"


def _ended(last: SeenTerminated) -> str:
    if last.reason == "OOMKilled":
        return "was killed because it needed more memory than it may have; raise spec.template.resources.limits.memory"
    how = f"was ended by signal {last.signal}" if last.signal else f"ended with status {last.exit_code}"
    said = last_words(last.message)
    return f"{how}; its last words: {said}" if said else how


def _unwrapped(message: str) -> str:
    """The cause alone: kubelet says now with and now without it that it waits."""
    while (shorter := _WRAPPING.sub("", message)) != message:
        message = shorter
    return message
