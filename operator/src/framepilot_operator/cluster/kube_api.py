"""The API server, as far as it is needed here: JSON in, JSON out, and errors that say what to do.

Objects stay plain JSON: the generated types of the client would cost more memory than all that is kept. Every request
is counted by verb and kind, so that it can be seen that nothing is written while nothing happens.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

import aiohttp
from kubernetes.aio.client.api_client import ApiClient
from prometheus_client import Counter
from pydantic import JsonValue

from framepilot.resources.meta import GROUP, VERSION
from framepilot_operator.cluster.port import ClusterError
from framepilot_operator.manifests.names import FIELD_MANAGER

JsonObject = dict[str, JsonValue]

PAGE: Final = 500
TIMEOUT_S: Final = 15.0
APPLY: Final = "application/apply-patch+yaml"
MERGE: Final = "application/merge-patch+json"
JSON_PATCH: Final = "application/json-patch+json"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of objects. An empty group is the core one."""

    group: str
    version: str
    plural: str

    def path(self, namespace: str | None, name: str | None = None, subresource: str | None = None) -> str:
        """Where its objects are; without a namespace: those of all, or of the cluster."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        within = f"/namespaces/{namespace}" if namespace else ""
        return "/".join(part for part in (f"{root}{within}/{self.plural}", name, subresource) if part)


INFERENCE_SERVICES: Final = Kind(GROUP, VERSION, "inferenceservices")
INFERENCE_RUNTIMES: Final = Kind(GROUP, VERSION, "inferenceruntimes")
MODEL_PROFILES: Final = Kind(GROUP, VERSION, "modelprofiles")
DEPLOYMENTS: Final = Kind("apps", "v1", "deployments")
CONFIG_MAPS: Final = Kind("", "v1", "configmaps")
SERVICES: Final = Kind("", "v1", "services")
PODS: Final = Kind("", "v1", "pods")
NODES: Final = Kind("", "v1", "nodes")
EVENTS: Final = Kind("events.k8s.io", "v1", "events")


class ApiError(ClusterError):
    """A request failed. `status` is the HTTP status; 0: there was no answer."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status

    @property
    def missing(self) -> bool:
        """Whether there is no such object."""
        return self.status == 404

    @property
    def conflict(self) -> bool:
        """Whether the object is not what the request took it for; observing again shows what it is."""
        return self.status == 409


