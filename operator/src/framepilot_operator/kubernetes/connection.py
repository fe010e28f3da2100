"""How the process reaches the API server: one configuration, from which every client takes where and as whom.

What makes two replicas safe is here: a client that asks before each write whether it may still write. A process that
was stopped for a while and goes on finds out at its next write, and not after it. A request that was on its way when
the process was stopped does arrive; whoever leads by then sees it and puts it right, like any change from outside.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import kopf
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.client.rest import RESTResponse
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})


async def load_configuration() -> Configuration:
    """That of the pod's service account; outside a pod, that of the kubeconfig's current context.

    Raises:
        ConfigException: there is neither, or it cannot be used.
    """
    configuration = Configuration()
    try:
        load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except ConfigException:
        await load_kube_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    return configuration


async def connection_info(configuration: Configuration) -> kopf.ConnectionInfo:
    """The same server and the same account, for kopf; the token is the one that is valid now."""
    header = await configuration.get_api_key_with_prefix("BearerToken") or ""
    scheme, _, token = header.rpartition(" ")
    return kopf.ConnectionInfo(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert,
        ca_data=configuration.ca_cert_data,
        insecure=not configuration.verify_ssl,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
        username=configuration.username or None,
        password=configuration.password or None,
        scheme=scheme or None,
        token=token or None,
        proxy_url=configuration.proxy,
    )


class GuardedClient(ApiClient):
    """A client that asks `may_write` before each request that changes something; what that raises ends the request."""

    def __init__(self, configuration: Configuration, may_write: Callable[[], None]) -> None:
        super().__init__(configuration)
        self._may_write = may_write

    async def call_api(self, method: str, url: str, *args: object, **options: object) -> RESTResponse:
        """Make one request."""
        if method.upper() not in READING:
            self._may_write()
        return await super().call_api(method, url, *args, **options)
