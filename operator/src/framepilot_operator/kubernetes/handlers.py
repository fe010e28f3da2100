"""What is watched, by kopf: an event says which kind of object changed, and nothing else is done with it.

Only `on.event` handlers: kopf's other handlers write their progress to each object they see, from each replica. kopf's
own poster of Events, its peering and its search for new kinds and namespaces are off, so it reads only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import kopf
from kopf import OperatorRegistry, OperatorSettings

MANAGED: Final = "app.kubernetes.io/managed-by=framepilot"
FINALIZER: Final = "framepilot.dev/unused"
CONNECT_WITHIN_S: Final = 10
ANSWER_WITHIN_S: Final = 60

Changed = Callable[[str, str, str | None], None]
"""Called with a kind (its plural), `<namespace>/<name>` (`/<name>` for what is of the whole cluster), and the version
that the object has now; None: it is gone."""

Login = Callable[[], Awaitable[kopf.ConnectionInfo]]


@dataclass(frozen=True, slots=True)
class Watched:
    """One kind of object; `selector` limits it to those with these labels, at the server.

    What is of the `whole_cluster` is watched only by an operator that looks at all namespaces.
    """

    group: str
    version: str
    plural: str
    selector: str | None = None
    whole_cluster: bool = False


WATCHED: Final = (
    Watched("framepilot.dev", "v1alpha1", "inferenceservices"),
    Watched("framepilot.dev", "v1alpha1", "inferenceruntimes"),
    Watched("framepilot.dev", "v1alpha1", "modelprofiles"),
    Watched("apps", "v1", "deployments", MANAGED),
    Watched("", "v1", "configmaps", MANAGED),
    Watched("", "v1", "services", MANAGED),
    Watched("", "v1", "pods", MANAGED),
    Watched("", "v1", "nodes", whole_cluster=True),
)


def registry(changed: Changed, login: Login, watched: Sequence[Watched] = WATCHED) -> OperatorRegistry:
    """One handler for each kind, and how kopf logs in: without a client library that it would find installed."""
    handlers = OperatorRegistry()

    async def log_in(**_: object) -> kopf.ConnectionInfo:
        return await login()

    kopf.on.login(registry=handlers, id="login")(log_in)
    for each in watched:
        kopf.on.event(each.group, each.version, each.plural, registry=handlers, id=each.plural)(
            _teller(changed, each.plural)
        )
    return handlers


def settings(watched: Sequence[Watched] = WATCHED) -> OperatorSettings:
    """Read, and only what is ours."""
    chosen = OperatorSettings()
    chosen.posting.enabled = False
    chosen.scanning.disabled = True
    # kopf removes its finalizer from every object that it has nothing to do for at deletion. By default that is the
    # finalizer of every other operator that is made with kopf.
    chosen.persistence.finalizer = FINALIZER
    chosen.process.ultimate_exiting_timeout = None
    chosen.watching.connect_timeout = CONNECT_WITHIN_S
    chosen.networking.request_timeout = ANSWER_WITHIN_S
    for each in watched:
        if each.selector is not None:
            chosen.watching.label_selectors[each.group, each.version, each.plural] = each.selector
    return chosen


async def watch(changed: Changed, login: Login, namespaces: Sequence[str]) -> Sequence[asyncio.Task[None]]:
    """Start to watch these namespaces, or all; the tasks that do it run until they are cancelled or one fails.

    kopf takes the process's signals with this: whoever wants them sets their handlers again afterwards.
    """
    watched = [each for each in WATCHED if not (namespaces and each.whole_cluster)]
    return list(
        await kopf.spawn_tasks(
            registry=registry(changed, login, watched),
            settings=settings(watched),
            # Without a name kopf asks DNS and the user database for one; the type of names is its own secret.
            identity="framepilot-operator",  # type: ignore[arg-type]
            standalone=True,
            clusterwide=not namespaces,
            namespaces=namespaces,
        )
    )


def _teller(changed: Changed, plural: str) -> Callable[..., Awaitable[None]]:
    async def tell(event: kopf.RawEvent, **_: object) -> None:
        metadata = event["object"]["metadata"]
        version = None if event["type"] == "DELETED" else metadata.get("resourceVersion")
        changed(plural, f"{metadata.get('namespace', '')}/{metadata['name']}", version)

    return tell
