"""What went wrong with a Kubernetes context, in sentences that say what to do.

The API server answers with a `Status`: its message is written for whoever wrote the request. Here it is turned into one
for whoever typed the command. Pure, and without the client, so that every command can catch the error.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from framepilot.resources.meta import GROUP

MOST_NAMES: Final = 10
INSTALL: Final = "install the Helm chart of Framepilot, or its CRDs with `kubectl apply --server-side --filename crds/`"


class ContextError(Exception):
    """A context that cannot be used, or a request that it refused: what, where, what to do.

    `status` is the HTTP status, 0 where there was no answer, None where nothing was asked.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status

    @property
    def transient(self) -> bool:
        """Whether the same request may succeed a little later: no answer, a busy server, a history that is gone."""
        return self.status in {0, 410, 429} or (self.status is not None and self.status >= 500)


class NoContextError(ContextError):
    """There is no context to ask."""


class NotInstalledError(ContextError):
    """The context has no such resources at all."""


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked: the verb as RBAC names it. No namespace: all of them; no group: one of Kubernetes' own kinds."""

    context: str
    verb: str
    plural: str
    namespace: str | None
    name: str | None = None
    group: str = GROUP

    @property
    def resource(self) -> str:
        """As RBAC and kubectl name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


def refused(request: Request, status: int, body: str) -> ContextError:
    """The error that a refusal means."""
    answer = _answer(body)
    where = f"context {request.context}"
    if status == 404 and answer is None:
        # Only a path that the server does not know is answered without a Status.
        return NotInstalledError(f"{where}: has no resource {request.resource}; {INSTALL}", status)
    advice = _advice(request, status, answer or {})
    lines = [f"{where}: {sentence}{advice}" for sentence in _sentences(status, answer or {}, body)]
    return ContextError("\n".join(lines), status)


def missing(what: str, namespace: str, name: str, known: Sequence[str]) -> ContextError:
    """There is no such service, or whatever it is; `known` are the `<namespace>/<name>` that there are."""
    inside = [key.partition("/")[2] for key in known if key.startswith(f"{namespace}/")]
    near = set(difflib.get_close_matches(name, [key.partition("/")[2] for key in known]))
    outside = [key for key in known if not key.startswith(f"{namespace}/") and key.partition("/")[2] in near]
    sentence = f"there is no {what} '{name}' in namespace '{namespace}'; "
    sentence += f"there are: {listed(inside, name)}" if inside else "there is none in it"
    if outside:
        sentence += f"; in other namespaces: {listed(outside, f'{namespace}/{name}')}"
    return ContextError(sentence, 404)


def listed(names: Sequence[str], like: str) -> str:
    """Names in a sentence, the most similar first; of many only some."""
    return some(sorted(names, key=lambda name: (-difflib.SequenceMatcher(None, like, name).ratio(), name)))


def some(names: Sequence[str]) -> str:
    """Names in a sentence; of many only the first."""
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _answer(body: str) -> Mapping[str, object] | None:
    try:
        answer = json.loads(body)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) and answer.get("kind") == "Status" else None


def _sentences(status: int, answer: Mapping[str, object], body: str) -> Iterator[str]:
    """One for each field that is wrong; else the message as a whole."""
    details = answer.get("details")
    causes = details.get("causes") if isinstance(details, dict) else None
    fields = [
        f"{cause['field']}: {cause.get('message', '')}"
        for cause in (causes if isinstance(causes, list) else [])
        if isinstance(cause, dict) and cause.get("field") not in {None, "", "<nil>"}
    ]
    if status == 422 and fields:
        yield from dict.fromkeys(fields)
    else:
        yield str(answer.get("message") or body[:200] or f"HTTP {status}").strip()


def _advice(request: Request, status: int, answer: Mapping[str, object]) -> str:
    if status == 401:
        return "; its credentials are not accepted: log in again, or choose another context with --context"
    if status == 403 and " cannot " in str(answer.get("message")):
        where = "--all-namespaces" if request.namespace is None else f"--namespace {request.namespace}"
        return (
            f"; ask for a role with the verb '{request.verb}' on {request.resource} "
            f"(to see it: kubectl auth can-i {request.verb} {request.resource} {where})"
        )
    return ""
