"""A Kubernetes context: read from the kubeconfig as kubectl reads it, and connected to.

The kubeconfig is read by the official client, with certificates, tokens, and plugins that fetch them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.config.kube_config import ENV_KUBECONFIG_PATH_SEPARATOR, KubeConfigLoader, KubeConfigMerger

from framepilot_operator.commands.context_error import ContextError, NoContextError, Request, listed, refused
from framepilot_operator.commands.place import Choice

USER_AGENT: Final = "framepilot"


@dataclass(frozen=True, slots=True)
class Context:
    """A context, by name; `namespace` is where a name without one is looked for."""

    name: str
    server: str
    namespace: str

    def __str__(self) -> str:
        return f"context {self.name} ({self.server})"

    def within(self, namespace: str | None) -> str:
        """Where something is asked, as people read it; None: in all namespaces."""
        return f"{self}, {'all namespaces' if namespace is None else f'namespace {namespace}'}"

    def failed(self, asked: Request, error: Exception) -> ContextError:
        """The error that a failed request means."""
        if isinstance(error, ApiException):
            return refused(asked, int(error.status or 0), error.body or str(error.reason))
        said = str(error) or type(error).__name__
        return ContextError(
            f"context {self.name}: the API server {self.server} does not answer: {said}; "
            "check that it runs and can be reached, or choose another context with --context",
            0,
        )


@asynccontextmanager
async def connected(choice: Choice) -> AsyncIterator[tuple[Context, ApiClient]]:
    """The chosen context and a client for it; nothing is asked of the server yet.

    Raises:
        NoContextError: there is no such context, or the kubeconfig cannot be used.
    """
    configuration = Configuration()
    try:
        loader = _loader(choice)
        await loader.load_and_set(configuration)  # type: ignore[no-untyped-call]
        client = ApiClient(configuration)
    except NoContextError:
        raise
    except Exception as error:  # the reader of kubeconfigs checks little, and raises whatever Python does
        raise NoContextError(f"{choice.kubeconfigs}: cannot be used: {error or type(error).__name__}") from error
    client.user_agent = USER_AGENT
    current = loader.current_context
    namespace = choice.namespace or current["context"].get("namespace") or "default"
    async with client:
        yield Context(current["name"], configuration.host, namespace), client


def _loader(choice: Choice) -> KubeConfigLoader:
    paths = choice.kubeconfigs
    if not any(Path(path).expanduser().is_file() for path in paths.split(ENV_KUBECONFIG_PATH_SEPARATOR) if path):
        raise NoContextError(f"there is no kubeconfig {paths}; name one with --kubeconfig or in $KUBECONFIG")
    config = KubeConfigMerger(paths).config  # type: ignore[no-untyped-call]
    names = [context.value["name"] for context in config.value["contexts"]]
    there = f"there are: {listed(names, choice.context or '')}" if names else "it has none"
    wanted = choice.context or config.value.get("current-context")
    if not wanted:
        raise NoContextError(f"{paths}: no context is the current one; choose one with --context: {there}")
    if wanted not in names:
        raise NoContextError(f"{paths}: there is no context '{wanted}'; {there}")
    return KubeConfigLoader(config, active_context=wanted, config_base_path=None)  # type: ignore[no-untyped-call]
