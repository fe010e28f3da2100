"""Looks at the instances of a Kubernetes context: the API server passes the question on to each pod.

So whoever asks needs to reach the API server only, and the right to `get` the subresource `proxy` of pods, which the
cluster's own role `edit` has.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Final

import aiohttp
from kubernetes.aio.client.api.core_v1_api import CoreV1Api
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.exceptions import ApiException

from framepilot.contract.document import DocumentError
from framepilot.contract.observed import ObservedState
from framepilot_operator.commands.context import Context, connected
from framepilot_operator.commands.context_error import Request, refused
from framepilot_operator.commands.instance_look import Look
from framepilot_operator.commands.place import Choice
from framepilot_operator.manifests.instance import PORT
from framepilot_operator.manifests.names import NAME_LABEL, PART, SELECTOR, object_name
from framepilot_operator.manifests.owner import Owner

TIMEOUT_S: Final = 10.0
PODS: Final = f"{SELECTOR},{NAME_LABEL}={PART}"


async def look_at_context(
    choice: Choice, namespace: str | None, note: Callable[[str], None], *, everywhere: bool, every_s: float
) -> AsyncGenerator[Look, None]:
    """A look at all instances of a namespace now, and again every few seconds.

    Raises:
        ContextError: the pods cannot be listed, or none of them may be asked.
    """
    async with connected(choice) as (context, client):
        where = None if everywhere else namespace or context.namespace
        note(context.within(where))
        while True:
            yield await _look(context, client, where)
            await asyncio.sleep(every_s)


def pod_of(owner: Owner, pod: str) -> bool:
    """Whether a pod, by `<namespace>/<name>`, is of this owner's instance; its Deployment gave it its name."""
    return pod.rsplit("-", 2)[0] == f"{owner.namespace}/{object_name(owner)}"


async def _look(context: Context, client: ApiClient, namespace: str | None) -> Look:
    api = CoreV1Api(client)
    listing = (
        api.list_pod_for_all_namespaces(label_selector=PODS, _request_timeout=TIMEOUT_S)
        if namespace is None
        else api.list_namespaced_pod(namespace, label_selector=PODS, _request_timeout=TIMEOUT_S)
    )
    try:
        pods = (await listing).items
    except (ApiException, aiohttp.ClientError, OSError) as error:
        raise context.failed(Request(context.name, "list", "pods", namespace, group=""), error) from error
    found = [
        (str(pod.metadata.namespace), str(pod.metadata.name), str(pod.status and pod.status.phase))
        for pod in pods
        if pod.metadata is not None
    ]
    answers = await asyncio.gather(
        *(_ask(api, where, name) if phase == "Running" else _not_running(phase) for where, name, phase in found)
    )
    states: dict[str, ObservedState] = {}
    silent: dict[str, str] = {}
    for (where, name, _), answer in zip(found, answers, strict=True):
        if isinstance(answer, ObservedState):
            states[f"{where}/{name}"] = answer
        elif answer.status == 403:
            raise refused(Request(context.name, "get", "pods/proxy", where, name, group=""), 403, answer.body)
        else:
            silent[f"{where}/{name}"] = answer.reason
    return Look(time.monotonic(), states, silent)


@dataclass(frozen=True, slots=True)
class _Silence:
    """Why a pod says nothing; the HTTP status and the body of what was answered instead, if anything was."""

    reason: str
    status: int = 0
    body: str = ""


async def _ask(api: CoreV1Api, namespace: str, pod: str) -> ObservedState | _Silence:
    try:
        answer = await api.connect_get_namespaced_pod_proxy_with_path_without_preload_content(
            f"{pod}:{PORT}", namespace, "status", _request_timeout=TIMEOUT_S
        )
        async with answer:
            body = await answer.text()
        if answer.status != 200:
            return _Silence(f"it does not answer the API server: HTTP {answer.status}", answer.status, body)
        return ObservedState.parse(body)
    except (DocumentError, aiohttp.ClientError, OSError) as error:
        return _Silence(str(error) or type(error).__name__)


async def _not_running(phase: str) -> _Silence:
    return _Silence(f"its pod is {phase}")