class KubeApi:
    """A thin client. Use it in one event loop; whoever made the `ApiClient` closes it."""

    def __init__(self, client: ApiClient, requests: Counter) -> None:
        """`requests` has the labels `verb` and `kind`: framepilot_operator_api_requests_total."""
        self._client = client
        self._requests = requests

    async def list(
        self, kind: Kind, namespaces: Sequence[str] = (), selector: str | None = None
    ) -> AsyncIterator[JsonObject]:
        """Every object of a kind, page by page; of all namespaces, if none is named.

        Raises:
            ApiError: the list is not complete.
        """
        for namespace in namespaces or (None,):
            following = ""
            while True:
                query = {"limit": str(PAGE), "labelSelector": selector or "", "continue": following}
                page = await self._request("list", "GET", kind, namespace, query=query)
                for item in _items(page):
                    yield item
                metadata = page.get("metadata")
                following = str(metadata.get("continue") or "") if isinstance(metadata, dict) else ""
                if not following:
                    break

    async def get(self, kind: Kind, namespace: str, name: str) -> JsonObject | None:
        """One object; None if there is none. The namespace is empty for what is of the whole cluster.

        Raises:
            ApiError: it cannot be known.
        """
        try:
            return await self._request("get", "GET", kind, namespace, name)
        except ApiError as error:
            if error.missing:
                return None
            raise

    async def create(self, kind: Kind, manifest: JsonObject) -> JsonObject:
        """Create an object.

        Raises:
            ApiError: it was not created; a conflict if there is one of that name.
        """
        namespace, _ = _place(manifest)
        query = {"fieldManager": FIELD_MANAGER}
        return await self._request("create", "POST", kind, namespace, query=query, body=manifest)

    async def apply(
        self, kind: Kind, manifest: JsonObject, *, force: bool = True, subresource: str | None = None
    ) -> JsonObject:
        """Server-side apply: what the manifest says is so afterwards, what others said beside it stays.

        A `uid` or a `resourceVersion` in the manifest's metadata is a condition.

        Raises:
            ApiError: nothing was changed; a conflict if a condition does not hold, or if somebody else's fields stand
                in the way and `force` is not given.
        """
        namespace, name = _place(manifest)
        query = {"fieldManager": FIELD_MANAGER, "force": str(force).lower()}
        return await self._request(
            "patch", "PATCH", kind, namespace, name, subresource, query=query, body=manifest, content_type=APPLY
        )

    async def merge(self, kind: Kind, namespace: str, name: str, patch: JsonObject) -> JsonObject:
        """A merge patch.

        Raises:
            ApiError: nothing was changed.
        """
        query = {"fieldManager": FIELD_MANAGER}
        return await self._request("patch", "PATCH", kind, namespace, name, query=query, body=patch, content_type=MERGE)

    async def replace(self, kind: Kind, namespace: str, name: str, field: str, value: JsonValue) -> JsonObject:
        """Replace a whole field of an object, with what others wrote into it: server-side apply leaves that.

        Raises:
            ApiError: nothing was changed.
        """
        query = {"fieldManager": FIELD_MANAGER}
        patch: JsonValue = [{"op": "replace", "path": f"/{field}", "value": value}]
        return await self._request(
            "patch", "PATCH", kind, namespace, name, query=query, body=patch, content_type=JSON_PATCH
        )

    async def delete(self, kind: Kind, namespace: str, name: str, uid: str) -> None:
        """Delete the object of this uid; it is no error that it is not there any more.

        Raises:
            ApiError: it was not deleted.
        """
        options: JsonObject = {"propagationPolicy": "Background", "preconditions": {"uid": uid}}
        try:
            await self._request("delete", "DELETE", kind, namespace, name, body=options)
        except ApiError as error:
            if not (error.missing or error.conflict):
                raise

    async def _request(
        self,
        verb: str,
        method: str,
        kind: Kind,
        namespace: str | None,
        name: str | None = None,
        subresource: str | None = None,
        *,
        query: dict[str, str] | None = None,
        body: JsonValue = None,
        content_type: str = "application/json",
    ) -> JsonObject:
        counted = kind.plural if subresource is None else f"{kind.plural}/{subresource}"
        self._requests.labels(verb=verb, kind=counted).inc()
        what = f"{verb} {counted} {'/'.join(part for part in (namespace, name) if part) or 'of all namespaces'}"
        try:
            request = await self._client.param_serialize(
                method,
                kind.path(namespace, name, subresource),
                query_params=[pair for pair in (query or {}).items() if pair[1]],
                header_params={"Accept": "application/json", "Content-Type": content_type},
                body=body,
                auth_settings=["BearerToken"],
            )
            response = await self._client.call_api(*request, _request_timeout=aiohttp.ClientTimeout(total=TIMEOUT_S))
            # The client's own read() has no types.
            content: bytes = await response.response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            said = str(error) or type(error).__name__
            raise ApiError(f"{what}: the API server does not answer: {said}; it is asked again", 0) from error
        if not 200 <= response.status < 300:
            said = _said(content)
            raise ApiError(f"{what}: HTTP {response.status}: {said}{_advice(response.status, said)}", response.status)
        found = json.loads(content)
        if not isinstance(found, dict):
            raise ApiError(f"{what}: the answer is no object: {content[:80]!r}", response.status)
        return found


def _items(page: JsonObject) -> Sequence[JsonObject]:
    items = page.get("items")
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else ()


def _place(manifest: JsonObject) -> tuple[str, str]:
    metadata = manifest["metadata"]
    if not isinstance(metadata, dict):
        raise TypeError(f"metadata is no object: {metadata!r}")
    return str(metadata["namespace"]), str(metadata.get("name", ""))


def _said(content: bytes) -> str:
    """The message of a `Status`, or whatever else was answered."""
    try:
        status = json.loads(content)
    except ValueError:
        status = None
    message = status.get("message") if isinstance(status, dict) else None
    return str(message or content[:200].decode(errors="replace") or "no message").strip().rstrip(".")


def _advice(status: int, said: str) -> str:
    match status:
        case 401:
            return "; the operator's credentials are not accepted: check its service account, or its kubeconfig"
        case 403 if " cannot " in said:
            return "; the operator's role lacks this rule: give it the verb on the resource named here (chart: RBAC)"
        case 403 if "being terminated" in said:
            return "; its namespace is being deleted"
        case 404:
            return "; it was deleted, or its resource type is not installed (the CRDs of the chart)"
        case 409:
            return "; somebody else changed it meanwhile: it is looked at again"
        case 413:
            return "; declare fewer streams or modules"
        case _:
            return ""
