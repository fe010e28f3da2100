"""The port on a real API server, one call at a time: what is written, what is not, and what is said when it cannot be.

It is used here by an account with the rights that the chart gives in namespaced mode, and nothing more. Where a process
has to answer, the real one runs; elsewhere its image does not exist, which is a thing to be said, too.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from kubernetes.aio.client.api_client import ApiClient

from support.kubectl import Kubectl
from support.port_operator import Operators, PortOperator, connected


@pytest.fixture
async def client(kubectl: Kubectl, namespace: Kubectl, account: str) -> AsyncIterator[ApiClient]:
    user = f"system:serviceaccount:{namespace.namespace}:{account}"
    async with await connected(kubectl.kubeconfig, user) as made:
        yield made


@pytest.fixture
async def operators(namespace: Kubectl, client: ApiClient) -> AsyncIterator[Operators]:
    """Makes operators; any number at once."""
    made: list[PortOperator] = []

    def make(**options: str) -> PortOperator:
        made.append(PortOperator.made(namespace, client, **options))
        return made[-1]

    yield make
    for each in made:
        await each.cluster.close()
